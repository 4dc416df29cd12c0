import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_cdul.labels.aggregation import (
    aggregate_snippets,
    combine_labels,
    cosine_similarities,
    soft_labels,
    softmax_similarities,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_cosine_ignores_the_length_of_both_vectors(rng):
    images, texts = rng.normal(size=(4, 3, 8)), rng.normal(size=(5, 8))
    expected = np.empty((4, 3, 5))
    for i, j, k in np.ndindex(expected.shape):
        a, b = images[i, j], texts[k]
        expected[i, j, k] = a @ b / np.sqrt((a @ a) * (b @ b))
    assert_allclose(cosine_similarities(images * 7, texts * 0.1), expected)


def test_cosine_of_a_zero_vector_is_zero():
    assert_array_equal(cosine_similarities(np.zeros((1, 3)), np.eye(3)), np.zeros((1, 3)))


def test_softmax_follows_the_formula_and_sums_to_one(rng):
    similarities = rng.uniform(-1, 1, size=(6, 4))
    labels = softmax_similarities(similarities, 0.5)
    assert_allclose(labels, np.exp(similarities / 0.5) / np.exp(similarities / 0.5).sum(1)[:, None])
    assert_allclose(labels.sum(axis=1), 1)


def test_softmax_at_a_tiny_temperature_does_not_overflow():
    assert_allclose(softmax_similarities([[1.0, -1.0]], 1e-6), [[1.0, 0.0]])


def test_softmax_at_clip_temperature():
    # Two cosines 0.02 apart at tau 0.01 differ by a factor of e^2.
    assert_allclose(softmax_similarities([0.22, 0.20], 0.01), [0.880797, 0.119203], rtol=1e-5)


@pytest.mark.parametrize("temperature", [0, -1, float("nan")])
def test_softmax_refuses_a_temperature_that_is_not_positive(temperature):
    with pytest.raises(ValueError, match="temperature must be above 0"):
        softmax_similarities([[0.1, 0.2]], temperature)


def test_aggregator_takes_the_maximum_from_zeta_on_and_the_minimum_below():
    snippets = np.array([[[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.4, 0.25, 0.35]]])
    assert_allclose(aggregate_snippets(snippets, 0.0), [[0.5, 0.3, 0.7]])
    assert_allclose(aggregate_snippets(snippets, 0.5), [[0.5, 0.2, 0.7]])
    assert_allclose(aggregate_snippets(snippets, 0.6), [[0.1, 0.2, 0.7]])


def test_a_maximum_equal_to_zeta_is_kept():
    assert_allclose(aggregate_snippets([[[0.4], [0.1]]], 0.4), [[0.4]])


def test_final_label_is_the_mean_of_global_and_local():
    assert_allclose(combine_labels([[0.2, 0.8]], [[0.6, 0.4]]), [[0.4, 0.6]])


@pytest.mark.parametrize(("weight", "expected"), [(0, 0.6), (0.25, 0.5), (1, 0.2)])
def test_global_weight_moves_the_label_between_local_and_global(weight, expected):
    assert_allclose(combine_labels([[0.2]], [[0.6]], weight), [[expected]])


def test_soft_labels_are_the_equations_in_turn(rng):
    views, texts = rng.normal(size=(5, 10, 16)), rng.normal(size=(4, 16))
    views /= np.linalg.norm(views, axis=2, keepdims=True)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    for n in range(5):
        exponentials = np.exp(views[n] @ texts.T / 0.1)
        view_labels = exponentials / exponentials.sum(axis=1, keepdims=True)
        alpha, beta = view_labels[1:].max(axis=0), view_labels[1:].min(axis=0)
        expected = 0.3 * view_labels[0] + 0.7 * np.where(alpha >= 0.4, alpha, beta)
        actual = soft_labels(
            views[n : n + 1], texts, temperature=0.1, local_threshold=0.4, global_weight=0.3
        )
        assert_allclose(actual[0], expected)


def test_without_snippets_the_label_is_the_global_one(rng):
    views, texts = rng.normal(size=(5, 1, 16)), rng.normal(size=(4, 16))
    expected = softmax_similarities(cosine_similarities(views[:, 0], texts), 0.1)
    assert_allclose(soft_labels(views, texts, temperature=0.1), expected)


def test_an_unreadable_image_stays_nan_and_leaves_the_others_alone(rng):
    views, texts = rng.normal(size=(3, 10, 16)), rng.normal(size=(4, 16))
    clean = soft_labels(views, texts, temperature=0.1)
    views[1] = np.nan
    labels = soft_labels(views, texts, temperature=0.1)
    assert np.isnan(labels[1]).all()
    assert_array_equal(labels[[0, 2]], clean[[0, 2]])


def test_images_in_blocks_get_the_same_labels(rng, monkeypatch):
    images, texts = rng.normal(size=(11, 5, 6)), rng.normal(size=(4, 6))
    images[3] = np.nan
    expected = soft_labels(images, texts, temperature=0.2)
    for values in (1, 3 * 5 * 4):  # one image at a time, three
        monkeypatch.setattr("sklearn_cdul.labels.aggregation._BLOCK_VALUES", values)
        np.testing.assert_allclose(soft_labels(images, texts, temperature=0.2), expected)
    assert soft_labels(images[:0], texts, temperature=0.2).shape == (0, 4)


def test_other_things_take_their_share_and_get_no_label(rng):
    images, texts, others = (rng.normal(size=shape) for shape in ((3, 5, 6), (4, 6), (2, 6)))
    together = soft_labels(images, np.concatenate([texts, others]), temperature=0.2)
    labels = soft_labels(images, texts, others, temperature=0.2)
    np.testing.assert_allclose(labels, together[:, :4])
    none = soft_labels(images, texts, others[:0], temperature=0.2)
    np.testing.assert_allclose(none, soft_labels(images, texts, temperature=0.2))
    assert (labels <= none).all()


def test_gains_are_one_for_each_class():
    views, texts = np.ones((2, 1, 3)), np.eye(3)
    plain = soft_labels(views, texts, temperature=1)
    assert_array_equal(soft_labels(views, texts, temperature=1, gains=[1, 1, 1]), plain)
    more = soft_labels(views, texts, temperature=1, gains=[1, 2, 1])
    assert_array_equal(more > plain, [[False, True, False]] * 2)
    with pytest.raises(ValueError, match="one value for each of the 3 classes"):
        soft_labels(views, texts, temperature=1, gains=[1, 2])
