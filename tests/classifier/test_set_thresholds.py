"""Thresholds of a fitted classifier are changed by hand or with few labels, without training."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.metrics import f1_score

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler

NAMES = ["pizza", "cake", "coffee"]


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).normal(size=(60, 256)).astype(np.float32)


@pytest.fixture(scope="module")
def once(X):
    labeler = CLIPPseudoLabeler(NAMES, input="embeddings")
    return CDULClassifier(pseudo_labeler=labeler, random_state=0).fit(X)


@pytest.fixture
def model(once):
    return pickle.loads(pickle.dumps(once))


@pytest.fixture(scope="module")
def y(once, X):
    """Labels that the network ranks well, but of which the automatic threshold finds too many."""
    noise = np.random.default_rng(1).normal(scale=0.02, size=(60, 3))
    noisy = once.predict_proba(X) + noise * once.predict_proba(X).std(axis=0)
    return (noisy > np.quantile(noisy, 0.8, axis=0)).astype(int)


def test_thresholds_are_set_by_number_by_class_and_back(model, X):
    automatic = model.thresholds_.copy()
    assert_array_equal(automatic, model.auto_thresholds_)
    probabilities = model.predict_proba(X)
    assert_array_equal(model.set_thresholds(0.9).predict(X), probabilities >= 0.9)
    model.set_thresholds([0.1, 0.2, 0.3]).set_thresholds({"cake": 0.5})
    assert_array_equal(model.thresholds_, [0.1, 0.5, 0.3])
    assert_array_equal(model.predict(X), probabilities >= [0.1, 0.5, 0.3])
    names = model.class_names_[::-1]
    model.set_thresholds(pd.Series([0.1, 0.2, 0.3], index=names))
    assert_array_equal(model.thresholds_, [0.3, 0.2, 0.1])
    model.set_thresholds(pd.Series({"coffee": 0.7}))
    assert_array_equal(model.thresholds_, [0.3, 0.2, 0.7])
    model.set_thresholds("auto").thresholds_[0] = 1  # a copy
    assert_array_equal(model.set_thresholds("auto").thresholds_, automatic)
    assert model.threshold == "auto"


def test_the_parameter_counts_from_the_next_fit_on(model, X):
    automatic = model.thresholds_
    model.set_params(threshold=0.9)
    assert_array_equal(model.thresholds_, automatic)
    model.fit(X)
    assert_array_equal(model.thresholds_, [0.9] * 3)
    assert_array_equal(model.auto_thresholds_, automatic)


@pytest.mark.parametrize(
    ("threshold", "error", "message"),
    [
        (1.5, ValueError, r"in \[0, 1\], got 1.5"),
        ([0.1, 0.2], ValueError, "each of the 3 classes"),
        ({"cakes": 0.5}, ValueError, r"'cakes' is not one of the classes \['pizza'"),
        (
            pd.Series([0.1, 0.2, 0.3], ["pizza", "cakes", "coffee"]),
            ValueError,
            "'cakes' is not one",
        ),
        ({"cake": "half"}, TypeError, "must be a number"),
        ("automatic", TypeError, "must be a number"),
    ],
)
def test_thresholds_that_cannot_be_are_refused_and_change_nothing(threshold, error, message, model):
    before = model.thresholds_.copy()
    with pytest.raises(error, match=message):
        model.set_thresholds(threshold)
    assert_array_equal(model.thresholds_, before)


def test_a_fit_refuses_thresholds_of_other_classes(model, X):
    model.set_params(threshold=pd.Series([0.1, 0.2, 0.3], ["pizza", "cakes", "coffee"]))
    before = model.network_
    with pytest.raises(ValueError, match="'cakes' is not one of the classes"):
        model.fit(X)
    assert model.network_ is before


def test_few_labels_move_thresholds_to_a_better_f1(model, X, y):
    before = f1_score(y, model.predict(X), average="macro")
    logits = model.decision_function(X)
    model.fit_thresholds(X[:30], y[:30])
    assert f1_score(y[30:], model.predict(X[30:]), average="macro") > before + 0.02
    assert_array_equal(model.decision_function(X).argsort(axis=0), logits.argsort(axis=0))
    first = model.thresholds_
    np.testing.assert_allclose(model.fit_thresholds(X[:30], y[:30]).thresholds_, first, rtol=1e-5)


def test_labels_may_be_of_some_photos_and_classes(model, X, y, monkeypatch):
    table = np.full(y.shape, np.nan)
    table[:30, 1] = y[:30, 1]
    by_array = model.fit_thresholds(X, table).thresholds_
    np.testing.assert_allclose(by_array[[0, 2]], model.auto_thresholds_[[0, 2]])
    assert by_array[1] != model.auto_thresholds_[1]

    read = []
    logits = CDULClassifier._logits
    monkeypatch.setattr(
        CDULClassifier,
        "_logits",
        lambda self, source, **more: read.append(len(source)) or logits(self, source, **more),
    )
    named = pd.DataFrame(X, index=[f"{row}.jpg" for row in range(60)])
    frame = pd.DataFrame({"path": named.index[:30], "cake": y[:30, 1]})
    np.testing.assert_allclose(model.fit_thresholds(named, frame).thresholds_, by_array, rtol=1e-5)
    assert read == [30]


def test_wrong_or_no_labels_are_refused(model, X, y):
    with pytest.raises(ValueError, match="y has no labels"):
        model.fit_thresholds(X, np.full(y.shape, np.nan))
    with pytest.raises(ValueError, match="must have shape"):
        model.fit_thresholds(X, y[:10])


def test_a_class_with_negatives_alone_gets_a_threshold_above_them(model, X):
    scores, labels = model.predict_proba(X), np.full((60, 3), np.nan)
    rows = np.argsort(-scores[:, 0])[:17]
    labels[rows, 0] = 0
    before = model.predict(X)
    assert before[rows, 0].any()
    after = model.fit_thresholds(X, labels).predict(X)
    assert not after[:, 0].any()  # nor the photos with lower scores
    assert (after[:, 1:] <= before[:, 1:]).all()


def test_fit_learns_from_observed_labels_as_fit_thresholds_does(once, X):
    before, scores = once.predict(X), once.predict_proba(X)
    observed = np.full((60, 3), np.nan)
    rows = np.argsort(-scores[:, 0])[:17]
    observed[rows, 0] = 0
    model = clone(once).fit(X, observed=observed)
    after = model.predict(X)
    assert not after[rows, 0].any()
    rest = np.setdiff1d(np.arange(60), rows)
    assert after[rest].sum() <= before[rest].sum()
    assert_array_equal(model.thresholds_, model.auto_thresholds_)
    assert model.auto_calibration_[0, 2] < model.auto_calibration_[1, 2]


def test_auto_goes_back_to_the_probabilities_of_fit(model, X, y):
    scores, labels = model.predict_proba(X), model.predict(X)
    model.fit_thresholds(X, y)
    assert not np.allclose(model.predict_proba(X), scores)
    model.set_thresholds("auto")
    assert_array_equal(model.predict_proba(X), scores)
    assert_array_equal(model.predict(X), labels)
