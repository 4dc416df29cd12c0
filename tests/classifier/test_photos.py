"""How often photos are decoded, and what becomes of those that can't be."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from sklearn.base import clone

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.decoding import decode
from tests.classifier.common import NAMES, QUICK, forbid_encoding


def test_unreadable_training_photos_are_left_out(photos, tmp_path):
    images = [str(tmp_path / "missing.jpg"), *photos[:6]]
    classifier = CDULClassifier(**QUICK)
    classifier = clone(classifier).set_params(pseudo_labeler__on_error="nan")
    with pytest.warns(UserWarning, match="1 of 7"):
        classifier.fit(images)
    assert np.isnan(classifier.pseudo_labels_).all(axis=1).tolist() == [True] + [False] * 6
    with pytest.warns(UserWarning, match="1 of 7"):
        proba = classifier.predict_proba(images)
    assert np.isnan(proba[0]).all()
    assert np.isfinite(proba[1:]).all()
    with pytest.warns(UserWarning, match="1 of 7"):
        assert_array_equal(classifier.predict(images)[0], [0, 0, 0])


def test_no_readable_photo_is_an_error(tmp_path):
    classifier = clone(CDULClassifier(**QUICK)).set_params(pseudo_labeler__on_error="nan")
    with (
        pytest.warns(UserWarning, match="1 of 1"),
        pytest.raises(ValueError, match="None of the images in X can be used"),
    ):
        classifier.fit([str(tmp_path / "missing.jpg")])


class CountedDecoding:
    def __init__(self, monkeypatch):
        self.items = []
        monkeypatch.setattr("sklearn_cdul.images.reading.decode", self)

    def __call__(self, item, *rest):
        self.items.append(item)
        return decode(item, *rest)


@pytest.mark.parametrize("memory", ["nothing in memory", "embeddings in memory"])
def test_fit_decodes_each_photo_once(memory, photos, monkeypatch, tmp_path):
    photos = photos[:6]
    labeler = CLIPPseudoLabeler(NAMES, grid_size=1, memory=tmp_path)
    if memory == "embeddings in memory":
        labeler.embed(photos)
    counted = CountedDecoding(monkeypatch)
    # Of the usual size: for smaller ones, JPEG files are decoded at another scale than for CLIP.
    settings = QUICK | {"image_size": 224, "pseudo_labeler": labeler}
    CDULClassifier(**settings).fit(photos)
    assert sorted(counted.items) == sorted(photos)


def test_fit_decodes_photos_twice_where_clip_needs_another_scale(photos, monkeypatch):
    # Pictures of 56 pixels are made from a quarter of these photos.
    photos = [path for path in photos if min(Image.open(path).size) >= 256]
    counted = CountedDecoding(monkeypatch)
    kept = CDULClassifier(**QUICK | {"image_size": 56}).fit(photos)
    assert sorted(counted.items) == sorted(2 * photos)
    monkeypatch.setattr("sklearn_cdul.images.pictures._KEPT_BYTES", 0)
    streamed = CDULClassifier(**QUICK | {"image_size": 56}).fit(photos)
    assert_array_equal(streamed.predict_proba(photos), kept.predict_proba(photos))


def test_an_unreadable_photo_is_named(fitted, photos, tmp_path):
    missing = tmp_path / "missing.jpg"
    with pytest.raises(ImageError, match=r"missing\.jpg"):
        fitted.predict([photos[0], missing])
    with pytest.raises(ImageError, match=r"missing\.jpg"):
        CDULClassifier(NAMES, **QUICK).fit([photos[0], missing])


def test_bad_photos_and_memory_need_no_labeler_of_ones_own(photos, tmp_path, monkeypatch):
    images = [str(tmp_path / "missing.jpg"), *photos[:5]]
    settings = QUICK | {"on_error": "nan", "memory": tmp_path / "memory"}
    classifier = CDULClassifier(**settings)
    with pytest.warns(UserWarning, match="1 of 6"):
        classifier.fit(images)
    assert classifier.pseudo_labeler_.on_error == "nan"
    assert classifier.pseudo_labeler.on_error == "raise"
    with pytest.warns(UserWarning, match="1 of 6"):
        assert np.isnan(classifier.predict_proba(images)[0]).all()
    with pytest.raises(ImageError, match=r"missing\.jpg"):
        classifier.set_params(on_error="raise").predict(images)
    forbid_encoding(monkeypatch)
    classifier.fit(photos[:5])


@pytest.mark.parametrize("where", ["training", "validation"])
def test_a_bad_photo_at_the_end_is_found_before_any_is_encoded(
    where, photos, tmp_path, monkeypatch
):
    forbid_encoding(monkeypatch)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(Path(photos[0]).read_bytes()[:5000])
    y = np.ones((3, 3))
    arguments = {"X_val": [*photos[:2], cut], "y_val": y} if where == "validation" else {}
    images = [*photos[:5], cut] if where == "training" else photos
    with pytest.raises(ImageError, match=r'cut\.jpg.*on_error="nan"'):
        CDULClassifier(**QUICK).fit(images, **arguments)
    if where == "training":
        with pytest.raises(ImageError, match=r"X\[5\]"):
            CLIPPseudoLabeler(NAMES).fit_transform(images)


def test_thresholds_stay_if_no_labelled_photo_can_be_read(fitted, tmp_path):
    model = pickle.loads(pickle.dumps(fitted)).set_params(on_error="nan").set_thresholds(0.3)
    with (
        pytest.warns(UserWarning, match="2 of 2"),
        pytest.raises(ValueError, match="None of the labelled images could be read"),
    ):
        model.fit_thresholds([tmp_path / "a.jpg", tmp_path / "b.jpg"], np.eye(3)[:2])
    assert (model.thresholds_ == 0.3).all()
