"""The labels that training starts with, holds fast and moves."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.labels.neighbors import smooth_labels
from sklearn_cdul.training import RidgeTraining
from tests.classifier.common import NAMES, QUICK

STILL = RidgeTraining(update_rate=0)


def test_initial_labels_are_those_of_the_labeler(fitted, photos):
    assert_array_equal(
        fitted.initial_pseudo_labels_, CLIPPseudoLabeler(NAMES, grid_size=1).fit_transform(photos)
    )


def test_labels_move_unless_the_rate_is_zero(fitted, photos):
    assert np.abs(fitted.pseudo_labels_ - fitted.initial_pseudo_labels_).max() > 0.01
    still = CDULClassifier(NAMES, **QUICK, training=STILL, n_neighbors=0).fit(photos)
    np.testing.assert_allclose(still.pseudo_labels_, still.initial_pseudo_labels_, atol=2e-4)


def test_labels_are_mixed_with_those_of_photos_that_look_alike(photos):
    labeler = CLIPPseudoLabeler(NAMES, grid_size=1)
    settings = QUICK | {"training": STILL}
    classifier = CDULClassifier(**settings, n_neighbors=4, neighbor_weight=0.3).fit(photos)
    labels = labeler.fit_transform(photos)
    assert_array_equal(classifier.initial_pseudo_labels_, labels)
    expected = smooth_labels(labels, labeler.embed(photos)[:, 0], n_neighbors=4, weight=0.3)
    np.testing.assert_allclose(classifier.pseudo_labels_, expected, atol=2e-4)


def test_observed_labels_reach_the_neighbours_and_stay(photos):
    observed = np.full((20, 3), np.nan)
    observed[:10] = [1, 0, 0]
    classifier = CDULClassifier(**QUICK, training=STILL, n_neighbors=19)
    labels = classifier.fit(photos, observed=observed).pseudo_labels_
    assert_array_equal(labels[:10], observed[:10])
    without = classifier.fit(photos).pseudo_labels_
    assert (labels[10:, 0] > without[10:, 0]).all()


def test_observed_labels_stay_as_they_were_given(photos):
    observed = np.full((20, 3), np.nan)
    observed[0] = [1, 0, np.nan]
    observed[7, 2] = 1
    classifier = CDULClassifier(NAMES, **QUICK).fit(photos, observed=observed)
    given = ~np.isnan(observed)
    assert_array_equal(classifier.initial_pseudo_labels_[given], observed[given])
    assert_array_equal(classifier.pseudo_labels_[given], observed[given])
    assert ((classifier.pseudo_labels_[~given] > 0) & (classifier.pseudo_labels_[~given] < 1)).all()


@pytest.mark.parametrize(
    ("observed", "message"),
    [(np.zeros((3, 3)), "shape"), (np.full((20, 3), 0.5), "1, 0, or NaN")],
)
def test_wrong_observed_labels_are_refused(observed, message, photos):
    with pytest.raises(ValueError, match=message):
        CDULClassifier(NAMES, **QUICK).fit(photos, observed=observed)


def test_observed_labels_in_a_data_frame_are_matched_by_name(photos):
    frame = pd.DataFrame(pd.NA, index=range(20), columns=["coffee", "cake", "pizza"], dtype="Int64")
    frame.loc[3, "coffee"] = 1
    classifier = CDULClassifier(NAMES, **QUICK).fit(photos, observed=frame)
    assert classifier.pseudo_labels_[3, NAMES.index("coffee")] == 1
    assert (classifier.pseudo_labels_ == 1).sum() == 1
    with pytest.raises(ValueError, match="Unknown: 'pie'"):
        classifier.fit(photos, observed=frame.rename(columns={"cake": "pie"}))
