"""What a model predicts for photos, as arrays with one column per class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logit
from sklearn.utils.validation import check_is_fitted

from sklearn_cdul._utils.estimators import final_estimator
from sklearn_cdul.images.items import Photos, check_images
from sklearn_cdul.labels.thresholds import check_scores, check_thresholds, find_thresholds
from sklearn_cdul.targets import read_targets
from sklearn_cdul.targets.reading import in_order

# What the docstrings of displays and of reports say of the same parameters.
TEXTS = {
    "estimator": """\
estimator : CDULClassifier, CLIPPseudoLabeler, or a pipeline or search that ends with one
    Fitted; or an ONNXClassifier. The scores of a classifier are its probabilities, with its
    ``thresholds_``. Those of a labeler are its soft labels, with the thresholds that
    :func:`~sklearn_cdul.labels.find_thresholds` finds in those of X.""",
    "X": """\
X : sequence of images, or what the estimator takes
    n photos.""",
    "y": """\
y : array of shape (n, k) or (n,), names of each photo, data frame, CSV file or None
    True labels as ``score`` takes them. Those that name their photos by path are matched by it,
    and refused where the photos are not given.""",
    "scores": """\
scores : array-like of shape (n, k)
    Probabilities or soft labels in [0, 1]. Rows with NaN are ignored.""",
    "class_names": """\
class_names : sequence of str, length k
    The classes.""",
    "thresholds": """\
thresholds : float, array-like of shape (k,) or None, default=None
    Scores from which a class counts as found. None finds them in the scores, see
    :func:`~sklearn_cdul.labels.find_thresholds`.""",
}


@dataclass(frozen=True)
class Predictions:
    """Scores of photos, the thresholds of their classes and, where they are known, true labels."""

    scores: np.ndarray
    thresholds: np.ndarray
    class_names: list[str]
    targets: np.ndarray | None

    @classmethod
    def of(
        cls, scores: ArrayLike, y: Any, thresholds: Any, names: Sequence[str], photos: Any = None
    ) -> "Predictions":
        """Check what a user gives; thresholds that are not given are found without labels."""
        names = list(names)
        table = check_table(scores, names, photos, name="scores")
        check_scores(table)
        if thresholds is None:
            thresholds = find_thresholds(table)
        elif hasattr(thresholds, "reindex") and set(thresholds.index) == set(names):
            thresholds = thresholds[names]
        targets = None if y is None else known_targets(y, names, scores, photos)
        return cls(table, check_thresholds(thresholds, len(names)), names, targets)

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any = None, *, photos: Any = None
    ) -> "Predictions":
        """Ask a fitted classifier, or a labeler, whose thresholds are found on these photos."""
        model = last_step(estimator)
        if y is not None:  # what is wrong with it is said before the photos are read
            y = known_targets(y, model.class_names_, X, photos)
        if hasattr(model, "predict_proba"):
            return cls.of(estimator.predict_proba(X), y, model.thresholds_, model.class_names_)
        return cls.of(estimator.transform(X), y, None, model.class_names_)

    @property
    def margins(self) -> np.ndarray:
        """How far each score is above its threshold, in log-odds; of shape (n, k)."""
        return log_odds(self.scores) - log_odds(self.thresholds)


def check_table(
    scores: ArrayLike, class_names: Sequence[str], photos: Any = None, *, name: str
) -> np.ndarray:
    """Return scores as an array with a column for each class, in the order of the photos."""
    table = np.asarray(in_order(scores, class_names, name=name), dtype=np.float64)
    if photos is not None and hasattr(scores, "columns"):
        matched = in_order(scores, class_names, photos, name=name)
        if not np.array_equal(table, matched, equal_nan=True):
            raise ValueError(f"The index of {name} has another order than the photos.")
    if table.ndim != 2 or table.shape[1] != len(class_names) or not len(table):
        raise ValueError(
            f"{name} must have one row per photo and one column for each of the "
            f"{len(class_names)} class_names; got shape {table.shape}."
        )
    return table


def known_targets(
    y: Any, class_names: Sequence[str], X: Any, photos: Any = None, *, name: str = "y"
) -> np.ndarray:
    """Read labels (n, k), matched by the paths of the photos or by the index of X."""
    rows = X if photos is None or hasattr(X, "iloc") else photos
    return read_targets(y, class_names, rows, name=name)


def last_step(estimator: Any) -> Any:
    """Return the estimator that knows the classes: the one found by a search, or a last step."""
    model = final_estimator(estimator)
    if not hasattr(model, "class_names_"):
        check_is_fitted(estimator)
        check_is_fitted(model)
        raise TypeError(
            "Expected a CDULClassifier, a CLIPPseudoLabeler, or a pipeline or search that ends "
            f"with one; got {type(model).__name__}. For other models use from_predictions."
        )
    return model


def pass_steps(estimator: Any, X: Any) -> Any:
    """Return X as the last step of searches and pipelines gets it from the steps before."""
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif hasattr(estimator, "steps"):
            X = estimator[:-1].transform(X) if len(estimator) > 1 else X
            estimator = estimator[-1]
        else:
            return X


def find_classes(classes: str | Sequence[str], class_names: Sequence[str]) -> np.ndarray:
    """Positions (m,) of some classes, or of one. A name that is no class, or none, is an error."""
    names, chosen = list(class_names), [classes] if isinstance(classes, str) else classes
    if len(chosen) == 0:
        raise ValueError("classes is empty: there is nothing to draw.")
    for name in chosen:
        if name not in names:
            known = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
            raise ValueError(f"There is no class {name!r}. The classes are {known}.")
    return np.array([names.index(name) for name in chosen], dtype=np.intp)


def check_photos(photos: Any, n_scores: int) -> Photos:
    """Return photos as a list, as many as there are scores."""
    checked = check_images(photos)
    if len(checked) != n_scores:
        raise ValueError(f"There are {len(checked)} photos, but {n_scores} rows of scores.")
    return checked


def log_odds(scores: ArrayLike) -> np.ndarray:
    """Log-odds of scores in [0, 1], finite for 0 and 1 too; NaN stays."""
    return logit(np.clip(np.asarray(scores, dtype=np.float64), 1e-6, 1 - 1e-6))
