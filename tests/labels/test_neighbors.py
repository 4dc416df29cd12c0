"""Labels mixed with those of neighbours."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.labels.neighbors import smooth_labels
from sklearn_cdul.metrics import mean_average_precision


@pytest.fixture
def random_case():
    rng = np.random.default_rng(0)
    return rng.random((30, 4)).astype(np.float32), rng.normal(size=(30, 6)).astype(np.float32)


def test_it_is_the_mean_over_the_largest_cosines(random_case):
    labels, embeddings = random_case
    centred = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    centred -= centred.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    cosines = centred @ centred.T
    np.fill_diagonal(cosines, -2)
    nearest = np.argsort(-cosines, axis=1)[:, :5]
    expected = 0.7 * labels + 0.3 * labels[nearest].mean(axis=1)
    smoothed = smooth_labels(labels, embeddings, n_neighbors=5, weight=0.3)
    assert_allclose(smoothed, expected, rtol=1e-5)
    assert smoothed.dtype == np.float32


def test_lengths_and_order_do_not_matter(random_case):
    labels, embeddings = random_case
    rng = np.random.default_rng(1)
    order, lengths = rng.permutation(30), rng.uniform(0.1, 9, size=(30, 1))
    smoothed = smooth_labels(labels, embeddings)
    again = smooth_labels(labels[order], embeddings[order])[np.argsort(order)]
    assert_allclose(again, smoothed, rtol=1e-5)
    assert_allclose(smooth_labels(labels, lengths * embeddings), smoothed, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": 2}, "weight"),
        ({"n_neighbors": -1}, "n_neighbors"),
        ({"labels": np.full((30, 4), np.nan)}, "labels contains NaN"),
        ({"embeddings": np.ones((31, 6))}, "inconsistent numbers"),
    ],
)
def test_wrong_input_is_refused(random_case, changes, message):
    arguments = dict(zip(("labels", "embeddings"), random_case, strict=True)) | changes
    with pytest.raises(ValueError, match=message):
        smooth_labels(**arguments)


def test_very_many_photos_are_compared_with_a_sample(monkeypatch):
    group = np.arange(400) % 2
    labels = np.where(group, 0.9, 0.1)[:, np.newaxis]
    rng = np.random.default_rng(0)
    labels = labels + rng.uniform(-0.1, 0.1, size=(400, 1))
    embeddings = np.eye(2)[group] + rng.normal(scale=0.05, size=(400, 2))
    monkeypatch.setattr("sklearn_cdul.labels.neighbors._MOST_COMPARED", 100)
    first, again, other = (smooth_labels(labels, embeddings, random_state=s) for s in (0, 0, 1))
    assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    neighbors = (first - 0.6 * labels)[:, 0] / 0.4  # their mean labels
    assert_allclose(neighbors, np.where(group, 0.9, 0.1), atol=0.05)
    assert len(np.unique(neighbors.round(9))) > 40  # not one mean for all


def test_inputs_are_not_changed(random_case):
    labels, embeddings = (array.copy() for array in random_case)
    smooth_labels(labels, embeddings)
    assert_array_equal(labels, random_case[0])
    assert_array_equal(embeddings, random_case[1])


def test_few_photos_have_all_others_as_neighbours(random_case):
    labels, embeddings = (array[:3] for array in random_case)
    others = (labels.sum(axis=0) - labels) / 2
    assert_allclose(smooth_labels(labels, embeddings, weight=1), others, rtol=1e-5)
    assert_array_equal(smooth_labels(labels[:1], embeddings[:1]), labels[:1])


def test_a_number_of_any_kind_will_do(random_case):
    expected = smooth_labels(*random_case, n_neighbors=1)
    for one in (True, np.int64(1)):
        assert_array_equal(smooth_labels(*random_case, n_neighbors=one), expected)


def test_equal_photos_do_no_harm():
    labels = np.random.default_rng(0).random((12, 2))
    smoothed = smooth_labels(labels, np.ones((12, 4)))
    assert np.isfinite(smoothed).all()
    assert ((smoothed >= 0) & (smoothed <= 1)).all()


def test_on_the_bundled_photos_the_labels_get_better(food_photos, memory):
    labeler = CLIPPseudoLabeler(food_photos.target_names, grid_size=1, memory=memory).fit()
    embeddings = labeler.embed(food_photos.data)
    labels = labeler.aggregate(embeddings)
    smoothed = smooth_labels(labels, embeddings[:, 0])
    before, after = (
        mean_average_precision(food_photos.target, scores, min_positives=5)
        for scores in (labels, smoothed)
    )
    assert after > before + 0.005
