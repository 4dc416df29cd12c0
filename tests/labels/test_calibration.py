"""Calibration: probabilities that mean something, and counts with an error bar that holds."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, logit

from sklearn_cdul.labels.calibration import (
    OFFSET,
    calibrate,
    calibrate_without_labels,
    count_photos,
    learn_from_labels,
    no_calibration,
)


def drawn(n, slope, offset, seed=0, k=3):
    """Logits, and labels whose probabilities are sigmoids of lines in them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-2, 2, size=(n, k))
    return logits, (rng.random((n, k)) < expit(slope * logits + offset)).astype(float)


def test_without_labels_a_photo_at_the_threshold_has_the_same_probability_in_every_class():
    thresholds = np.array([-3.0, -1.0, 2.0])
    calibration = calibrate_without_labels(thresholds)
    assert_allclose(calibrate(thresholds, calibration), OFFSET)
    assert (calibration[:, 0] > 0).all()  # no ranking changes


def test_logits_keep_their_type():
    logits = np.zeros((2, 3), dtype=np.float32)
    assert_array_equal(calibrate(logits, no_calibration(3)), logits)
    assert calibrate(logits, no_calibration(3)).dtype == np.float32


@pytest.mark.parametrize(("slope", "offset"), [(1, 0), (0.6, -1.5), (1.5, 2)])
def test_many_labels_find_the_line(slope, offset):
    logits, labels = drawn(3000, slope, offset)
    learnt = learn_from_labels(no_calibration(3), logits, labels)
    assert_allclose(learnt[:, 0], slope, atol=0.15)
    assert_allclose(learnt[:, 1], offset, atol=0.3)
    assert (learnt[:, 2] < 0.2).all()


def test_photos_chosen_by_their_scores_give_the_same_line():
    logits, labels = drawn(20_000, 0.8, -1)
    some = np.abs(logits + 1) < 0.7
    learnt = learn_from_labels(no_calibration(3), logits, np.where(some, labels, np.nan))
    assert_allclose(calibrate(np.full(3, -1.0), learnt), -1.8, atol=0.15)


def test_few_labels_move_little_and_no_labels_nothing():
    start = no_calibration(2)
    logits = np.array([[-2.0, 1.0], [0.5, 2.0]])
    assert_allclose(learn_from_labels(start, logits, np.full((2, 2), np.nan)), start)
    one = learn_from_labels(start, logits, np.array([[np.nan, 0], [np.nan, np.nan]]))
    assert -2 < one[1, 1] < one[0, 1] < 0  # the class that was answered moves more
    assert one[1, 2] < one[0, 2]


def test_odd_logits_and_labels_give_finite_lines():
    logits = np.array([[60.0, -90.0, np.nan], [80.0, 5.0, np.nan], [-50.0, 5.0, 1.0]])
    for labels in ([[0, 1, 1], [0, 0, 1], [1, 0, np.nan]], [[1, 1, 0]] * 3):
        learnt = learn_from_labels(no_calibration(3), logits, np.array(labels, dtype=float))
        assert np.isfinite(learnt).all() and (learnt[:, 0] > 0).all()


def test_counts_are_sums_of_probabilities_and_their_interval_shrinks_with_labels():
    logits, labels = drawn(1000, 1, 0, k=20)
    count, low, high = count_photos(logits, no_calibration(20))
    assert_allclose(count, expit(logits).sum(axis=0))
    assert ((low >= 0) & (low < count) & (count < high) & (high <= 1000)).all()
    learnt = learn_from_labels(no_calibration(20), logits[:200], labels[:200])
    after, lower, higher = count_photos(logits, learnt)
    assert (higher - lower < 0.5 * (high - low)).all()
    truth = labels.sum(axis=0)
    assert ((lower <= truth) & (truth <= higher)).mean() >= 0.8
    unread = np.vstack([logits, np.full((3, 20), np.nan)])
    assert_allclose(count_photos(unread, learnt), (after, lower, higher))


def test_probabilities_at_the_threshold_are_those_that_the_docs_name():
    assert round(float(expit(OFFSET)), 2) == 0.25
    assert logit(0.25) == pytest.approx(OFFSET, abs=0.05)
