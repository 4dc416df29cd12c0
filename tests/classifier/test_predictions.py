"""What a fitted classifier says of photos."""

import functools
import pickle

import numpy as np
import pytest
import timm
import torch
from numpy.testing import assert_array_equal
from sklearn.utils.multiclass import type_of_target

from sklearn_cdul import CDULClassifier
from tests.classifier.common import NAMES, QUICK, gradients


def test_predictions_have_the_promised_shapes_and_ranges(fitted, photos):
    logits, proba = fitted.decision_function(photos[:5]), fitted.predict_proba(photos[:5])
    assert logits.shape == proba.shape == (5, 3)
    assert proba.dtype == np.float32
    np.testing.assert_allclose(proba, 1 / (1 + np.exp(-logits)), rtol=1e-5)
    predicted = fitted.predict(photos[:5])
    assert predicted.dtype == np.int64
    assert_array_equal(predicted, proba >= fitted.thresholds_)
    assert type_of_target(predicted) == "multilabel-indicator"


def test_logits_are_those_of_the_network_on_a_line_that_keeps_their_order(fitted, photos):
    plain = pickle.loads(pickle.dumps(fitted))
    plain.calibration_ = np.tile([1.0, 0, 0], (3, 1))
    slope, offset, _ = fitted.calibration_.T
    assert (slope > 0).all()
    expected = slope * plain.decision_function(photos[:5]) + offset
    np.testing.assert_allclose(fitted.decision_function(photos[:5]), expected, atol=1e-4)


def test_expected_counts_are_sums_of_probabilities_in_an_interval(fitted, photos, tmp_path):
    count, low, high = fitted.expected_counts(photos)
    np.testing.assert_allclose(count, fitted.predict_proba(photos).sum(axis=0), rtol=1e-4)
    assert ((low >= 0) & (low < count) & (count < high) & (high <= len(photos))).all()
    classifier = pickle.loads(pickle.dumps(fitted)).set_params(on_error="nan")
    with pytest.warns(UserWarning, match="1 of"):
        more = classifier.expected_counts([*photos, tmp_path / "missing.jpg"])
    np.testing.assert_allclose(more[0], count, rtol=1e-4)


def test_the_size_of_the_input_is_that_of_the_fit(photos):
    network = functools.partial(timm.create_model, "test_resnet")
    settings = QUICK | {"image_size": "auto", "network": network}
    classifier = CDULClassifier(**settings).fit(photos[:6])
    assert classifier.image_size_ == 224  # nothing is known of callables
    logits = classifier.decision_function(photos[:2])
    assert_array_equal(classifier.set_params(image_size=64).decision_function(photos[:2]), logits)


def test_predict_names_lists_the_names_above_their_thresholds(fitted, photos):
    named = fitted.predict_names(photos)
    for names, row in zip(named, fitted.predict(photos), strict=True):
        assert names == [name for name, one in zip(NAMES, row, strict=True) if one]


def test_unreadable_photos_are_left_out_of_the_score(fitted, photos, tmp_path):
    y = np.tile(np.eye(3, dtype=int), (7, 1))[:20]
    classifier = pickle.loads(pickle.dumps(fitted))
    classifier.pseudo_labeler_.on_error = "nan"
    with pytest.warns(UserWarning, match="1 of 21"):
        score = classifier.score([*photos, tmp_path / "missing.jpg"], np.vstack([y, [1, 1, 1]]))
    assert score == pytest.approx(fitted.score(photos, y))


def test_one_class_works_but_says_that_the_softmax_has_nothing_to_compare(photos):
    classifier = CDULClassifier(["egg"], **QUICK)
    with pytest.warns(UserWarning, match="only class"):
        classifier.fit(photos[:4])
    assert classifier.predict(photos[:3]).shape == (3, 1)


def test_a_network_that_gives_nan_is_an_error_and_no_unreadable_photo(fitted, photos):
    classifier = pickle.loads(pickle.dumps(fitted))
    with torch.no_grad():
        classifier.network_.backbone.classifier.bias[1] = torch.nan
    with pytest.raises(FloatingPointError, match=r'NaN.* 3 of 3 photos.*X\[0\].*"float32"'):
        classifier.predict(photos[:3])


def test_nan_of_the_network_is_told_by_the_place_of_the_photo_in_X(photos, tmp_path, monkeypatch):
    images = [str(tmp_path / "missing.jpg"), *photos[:5]]
    classifier = CDULClassifier(**QUICK | {"on_error": "nan"}, training=gradients(head_init="mean"))
    monkeypatch.setattr(
        "sklearn_cdul.training.logits.forward",
        lambda network, inputs, precision: torch.full((len(inputs), 3), torch.nan),
    )
    with (
        pytest.warns(UserWarning, match="1 of 6"),
        pytest.raises(FloatingPointError, match=r"5 of 6 photos, the first X\[1\]"),
    ):
        classifier.fit(images)
