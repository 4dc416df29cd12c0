"""Both estimators inside what scikit-learn builds from estimators: pipelines, searches, folds."""

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler
from sklearn.utils.fixes import parse_version

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.encoders.clip import CLIPEncoder
from sklearn_cdul.labels.thresholds import apply_thresholds
from sklearn_cdul.metrics import mean_average_precision_scorer

NAMES = ["vegetable", "meat", "fruit"]
LABELER = CLIPPseudoLabeler(NAMES, grid_size=1, precision="float32")
ON_PHOTOS = CDULClassifier(
    pseudo_labeler=LABELER, image_size=32, epochs=1, random_state=0, precision="float32"
)
ON_EMBEDDINGS = CDULClassifier(
    pseudo_labeler=CLIPPseudoLabeler(NAMES, input="embeddings"), epochs=1, random_state=0
)
FOLDS = KFold(3, shuffle=True, random_state=0)
with_polars = pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.9")
    and not hasattr(pl.DataFrame, "__dataframe__"),
    reason="scikit-learn before 1.9 takes columns from frames of polars before 2.0 only",
)
FRAMES = [pd.DataFrame, pytest.param(pl.DataFrame, marks=with_polars)]


@pytest.fixture(scope="module")
def paths(food_photos):
    return food_photos.data[:8]


@pytest.fixture(scope="module")
def labels(paths):
    return clone(LABELER).fit_transform(paths)


@pytest.fixture(scope="module")
def X(food_photos):
    """Embeddings of 30 photos, whole and in 2 x 2 snippets."""
    return CLIPPseudoLabeler(NAMES, grid_size=2).embed(food_photos.data[:30])


@pytest.fixture(scope="module")
def y(food_photos):
    return food_photos.target[:30, [food_photos.target_names.index(name) for name in NAMES]]


@pytest.fixture(scope="module")
def observed(y):
    """One label in five; NaN elsewhere."""
    given = np.random.default_rng(0).random(y.shape) < 0.2
    return np.where(given, y, np.nan)


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


# The labeler as a step


@pytest.mark.parametrize(
    "last",
    [
        OneVsRestClassifier(LogisticRegression()),
        KMeans(2, random_state=0),
        FunctionTransformer(apply_thresholds, kw_args={"thresholds": [0.4, 0.4, 0.2]}),
    ],
    ids=lambda last: type(last).__name__,
)
def test_soft_labels_are_features_for_the_next_step(last, paths, labels, y):
    pipeline = make_pipeline(LABELER, last).fit(paths, y[:8])
    alone = clone(last).fit(labels, y[:8])
    method = "predict" if hasattr(last, "predict") else "transform"
    assert_array_equal(getattr(pipeline, method)(paths), getattr(alone, method)(labels))


def test_names_of_classes_pass_through_a_pipeline(paths):
    pipeline = make_pipeline(clone(LABELER), StandardScaler()).set_output(transform="pandas")
    assert pipeline.fit_transform(paths).columns.tolist() == NAMES
    assert pipeline.get_feature_names_out().tolist() == NAMES


def test_a_pipeline_may_keep_the_soft_labels_in_a_cache(paths, labels, tmp_path):
    for _ in range(2):
        pipeline = make_pipeline(LABELER, StandardScaler(), memory=str(tmp_path)).fit(paths)
        assert_allclose(pipeline[-1].mean_, labels.mean(axis=0), rtol=1e-6)


def test_labelers_side_by_side_give_their_columns_in_turn(paths, labels):
    union = FeatureUnion([("food", LABELER), ("place", CLIPPseudoLabeler(["street", "kitchen"]))])
    columns = union.fit_transform(paths[:3])
    assert columns.shape == (3, 5)
    assert_allclose(columns[:, :3], labels[:3], atol=1e-5)
    names = [*(f"food__{name}" for name in NAMES), "place__street", "place__kitchen"]
    assert union.get_feature_names_out().tolist() == names


@pytest.mark.parametrize("column", ["photo", ["photo"]], ids=["a name", "a list of names"])
@pytest.mark.parametrize("frame", FRAMES, ids=["pandas", "polars"])
@pytest.mark.parametrize(
    "container", ["default", "pandas", pytest.param("polars", marks=with_polars)]
)
def test_the_photos_may_be_a_column_of_a_frame(column, frame, container, paths, labels):
    table = frame({"day": np.arange(8.0), "photo": paths})
    transformer = make_column_transformer((clone(LABELER), column), (StandardScaler(), ["day"]))
    transformer.set_output(transform=container)
    columns = transformer.fit_transform(table)
    assert_array_equal(np.asarray(columns)[:, :3], labels)
    names = [f"clippseudolabeler__{name}" for name in NAMES]
    assert transformer.get_feature_names_out().tolist() == [*names, "standardscaler__day"]
    assert type(columns).__module__.split(".")[0] == container.replace("default", "numpy")


# The classifier as the last step


@pytest.mark.parametrize("frame", FRAMES, ids=["pandas", "polars"])
def test_a_classifier_takes_the_photos_from_a_column(frame, paths):
    table = frame({"day": np.arange(8.0), "photo": paths})
    pipeline = make_pipeline(make_column_transformer(("passthrough", ["photo"])), ON_PHOTOS)
    expected = clone(ON_PHOTOS).fit(paths).predict_proba(paths)
    assert_array_equal(pipeline.fit(table).predict_proba(table), expected)


def test_an_earlier_step_may_embed_the_photos(paths, y):
    embed = FunctionTransformer(LABELER.embed)
    pipeline = make_pipeline(embed, ON_EMBEDDINGS).fit(paths)
    classifier = clone(ON_EMBEDDINGS).fit(LABELER.embed(paths))
    assert_array_equal(pipeline.predict(paths), classifier.predict(LABELER.embed(paths)))
    assert pipeline.score(paths, y[:8]) == classifier.score(LABELER.embed(paths), y[:8])


# Searches


GRID = {
    "pseudo_labeler__global_weight": np.array([0.3, 0.7]),
    "pseudo_labeler__local_threshold": [0, 0.5],
    "pseudo_labeler__temperature": [None, 0.05],
    "pseudo_labeler__prompt_template": ["a photo of a {}", ["a {}", "one {}"]],
    "epochs": np.array([1, 2]),
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


def test_a_random_search_draws_from_distributions(X, y):
    search = RandomizedSearchCV(
        ON_EMBEDDINGS,
        {
            "pseudo_labeler__global_weight": stats.uniform(0, 1),
            "pseudo_labeler__local_threshold": stats.uniform(0, 1),
            "pseudo_labeler__temperature": stats.loguniform(0.01, 1),
            "epochs": stats.randint(1, 4),
            "warmup_epochs": stats.randint(1, 3),
            "update_interval": stats.randint(0, 3),
            "update_rate": stats.uniform(0, 2),
            "sigma": stats.uniform(0.5, 1),
            "batch_size": stats.randint(4, 20),
            "learning_rate": stats.loguniform(1e-5, 1e-2),
            "head_learning_rate": stats.loguniform(1e-4, 1e-2),
            "weight_decay": stats.loguniform(1e-5, 1e-3),
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
    assert search.best_estimator_.epochs == search.best_params_["epochs"]


@pytest.mark.parametrize("resource", ["epochs", "n_samples"])
def test_a_halving_search_spends_more_on_better_candidates(resource, X, y):
    # The default of min_resources counts classes, for which scikit-learn needs a vector y.
    resources = {"epochs": (1, 4), "n_samples": (15, 30)}[resource]
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
    ).fit(paths[:4], y[:4])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.pseudo_labeler_.grid_size == search.best_index_ + 1
    again = clone(classifier).set_params(pseudo_labeler__grid_size=2).pseudo_labeler
    with pytest.MonkeyPatch.context() as context:  # all that the search saw is there
        context.setattr(CLIPEncoder, "encode_views", lambda *_: pytest.fail("encoded again"))
        assert again.fit_transform(paths[:4]).shape == (4, 3)


@pytest.mark.parametrize(("backend", "n_jobs"), [("threading", 4), ("loky", 2)])
def test_parallel_folds_score_as_folds_in_turn(backend, n_jobs, X, y):
    folds = KFold(6, shuffle=True, random_state=0)
    classifier = clone(ON_EMBEDDINGS).set_params(epochs=5)
    expected = cross_val_score(classifier, X, y, cv=folds, error_score="raise")
    with joblib.parallel_config(backend, n_jobs=n_jobs):
        scores = cross_val_score(classifier, X, y, cv=folds, error_score="raise")
    assert_allclose(scores, expected, rtol=1e-9)


# y


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


# Labels that a person gave for some photos and classes


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
    search = GridSearchCV(classifier, {"update_rate": [0.5, 1]}, cv=2)
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
