"""Encoders load by open_clip's names, agree with open_clip, and fail with clear errors."""

import copy
import os
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from sklearn_cdul.encoders import loading
from sklearn_cdul.encoders.clip import CLIPEncoder
from sklearn_cdul.encoders.embedding import embed_photos
from sklearn_cdul.encoders.loading import load_encoder
from sklearn_cdul.encoders.texts import encode_classes
from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.views import Preprocessing, make_views, snippet_boxes


@pytest.fixture(scope="module")
def bundled():
    """The bundled encoder in float32, so that comparisons can be strict."""
    return load_encoder(device="cpu", precision="float32")


@pytest.fixture(scope="module")
def reference():
    """What open_clip makes of the same folder: model, preprocessing, tokenizer."""
    import open_clip

    name = f"local-dir:{loading.BUNDLED_FOLDER}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    return model.eval(), preprocess, open_clip.get_tokenizer(name)


@pytest.fixture(scope="module")
def photos(food_photos):
    return food_photos.data[:6]


# agreement with open_clip


def test_views_embed_as_open_clip_embeds_the_crops(bundled, reference, photos):
    model, preprocess, _ = reference
    for path in photos[:1]:
        with Image.open(path) as photo:
            image = photo.convert("RGB")
        boxes = [(0, 0, *image.size), *snippet_boxes(*image.size, 3)]
        with torch.inference_mode():
            batch = torch.stack([preprocess(image.crop(box)) for box in boxes])
            expected = model.encode_image(batch, normalize=True).numpy()
        np.testing.assert_allclose(embed_photos(bundled, [path])[0], expected, atol=1e-4)


def test_onnx_runtime_embeds_views_as_torch(bundled, photos):
    views = make_views(Image.open(photos[1]).convert("RGB"), 3, bundled.preprocessing)
    assert bundled._engine is not None
    by_torch = copy.copy(bundled)
    vars(by_torch)["_engine"] = None
    expected = by_torch.encode_views(views)
    embeddings = bundled.encode_views(views)
    np.testing.assert_allclose(embeddings, expected, atol=1e-5)
    assert (embeddings * expected).sum(axis=1).mean() > 0.9999
    assert by_torch.fingerprint == bundled.fingerprint


def test_onnx_runtime_runs_other_weights_of_the_same_layers(bundled, photos, tmp_path):
    folder = shutil.copytree(loading.BUNDLED_FOLDER, tmp_path / "mine")
    weights = load_file(folder / "open_clip_model.safetensors")
    weights["visual.trunk.conv_stem.weight"][0] += 0.1
    save_file(weights, folder / "open_clip_model.safetensors")
    mine = load_encoder(f"local-dir:{folder}", device="cpu", precision="float32")
    views = make_views(Image.open(photos[1]).convert("RGB"), 1, bundled.preprocessing)
    embeddings = mine.encode_views(views)
    assert np.abs(embeddings - bundled.encode_views(views)).max() > 1e-3
    assert vars(mine).pop("_engine") is not None
    vars(mine)["_engine"] = None
    np.testing.assert_allclose(embeddings, mine.encode_views(views), atol=1e-5)


def test_other_models_and_bfloat16_are_left_to_torch(tiny):
    assert tiny._engine is None
    assert load_encoder(device="cpu", precision="bfloat16")._engine is None


def test_a_pickled_encoder_leaves_the_engine_behind(bundled, photos):
    views = make_views(Image.open(photos[1]).convert("RGB"), 1, bundled.preprocessing)
    expected = bundled.encode_views(views)
    loaded = pickle.loads(pickle.dumps(bundled))
    assert "_engine" not in vars(loaded)
    np.testing.assert_allclose(loaded.encode_views(views), expected, atol=1e-6)


def test_classes_embed_as_open_clips_zero_shot_classifier(bundled, reference):
    from open_clip import build_zero_shot_classifier

    model, _, tokenizer = reference
    names, templates = ["bread", "a cup of coffee"], ["a photo of a {}.", "{}", "one {}"]
    expected = build_zero_shot_classifier(model, tokenizer, names, templates).numpy().T
    classes = encode_classes(bundled, [[t.format(name) for t in templates] for name in names])
    np.testing.assert_allclose(classes, expected, atol=1e-5)


def test_classes_may_have_different_numbers_of_prompts(bundled):
    classes = encode_classes(bundled, [["a cat"], ["a dog", "a puppy"], ["a cup"]])
    np.testing.assert_allclose(classes[0], bundled.encode_text(["a cat"])[0], atol=1e-6)
    mean = bundled.encode_text(["a dog", "a puppy"]).mean(axis=0)
    np.testing.assert_allclose(classes[1], mean / np.linalg.norm(mean), atol=1e-6)


def test_prompts_of_more_tokens_than_fit_are_known(bundled):
    prompts = [" ".join(["tea"] * count) for count in range(1, 17)]
    fits = np.arange(1, 17) < 14  # 16 tokens, two of them mark the ends
    np.testing.assert_array_equal(bundled.is_truncated(prompts), ~fits)


def test_a_list_of_classes_is_embedded_once(bundled, monkeypatch):
    prompts = [["a fork"], ["a spoon", "a ladle"]]
    first = encode_classes(bundled, prompts)

    def fail(prompts):
        pytest.fail("embedded again")

    monkeypatch.setitem(vars(bundled), "encode_text", fail)
    again = encode_classes(bundled, prompts)
    assert again.tolist() == first.tolist()
    again[:] = 0  # a caller that writes to its copy harms nobody
    assert encode_classes(bundled, prompts).tolist() == first.tolist()


def test_temperature_and_size_are_the_models_own(bundled, reference):
    model = reference[0]
    assert bundled.temperature == pytest.approx(1 / model.logit_scale.exp().item())
    assert bundled.embedding_dim == 256
    assert bundled.preprocessing.image_size == (260, 260)
    assert bundled.preprocessing.resize_mode == "squash"


# shape, type, invariance


def test_embeddings_are_float32_of_length_one(bundled, photos):
    images = embed_photos(bundled, photos[:2], grid_size=2)
    text = bundled.encode_text(["a", "b", "c"])
    assert images.shape == (2, 5, 256)
    assert text.shape == (3, 256)
    for embeddings in (images, text):
        assert embeddings.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=-1), 1, atol=1e-5)


def test_bfloat16_stays_close_to_float32(bundled, photos):
    bf16 = load_encoder(device="cpu", precision="bfloat16")
    cosines = (embed_photos(bf16, photos[:3]) * embed_photos(bundled, photos[:3])).sum(axis=-1)
    assert cosines.mean() > 0.995
    assert cosines.min() > 0.97
    assert bf16.encode_text(["a cup"]).tolist() == bundled.encode_text(["a cup"]).tolist()


@pytest.mark.parametrize("batch_size", [1, 7, 10, 64])
def test_batch_size_does_not_matter(tiny, photos, batch_size):
    expected = embed_photos(tiny, photos)
    result = embed_photos(tiny, photos, batch_size=batch_size)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_order_and_company_do_not_matter(tiny, photos):
    expected = embed_photos(tiny, photos)
    result = embed_photos(tiny, [photos[4], photos[1]], n_jobs=2)
    np.testing.assert_allclose(result, expected[[4, 1]], atol=1e-5)


def test_the_whole_image_comes_first_whatever_the_grid(tiny, photos):
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in photos]
    whole = embed_photos(tiny, pictures, grid_size=1)
    assert whole.shape == (6, 1, 24)
    np.testing.assert_allclose(whole[:, 0], embed_photos(tiny, pictures)[:, 0], atol=1e-5)


def test_decoding_large_jpegs_at_a_fraction_changes_embeddings_little(bundled, photos, tmp_path):
    with Image.open(photos[0]) as photo:
        large = photo.convert("RGB").resize((2000, 1400), Image.Resampling.BICUBIC)
    large.save(tmp_path / "large.jpg", quality=95)
    for grid_size in (1, 2):  # decoded at 1/2, which leaves each snippet 500 x 350 pixels
        fast = embed_photos(bundled, [tmp_path / "large.jpg"], grid_size=grid_size)
        full = embed_photos(
            bundled, [np.asarray(Image.open(tmp_path / "large.jpg"))], grid_size=grid_size
        )
        assert (fast * full).sum(axis=-1).min() > 0.99


def test_encode_views_takes_what_make_views_makes(tiny, photos):
    picture = Image.open(photos[0]).convert("RGB")
    views = make_views(picture, 3, tiny.preprocessing)
    expected = embed_photos(tiny, [picture])[0]
    np.testing.assert_allclose(tiny.encode_views(views), expected, atol=1e-5)


def test_verbose_shows_progress(tiny, photos, capsys):
    embed_photos(tiny, photos, verbose=True)
    assert "Encoding:   0%" in capsys.readouterr().err


# bad images


def test_a_bad_image_is_an_error_or_a_nan_row(tiny, photos):
    X = [photos[0], "missing.jpg", photos[1]]
    with pytest.raises(ImageError, match=r"X\[1\] \(missing.jpg\)"):
        embed_photos(tiny, X)
    with pytest.warns(UserWarning, match=r"1 of 3 images can't be used") as caught:
        result = embed_photos(tiny, X, on_error="nan")
    assert len(caught) == 1
    assert np.isnan(result).all(axis=(1, 2)).tolist() == [False, True, False]
    np.testing.assert_allclose(result[[0, 2]], embed_photos(tiny, photos[:2]), atol=1e-5)


def test_only_bad_images_give_only_nan(tiny):
    with pytest.warns(UserWarning, match="2 of 2"):
        assert np.isnan(embed_photos(tiny, ["no.jpg", "nor.jpg"], on_error="nan")).all()


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, "small", True, None])
def test_wrong_batch_sizes_are_refused(tiny, photos, batch_size):
    with pytest.raises(ValueError, match="batch_size must be"):
        embed_photos(tiny, photos, batch_size=batch_size)


# memory


def test_when_memory_runs_out_smaller_batches_are_used_and_remembered(tiny, photos, monkeypatch):
    expected = embed_photos(tiny, photos)
    encode_image, sizes = tiny._model.encode_image, []

    def short_of_memory(pixels):
        sizes.append(len(pixels))
        if len(pixels) > 6:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return encode_image(pixels)

    monkeypatch.setattr(tiny._model, "encode_image", short_of_memory)
    monkeypatch.setattr(tiny, "_largest_batch", None)
    np.testing.assert_allclose(embed_photos(tiny, photos, batch_size=20), expected, atol=1e-5)
    assert sizes[:3] == [20, 10, 5]
    sizes.clear()
    embed_photos(tiny, photos, batch_size=20)
    assert max(sizes) == 5


# loading


def test_loading_twice_gives_the_same_object(tiny_folder):
    name = f"local-dir:{tiny_folder}"
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda name: load_encoder(name, device="cpu"), [name] * 4))
    assert len({id(one) for one in loaded}) == 1


def test_only_a_few_encoders_stay_loaded(tiny_folder, monkeypatch):
    monkeypatch.setattr(loading, "_loaded", type(loading._loaded)())
    monkeypatch.setattr(loading, "_MAX_LOADED", 1)
    name = f"local-dir:{tiny_folder}"
    first = load_encoder(name, device="cpu", precision="float32")
    load_encoder(name, device="cpu", precision="bfloat16")
    assert load_encoder(name, device="cpu", precision="float32") is not first


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ViT-B-32", "convnext_base", "coca_ViT-B-32", "RN50"])
def test_models_of_every_family_encode_images_and_text(name, photos):
    """With random weights, which load_encoder refuses."""
    import open_clip

    model = open_clip.create_model(name).eval().requires_grad_(False)
    preprocessing = Preprocessing.from_open_clip(open_clip.get_model_preprocess_cfg(model))
    options = {"device": torch.device("cpu"), "dtype": torch.float32}
    loaded = CLIPEncoder(model, open_clip.get_tokenizer(name), preprocessing, **options)
    assert embed_photos(loaded, photos[:2]).shape == (2, 10, loaded.embedding_dim)
    assert loaded.encode_text(["a cup"]).shape == (1, loaded.embedding_dim)


def test_importing_the_encoder_does_not_import_open_clip():
    code = "import sys, sklearn_cdul.encoders.loading; sys.exit('open_clip' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ).returncode == 0
