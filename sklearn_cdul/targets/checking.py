"""Check labels wherever they enter: matched by name, 1, 0 or unknown, a row for each photo."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sklearn_cdul.exceptions import warn
from sklearn_cdul.targets.rows import place_rows
from sklearn_cdul.targets.tables import read_table


def check_targets(y: Any, class_names: Sequence[str], *, X: Any = None, name: str = "y") -> Any:
    """Return labels with one column a class, in the order of the classes.

    Parameters
    ----------
    y : path of a CSV file, data frame, mapping, sequence of names, array-like or None
        - For each photo the list, tuple or set of the names of its classes, or one name: all other
          classes are absent. None stands for a photo that nobody looked at.
        - A mapping from paths of photos to such names.
        - A data frame (pandas or polars) whose columns bear names of classes, in any order, and
          hold 1, 0, or nothing where a label is not known. A class without a column is not known
          for any photo. Columns that are only numbered from 0 are taken as they stand.
        - A data frame with the names of each photo in a column "labels", as lists or as text with
          semicolons.
        - The path of a CSV file (UTF-8) with such columns, as the page of `LabelReport` saves it.
        - Anything else has no names and is returned as it is.
    class_names : sequence of str, length k
        The classes.
    X : sequence of images, array of embeddings or None, default=None
        The n photos. The rows of `y` are matched to them by a column "path" (or "filename",
        "file_name", "image"), by a column "row" with positions in X, or by the index, if both are
        of pandas or the index holds paths. Otherwise they must be in the order of X. Of a path as
        much is needed as tells it from others: "a.jpg" is "photos/a.jpg". None returns the rows
        of `y` in their order.
    name : str, default="y"
        What the labels are called in messages.

    Returns
    -------
    targets : ndarray of shape (n, k), or `y` itself
        1 and 0. int64 if all are known, else float32 with NaN for those that are not.

    Raises
    ------
    ValueError
        If columns or names are unknown or repeated, a value is neither 1 nor 0, or rows can't be
        matched; says which.
    OSError
        If the file can't be read.

    Warns
    -----
    UserWarning
        If some rows are of photos that are not in X while other photos have no row.

    Examples
    --------
    >>> check_targets([["cat"], ["dog", "cat"], []], ["dog", "cat"])
    array([[0, 1],
           [1, 1],
           [0, 0]])
    >>> check_targets({"b.jpg": "cat"}, ["dog", "cat"], X=["pets/a.jpg", "pets/b.jpg"])
    array([[nan, nan],
           [ 0.,  1.]], dtype=float32)
    """
    table = read_table(y, class_names, name)
    if table is None:
        return y
    values = table.values
    _check_values(values, class_names, name)
    if X is not None:
        values = place_rows(
            values, X, kind=table.kind, keys=table.keys, class_names=class_names, name=name
        )
    return values if np.isnan(values).any() else values.astype(np.int64)


def check_observed(observed: Any, X: Any, class_names: Sequence[str]) -> np.ndarray | None:
    """Return observed labels as an array, NaN where a label is unobserved."""
    if observed is None:
        return None
    shape = (len(X), len(class_names))
    values = check_targets(observed, class_names, X=X, name="observed")
    values = np.asarray(values, dtype=np.float32)
    if values.shape != shape:
        raise ValueError(
            f"observed must have one row an image and one column a class, shape {shape}; "
            f"got {values.shape}."
        )
    _check_values(values, class_names, "observed")
    return values


def _check_values(values: np.ndarray, class_names: Sequence[str], name: str) -> None:
    wrong = ~(np.isnan(values) | (values == 0) | (values == 1))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(
            f"{name} may hold 1, 0 and NaN, which stands for a label that nobody gave; got "
            f"{values[row, column]} in row {row}, column {column} ({class_names[column]})."
        )


def warn_about_scores(y: Any, class_names: Sequence[str]) -> None:
    """Warn of labels that would give wrong scores, or that were meant to be trained with."""
    if hasattr(y, "columns"):
        columns = [str(column) for column in y.columns]
        if columns == list(class_names) or sorted(columns) != sorted(class_names):
            return
        warn(
            "The columns of y are in another order than the classes. Scores of this package match "
            "them by name, but scorers of scikit-learn take them by position. Give y[class_names] "
            "with the names in the order of the classes.",
        )
    elif isinstance(y, np.ndarray) and y.dtype.kind in "if" and y.shape[1:] == (len(class_names),):
        if (y >= 0).all():  # NaN is not
            return
        warn(
            "y has labels that nobody gave (NaN or negative). It serves scores alone: training "
            "never sees it. Labels to train with go into observed=, with NaN for unknown ones.",
        )
