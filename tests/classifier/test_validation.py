"""Labelled photos beside the training, for the figures in the history."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from sklearn_cdul import CDULClassifier
from tests.classifier.common import NAMES, QUICK


def test_history_has_the_validation_map(photos, food_photos):
    y = food_photos.target[:20][:, [food_photos.target_names.index(name) for name in NAMES]]
    classifier = CDULClassifier(NAMES, **QUICK).fit(photos, X_val=photos, y_val=y)
    figures = [record["validation_map"] for record in classifier.history_]
    assert figures[-1] == pytest.approx(classifier.score(photos, y), abs=1e-6)
    with pytest.raises(ValueError, match="together"):
        CDULClassifier(NAMES, **QUICK).fit(photos, X_val=photos)


def test_validation_labels_that_cannot_be_scored_with_fail_before_training(photos):
    classifier = CDULClassifier(**QUICK)
    with pytest.raises(ValueError, match="y_val must hold 1, 0, or NaN"):
        classifier.fit(photos[:4], X_val=photos[:2], y_val=[[2, 0, 0], [0, 0, 0]])
    with pytest.raises(ValueError, match="No class has"):
        classifier.fit(photos[:4], X_val=photos[:2], y_val=np.zeros((2, 3)))


def test_validation_labels_may_be_what_score_takes(photos):
    y = [["cake"], ["pizza", "coffee"], []]
    for y_val in (y, csr_array([[0, 1, 0], [1, 0, 1], [0, 0, 0]])):
        classifier = CDULClassifier(**QUICK)
        classifier.fit(photos[:6], X_val=photos[:3], y_val=y_val)
        figure = classifier.history_[-1]["validation_map"]
        assert figure == pytest.approx(classifier.score(photos[:3], y))
    with pytest.raises(ValueError, match="y_val must have shape"):
        classifier.fit(photos[:6], X_val=photos[:2], y_val=[[0, 1, 0]])


def test_validation_photos_that_cannot_be_read_cost_the_figure_and_not_the_training(
    photos, tmp_path
):
    X_val, y_val = [*photos[:2], str(tmp_path / "missing.jpg")], [[0, 0, 0], [0, 0, 0], [1, 1, 1]]
    classifier = CDULClassifier(**QUICK | {"on_error": "nan"})
    with pytest.warns(UserWarning, match="1 of 3"):
        classifier.fit(photos[:4], X_val=X_val, y_val=y_val)
    assert np.isnan(classifier.history_[0]["validation_map"])
    with (
        pytest.warns(UserWarning, match="1 of 3"),
        pytest.raises(ValueError, match=r"None of the images with a positive label.*2 of 3 could"),
    ):
        classifier.score(X_val, y_val)
