"""Mean average precision, the figure that papers on multi-label images report."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.metrics import average_precision_score, make_scorer

from sklearn_cdul._utils.docstrings import filled_with
from sklearn_cdul._utils.estimators import final_estimator
from sklearn_cdul.targets import read_targets
from sklearn_cdul.targets.rows import index_of, look_like_paths

_documented = filled_with(
    {
        "y_true": """\
y_true : array-like or sparse matrix of shape (n, k), or array-like of shape (n,)
    True labels, 1 or 0 (or bool), NaN where unknown: a class is scored on the images whose label of
    it is known. A vector is read as one class.""",
        "sample_weight": """\
sample_weight : array-like of shape (n,) or None, default=None
    Weight of each image, at least 0. Images of weight 0 are left out.""",
    }
)


@_documented
def mean_average_precision(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    min_positives: int = 1,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Average precision of each class, averaged over the classes.

    Each class counts the same, however many positives it has. Classes with too few positives
    are left out: scikit-learn's ``average_precision_score(average="macro")`` would count a
    class without any as 0.

    Parameters
    ----------
    {y_true}
    y_score : array-like of shape (n, k) or (n,)
        Scores of any range, higher for a more likely label: probabilities or logits.
    min_positives : int, default=1
        Leave out classes with fewer positives than this. Few positives make the average
        precision of a class uncertain.
    {sample_weight}

    Returns
    -------
    score : float
        Mean average precision in (0, 1].

    Raises
    ------
    ValueError
        If the shapes differ, `y_true` has other values than 0, 1 and NaN, `y_score` is not finite,
        a weight is negative, `min_positives` is below 1, or no class has enough positives.

    See Also
    --------
    average_precision_per_class : The figures before the mean is taken.
    mean_average_precision_scorer : For the ``scoring`` of scikit-learn's searches.

    Examples
    --------
    >>> y_true = [[1, 0, 0], [0, 1, 0], [1, 1, 0]]
    >>> y_score = [[0.9, 0.2, 0.1], [0.3, 0.1, 0.5], [0.8, 0.7, 0.3]]
    >>> round(mean_average_precision(y_true, y_score), 4)  # mean of 1 and 5/6
    0.9167
    """
    if min_positives < 1:
        raise ValueError(f"min_positives must be at least 1, got {min_positives}.")
    labels, scores, weights = _check(y_true, y_score, sample_weight)
    per_class = _average_precision(labels, scores, weights)
    positives = (labels == 1).sum(axis=0)
    counted = positives >= min_positives
    if not counted.any():
        raise ValueError(
            f"No class has {min_positives} or more positives in y_true "
            f"({len(per_class)} classes, the most frequent has {int(positives.max(initial=0))})."
        )
    return float(per_class[counted].mean())


@_documented
def average_precision_per_class(
    y_true: ArrayLike, y_score: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> np.ndarray:
    """Average precision of each class on its own.

    Parameters
    ----------
    {y_true}
    y_score : array-like of shape (n, k) or (n,)
        Scores of any range, higher for a more likely label.
    {sample_weight}

    Returns
    -------
    scores : ndarray of shape (k,), dtype float64
        In (0, 1]; NaN for a class without positives, where it is not defined.

    Raises
    ------
    ValueError
        If the shapes differ, `y_true` has other values than 0, 1 and NaN, `y_score` is not finite,
        or a weight is negative.

    Examples
    --------
    >>> average_precision_per_class([[1, 0], [0, 0]], [[0.7, 0.2], [0.1, 0.4]])
    array([ 1., nan])
    """
    return _average_precision(*_check(y_true, y_score, sample_weight))


def _check(
    y_true: ArrayLike, y_score: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores and weights of the images with a weight."""
    for axis in ("columns", "index"):
        given: list[Any] = [getattr(values, axis, None) for values in (y_true, y_score)]
        if all(hasattr(one, "equals") for one in given) and not given[0].equals(given[1]):
            raise ValueError(f"The {axis} of y_true and of y_score differ, or their order does.")
    index = index_of(y_true)
    if index is not None and index_of(y_score) is None and look_like_paths(list(index)):
        raise ValueError(
            "y_true has paths as its index, and y_score none to match. If both have the same "
            "order, give y_true.to_numpy()."
        )
    labels, scores = _as_columns(y_true).astype(np.float64), _as_columns(y_score)
    if labels.shape != scores.shape:
        raise ValueError(
            f"y_true and y_score must have the same shape, got {np.shape(y_true)} and "
            f"{np.shape(y_score)}."
        )
    if not (np.isin(labels, (0, 1)) | np.isnan(labels)).all():
        raise ValueError("y_true must hold only 0 and 1, and NaN for labels that are not known.")
    if len(bad_rows := np.flatnonzero(~np.isfinite(scores).all(axis=1))):
        raise ValueError(
            f"y_score has NaN or infinite values in {len(bad_rows)} of {len(scores)} rows, the "
            f"first in row {bad_rows[0]}. Images that could not be read have NaN scores; leave "
            "their rows out of y_true and y_score."
        )
    weights = _weights(sample_weight, len(labels))
    return labels[weights > 0], scores[weights > 0], weights[weights > 0]


def _average_precision(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    result = np.full(labels.shape[1], np.nan)
    for column in np.flatnonzero((labels == 1).any(axis=0)):
        rows = ~np.isnan(labels[:, column])
        result[column] = average_precision_score(
            labels[rows, column], scores[rows, column], sample_weight=weights[rows]
        )
    return result


def score_readable(
    y_true: ArrayLike,
    y_score: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    if_none: float | None = None,
) -> float:
    """Mean average precision over the images that could be read: rows of NaN are left out."""
    scores = _as_columns(y_score)
    readable = ~np.isnan(scores).any(axis=1)
    labels = read_targets(_dense(y_true), [str(i) for i in range(scores.shape[1])], scores)
    positive = labels == 1
    if positive.any() and not positive[readable].any():
        if if_none is not None:
            return if_none
        raise ValueError(
            f"None of the images with a positive label could be read ({readable.sum()} of "
            f"{len(readable)} could), so there is no score."
        )
    weights = _weights(sample_weight, len(labels))
    return mean_average_precision(
        labels[readable], scores[readable], sample_weight=weights[readable]
    )


class _NamedColumnsScorer(type(make_scorer(score_readable))):  # type: ignore[misc]
    """Puts the columns of a data frame in the order of the classifier's classes first."""

    def _score(self, method_caller, estimator, X, y_true, **kwargs):
        inner = final_estimator(estimator)
        if hasattr(inner, "class_names_"):
            y_true = read_targets(y_true, inner.class_names_, X)
        return super()._score(method_caller, estimator, X, y_true, **kwargs)


mean_average_precision_scorer = _NamedColumnsScorer(
    score_readable, 1, {}, response_method=("decision_function", "predict_proba")
)
"""Scorer for ``scoring=`` of searches and cross-validation: mean average precision.

It is what ``CDULClassifier.score`` computes, and serves any multi-label classifier and pipeline:
for several figures at once and for comparisons. Of scikit-learn's "average_precision" it differs in
three points: a class that no image of a fold shows is left out, not counted as 0; so are images
that could not be read, and labels that are not known; and labels are matched to the classes and
images by name.

Examples
--------
>>> from sklearn.model_selection import GridSearchCV
>>> from sklearn_cdul import CDULClassifier
>>> from sklearn_cdul.metrics import mean_average_precision_scorer
>>> search = GridSearchCV(
...     CDULClassifier(["pizza", "cake"]),
...     {"n_neighbors": [10, 20]},
...     scoring={"mAP": mean_average_precision_scorer, "F1": "f1_macro"},
...     refit="mAP",
... )
"""


def _dense(values: ArrayLike) -> np.ndarray:
    sparse: Any = values
    return sparse.toarray() if issparse(values) else np.asarray(values)


def _weights(sample_weight: ArrayLike | None, n_images: int) -> np.ndarray:
    if sample_weight is None:
        return np.ones(n_images)
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != (n_images,) or not (weights >= 0).all():
        raise ValueError(
            f"sample_weight must hold a number of at least 0 for each of the {n_images} images."
        )
    return weights


def _as_columns(values: ArrayLike) -> np.ndarray:
    array = _dense(values)
    if array.dtype.kind not in "biuf":  # numbers as objects or text, of a table
        array = array.astype(np.float64)
    if array.ndim not in (1, 2):
        raise ValueError(f"Expected an array of shape (n, k) or (n,), got shape {array.shape}.")
    return array[:, np.newaxis] if array.ndim == 1 else array
