"""Mean average precision: what is counted, what is left out, what is refused."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.metrics import average_precision_score

from sklearn_cdul.metrics import average_precision_per_class, mean_average_precision


@pytest.fixture
def labels_and_scores():
    rng = np.random.default_rng(0)
    y_true = (rng.random((60, 4)) < [0.5, 0.3, 0.2, 0.1]).astype(int)
    return y_true, rng.normal(size=(60, 4)) + y_true


def test_it_is_the_macro_average_of_scikit_learn(labels_and_scores):
    y_true, y_score = labels_and_scores
    expected = average_precision_score(y_true, y_score, average="macro")
    assert mean_average_precision(y_true, y_score) == pytest.approx(expected)


def test_equal_scores_count_as_in_scikit_learn(labels_and_scores):
    y_true, y_score = labels_and_scores
    for decimals in (1, 0, -1):  # the last makes all scores equal
        rounded = np.round(y_score, decimals)
        expected = average_precision_score(y_true, rounded, average=None)
        assert average_precision_per_class(y_true, rounded) == pytest.approx(expected)


def test_a_perfect_ranking_scores_one():
    y_true = np.eye(3, dtype=int)
    assert mean_average_precision(y_true, y_true.astype(float)) == 1.0


def test_only_the_order_of_scores_counts(labels_and_scores):
    y_true, y_score = labels_and_scores
    probabilities = 1 / (1 + np.exp(-y_score))
    expected = mean_average_precision(y_true, y_score)
    assert mean_average_precision(y_true, probabilities) == pytest.approx(expected)


def test_classes_without_positives_are_left_out(labels_and_scores):
    y_true, y_score = labels_and_scores
    without = np.column_stack([y_true, np.zeros(60, int)])
    scores = np.column_stack([y_score, y_score[:, 0]])
    assert mean_average_precision(without, scores) == mean_average_precision(y_true, y_score)
    assert np.isnan(average_precision_per_class(without, scores)).tolist() == [False] * 4 + [True]


def test_min_positives_leaves_out_rare_classes(labels_and_scores):
    y_true, y_score = labels_and_scores
    y_true[:, 3] = 0
    y_true[:3, 3] = 1
    per_class = average_precision_per_class(y_true, y_score)
    assert mean_average_precision(y_true, y_score, min_positives=3) == per_class.mean()
    assert mean_average_precision(y_true, y_score, min_positives=4) == per_class[:3].mean()


def test_an_image_of_weight_2_counts_as_two_and_one_of_weight_0_not_at_all(labels_and_scores):
    y_true, y_score = labels_and_scores
    weights = np.arange(60) % 3
    y_true[weights > 0, 3] = 0  # its positives have no weight
    rows = np.repeat(np.arange(60), weights)
    expected = average_precision_per_class(y_true[rows], y_score[rows])
    per_class = average_precision_per_class(y_true, y_score, sample_weight=weights)
    np.testing.assert_allclose(per_class, expected)
    assert np.isnan(per_class).tolist() == [False] * 3 + [True]
    mean = mean_average_precision(y_true, y_score, sample_weight=weights)
    assert mean == pytest.approx(expected[:3].mean())


@pytest.mark.parametrize("weights", [np.ones(59), np.full(60, -1), np.full(60, np.nan), 1.0])
def test_weights_must_be_numbers_of_at_least_0_one_an_image(labels_and_scores, weights):
    with pytest.raises(ValueError, match="for each of the 60 images"):
        mean_average_precision(*labels_and_scores, sample_weight=weights)


@pytest.mark.parametrize("shape", [(60,), (60, 1)])
def test_one_class_may_be_a_vector_or_a_column(labels_and_scores, shape):
    y_true, y_score = labels_and_scores[0][:, 0], labels_and_scores[1][:, 0]
    expected = average_precision_score(y_true, y_score)
    assert mean_average_precision(y_true.reshape(shape), y_score) == pytest.approx(expected)


def test_lists_frames_booleans_and_sparse_matrices_are_read(labels_and_scores):
    y_true, y_score = labels_and_scores
    expected = mean_average_precision(y_true, y_score)
    assert mean_average_precision(y_true.tolist(), y_score.tolist()) == expected
    assert mean_average_precision(pd.DataFrame(y_true), pd.DataFrame(y_score)) == expected
    assert mean_average_precision(y_true.astype(bool), y_score) == expected
    assert mean_average_precision(csr_array(y_true), y_score) == expected
    for kind in (object, str):
        assert mean_average_precision(y_true.astype(object), y_score.astype(kind)) == expected


def test_a_class_that_is_always_present_scores_one():
    assert average_precision_per_class([[1], [1]], [[0.2], [0.1]]) == 1.0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_located(labels_and_scores, value):
    y_true, y_score = labels_and_scores
    y_score[[7, 9], 2] = value
    with pytest.raises(ValueError, match="in 2 of 60 rows, the first in row 7"):
        mean_average_precision(y_true, y_score)


@pytest.mark.parametrize("value", [2, -1, 0.5])
def test_labels_must_be_zero_or_one(labels_and_scores, value):
    y_true = labels_and_scores[0].astype(float)
    y_true[0, 0] = value
    with pytest.raises(ValueError, match="only 0 and 1"):
        mean_average_precision(y_true, labels_and_scores[1])


def test_labels_that_are_not_known_are_left_out(labels_and_scores):
    y_true, y_score = labels_and_scores
    some = y_true.astype(float)
    some[:20, 0] = some[:, 1] = np.nan
    found = average_precision_per_class(some, y_score)
    assert np.isnan(found[1])
    assert found[0] == average_precision_per_class(y_true[20:], y_score[20:])[0]
    assert mean_average_precision(some, y_score) == pytest.approx(np.nanmean(found))
    with pytest.raises(ValueError, match="No class has 1 or more positives"):
        mean_average_precision(np.full(some.shape, np.nan), y_score)


def test_shapes_must_agree(labels_and_scores):
    y_true, y_score = labels_and_scores
    with pytest.raises(ValueError, match=r"\(60, 4\) and \(60, 3\)"):
        mean_average_precision(y_true, y_score[:, :3])
    with pytest.raises(ValueError, match=r"got shape \(60, 4, 1\)"):
        mean_average_precision(y_true[..., None], y_score)


def test_no_class_with_enough_positives_is_an_error(labels_and_scores):
    y_true, y_score = labels_and_scores
    with pytest.raises(ValueError, match="No class has 1 or more positives"):
        mean_average_precision(np.zeros_like(y_true), y_score)
    with pytest.raises(ValueError, match="most frequent has"):
        mean_average_precision(y_true, y_score, min_positives=61)
    with pytest.raises(ValueError, match="No class has"):
        mean_average_precision(np.empty((0, 3)), np.empty((0, 3)))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        mean_average_precision(y_true, y_score, min_positives=0)


def test_data_frames_in_another_order_than_each_other_are_refused(labels_and_scores):
    y_true, y_score = map(pd.DataFrame, labels_and_scores)
    mean_average_precision(y_true, y_score)
    for other in (y_score[[1, 0, 2, 3]], y_score.iloc[::-1]):
        for function in (mean_average_precision, average_precision_per_class):
            with pytest.raises(ValueError, match="of y_true and of y_score differ, or their order"):
                function(y_true, other)
    y_true.index = [f"{row}.jpg" for row in y_true.index]
    with pytest.raises(ValueError, match="y_true has paths as its index, and y_score none"):
        mean_average_precision(y_true, y_score.to_numpy())
    mean_average_precision(y_true, y_score.set_axis(y_true.index))
