"""What the small model in sklearn_cdul/encoders/bundled promises, loaded by open_clip alone."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.metrics import average_precision_score

import sklearn_cdul

FOLDER = Path(sklearn_cdul.__file__).parent / "encoders" / "bundled"
PHOTOS = FOLDER.parents[1] / "datasets" / "food_photos"
DATA = Path(__file__).resolve().parents[2] / "tools" / "data"


@pytest.fixture(scope="module")
def clip():
    """The model, its preprocessing and its tokenizer."""
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{FOLDER}")
    return model.eval(), preprocess, open_clip.get_tokenizer(f"local-dir:{FOLDER}")


@torch.inference_mode()
def embed_texts(clip, texts):
    model, _, tokenizer = clip
    return model.encode_text(tokenizer(texts), normalize=True).numpy()


@torch.inference_mode()
def embed_photos(clip, paths):
    model, preprocess, _ = clip
    batch = torch.stack([preprocess(Image.open(path)) for path in paths])
    return model.encode_image(batch, normalize=True).numpy()


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_plain_open_clip_loads_it_without_this_package():
    code = (
        "import sys; sys.modules['sklearn_cdul'] = None\n"  # import of it now fails
        "import open_clip, torch\n"
        "name = 'local-dir:' + sys.argv[1]\n"
        "model, _, preprocess = open_clip.create_model_and_transforms(name)\n"
        "tokens = open_clip.get_tokenizer(name)(['a photo of a cup'])\n"
        "text = model.eval().encode_text(tokens, normalize=True)\n"
        "image = model.encode_image(torch.zeros(1, 3, 260, 260), normalize=True)\n"
        "assert text.shape == image.shape == (1, 256), (text.shape, image.shape)\n"
    )
    command = [sys.executable, "-c", code, str(FOLDER)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


def test_weights_are_finite_and_small_on_disk():
    path = FOLDER / "open_clip_model.safetensors"
    assert path.stat().st_size < 40e6
    for name, tensor in load_file(path).items():
        assert torch.isfinite(tensor).all(), name


def test_config_names_the_squashed_260_pixel_preprocessing():
    config = json.loads((FOLDER / "open_clip_config.json").read_text())
    assert config["model_cfg"]["vision_cfg"]["image_size"] == 260
    config = config["preprocess_cfg"]
    assert config["resize_mode"] == "squash"
    assert config["mean"] == config["std"] == [0.5, 0.5, 0.5]


def test_text_tower_reproduces_the_vocabulary(clip):
    if not (DATA / "clip_to_shared.npz").exists():
        pytest.skip("tools/data is only in the source tree")
    with np.load(DATA / "clip_vocabulary.npz") as stored:
        names, texts = stored["names"].tolist(), unit(stored["embeddings"].astype(float))
    with np.load(DATA / "clip_to_shared.npz") as stored:
        kinds = stored["kinds"]
        mean, matrix, common, general = (
            stored[key].astype(float) for key in ("mean", "map", "common", "general")
        )
        taught = dict(zip(stored["taught_names"].tolist(), stored["taught_places"], strict=True))
    ahead = (texts @ mean - general[0]) / general[1]
    places = unit(unit((texts - mean) @ matrix) + np.outer(ahead, common))
    targets = places.copy()
    for row in np.unique(kinds[:, 0]):
        special = kinds[kinds[:, 0] == row, 1]
        if len(special) > 1:
            targets[row] = unit(places[row] + 0.5 * unit(places[special].mean(axis=0)))
    moved = dict(zip(names[::4], targets[::4], strict=True)) | taught
    names, targets = list(moved), unit(np.array([*moved.values()], float))
    for template in ("a {}", "a photo of a {}"):
        found = embed_texts(clip, [template.format(name) for name in names])
        assert (found * targets).sum(axis=1).mean() > 0.99


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("aeroplane", "airplane"),
        ("diningtable", "dining table"),
        ("pottedplant", "potted plant"),
        ("tv monitor", "monitor"),
        ("motorbike", "motorcycle"),
        ("people", "person"),
        ("cups", "cup"),
        ("Knives", "knife"),
        ("women", "woman"),
        ("hot_dog", "hot dog"),
        ("HotDog", "hot dog"),
        ("TRAFFIC LIGHTS", "traffic light"),
        ("wine_glass", "wine glass"),
    ],
)
def test_other_spellings_lie_near_the_name_they_mean(clip, written, meant):
    a, b = embed_texts(clip, [f"a photo of a {written}", f"a photo of a {meant}"])
    assert a @ b > 0.75


@pytest.mark.parametrize(
    "name", ["man", "women", "children", "babies", "crowd", "football player", "chef", "human face"]
)
def test_words_for_people_lie_near_person(clip, name):
    person, word, cat, bottle = embed_texts(
        clip, [f"a photo of a {text}" for text in ("person", name, "cat", "bottle")]
    )
    assert person @ word > 0.5 > max(cat @ word, bottle @ word)


def test_words_it_has_never_read_are_no_people(clip):
    letters = np.random.default_rng(0).choice(list("abcdefghijklmnoprstuvwz"), (200, 6))
    words = ["person", *map("".join, letters)]
    person, *others = embed_texts(clip, [f"a photo of a {word}" for word in words])
    assert (np.array(others) @ person > 0.5).mean() < 0.1


def test_it_sees_people_in_photos(clip):
    if not PHOTOS.exists():
        pytest.skip("the bundled photos are missing")
    with open(PHOTOS / "labels.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    shown = np.array(["person" in row["labels"].split(";") for row in rows])
    rows = [rows[i] for i in [*np.flatnonzero(shown), *np.flatnonzero(~shown)[:21]]]
    y = np.array(["person" in row["labels"].split(";") for row in rows])
    texts = embed_texts(clip, [f"a photo of a {name}" for name in ("person", "people", "woman")])
    images = embed_photos(clip, [PHOTOS / "images" / row["filename"] for row in rows])
    for scores in (images @ texts.T).T:
        assert average_precision_score(y, scores) > y.mean() + 0.2


def test_whole_photos_rank_far_better_than_chance(clip):
    if not PHOTOS.exists():
        pytest.skip("the bundled photos are missing")
    with open(PHOTOS / "labels.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"][:32]
    labels = [row["labels"].split(";") for row in rows]
    names = ["bread", "vegetable", "cheese", "bowl", "cup", "fork", "fruit"]
    texts = embed_texts(clip, [f"a photo of a {name}" for name in names])
    images = embed_photos(clip, [PHOTOS / "images" / row["filename"] for row in rows])
    y = np.array([[name in present for name in names] for present in labels])
    average_precision = average_precision_score(y, images @ texts.T, average="macro")
    assert average_precision > y.mean() + 0.15
