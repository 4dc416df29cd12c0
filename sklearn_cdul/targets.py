"""Labels as people have them, in data frames or as names, put in the order of the classes."""

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def check_targets(y: Any, class_names: Sequence[str], *, name: str = "y") -> Any:
    """Return labels with one column a class, in the order of the classes.

    Parameters
    ----------
    y : data frame, sequence of names, array-like, sparse matrix or None
        - A data frame (pandas or polars) whose columns bear the names of the classes, in any order.
          Columns that are only numbered from 0 are taken as they stand.
        - For each photo the list, tuple or set of the names of its classes, or one name.
        - Anything else is returned as it is.
    class_names : sequence of str, length k
        The classes.
    name : str, default="y"
        What the labels are called in messages.

    Returns
    -------
    targets : ndarray of shape (n, k), or `y` itself
        float32 from a data frame, NaN where it has no value; int64 from names.

    Raises
    ------
    ValueError
        If columns or names are missing, unknown or repeated; lists them.

    Examples
    --------
    >>> check_targets([["cat"], ["dog", "cat"], []], ["dog", "cat"])
    array([[0, 1],
           [1, 1],
           [0, 0]])
    """
    if hasattr(y, "columns"):
        return match_columns(y, class_names, name=name)
    if not has_names(y):
        return y
    column = {class_name: index for index, class_name in enumerate(class_names)}
    rows = [[row] if isinstance(row, str) else list(row) for row in y]
    if unknown := sorted({str(label) for row in rows for label in row if label not in column}):
        raise ValueError(
            f"{name} has names that are no classes: {_some(unknown)}. The classes are "
            f"{_some(class_names)}."
        )
    targets = np.zeros((len(rows), len(column)), dtype=np.int64)
    for target, row in zip(targets, rows, strict=True):
        target[[column[label] for label in row]] = 1
    return targets


def match_columns(frame: Any, class_names: Sequence[str], *, name: str) -> np.ndarray:
    """Return the values of a data frame, its columns in the order of the classes.

    Parameters
    ----------
    frame : data frame
        Of pandas or polars. Columns that are only numbered from 0 are taken as they stand.
    class_names : sequence of str, length k
        The classes.
    name : str
        What the frame is called in messages.

    Returns
    -------
    values : ndarray of shape (n, k), dtype float32
        NaN where a value is missing.

    Raises
    ------
    ValueError
        If columns are missing, unknown or repeated; lists them.
    """
    columns, names = list(frame.columns), list(class_names)
    if columns != list(range(len(names))):
        wrong = {
            "missing": [column for column in names if column not in columns],
            "unknown": [column for column in columns if column not in names],
            "repeated": [column for column, count in Counter(columns).items() if count > 1],
        }
        if any(wrong.values()):
            found = "; ".join(f"{how}: {_some(which)}" for how, which in wrong.items() if which)
            raise ValueError(
                f"The columns of {name} must be the {len(names)} class names in any order. {found}."
            )
        frame = frame[names]
    if hasattr(frame, "astype"):  # pandas, whose missing values come in several kinds
        return frame.astype("Float32").to_numpy(dtype=np.float32, na_value=np.nan)
    return np.asarray(frame, dtype=np.float32)


def has_names(y: Any) -> bool:
    """Whether labels are names: one a photo, or a list, tuple or set of them.

    Parameters
    ----------
    y : object
        Labels of any kind.

    Returns
    -------
    has_names : bool
    """
    if isinstance(y, str) or not isinstance(y, Iterable):
        return False
    if isinstance(y, np.ndarray) and y.dtype.kind not in "OU":
        return False
    for row in y:
        if isinstance(row, str):
            return True
        if isinstance(row, (list, tuple, set, frozenset, np.ndarray)) and len(row):
            return isinstance(next(iter(row)), str)
    return False


def warn_about_unused(y: Any, class_names: Sequence[str]) -> None:
    """Warn if labels that only serve scores look as if more was expected of them.

    Parameters
    ----------
    y : object
        What was given to ``fit``.
    class_names : sequence of str, length k
        The classes.
    """
    if hasattr(y, "columns"):
        columns = list(y.columns)
        if sorted(map(str, columns)) != sorted(class_names):
            return
        if columns != list(class_names):
            warnings.warn(
                "The columns of y are in another order than the classes. Scores of this package "
                "match them by name, but scorers of scikit-learn take them by position. Give "
                "y[class_names] with the names in the order of the classes.",
                UserWarning,
                stacklevel=3,
            )
        y = match_columns(y, class_names, name="y")
    if not isinstance(y, np.ndarray) or y.dtype.kind not in "if" or y.ndim != 2:
        return
    if y.shape[1] == len(class_names) and not (y >= 0).all():  # NaN is not
        warnings.warn(
            "y has labels that nobody gave (NaN or negative). It serves scores alone: training "
            "never sees it. Labels to train with go into observed=, with NaN for unknown ones.",
            UserWarning,
            stacklevel=3,
        )


def _some(names: Sequence[Any], most: int = 10) -> str:
    shown = ", ".join(repr(name) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
