"""Each image is encoded once for a folder, whoever comes first, and no number is ever wrong."""

import pickle
import random
import shutil
from collections import OrderedDict
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.encoders import loading
from sklearn_cdul.encoders.clip import CLIPEncoder
from sklearn_cdul.encoders.embedding import embed_photos
from sklearn_cdul.encoders.loading import BUNDLED_FOLDER, load_encoder
from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.digests import read_contents
from tests.memory.common import N_PHOTOS, NAMES, SETTINGS, rows_in


@pytest.fixture
def own_photos(photos, tmp_path):
    """Copies that a test may change."""
    return [shutil.copy(path, tmp_path) for path in photos[:4]]


# the same numbers, and less work


def test_embeddings_are_the_same_with_and_without_a_folder(labeler, photos, expected):
    first = labeler.embed(photos)
    assert_allclose(first, expected, atol=1e-5)
    assert_array_equal(labeler.embed(photos), first)  # read, not computed


def test_a_second_labeler_encodes_nothing(labeler, photos, expected, encoded):
    labeler.embed(photos[:8])
    assert_allclose(clone(labeler).embed(photos[::-1]), expected[::-1], atol=1e-5)
    assert sum(encoded) == N_PHOTOS


def test_the_default_keeps_nothing(photos, encoded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        CLIPPseudoLabeler(**SETTINGS).embed(photos[:2])
    assert sum(encoded) == 4
    assert not list(tmp_path.iterdir())


def test_equal_images_in_one_list_are_encoded_once(labeler, photos, expected, encoded):
    order = [0, 1, 0, 0, 2, 1]
    assert_allclose(labeler.embed([photos[i] for i in order]), expected[order], atol=1e-5)
    assert sum(encoded) == 3


def test_only_what_changes_an_embedding_asks_for_a_new_one(labeler, photos, encoded):
    labeler.fit().transform(photos[:3])
    encoded.clear()
    same = {
        "classes": ["tea", "bread"],
        "prompt_template": "a {}",
        "temperature": 0.5,
        "local_threshold": 0.3,
        "global_weight": 0.1,
        "batch_size": 2,
        "n_jobs": 1,
    }
    clone(labeler).set_params(**same).fit().transform(photos[:3])
    assert encoded == []
    clone(labeler).set_params(grid_size=2, views="grid").embed(photos[:3])
    assert sum(encoded) == 3 * 5
    clone(labeler).set_params(precision="bfloat16").embed(photos[:3])
    assert sum(encoded) == 3 * 5 + 3


@pytest.fixture
def other_weights(tmp_path):
    """A folder like that of the bundled encoder, with another number in the image tower."""
    folder = shutil.copytree(BUNDLED_FOLDER, tmp_path / "other")
    file = folder / "open_clip_model.safetensors"
    weights = load_file(file)
    name = next(n for n in weights if n.startswith("visual.") and n.endswith("weight"))
    weights[name][0] += 0.1
    save_file(weights, file)
    return folder


def test_other_weights_ask_for_new_embeddings(labeler, photos, expected, encoded, other_weights):
    other = clone(labeler).set_params(model_name=f"local-dir:{other_weights}")
    assert_allclose(labeler.embed(photos[:2]), expected[:2], atol=1e-5)
    assert np.abs(other.embed(photos[:2]) - expected[:2]).max() > 1e-4
    assert sum(encoded) == 4


def test_new_weights_of_the_bundled_encoder_ask_for_new_embeddings(
    labeler, photos, expected, encoded, other_weights, monkeypatch
):
    # as after an update of the package, with the same parameters and the folder of the old one
    with monkeypatch.context() as before:
        before.setattr(loading, "BUNDLED_FOLDER", other_weights)
        before.setattr(loading, "_loaded", OrderedDict())
        old = labeler.embed(photos[:2])
    assert_allclose(clone(labeler).embed(photos[:2]), expected[:2], atol=1e-5)
    assert np.abs(old - expected[:2]).max() > 1e-4
    assert sum(encoded) == 4


def test_a_fingerprint_is_the_same_for_an_encoder_loaded_again():
    first = load_encoder(device="cpu", precision="float32")
    again = CLIPEncoder(
        first._model,
        first._tokenizer,
        first.preprocessing,
        device=first.device,
        dtype=first.dtype,
    )
    assert again.fingerprint == first.fingerprint
    assert load_encoder(device="cpu", precision="bfloat16").fingerprint != first.fingerprint


def test_embeddings_as_input_need_no_folder(expected, tmp_path):
    labeler = CLIPPseudoLabeler(NAMES, input="embeddings", memory=tmp_path / "cache")
    labeler.fit_transform(expected)
    assert not (tmp_path / "cache").exists()


def test_a_pickled_labeler_finds_the_folder_again(labeler, photos, encoded):
    labeler.embed(photos[:2])
    state = pickle.dumps(labeler)
    assert len(state) < 2000
    pickle.loads(state).embed(photos[:2])
    assert sum(encoded) == 2


# an entry belongs to the content


def test_a_changed_photo_under_the_same_path_is_encoded_anew(
    labeler, own_photos, photos, expected, encoded
):
    labeler.embed(own_photos)
    shutil.copyfile(photos[7], own_photos[1])
    assert_allclose(labeler.embed(own_photos), expected[[0, 7, 2, 3]], atol=1e-5)
    assert sum(encoded) == 5


def test_a_copy_under_another_path_is_not_encoded_again(labeler, photos, tmp_path, encoded):
    labeler.embed(photos[:3])
    labeler.embed([shutil.copy(path, tmp_path / f"{i}.jpg") for i, path in enumerate(photos[:3])])
    assert sum(encoded) == 3


def test_pictures_in_memory_are_known_by_their_pixels(labeler, photos, expected, encoded):
    pictures = [Image.open(path) for path in photos[:3]]
    assert_allclose(labeler.embed(pictures), expected[:3], atol=1e-5)
    labeler.embed([np.asarray(picture.convert("RGB")) for picture in pictures])
    assert sum(encoded) == 3
    labeler.embed([picture.rotate(180) for picture in pictures])
    assert sum(encoded) == 6


def test_the_orientation_is_part_of_a_picture(labeler, photos, tmp_path, encoded):
    picture = Image.open(photos[0])
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.png", exif=exif)
    picture.save(tmp_path / "upright.png", exif=Image.Exif())
    labeler.embed([Image.open(tmp_path / name) for name in ("turned.png", "upright.png")])
    assert sum(encoded) == 2


def test_a_photo_that_changes_meanwhile_is_not_stored_as_what_it_was(
    labeler, own_photos, photos, expected, monkeypatch
):
    encode_views = CLIPEncoder.encode_views

    def change_first(self, views):
        shutil.copyfile(photos[9], own_photos[0])
        return encode_views(self, views)

    with monkeypatch.context() as context:
        context.setattr(CLIPEncoder, "encode_views", change_first)
        # own_photos[0] and photos[0] are equal when they are read.
        result = labeler.embed([own_photos[0], own_photos[1], photos[0]])
    # What was decoded before the change is right for what it was, and is not stored for either.
    assert_allclose(result, expected[[0, 1, 0]], atol=1e-5)
    assert_allclose(labeler.embed(own_photos[:2]), expected[[9, 1]], atol=1e-5)
    assert_allclose(labeler.embed(photos), expected, atol=1e-5)


def test_unreadable_images_are_named_and_never_stored(labeler, own_photos, expected, encoded):
    good = Path(own_photos[1]).read_bytes()
    Path(own_photos[1]).write_bytes(good[:500])
    with pytest.raises(ImageError) as caught:
        labeler.embed(own_photos)
    assert (caught.value.index, caught.value.path) == (1, own_photos[1])
    forgiving = clone(labeler).set_params(on_error="nan")
    X = [*own_photos, own_photos[1], "missing.jpg"]
    for _ in range(2):
        with pytest.warns(UserWarning, match="3 of 6 images"):
            result = forgiving.embed(X)
        assert np.isnan(result).any(axis=(1, 2)).tolist() == [False, True, False, False, True, True]
    assert sum(encoded) == 3
    Path(own_photos[1]).write_bytes(good)
    assert_allclose(labeler.embed(own_photos), expected[:4], atol=1e-5)


def test_a_missing_file_fails_before_anything_is_encoded(labeler, photos, encoded):
    with pytest.raises(ImageError, match=r"X\[3\] \(missing.jpg\)"):
        labeler.embed([*photos[:3], "missing.jpg"])
    assert encoded == []


def test_an_error_does_not_cost_what_was_encoded(labeler, own_photos, encoded):
    Path(own_photos[3]).write_bytes(b"no image")
    # Without the labeler, which looks at all files first and finds this one.
    settings = {"grid_size": 1, "batch_size": 1, "memory": labeler.memory}
    with pytest.raises(ImageError):
        embed_photos(labeler._encoder(), own_photos, contents=read_contents(own_photos), **settings)
    assert sum(encoded) == rows_in(labeler.memory)
    labeler.embed(own_photos[:3])
    assert sum(encoded) == 3


def test_an_error_does_not_cost_the_others_of_its_batch(labeler, own_photos, encoded):
    Path(own_photos[1]).write_bytes(b"no image")
    settings = {"grid_size": 1, "batch_size": 4, "memory": labeler.memory}
    with pytest.raises(ImageError, match=r"X\[1\]"):
        embed_photos(labeler._encoder(), own_photos, contents=read_contents(own_photos), **settings)
    assert sum(encoded) == rows_in(labeler.memory) == 3


def test_a_batch_with_a_vector_that_is_unsound_stores_the_sound_ones(
    labeler, photos, expected, monkeypatch
):
    encode_views = CLIPEncoder.encode_views

    def spoil_second(self, views):
        vectors = encode_views(self, views).clone()
        vectors[1] = np.nan
        return vectors

    with monkeypatch.context() as context:
        context.setattr(CLIPEncoder, "encode_views", spoil_second)
        with pytest.raises(FloatingPointError, match=r"NaN for 1 of 3 images, first X\[1\]"):
            labeler.set_params(batch_size=3).embed(photos[:3])
    assert rows_in(labeler.memory) == 2
    assert_allclose(labeler.embed(photos[:3]), expected[:3], atol=1e-5)


def test_what_others_store_meanwhile_is_read(labeler, photos, expected, monkeypatch):
    encode_views, counts = CLIPEncoder.encode_views, []

    def let_another_go_first(self, views):
        counts.append(len(views))
        if len(counts) == 1:
            clone(labeler).embed(photos)
        return encode_views(self, views)

    monkeypatch.setattr(CLIPEncoder, "encode_views", let_another_go_first)
    random.seed(0)
    before = random.getstate()
    labeler.set_params(batch_size=2)
    assert_allclose(labeler.embed([*photos, photos[3]]), expected[[*range(12), 3]], atol=1e-5)
    assert sum(counts) == 2 + N_PHOTOS
    assert random.getstate() == before  # although the order is random where others are at work


def test_a_file_that_appears_meanwhile_is_embedded_and_not_stored(
    labeler, own_photos, expected, tmp_path
):
    late = str(tmp_path / "late.jpg")
    contents = read_contents([own_photos[0], late])
    shutil.copyfile(own_photos[1], late)
    settings = {"grid_size": 1, "memory": labeler.memory, "contents": contents}
    embeddings = embed_photos(labeler._encoder(), [own_photos[0], late], **settings)
    assert_allclose(embeddings, expected[:2], atol=1e-5)
    assert rows_in(labeler.memory) == 1


def test_progress_begins_with_what_is_stored(labeler, photos, capsys):
    labeler.embed(photos[:9])
    labeler.set_params(verbose=True).embed(photos)
    shown = capsys.readouterr().err
    assert "9/12" in shown
    assert "0/12 [00:00<?, ?photo/s]" not in shown.partition("Encoding")[2]
    labeler.embed([photos[0]] * 5)
    assert "5/5" in capsys.readouterr().err.partition("Encoding")[2]


# searches and estimators


def test_a_search_encodes_each_image_once_and_the_next_one_nothing(labeler, food_photos, encoded):
    grid = {
        "global_weight": [0.0, 0.5],
        "local_threshold": [0.0, 0.5],
        "temperature": [None, 0.1],
    }
    labeler.set_params(classes=food_photos.target_names, grid_size=2, views="grid")
    photos, targets = food_photos.data[:10], food_photos.target[:10]
    scores = []
    for _ in range(2):
        search = GridSearchCV(labeler, grid, cv=KFold(2), error_score="raise")
        scores.append(search.fit(photos, targets).cv_results_["mean_test_score"])
    assert len(scores[0]) == 8
    assert len(np.unique(scores[0])) > 3
    assert_array_equal(scores[0], scores[1])
    assert sum(encoded) == 10 * 5


def test_the_classifier_passes_the_folder_on(labeler, photos, encoded):
    classifier = CDULClassifier(
        pseudo_labeler=clone(labeler).set_params(memory=None),
        image_size=32,
        random_state=0,
    )
    classifier.set_params(pseudo_labeler__memory=labeler.memory)
    first = classifier.fit(photos[:6]).initial_pseudo_labels_
    again = classifier.set_params(random_state=1).fit(photos[:6]).initial_pseudo_labels_
    assert sum(encoded) == 6
    assert_array_equal(first, again)


def test_threads_share_the_work(labeler, photos, expected, encoded):
    orders = [np.random.default_rng(seed).permutation(N_PHOTOS) for seed in range(4)]
    with joblib.parallel_config("threading", n_jobs=4):
        results = joblib.Parallel()(
            joblib.delayed(clone(labeler).embed)([photos[i] for i in order]) for order in orders
        )
    for result, order in zip(results, orders, strict=True):
        assert_allclose(result, expected[order], atol=1e-5)
    encoded.clear()
    labeler.embed(photos)
    assert encoded == []


# folders that can't be used


def test_what_can_be_no_path_is_an_error(labeler, photos):
    with pytest.raises(ValueError, match=r"memory='a\\x00b' has a null character"):
        labeler.set_params(memory="a\0b").embed(photos)


def test_a_file_in_the_way_is_an_error_before_anything_is_encoded(labeler, photos, encoded):
    Path(labeler.memory).write_text("a file")
    with pytest.raises(OSError, match=r"memory='.*cache'.*Remove what has that name"):
        labeler.fit().transform(photos)
    assert encoded == []


def test_nothing_is_said_where_nothing_is_wrong(labeler, photos, recwarn):
    first, again = (labeler.fit().embed(photos[:2]) for _ in range(2))
    assert_allclose(first, again)
    assert not [str(each.message) for each in recwarn]
