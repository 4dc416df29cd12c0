"""What a training decides, without labels and with some."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit, logit

from sklearn_cdul.labels import find_thresholds
from sklearn_cdul.labels.calibration import OFFSET, calibrate
from sklearn_cdul.labels.decisions import find_decisions, update_decisions

LOGITS = np.random.default_rng(0).normal(-3, 1.5, size=(200, 2))


def test_thresholds_found_on_the_logits_get_the_probability_of_a_photo_at_the_threshold():
    calibration, thresholds = find_decisions(LOGITS, LOGITS)
    assert_allclose(thresholds, expit(OFFSET))
    at = logit(find_thresholds(expit(LOGITS)))
    assert_allclose(calibrate(at, calibration), OFFSET)


def test_a_threshold_above_all_scores_does_not_drive_probabilities_to_zero():
    logits = np.where(LOGITS > 0, 0, LOGITS)[:12] - [0, 30]
    calibration, thresholds = find_decisions(logits, logits)
    probabilities = expit(calibrate(logits, calibration))
    assert 0.01 < probabilities[:, 1].max() < thresholds[1]


def test_thresholds_of_the_training_may_be_above_all_logits():
    calibration, thresholds = find_decisions(LOGITS, LOGITS, np.array([20.0, -3.0]))
    assert_allclose(thresholds[1], expit(OFFSET))
    assert thresholds[0] < thresholds[1]  # this class does not stand out
    found = expit(calibrate(LOGITS, calibration)) >= thresholds
    assert not found[:, 0].any() and found[:, 1].any()


def test_labels_move_both():
    labels = np.full(LOGITS.shape, np.nan)
    labels[:60] = LOGITS[:60] > -4.5
    before = find_decisions(LOGITS, LOGITS, np.array([-1.0, -1.0]))
    after = find_decisions(LOGITS, LOGITS, np.array([-1.0, -1.0]), labels)
    found = [expit(calibrate(LOGITS, c)) >= t for c, t in (before, after)]
    wrong = [(f != (LOGITS > -4.5)).mean() for f in found]
    assert wrong[1] < wrong[0] / 2


def test_a_class_that_does_not_stand_out_has_lower_probabilities_until_labels_say_more():
    rng = np.random.default_rng(1)
    logits = rng.normal(-6, 0.6, size=(400, 2))
    logits[:60, 1] += 4
    at = np.array([-4.5, -3.5])
    calibration, thresholds = find_decisions(logits, logits, at)
    assert calibrate(at, calibration)[0] < OFFSET - 1
    assert thresholds[0] < expit(OFFSET)
    # The threshold is raised, too: the class is found in fewer photos.
    found = expit(calibrate(logits, calibration)) >= thresholds
    assert found[:, 0].sum() < (logits[:, 0] >= at[0]).sum()
    labels = np.full(logits.shape, np.nan)
    labels[:40, 0] = 1
    told, moved = find_decisions(logits, logits, at, labels)
    assert told[0, 1] > calibration[0, 1] + 2
    assert (expit(calibrate(logits, told)) >= moved)[:, 0].sum() > 200


def test_labels_of_photos_that_cannot_be_read_say_nothing():
    logits = np.random.default_rng(1).normal(-6, 0.6, size=(400, 2))
    calibration, thresholds = find_decisions(logits, logits, np.array([-4.5, -4.5]))
    assert (thresholds < expit(OFFSET)).all()  # no class stands out
    labels = np.full((2, 2), np.nan)
    labels[0, 0], labels[1, 1] = 1, 1
    told = logits[:2] + np.array([[np.nan], [0]])
    after, moved = update_decisions(calibration, thresholds, labels, told, told)
    assert thresholds[0] == moved[0] and thresholds[1] != moved[1]
    assert after[0, 2] == calibration[0, 2]
    assert after[1, 1] - calibration[1, 1] > after[0, 1] - calibration[0, 1] + 1


def test_a_threshold_that_labels_have_lowered_says_nothing_of_the_probabilities():
    logits = np.random.default_rng(2).normal(-2, 1.5, size=(400, 1))
    taught, thresholds = np.array([[1, 0, 0.5]]), expit([-2.5])
    labels = np.full(logits.shape, np.nan)
    labels[np.argmax(logits)] = 1
    after, _ = update_decisions(taught, thresholds, labels, logits, logits)
    assert abs(after[0, 1]) < 1
    untaught = np.array([[1, 0, 2.0]])
    assert update_decisions(untaught, thresholds, labels, logits, logits)[0][0, 1] > 1.5


def test_no_alone_makes_no_class_likelier_even_if_the_photo_was_unlikely():
    logits = np.random.default_rng(1).normal(-6, 0.6, size=(400, 1))
    logits[:3] = -3.9
    before = find_decisions(logits, logits, np.array([-4.8]))
    assert before[1] < expit(OFFSET) - 0.05  # the class does not stand out
    labels = np.full(logits.shape, np.nan)
    labels[np.argsort(logits[:, 0])[:5]] = 0
    after = update_decisions(*before, labels, logits, logits)
    scores = [expit(calibrate(logits, c)) for c, _ in (before, after)]
    assert scores[1].sum() <= scores[0].sum() * 1.01
    found = [(p >= t).sum() for p, (_, t) in zip(scores, (before, after), strict=True)]
    assert found[1] <= found[0] and found[0] >= 3


@pytest.mark.parametrize("thresholds", [None, np.array([-2.0, -4.0])])
def test_photos_that_could_not_be_read_change_nothing(thresholds):
    more = np.insert(LOGITS, [3, 90], np.nan, axis=0)
    expected = find_decisions(LOGITS, LOGITS, thresholds)
    for found, values in zip(find_decisions(more, more, thresholds), expected, strict=True):
        assert_allclose(found, values)
