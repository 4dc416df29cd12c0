"""Scores of scikit-learn on 1, 2, 3 and 20 classes: its scorers get from the classifier what they
compute with, and where none of them serves, the package's own one does.
"""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    get_scorer,
    label_ranking_average_precision_score,
    log_loss,
    make_scorer,
    roc_auc_score,
)
from sklearn.model_selection import (
    KFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.metrics import mean_average_precision, mean_average_precision_scorer

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is the only class"),
    # scikit-learn's log loss expects one class an image.
    pytest.mark.filterwarnings("ignore:The y_prob values do not sum to one"),
    pytest.mark.filterwarnings("ignore:F-score is ill-defined"),
]

ROWS = slice(0, 240, 2)
FOLDS = KFold(3, shuffle=True, random_state=1)  # each shows every class
SCORERS = {
    "average_precision": "average_precision",
    "roc_auc": "roc_auc",
    "neg_log_loss": "neg_log_loss",
    "f1_macro": "f1_macro",
    "f1_micro": "f1_micro",
    "f1_samples": "f1_samples",
    "ranking": make_scorer(
        label_ranking_average_precision_score, response_method="decision_function"
    ),
    "ranking_proba": make_scorer(
        label_ranking_average_precision_score, response_method="predict_proba"
    ),
    "mAP": mean_average_precision_scorer,
    "score": None,
}


def scores_by_hand(classifier, X, y):
    labels, proba = classifier.predict(X), classifier.predict_proba(X)
    logits = classifier.decision_function(X)
    return {
        "average_precision": average_precision_score(y, logits),
        "roc_auc": roc_auc_score(y, logits),
        "neg_log_loss": -log_loss(y, proba),
        "f1_macro": f1_score(y, labels, average="macro"),
        "f1_micro": f1_score(y, labels, average="micro"),
        "f1_samples": f1_score(y, labels, average="samples") if y.shape[1] > 1 else None,
        "ranking": label_ranking_average_precision_score(y, logits),
        "ranking_proba": label_ranking_average_precision_score(y, proba),
        "mAP": mean_average_precision(y, logits),
        "score": mean_average_precision(y, logits),
    }


@pytest.fixture(scope="module")
def X(food_photos, memory):
    labeler = CLIPPseudoLabeler(["photo"], grid_size=1, memory=memory)
    return labeler.embed(food_photos.data[ROWS])[:, 0]


@pytest.fixture(params=[1, 2, 3, 20], ids=lambda k: f"{k} classes")
def k(request):
    return request.param


@pytest.fixture
def y(food_photos, k):
    """Of the k most frequent classes, as columns."""
    return labels_of(food_photos, k)


@pytest.fixture
def classifier(food_photos, k):
    return classifier_of(food_photos, k)


@pytest.fixture
def three(food_photos):
    """A classifier of three classes, and the labels."""
    return classifier_of(food_photos, 3), labels_of(food_photos, 3)


def most_frequent(food_photos, k):
    return np.argsort(-food_photos.target.sum(axis=0))[:k]


def labels_of(food_photos, k):
    return food_photos.target[ROWS, most_frequent(food_photos, k)]


def classifier_of(food_photos, k):
    names = [food_photos.target_names[column] for column in most_frequent(food_photos, k)]
    labeler = CLIPPseudoLabeler(names, input="embeddings")
    return CDULClassifier(pseudo_labeler=labeler, random_state=0)


# scikit-learn's scorers and what calls them


def test_every_scorer_computes_with_the_predictions_of_its_fold(classifier, X, y, k):
    scorers = {name: scorer for name, scorer in SCORERS.items() if name != "f1_samples" or k > 1}
    result = cross_validate(
        classifier,
        X,
        y,
        cv=FOLDS,
        scoring=scorers,
        return_estimator=True,
        return_indices=True,
        error_score="raise",
    )
    for fold, rows in enumerate(result["indices"]["test"]):
        expected = scores_by_hand(result["estimator"][fold], X[rows], y[rows])
        for name in scorers:
            assert np.isfinite(expected[name])
            assert result[f"test_{name}"][fold] == pytest.approx(expected[name], abs=1e-4), name


def test_a_single_class_may_be_a_vector(food_photos, X):
    classifier = classifier_of(food_photos, 1)
    y = labels_of(food_photos, 1)
    for scoring in ("average_precision", "roc_auc", "neg_log_loss", "f1_macro", "f1_micro", None):
        column = cross_val_score(classifier, X, y, cv=FOLDS, scoring=scoring)
        assert np.isfinite(column).all()
        vector = cross_val_score(classifier, X, y.ravel(), cv=FOLDS, scoring=scoring)
        np.testing.assert_array_equal(vector, column)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_predictions_for_each_photo_come_from_the_fold_that_left_it_out(
    classifier, X, y, k, method
):
    predicted = cross_val_predict(classifier, X, y, cv=FOLDS, method=method)
    assert predicted.shape == (len(X), k)
    for train, test in FOLDS.split(X):
        expected = getattr(clone(classifier).fit(X[train]), method)(X[test])
        np.testing.assert_array_equal(predicted[test], expected)


def test_the_learning_curve_ends_at_the_score_of_cross_validation(classifier, X, y):
    sizes, train_scores, test_scores = learning_curve(
        classifier, X, y, cv=FOLDS, train_sizes=[0.1, 1.0], error_score="raise"
    )
    assert sizes.tolist() == [8, 80]
    assert np.isfinite(train_scores).all()
    np.testing.assert_array_equal(test_scores[1], cross_val_score(classifier, X, y, cv=FOLDS))


def test_a_shuffled_learning_curve_is_reproducible(three, X):
    classifier, y = three
    options = {"cv": FOLDS, "train_sizes": [20, 60], "shuffle": True, "random_state": 0}
    _, _, first = learning_curve(classifier, X, y, **options)
    _, _, second = learning_curve(classifier, X, y, **options)
    np.testing.assert_array_equal(first, second)
    assert np.isfinite(first).all()


def test_labels_that_are_permuted_score_worse(three, X):
    classifier, y = three
    score, permuted, p_value = permutation_test_score(
        classifier, X, y, cv=FOLDS, n_permutations=9, random_state=0
    )
    assert score == pytest.approx(cross_val_score(classifier, X, y, cv=FOLDS).mean())
    assert score > permuted.max()
    assert p_value == pytest.approx(1 / 10)


# Classes that a fold does not show


def test_a_class_absent_from_a_fold_is_left_out_of_the_score(three, X):
    classifier, y = three
    y = y.copy()
    y[40:, 1] = 0  # only in the first fold
    result = cross_validate(
        classifier,
        X,
        y,
        cv=KFold(3),
        scoring={"score": None, "mAP": mean_average_precision_scorer},
        return_estimator=True,
        return_indices=True,
        error_score="raise",
    )
    for fold, rows in enumerate(result["indices"]["test"]):
        shown = [0, 1, 2] if fold == 0 else [0, 2]
        logits = result["estimator"][fold].decision_function(X[rows])
        expected = average_precision_score(y[rows][:, shown], logits[:, shown])
        assert result["test_score"][fold] == pytest.approx(expected)
        assert result["test_mAP"][fold] == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:No positive class found")
@pytest.mark.filterwarnings("ignore:Only one class is present")
@pytest.mark.filterwarnings("ignore:Scoring failed")
def test_scikit_learn_counts_a_class_absent_from_a_fold_as_0_or_has_no_score(three, X):
    classifier, y = three
    y = y.copy()
    y[:, 1] = 0
    classifier.fit(X)
    ours = mean_average_precision_scorer(classifier, X, y)
    assert get_scorer("average_precision")(classifier, X, y) == pytest.approx(ours * 2 / 3)
    assert np.isnan(cross_val_score(classifier, X, y, cv=FOLDS, scoring="roc_auc")).all()


def test_a_fold_without_any_class_has_no_score_and_says_so(three, X):
    classifier, y = three
    y = y.copy()
    y[:40] = 0
    with pytest.raises(ValueError, match="No class has 1 or more positives"):
        cross_val_score(classifier, X, y, cv=KFold(3), error_score="raise")
    with pytest.warns(UserWarning, match="Scoring failed"):
        scores = cross_val_score(classifier, X, y, cv=KFold(3))
    assert np.isnan(scores).tolist() == [True, False, False]


def test_log_loss_of_scikit_learn_forgives_false_alarms():
    """It takes each row for the one class of an image, so it is no score for several."""
    y = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 1]])
    assert log_loss(y, np.ones((3, 3))) == pytest.approx(0)


# The package's scorer


def test_the_scorer_serves_other_classifiers_and_pipelines(three, X):
    _, y = three
    train, test = slice(None, None, 2), slice(1, None, 2)
    by_logits = make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression()))
    by_logits.fit(X[train], y[train])
    expected = mean_average_precision(y[test], by_logits.decision_function(X[test]))
    assert mean_average_precision_scorer(by_logits, X[test], y[test]) == expected

    # One array a class instead of columns, and no decision function.
    by_lists = KNeighborsClassifier().fit(X[train], y[train])
    proba = np.column_stack([p[:, 1] for p in by_lists.predict_proba(X[test])])
    expected = mean_average_precision(y[test], proba)
    assert mean_average_precision_scorer(by_lists, X[test], y[test]) == expected

    binary = LogisticRegression().fit(X[train], y[train, 0])
    expected = average_precision_score(y[test, 0], binary.decision_function(X[test]))
    assert mean_average_precision_scorer(binary, X[test], y[test, 0]) == pytest.approx(expected)


def test_rows_of_unreadable_photos_are_left_out(three, X):
    classifier, y = three
    classifier.set_params(pseudo_labeler__on_error="nan").fit(X)
    labeler = classifier.pseudo_labeler_
    broken = X.copy()
    broken[[3, 30]] = np.nan
    rest = np.delete(np.arange(len(X)), [3, 30])
    for estimator in (classifier, labeler):
        assert estimator.score(broken, y) == estimator.score(X[rest], y[rest])
    assert mean_average_precision_scorer(classifier, broken, y) == classifier.score(broken, y)
    with pytest.raises(ValueError, match="NaN"):
        get_scorer("average_precision")(classifier, broken, y)


# y


@pytest.mark.parametrize("which", ["classifier", "labeler"])
def test_without_labels_score_says_what_it_needs(which, three, X):
    estimator = three[0] if which == "classifier" else three[0].pseudo_labeler
    estimator.fit(X)
    for score in (estimator.score, lambda X: estimator.score(X, None)):
        with pytest.raises(ValueError, match=r"give y, an array of shape \(n, k\) with 1 where"):
            score(X)
    with pytest.raises(ValueError, match="give y"):
        cross_val_score(estimator, X, cv=3, error_score="raise")


@pytest.mark.parametrize(
    "convert", [np.ndarray.tolist, pd.DataFrame, csr_array, lambda y: y.astype(bool)]
)
def test_labels_may_come_in_any_container(convert, three, X):
    classifier, y = three
    classifier.fit(X, convert(y))
    assert classifier.score(X, convert(y)) == classifier.score(X, y)
    assert mean_average_precision_scorer(classifier, X, convert(y)) == classifier.score(X, y)


def test_a_vector_holds_the_one_class_of_each_photo(three, X):
    classifier, _ = three
    column = np.arange(len(X)) % 3
    classifier.fit(X)
    assert classifier.score(X, column) == classifier.score(X, np.eye(3)[column])
    with pytest.raises(ValueError, match="as a column from 0 to 2"):
        classifier.score(X, column + 1)


@pytest.mark.parametrize("which", ["classifier", "labeler"])
def test_weights_of_photos_count_in_the_score(which, three, X):
    classifier, y = three
    estimator = classifier if which == "classifier" else classifier.pseudo_labeler
    estimator.fit(X)
    weights = np.arange(len(X)) % 3
    rows = np.repeat(np.arange(len(X)), weights)
    weighted = estimator.score(X, y, sample_weight=weights)
    assert weighted == pytest.approx(estimator.score(X[rows], y[rows]))
    assert weighted != estimator.score(X, y)
