import pickle
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.base import clone

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.labels import apply_thresholds, find_thresholds
from sklearn_cdul.metrics import mean_average_precision

NAMES = ["pizza", "cake", "coffee", "salad"]


@pytest.fixture(scope="module")
def paths(food_photos):
    return food_photos.data[:6]


@pytest.fixture(scope="module")
def labels(paths):
    return CLIPPseudoLabeler(NAMES).fit_transform(paths)


def test_labels_are_finite_values_between_0_and_1(labels):
    assert labels.shape == (6, 4)
    assert labels.dtype == np.float32
    assert ((labels >= 0) & (labels <= 1)).all()


def test_whole_image_labels_sum_to_one(paths):
    labels = CLIPPseudoLabeler(NAMES, grid_size=1).fit_transform(paths)
    assert_allclose(labels.sum(axis=1), 1, rtol=1e-5)


def test_global_weight_1_is_the_whole_image_alone(paths):
    whole = CLIPPseudoLabeler(NAMES, grid_size=1).fit_transform(paths)
    weighted = CLIPPseudoLabeler(NAMES, global_weight=1.0).fit_transform(paths)
    # bf16 rounds differently in batches that are composed differently.
    assert_allclose(weighted, whole, atol=0.03)


def test_labels_beat_chance_on_the_bundled_photos(food_photos, memory):
    labeler = CLIPPseudoLabeler(food_photos.target_names, grid_size=1, memory=memory)
    test = food_photos.split == "test"
    photos = [path for path, chosen in zip(food_photos.data, test, strict=True) if chosen]
    score = labeler.fit().score(photos, food_photos.target[test])
    assert score > 0.35  # chance is 0.16
    shuffled = np.random.default_rng(0).permutation(food_photos.target[test])
    assert score > mean_average_precision(shuffled, labeler.transform(photos)) + 0.1


@pytest.mark.parametrize(
    "convert",
    [
        lambda paths: [Path(p) for p in paths],
        lambda paths: [Image.open(p) for p in paths],
        lambda paths: [np.asarray(Image.open(p).convert("RGB")) for p in paths],
        lambda paths: pd.Series(paths, index=range(10, 10 + len(paths))),
        lambda paths: pd.DataFrame({"photo": paths}),
        lambda paths: np.array(paths, dtype=object),
    ],
    ids=["Path", "PIL", "arrays of mixed size", "Series", "DataFrame", "object array"],
)
def test_every_kind_of_input_gives_the_same_labels(convert, paths, labels):
    # Files may be decoded at a smaller scale than arrays; these are too small for that.
    assert_array_equal(CLIPPseudoLabeler(NAMES).fit().transform(convert(paths)), labels)


def test_equal_sized_images_may_come_as_one_array(paths):
    images = [Image.open(p).convert("RGB").resize((200, 150)) for p in paths]
    stacked = np.stack([np.asarray(image) for image in images])
    labeler = CLIPPseudoLabeler(NAMES).fit()
    assert_array_equal(labeler.transform(stacked), labeler.transform(images))


def test_embeddings_made_beforehand_give_the_same_labels(paths, labels):
    embeddings = CLIPPseudoLabeler(NAMES).embed(paths)
    assert embeddings.shape == (6, 26, 256)
    assert_allclose(np.linalg.norm(embeddings, axis=2), 1, rtol=1e-3)
    again = CLIPPseudoLabeler(NAMES, input="embeddings").fit_transform(embeddings)
    assert_array_equal(again, labels)


def test_two_dimensional_embeddings_are_whole_images(paths):
    embeddings = CLIPPseudoLabeler(NAMES, grid_size=1).embed(paths)
    labeler = CLIPPseudoLabeler(NAMES, input="embeddings").fit(embeddings[:, 0])
    assert labeler.n_features_in_ == 256
    assert_array_equal(labeler.transform(embeddings[:, 0]), labeler.transform(embeddings))


def test_embeddings_of_another_encoder_are_refused():
    labeler = CLIPPseudoLabeler(NAMES, input="embeddings")
    with pytest.raises(ValueError, match=r"512.*256"):
        labeler.fit(np.ones((3, 512)))


@pytest.mark.parametrize("output", ["default", "pandas"])
def test_names_are_those_of_the_thresholds_found_in_these_photos(paths, tmp_path, output):
    (tmp_path / "page.png").write_text("<html>")
    labeler = CLIPPseudoLabeler(["pizza", "cake", "coffee"], grid_size=1, on_error="nan").fit()
    labeler.set_output(transform=output)
    with pytest.warns(UserWarning, match="can't be used"):
        names = labeler.predict_names([*paths, tmp_path / "page.png"])
    labels = np.asarray(labeler.transform(paths))
    found = apply_thresholds(labels, find_thresholds(labels)).astype(bool)
    expected = [np.array(labeler.class_names_)[row].tolist() for row in found]
    assert names == [*expected, []]


def test_synonyms_stand_in_for_the_name(paths):
    plain = CLIPPseudoLabeler(["television", "car"], grid_size=1).fit_transform(paths)
    mapped = CLIPPseudoLabeler({"TV": ["television"], "car": "car"}, grid_size=1)
    assert_allclose(mapped.fit_transform(paths), plain, atol=1e-6)
    assert mapped.get_feature_names_out().tolist() == ["TV", "car"]


def test_several_templates_are_averaged(paths):
    templates = ["a photo of a {}", "a {}"]
    both = CLIPPseudoLabeler(NAMES, prompt_template=templates).fit().text_embeddings_
    single = [CLIPPseudoLabeler(NAMES, prompt_template=t).fit().text_embeddings_ for t in templates]
    expected = sum(single)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert_allclose(both, expected, atol=1e-5)


def test_temperature_defaults_to_the_model_and_softens_the_labels(paths):
    own = CLIPPseudoLabeler(NAMES, grid_size=1).fit()
    soft = CLIPPseudoLabeler(NAMES, grid_size=1, temperature=1.0).fit()
    assert 0 < own.temperature_ < 0.2
    assert soft.temperature_ == 1.0
    assert soft.transform(paths).max() < own.transform(paths).max()


def test_fit_needs_no_images_and_no_weights_are_kept(paths):
    labeler = CLIPPseudoLabeler(NAMES).fit()
    state = pickle.dumps(labeler)
    assert len(state) < 20_000
    assert_array_equal(pickle.loads(state).transform(paths), labeler.transform(paths))


def test_an_unreadable_image_is_named(paths, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(Path(paths[0]).read_bytes()[:2000])
    with pytest.raises(ImageError, match=r"broken\.jpg") as caught:
        CLIPPseudoLabeler(NAMES).fit().transform([paths[0], str(broken)])
    assert caught.value.index == 1
    assert caught.value.path == str(broken)


def test_on_error_nan_gives_a_nan_row_and_one_warning(paths, labels, tmp_path):
    missing = [str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg")]
    labeler = CLIPPseudoLabeler(NAMES, on_error="nan").fit()
    with pytest.warns(UserWarning, match="2 of") as caught:
        result = labeler.transform([missing[0], *paths, missing[1]])
    assert len(caught) == 1
    assert np.isnan(result[[0, -1]]).all()
    assert_allclose(result[1:-1], labels, atol=0.03)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": []}, "at least one class"),
        ({"classes": ["cat", "dog", "cat"]}, "cat"),
        ({"classes": ["cat", " "]}, "empty"),
        ({"classes": "imagenet"}, "coco"),
        ({"prompt_template": "a photo"}, r"\{\}"),
        ({"temperature": 0.0}, "temperature"),
        ({"grid_size": 0}, "grid_size"),
        ({"local_threshold": 1.5}, "local_threshold"),
        ({"global_weight": -0.1}, "global_weight"),
        ({"input": "pixels"}, "input"),
        ({"on_error": "skip"}, "on_error"),
        ({"precision": "int4"}, "precision"),
        ({"precision": "int8", "model_name": "ViT-B-32", "pretrained": "openai"}, "bundled"),
        ({"model_name": "ViT-B-33"}, "ViT-B-32"),
        ({"device": "tpu7"}, "device"),
    ],
)
def test_wrong_parameters_are_refused_in_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        CLIPPseudoLabeler(**{"classes": NAMES, **changes}).fit()


def test_a_class_name_never_seen_is_fine(paths):
    labels = CLIPPseudoLabeler(["zorblax", "photo of Grandma's tea"]).fit_transform(paths)
    assert np.isfinite(labels).all()


def test_a_fit_that_fails_leaves_the_last_one_as_it_was(paths):
    labeler = CLIPPseudoLabeler(NAMES, input="embeddings")
    embeddings = CLIPPseudoLabeler(NAMES, grid_size=1).embed(paths)[:, 0]
    expected = labeler.fit(embeddings).transform(embeddings)
    with pytest.raises(ValueError, match="100 features"):
        labeler.fit(embeddings[:, :100])
    assert_array_equal(labeler.transform(embeddings), expected)
    assert not hasattr(labeler.fit(), "n_features_in_")


def test_other_classes_compete_and_get_no_column(paths, labels):
    labeler = CLIPPseudoLabeler(NAMES, background_classes="general")
    competing = labeler.fit_transform(paths)
    assert competing.shape == (6, 4)
    assert labeler.background_embeddings_.shape == (19, 256)
    assert labeler.get_feature_names_out().tolist() == NAMES
    assert (competing < labels).all()
    assert CLIPPseudoLabeler(NAMES).fit().background_embeddings_.shape == (0, 256)


def test_with_other_classes_a_single_class_makes_sense(food_photos, memory):
    test = food_photos.split == "test"
    photos = [path for path, chosen in zip(food_photos.data, test, strict=True) if chosen]
    y = food_photos.target[test][:, [food_photos.target_names.index("coffee")]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labeler = CLIPPseudoLabeler(
            ["coffee"], background_classes=["food", "plate"], grid_size=1, memory=memory
        ).fit()
    assert labeler.score(photos, y) > 3 * y.mean()


@pytest.mark.parametrize("views", ["grid", "dense", "grid+dense"])
def test_each_view_has_an_embedding_and_a_place(paths, views):
    labeler = CLIPPseudoLabeler(NAMES, grid_size=2, views=views).fit()
    places = labeler.view_boxes(paths[:2])
    assert places.shape[:2] == labeler.embed(paths[:2]).shape[:2]
    assert places[:, 0].tolist() == [[0, 0, 1, 1]] * 2
    assert (places[..., :2] < places[..., 2:]).all()


def test_the_bundled_encoder_reads_windows_and_others_crop_unless_told(paths):
    labeler = CLIPPseudoLabeler(NAMES).fit()
    assert (labeler.views, labeler.views_) == ("auto", "dense")
    dense = clone(labeler).set_params(views="dense").fit()
    assert_array_equal(labeler.transform(paths[:2]), dense.transform(paths[:2]))
    assert labeler.set_params(views="grid").views_ == "grid"
    assert CLIPPseudoLabeler(NAMES, model_name="ViT-B-32").views_ == "grid"


def test_embeddings_do_not_tell_where_they_come_from():
    labeler = CLIPPseudoLabeler(NAMES, input="embeddings").fit()
    with pytest.raises(ValueError, match="needs images"):
        labeler.view_boxes(np.zeros((2, 192), np.float32))
