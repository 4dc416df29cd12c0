"""Searches and folds over both estimators."""

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_score,
)

from sklearn_cdul import CDULClassifier
from sklearn_cdul.encoders.clip import CLIPEncoder
from sklearn_cdul.metrics import mean_average_precision_scorer
from sklearn_cdul.training import GradientTraining
from tests.composition.common import FOLDS, ON_EMBEDDINGS, ON_PHOTOS

GRID = {
    "pseudo_labeler__global_weight": np.array([0.3, 0.7]),
    "pseudo_labeler__local_threshold": [0, 0.5],
    "pseudo_labeler__temperature": [None, 0.05],
    "pseudo_labeler__prompt_template": ["a photo of a {}", ["a {}", "one {}"]],
    "training__epochs": np.array([1, 2]),
}


def test_a_grid_search_tries_every_candidate_and_refits_the_best(X, y):
    search = GridSearchCV(ON_EMBEDDINGS, GRID, cv=FOLDS, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 32
    means = search.cv_results_["mean_test_score"]
    assert len(np.unique(means)) > 8  # the parameters do reach the labels and the training
    chosen = clone(ON_EMBEDDINGS).set_params(**search.best_params_)
    assert search.best_score_ == means.max() == cross_val_score(chosen, X, y, cv=FOLDS).mean()
    assert_array_equal(search.decision_function(X), chosen.fit(X).decision_function(X))
    assert_array_equal(search.classes_, [[0, 1]] * 3)


def test_parameters_of_a_training_by_its_name_can_be_searched(X, y):
    classifier = clone(ON_EMBEDDINGS).set_params(training="ridge")
    search = GridSearchCV(classifier, {"training__update_rate": [0.2, 0.9]}, cv=FOLDS).fit(X, y)
    assert search.best_estimator_.training.update_rate in (0.2, 0.9)
    assert classifier.training == "ridge"
    classifier.set_params(training="gradients", training__batch_size=3)
    assert classifier.training.batch_size == 3
    with pytest.raises(ValueError, match=r"Invalid parameter 'batch_size' .*RidgeTraining"):
        clone(classifier).set_params(training="ridge", training__batch_size=3)


def test_parameters_of_the_default_labeler_can_be_searched():
    classifier = CDULClassifier(["cat", "dog"])
    changed = clone(classifier).set_params(pseudo_labeler__grid_size=1)
    assert changed.pseudo_labeler.grid_size == 1
    assert changed.classes == ["cat", "dog"] and classifier.pseudo_labeler is None
    with pytest.raises(ValueError, match=r"Invalid parameter 'sigma' .*CLIPPseudoLabeler"):
        clone(classifier).set_params(pseudo_labeler__sigma=1)


def test_a_random_search_draws_from_distributions(X, y):
    search = RandomizedSearchCV(
        clone(ON_EMBEDDINGS).set_params(training=GradientTraining()),
        {
            "pseudo_labeler__global_weight": stats.uniform(0, 1),
            "pseudo_labeler__local_threshold": stats.uniform(0, 1),
            "pseudo_labeler__temperature": stats.loguniform(0.01, 1),
            "training__epochs": stats.randint(1, 4),
            "training__warmup_epochs": stats.randint(1, 3),
            "training__update_interval": stats.randint(0, 3),
            "training__update_rate": stats.uniform(0, 2),
            "training__sigma": stats.uniform(0.5, 1),
            "training__batch_size": stats.randint(4, 20),
            "training__learning_rate": stats.loguniform(1e-5, 1e-2),
            "training__head_learning_rate": stats.loguniform(1e-4, 1e-2),
            "training__weight_decay": stats.loguniform(1e-5, 1e-3),
        },
        n_iter=6,
        cv=FOLDS,
        scoring={"mAP": mean_average_precision_scorer, "F1": "f1_macro"},
        refit="mAP",
        random_state=0,
        error_score="raise",
    ).fit(X, y)
    assert len(np.unique(search.cv_results_["mean_test_mAP"])) == 6
    assert np.isfinite(search.cv_results_["mean_test_F1"]).all()
    assert search.best_estimator_.training.epochs == search.best_params_["training__epochs"]


@pytest.mark.parametrize("resource", ["training__epochs", "n_samples"])
def test_a_halving_search_spends_more_on_better_candidates(resource, X, y):
    # The default of min_resources counts classes, for which scikit-learn needs a vector y.
    resources = {"training__epochs": (1, 4), "n_samples": (15, 30)}[resource]
    search = HalvingGridSearchCV(
        ON_EMBEDDINGS,
        {"pseudo_labeler__global_weight": [0.2, 0.5, 0.8, 1.0]},
        factor=2,
        resource=resource,
        min_resources=resources[0],
        max_resources=resources[1],
        cv=KFold(2),
        random_state=0,
        error_score="raise",
    ).fit(X, y)
    assert search.n_resources_[:2] == [resources[0], 2 * resources[0]]
    assert search.n_candidates_[:2] == [4, 2]
    assert search.best_estimator_.pseudo_labels_.shape == (30, 3)


def test_a_parallel_search_over_grid_size_encodes_photos_in_a_common_memory(paths, y, tmp_path):
    classifier = clone(ON_PHOTOS).set_params(pseudo_labeler__memory=tmp_path)
    search = GridSearchCV(
        classifier,
        {"pseudo_labeler__grid_size": np.array([1, 2])},
        cv=2,
        n_jobs=2,
        error_score="raise",
    )
    with joblib.parallel_config("threading"):  # processes: tests/memory/test_estimators.py
        search.fit(paths[:4], y[:4])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.pseudo_labeler_.grid_size == search.best_index_ + 1
    again = clone(classifier).set_params(pseudo_labeler__grid_size=2).pseudo_labeler
    with pytest.MonkeyPatch.context() as context:  # all that the search saw is there
        context.setattr(CLIPEncoder, "encode_views", lambda *_: pytest.fail("encoded again"))
        assert again.fit_transform(paths[:4]).shape == (4, 3)


@pytest.mark.parametrize(
    ("backend", "n_jobs"),
    [("threading", 4), pytest.param("loky", 2, marks=pytest.mark.slow)],
)
def test_parallel_folds_score_as_folds_in_turn(backend, n_jobs, X, y):
    folds = KFold(6, shuffle=True, random_state=0)
    classifier = clone(ON_EMBEDDINGS).set_params(training__epochs=5)
    expected = cross_val_score(classifier, X, y, cv=folds, error_score="raise")
    with joblib.parallel_config(backend, n_jobs=n_jobs):
        scores = cross_val_score(classifier, X, y, cv=folds, error_score="raise")
    assert_allclose(scores, expected, rtol=1e-9)


def test_y_reaches_the_scores_and_never_the_network(X, y):
    other = np.random.default_rng(1).integers(0, 2, y.shape)
    grid = {"pseudo_labeler__global_weight": [0.3, 0.7]}
    # Refits the first candidate, whichever scores best.
    search = GridSearchCV(ON_EMBEDDINGS, grid, cv=FOLDS, refit=lambda results: 0)
    first = clone(search).fit(X, y)
    second = clone(search).fit(X, other)
    assert not np.array_equal(
        first.cv_results_["mean_test_score"], second.cv_results_["mean_test_score"]
    )
    for name, weights in first.best_estimator_.network_.state_dict().items():
        assert_array_equal(second.best_estimator_.network_.state_dict()[name], weights)
    for attribute in ("initial_pseudo_labels_", "pseudo_labels_", "thresholds_"):
        assert_array_equal(
            getattr(second.best_estimator_, attribute), getattr(first.best_estimator_, attribute)
        )
