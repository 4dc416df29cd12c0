"""What is picked out of many scores is what a person should see."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_cdul.predictions import log_odds
from sklearn_cdul.review.findings import (
    alike_classes,
    class_figures,
    pick_photos,
    score_histogram,
)

NAN = np.nan


def pick(column, threshold=0.0, moved=None, wrong=(), n_shown=2):
    marked = np.zeros(len(column), dtype=bool)
    marked[list(wrong)] = True
    moved = None if moved is None else np.array(moved)
    rows = pick_photos(np.array(column), threshold, moved, marked, n_shown)
    return {kind: found.tolist() for kind, found in rows.items()}


def test_the_surest_come_first_and_the_borderline_are_others():
    found = pick([3.0, -0.1, NAN, 0.2, 5.0, -4.0])
    assert found == {"surest": [4, 0], "borderline": [1, 3]}


def test_mistakes_and_moves_are_ordered_by_size():
    found = pick([3.0, -0.1, 0.2, -4.0], moved=[0.001, -0.3, NAN, 0.5], wrong=[1, 3, 2], n_shown=2)
    assert found["wrong"] == [3, 2]
    assert found["corrected"] == [3, 1]


def test_fewer_photos_than_wanted_are_shown_once():
    assert pick([1.0], n_shown=8) == {"surest": [0]}
    assert pick([NAN], n_shown=8) == {}


@pytest.mark.parametrize("column", [[0.1, 0.2, 0.9], [0.5, 0.5], [0.0, 1.0], []])
def test_a_histogram_counts_every_photo(column):
    counts, edges = score_histogram(log_odds(np.array(column)))
    assert counts.sum() == len(column)
    assert np.isfinite(edges).all() and (np.diff(edges) > 0).all() and len(edges) == len(counts) + 1


def test_classes_that_rise_and_fall_together_are_found():
    rng = np.random.default_rng(0)
    first = rng.normal(size=200)
    logits = np.stack([first, rng.normal(size=200), first + 0.1 * rng.normal(size=200)], axis=1)
    texts = np.array([[1.0, 0], [0, 1], [0.6, 0.8]])
    [(one, other, r, cosine, both, alone)] = alike_classes(logits, logits > 0, texts)
    assert (one, other) == (0, 2) and r > 0.95 and cosine == pytest.approx(0.6)
    assert both == ((logits[:, 0] > 0) & (logits[:, 2] > 0)).sum()
    assert alone == ((logits[:, 0] > 0) ^ (logits[:, 2] > 0)).sum()
    assert alike_classes(logits[:, :2], logits[:, :2] > 0, None) == []
    assert alike_classes(np.ones((5, 2)), np.ones((5, 2), bool), None) == []


def test_the_most_alike_of_very_many_classes_are_found_in_little_memory():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(60, 5000))
    for rank, (i, j) in enumerate([(3, 4999), (511, 512), (700, 20)]):
        logits[:, j] = logits[:, i] + (0.01 + 0.1 * rank) * rng.normal(size=60)
    tracemalloc.start()
    pairs = alike_classes(logits, logits > 0, None)
    assert tracemalloc.get_traced_memory()[1] < 60e6  # all pairs at once would take 100 MB
    tracemalloc.stop()
    assert [pair[:2] for pair in pairs] == [(3, 4999), (511, 512), (20, 700)]
    for i, j, r, *_ in pairs:
        assert r == pytest.approx(np.corrcoef(logits[:, i], logits[:, j])[0, 1], abs=1e-5)
    same = np.repeat(logits[:, :1], 30, axis=1)
    assert len(alike_classes(same, same > 0, None)) == 20


def test_figures_are_those_of_the_known_labels():
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.3], [0.1, 0.4]])
    labels = np.array([[1, NAN], [0, NAN], [1, 0], [NAN, 0]])
    figures = class_figures(scores, scores >= 0.25, labels)
    assert_array_equal(figures["predicted"], [3, 2])
    assert figures["precision"][0] == pytest.approx(2 / 3) and figures["recall"][0] == 1
    assert figures["f1"][0] == pytest.approx(0.8) and np.isnan(figures["f1"][1])
    assert_array_equal(figures["labelled"], [3, 2])
    assert_array_equal(figures["positives"], [2, 0])
    assert figures["average_precision"][0] == pytest.approx((1 + 2 / 3) / 2)
