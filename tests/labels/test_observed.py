"""Labels of a person among soft labels: as strong as these say a positive is."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_cdul.labels.neighbors import place_observed


def test_a_positive_is_as_sure_as_the_surest_of_its_class():
    labels = np.array([[0.01, 0.5], [0.03, 0.1], [0.2, 0.1], [0.3, 0.7]])
    observed = np.array([[1, np.nan], [np.nan, 1], [0, np.nan], [np.nan, np.nan]])
    placed, scaled = place_observed(labels, observed)
    expected = [[0.3, np.nan], [np.nan, 0.7], [0.01, np.nan], [np.nan, np.nan]]
    assert_allclose(scaled, expected, rtol=1e-6)
    assert_allclose(placed, [[0.3, 0.5], [0.03, 0.7], [0.01, 0.1], [0.3, 0.7]], rtol=1e-6)


def test_where_the_soft_labels_tell_nothing_one_and_zero_stay():
    labels = np.array([[0.1, 0.5], [0.2, 0.5], [0.9, 0.5]])
    observed = np.array([[1.0, 1], [0, np.nan], [0, 0]])
    assert_array_equal(place_observed(labels, observed)[1], observed)
