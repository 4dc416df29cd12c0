"""Which photos are worth a look, in numbers that can be checked by hand."""

import numpy as np
import pytest

from sklearn_cdul.displays.ranking import rank_photos, take_in_turn

MARGINS = np.array([[2.0, -3.0], [-0.1, -3.0], [np.nan, np.nan], [0.5, 1.0]])
TARGETS = np.array([[1, 0], [1, 0], [0, 0], [0, 0]])


@pytest.mark.parametrize(
    ("order", "column", "rows"),
    [
        ("given", None, [0, 1, 3]),
        ("surest", 0, [0, 3, 1]),  # the highest above the threshold
        ("doubtful", 0, [1, 3, 0]),  # the closest to the threshold, on either side
        ("wrong", 0, [3, 1]),  # 0.5 above where it should be below, then 0.1 below
        ("wrong", 1, [3]),
        ("surest", None, [0, 1, 3]),
        ("doubtful", None, [3, 1, 0]),
        ("wrong", None, [3, 1]),
    ],
)
def test_photos_are_ranked_by_their_distance_from_the_threshold(order, column, rows):
    assert rank_photos(MARGINS, TARGETS, order, column).tolist() == rows


def test_what_is_wrong_is_known_only_with_labels():
    with pytest.raises(ValueError, match="give y"):
        rank_photos(MARGINS, None, "wrong")


def test_an_unknown_order_is_named_with_those_there_are():
    with pytest.raises(ValueError, match=r"'surest'.*got 'best'"):
        rank_photos(MARGINS, TARGETS, "best")


def test_a_photo_is_taken_by_the_first_ranking_that_wants_it():
    first, second = take_in_turn([np.array([4, 2, 1]), np.array([2, 4, 3, 1])], 2)
    assert first.tolist() == [4, 2]
    assert second.tolist() == [3, 1]
