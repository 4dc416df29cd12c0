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
    faintness,
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


def test_a_class_whose_probabilities_are_all_low_is_counted_on_fewer_photos():
    rng = np.random.default_rng(0)
    logits = rng.normal(-6, 0.6, size=(400, 3))
    logits[:60, 1] += 4  # a group of its own; the others have none
    logits[:, 2] -= 500
    plain = calibrate_without_labels(np.array([-4.5, -3.5, -4.5]))
    lowered = faintness(logits, plain)
    assert lowered[1] == 0
    assert (lowered[[0, 2]] < -1).all() and (lowered >= -4).all()  # labels can undo it
    calibration = plain + np.outer(lowered, [0, 1, 0])
    count, low, high = count_photos(logits, calibration)
    before = count_photos(logits, plain)[0]
    assert before[0] > 8 and count[0] < 2
    assert 45 < count[1] < 80
    assert (low <= [0, 60, 0]).all() and (high >= [0, 60, 0]).all()


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


def test_classes_that_differ_in_offset_do_not_flatten_the_line_of_all():
    offsets = np.array([-4.0, -2.0, 0.0, 2.0, 4.0] * 4)
    rng = np.random.default_rng(0)
    logits = rng.normal(-offsets, 1, size=(300, 20))
    labels = (rng.random(logits.shape) < expit(logits + offsets)).astype(float)
    labels[16:] = np.nan
    labels[:, 0] = np.nan  # follows all
    learnt = learn_from_labels(no_calibration(20), logits, labels)
    assert 0.85 < learnt[0, 0] < 1.15
    assert np.corrcoef(learnt[1:, 1], offsets[1:])[0, 1] > 0.9
    assert np.abs(learnt[0, 1]) < 1.5 and learnt[0, 2] == 2


def test_lines_have_the_highest_posterior_density():
    from scipy.optimize import minimize

    logits, labels = drawn(40, 0.7, -1, k=3)
    labels[10:, 0] = labels[:, 2] = np.nan
    learnt = learn_from_labels(no_calibration(3), logits, labels)
    known = ~np.isnan(labels)

    def cost(values):
        shared, lines = values[:2], values[2:].reshape(3, 2)
        x = (lines[:, 0] * logits + lines[:, 1])[known]
        apart = ((shared - [1, 0]) / [0.1, 1]) ** 2, ((lines - shared) / [0.2, 2]) ** 2
        return np.logaddexp(0, x).sum() - x @ labels[known] + sum(v.sum() for v in apart) / 2

    best = minimize(cost, [1, 0] * 4, tol=1e-12).x[2:].reshape(3, 2)
    assert_allclose(learnt[:, :2], best, atol=1e-4)


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
