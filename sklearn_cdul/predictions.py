"""What an estimator says of photos, as arrays whose columns are its classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logit
from sklearn.utils.validation import check_is_fitted

from sklearn_cdul._utils.estimators import final_estimator
from sklearn_cdul.labels.thresholds import check_scores, check_thresholds, find_thresholds
from sklearn_cdul.metrics import label_columns
from sklearn_cdul.targets import check_targets


@dataclass(frozen=True)
class Predictions:
    """Scores of photos, the cuts of their classes and, where they are known, true labels."""

    scores: np.ndarray
    thresholds: np.ndarray
    class_names: list[str]
    targets: np.ndarray | None

    @classmethod
    def of(
        cls,
        scores: ArrayLike,
        y: Any,
        thresholds: ArrayLike | None,
        class_names: Sequence[str],
        *,
        photos: Any = None,
    ) -> "Predictions":
        """Check what a user gives; cuts that are not given are found without labels.

        Rows of `y` that bear names are matched to the photos, if these are given.
        """
        names = list(class_names)
        table = np.asarray(scores, dtype=np.float64)
        if table.ndim != 2 or table.shape[1] != len(names) or not len(table):
            raise ValueError(
                "scores must have one row a photo and one column for each of the "
                f"{len(names)} class_names; got shape {table.shape}."
            )
        check_scores(table)
        if thresholds is None:
            cuts = find_thresholds(table)
        else:
            cuts = check_thresholds(thresholds, len(names))
        targets = None if y is None else known_targets(y, names, photos, table.shape)
        return cls(table, cuts, names, targets)

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any) -> "Predictions":
        """Ask a fitted classifier, or a labeler, whose cuts are found on these photos."""
        model = last_step(estimator)
        if y is not None:  # what is wrong with it is said before the photos are read
            n_photos = X.shape[0] if hasattr(X, "shape") else len(X)
            y = known_targets(y, model.class_names_, X, (n_photos, len(model.class_names_)))
        if hasattr(model, "predict_proba"):
            return cls.of(estimator.predict_proba(X), y, model.thresholds_, model.class_names_)
        return cls.of(estimator.transform(X), y, None, model.class_names_)

    @property
    def margins(self) -> np.ndarray:
        """How far each score is above its cut, in log-odds; of shape (n, k)."""
        return log_odds(self.scores) - log_odds(self.thresholds)

    def column(self, class_name: str) -> int:
        """Position of a class."""
        return find_class(class_name, self.class_names)


def known_targets(
    y: Any, class_names: Sequence[str], photos: Any, shape: tuple[int, ...], *, name: str = "y"
) -> np.ndarray:
    """Return true labels as floats: 1, 0, or NaN where nobody knows."""
    labels = label_columns(check_targets(y, class_names, X=photos, name=name), *shape, name=name)
    targets = np.asarray(labels, dtype=np.float64)
    if not (np.isin(targets, (0, 1)) | np.isnan(targets)).all():
        raise ValueError(f"{name} must hold 1 and 0, and NaN for labels that are not known.")
    return targets


def last_step(estimator: Any) -> Any:
    """Return the estimator that knows the classes: the one found by a search, or a last step."""
    check_is_fitted(estimator)
    model = final_estimator(estimator)
    if not hasattr(model, "class_names_"):
        check_is_fitted(model)
        raise TypeError(
            "Expected a CDULClassifier, a CLIPPseudoLabeler, or a pipeline or search that ends "
            f"with one; got {type(model).__name__}. Of other models displays and reports take the "
            "scores by from_predictions."
        )
    return model


def find_class(class_name: str, class_names: Sequence[str]) -> int:
    """Return the position of a class."""
    names = list(class_names)
    if class_name not in names:
        known = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        raise ValueError(f"There is no class {class_name!r}. The classes are {known}.")
    return names.index(class_name)


def find_classes(classes: str | Sequence[str], class_names: Sequence[str]) -> np.ndarray:
    """Positions (m,) of some classes, or of one; see `find_class`. None at all is an error."""
    chosen = [classes] if isinstance(classes, str) else classes
    if len(chosen) == 0:
        raise ValueError("classes is empty: there is nothing to draw.")
    return np.array([find_class(name, class_names) for name in chosen], dtype=np.intp)


def log_odds(scores: ArrayLike) -> np.ndarray:
    """Log-odds of scores in [0, 1], finite for 0 and 1 too; NaN stays."""
    return logit(np.clip(np.asarray(scores, dtype=np.float64), 1e-6, 1 - 1e-6))
