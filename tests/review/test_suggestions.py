"""Photos to label first are doubtful, show rare classes, and differ from each other."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.review import suggest_photos
from sklearn_cdul.review.suggestions import rank_by_worth

NAMES = ["pizza", "cake", "coffee"]


def test_the_most_doubtful_photo_comes_first():
    logits = np.array([[-3.0], [-2.9], [0.1], [3.0], [2.8], [-3.2]])
    assert rank_by_worth(logits, 1) == [2]


def test_a_doubt_about_a_rare_class_counts_more():
    rng = np.random.default_rng(0)
    common, rare = rng.normal(2, 0.3, 200), rng.normal(-2, 0.3, 200)
    rare[:4] = 2
    logits = np.stack([common, rare], axis=1)
    logits[10, 0] = logits[20, 1] = 0  # as doubtful, once for each class
    assert rank_by_worth(logits, 1) == [20]


def test_copies_of_a_photo_are_not_suggested_while_there_are_others():
    rng = np.random.default_rng(0)
    logits = np.concatenate([np.tile([0.01, -0.02], (20, 1)), rng.normal(size=(20, 2)) * 3])
    assert (rank_by_worth(logits, 12) < 20).sum() == 1
    labelled = np.arange(40) == 5
    assert (rank_by_worth(logits, 12, labelled) >= 20).all()


def test_all_photos_come_once_and_unreadable_ones_never():
    logits = np.random.default_rng(0).normal(size=(9, 3))
    logits[4] = np.nan
    assert sorted(rank_by_worth(logits, 50)) == [0, 1, 2, 3, 5, 6, 7, 8]
    assert len(rank_by_worth(np.full((2, 3), np.nan), 5)) == 0
    assert sorted(rank_by_worth(np.zeros((3, 2)), 3)) == [0, 1, 2]


@pytest.fixture(scope="module")
def fitted():
    X = np.random.default_rng(0).normal(size=(60, 256)).astype(np.float32)
    labeler = CLIPPseudoLabeler(NAMES, input="embeddings")
    return CDULClassifier(pseudo_labeler=labeler, epochs=1, random_state=0).fit(X), X


def test_a_longer_list_begins_like_a_shorter_one(fitted):
    model, X = fitted
    rows = suggest_photos(model, X, 20)
    assert len(set(rows)) == 20
    assert_array_equal(suggest_photos(model, X, 5), rows[:5])


def test_photos_with_labels_are_left_out(fitted):
    model, X = fitted
    table = pd.DataFrame(X, index=[f"{row}.jpg" for row in range(60)])
    first = suggest_photos(model, table, 10)
    known = pd.DataFrame({"path": table.index[first], "cake": 1})
    second = suggest_photos(model, table, 60, observed=known)
    assert sorted([*first, *second]) == list(range(60))


@pytest.mark.parametrize(
    ("n", "observed", "message"),
    [(0, None, "at least 1, got 0"), (5, np.zeros((3, 3)), "observed must")],
)
def test_what_cannot_be_meant_is_refused(n, observed, message, fitted):
    with pytest.raises(ValueError, match=message):
        suggest_photos(*fitted, n, observed=observed)


def test_pipelines_and_labelers_are_asked_too(fitted):
    model, X = fitted
    pipeline = make_pipeline(FunctionTransformer(np.negative), model)
    assert_array_equal(suggest_photos(pipeline, -X, 9), suggest_photos(model, X, 9))
    assert len(set(suggest_photos(model.pseudo_labeler_, X, 9))) == 9


def test_labelled_photos_count_as_taken():
    margins = np.random.default_rng(0).normal(size=(50, 3))
    first = rank_by_worth(margins, 3)
    labelled = np.isin(np.arange(50), first)
    assert_array_equal(rank_by_worth(margins, 5)[3:], rank_by_worth(margins, 2, labelled))
    assert sorted(rank_by_worth(np.zeros((4, 2)), 4, np.arange(4) == 1)) == [0, 2, 3]
