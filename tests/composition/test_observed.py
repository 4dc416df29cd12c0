"""Labels that a person gave for some photos, on their way through pipelines and searches."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer

from tests.composition.common import FOLDS, NAMES, ON_EMBEDDINGS, ON_PHOTOS


def assert_keeps(classifier, observed):
    """The given labels stay as they are, and all others are the classifier's own."""
    given = ~np.isnan(observed)
    assert 0 < given.sum() < given.size
    for labels in (classifier.initial_pseudo_labels_, classifier.pseudo_labels_):
        assert_array_equal(labels[given], observed[given])
        assert ((labels[~given] > 0) & (labels[~given] < 1)).all()


CONTAINERS = {
    "array": lambda observed: observed,
    "list": lambda observed: observed.tolist(),
    "pandas": lambda observed: pd.DataFrame(observed, columns=NAMES),
    "pandas, other order": lambda observed: pd.DataFrame(observed, columns=NAMES)[NAMES[::-1]],
    "polars": lambda observed: pl.DataFrame(observed, schema=NAMES),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("routed", [True, False], ids=["routing", "no routing"])
def test_each_fold_gets_its_rows_of_the_observed_labels(routed, container, X, y, observed):
    with sklearn.config_context(enable_metadata_routing=routed):
        classifier = clone(ON_EMBEDDINGS)
        result = cross_validate(
            classifier.set_fit_request(observed=True) if routed else classifier,
            X,
            y,
            cv=FOLDS,
            params={"observed": CONTAINERS[container](observed)},
            return_estimator=True,
            return_indices=True,
            error_score="raise",
        )
    assert np.isfinite(result["test_score"]).all()
    for fitted, rows in zip(result["estimator"], result["indices"]["train"], strict=True):
        assert_keeps(fitted, observed[rows])


def test_photos_and_their_observed_labels_are_shuffled_together(routing, paths, observed):
    result = cross_validate(
        clone(ON_PHOTOS).set_fit_request(observed=True),
        paths,
        np.ones((8, 3), dtype=int),
        cv=KFold(2, shuffle=True, random_state=0),
        params={"observed": observed[:8]},
        return_estimator=True,
        return_indices=True,
        error_score="raise",
    )
    for fitted, rows in zip(result["estimator"], result["indices"]["train"], strict=True):
        assert_keeps(fitted, observed[rows])


def test_observed_labels_pass_through_a_pipeline(routing, X, y, observed):
    last = clone(ON_EMBEDDINGS).set_fit_request(observed=True)
    pipeline = make_pipeline(
        FunctionTransformer(np.negative), FunctionTransformer(np.negative), last
    )
    assert_keeps(clone(pipeline).fit(X, observed=observed)[-1], observed)
    result = cross_validate(
        pipeline,
        X,
        y,
        cv=FOLDS,
        params={"observed": observed},
        return_estimator=True,
        return_indices=True,
        error_score="raise",
    )
    assert np.isfinite(result["test_score"]).all()
    for fitted, rows in zip(result["estimator"], result["indices"]["train"], strict=True):
        assert_keeps(fitted[-1], observed[rows])


def test_without_routing_a_pipeline_takes_them_by_the_name_of_the_step(X, y, observed):
    pipeline = Pipeline([("unit", Normalizer()), ("cdul", ON_EMBEDDINGS)])
    assert_keeps(pipeline.fit(X[:, 0], y, cdul__observed=observed)[-1], observed)
    params = {"cdul__observed": observed}
    scores = cross_val_score(pipeline, X[:, 0], y, cv=FOLDS, params=params, error_score="raise")
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("routed", [True, False], ids=["routing", "no routing"])
def test_a_search_hands_them_to_every_fold_and_to_the_best_candidate(routed, X, y, observed):
    grid = {"pseudo_labeler__global_weight": [0.3, 0.7]}
    with sklearn.config_context(enable_metadata_routing=routed):
        classifier = clone(ON_EMBEDDINGS)
        if routed:
            classifier.set_fit_request(observed=True)
        search = GridSearchCV(classifier, grid, cv=FOLDS, error_score="raise")
        search.fit(X, y, observed=observed)
        assert_keeps(search.best_estimator_, observed)
        candidate = clone(classifier).set_params(pseudo_labeler__global_weight=0.7)
        by_hand = cross_val_score(candidate, X, y, cv=FOLDS, params={"observed": observed})
        assert search.cv_results_["mean_test_score"][1] == by_hand.mean()
        assert (
            search.cv_results_["mean_test_score"][1]
            != cross_val_score(candidate, X, y, cv=FOLDS).mean()
        )
        predicted = cross_val_predict(candidate, X, y, cv=FOLDS, params={"observed": observed})
        assert predicted.shape == (30, 3)


def test_a_search_within_folds_gets_the_rows_of_its_fold(routing, X, y, observed):
    classifier = clone(ON_EMBEDDINGS).set_fit_request(observed=True)
    search = GridSearchCV(classifier, {"training__update_rate": [0.5, 1]}, cv=2)
    result = cross_validate(
        search,
        X,
        y,
        cv=FOLDS,
        params={"observed": observed},
        return_estimator=True,
        return_indices=True,
        error_score="raise",
    )
    for fitted, rows in zip(result["estimator"], result["indices"]["train"], strict=True):
        assert_keeps(fitted.best_estimator_, observed[rows])


def test_observed_labels_that_nobody_asked_for_are_not_dropped_silently(routing, X, y, observed):
    with pytest.raises(UnsetMetadataPassedError, match="set_fit_request"):
        cross_validate(ON_EMBEDDINGS, X, y, params={"observed": observed})


@pytest.mark.parametrize("n_val", [10, 30])
def test_validation_photos_travel_along_with_observed_labels(n_val, routing, X, y, observed):
    # As many as there are in X are taken for one a row: each fold then gets those of its rows.
    params = {"observed": observed, "X_val": X[:n_val], "y_val": y[:n_val]}
    classifier = clone(ON_EMBEDDINGS).set_fit_request(observed=True, X_val=True, y_val=True)
    result = cross_validate(
        make_pipeline("passthrough", classifier),
        X,
        y,
        cv=FOLDS,
        params=params,
        return_estimator=True,
        return_indices=True,
        error_score="raise",
    )
    for fitted, rows in zip(result["estimator"], result["indices"]["train"], strict=True):
        assert_keeps(fitted[-1], observed[rows])
        rows = rows if n_val == 30 else np.arange(n_val)
        expected = fitted.score(X[rows], y[rows])
        assert fitted[-1].history_[-1]["validation_map"] == pytest.approx(expected)
