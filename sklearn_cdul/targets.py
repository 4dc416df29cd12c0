"""Labels as people have them, in data frames or as names, put in the order of the classes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from sklearn_cdul.exceptions import warn


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
    rows = []
    for index, row in enumerate(y):
        if not isinstance(row, (str, Iterable)):
            raise ValueError(
                f"{name} has no names for photo {index} ({row!r}). Leave out photos whose labels "
                "are not known; a photo of no class has an empty list."
            )
        rows.append([row] if isinstance(row, str) else list(row))
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
    names = list(class_names)
    columns = frame.collect_schema().names() if hasattr(frame, "collect") else list(frame.columns)
    if columns != list(range(len(names))):
        wrong = {
            "missing": [column for column in names if column not in columns],
            "unknown": [column for column in columns if column not in names],
            "repeated": [column for column, count in Counter(columns).items() if count > 1],
        }
        if len(columns) == 1 and len(names) > 1:
            raise ValueError(
                f"{name} has the one column {columns[0]!r}, but needs one for each of the "
                f"{len(names)} classes. If it holds names, give {name}[{columns[0]!r}]."
            )
        if any(wrong.values()):
            found = "; ".join(f"{how}: {_some(which)}" for how, which in wrong.items() if which)
            raise ValueError(
                f"The columns of {name} must be the {len(names)} class names in any order. {found}."
            )
        frame = frame.select(names) if hasattr(frame, "collect") else frame[names]
    if hasattr(frame, "collect"):  # a lazy frame of polars
        frame = frame.collect()
    try:
        if hasattr(frame, "astype"):  # pandas, whose missing values come in several kinds
            return frame.astype("Float32").to_numpy(dtype=np.float32, na_value=np.nan)
        return np.asarray(frame, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold 1 and 0, and has something else: {error}.") from error


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
    if isinstance(y, str) or not (isinstance(y, Sequence) or hasattr(y, "__array__")):
        return False  # sparse matrices and generators among them
    if isinstance(y, np.ndarray) and (y.ndim != 1 or y.dtype.kind not in "OUT"):
        return False
    for row in y:
        if isinstance(row, str):
            return True
        if isinstance(row, Iterable):
            first = next(iter(row), None)
            if first is not None:
                return isinstance(first, str)
    return False


def warn_about_scores(y: Any, class_names: Sequence[str]) -> None:
    """Warn of labels that would give wrong scores, or that were meant to be trained with.

    Parameters
    ----------
    y : object
        What was given to ``fit``.
    class_names : sequence of str, length k
        The classes.
    """
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


def _some(names: Sequence[Any], most: int = 10) -> str:
    shown = ", ".join(repr(name) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
