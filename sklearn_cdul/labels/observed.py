"""Check the labels that training begins with: those of a labeler, and those that a person gave."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sklearn_cdul.labels.thresholds import ROUNDING
from sklearn_cdul.targets import has_names, match_columns


def check_observed(observed: Any, n_images: int, class_names: Sequence[str]) -> np.ndarray | None:
    """Return observed labels as an array, NaN where a label is unobserved.

    Parameters
    ----------
    observed : array-like of shape (n_images, k), data frame or None
        1, 0, or NaN. The columns of a data frame must bear the names of the classes, in any order.
    n_images : int
        The number of images n.
    class_names : sequence of str, length k
        The classes.

    Returns
    -------
    observed : ndarray of shape (n_images, k), dtype float32, or None
        None for None.

    Raises
    ------
    ValueError
        If the shape, the names or a value is wrong; says which.
    """
    shape = (n_images, len(class_names))
    if observed is None:
        return None
    if hasattr(observed, "columns"):
        observed = match_columns(observed, class_names, name="observed")
    elif has_names(observed):
        raise ValueError(
            "observed holds names, which do not say whether the other classes are absent or "
            "nobody looked. If they are absent, write check_targets(observed, class_names) with "
            "check_targets from sklearn_cdul.targets; else make a data frame with NaN for them."
        )
    values = np.asarray(observed, dtype=np.float32)
    if values.shape != shape:
        raise ValueError(
            f"observed must have one row an image and one column a class, shape {shape}; "
            f"got {values.shape}."
        )
    wrong = ~(np.isnan(values) | (values == 0) | (values == 1))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(
            f"observed may hold 1, 0 and NaN, which stands for a label that nobody gave; got "
            f"{values[row, column]} in row {row}, column {column} ({class_names[column]})."
        )
    return values


def check_labels(labels: np.ndarray, shape: tuple[int, int], *, may_be_nan: bool) -> None:
    """Refuse what a labeler gave if it can't be labels; those of the package are always fine.

    Parameters
    ----------
    labels : ndarray
        Soft labels.
    shape : tuple (n, k)
        What their shape must be.
    may_be_nan : bool
        Whether NaN rows stand for images that could not be read.

    Raises
    ------
    ValueError
        If the shape is another, or a value is NaN or outside [0, 1]; names the first.
    """
    if labels.shape != shape:
        raise ValueError(
            f"The labeler's transform must give one row an image and one column a class, shape "
            f"{shape}; it gave {labels.shape}."
        )
    sound = (labels >= -ROUNDING) & (labels <= 1 + ROUNDING)
    if may_be_nan:
        sound |= np.isnan(labels).all(axis=1, keepdims=True)
    if not sound.all():
        row, column = np.argwhere(~sound)[0]
        raise ValueError(
            f"The labeler's transform must give labels in [0, 1]; it gave {labels[row, column]} "
            f"for X[{row}], column {column}."
        )
