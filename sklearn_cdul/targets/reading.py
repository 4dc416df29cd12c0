"""The one door for labels: every form in which people have them becomes one array."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sklearn_cdul.exceptions import warn
from sklearn_cdul.images.items import check_images
from sklearn_cdul.targets.rows import match_index, match_rows
from sklearn_cdul.targets.tables import read_table


def read_targets(
    y: Any, class_names: Sequence[str], X: Any = None, *, name: str = "y"
) -> np.ndarray:
    """Return labels as an array with one row per image and one column per class.

    Parameters
    ----------
    y : array-like, data frame, names of each image, mapping or path of a CSV file
        - An array, sparse matrix or tensor of shape (n, k) with 1, 0, or NaN where a label is not
          known; what is masked is not known. A vector of shape (n,) holds the one class of each
          image, as its column; with a single class, 1 or 0.
        - For each image the list, tuple or set of the names of its classes, or text with semicolons
          between them: all other classes are absent. None stands for an image that nobody looked
          at.
        - A mapping from paths of images to such names, or to 1 and 0.
        - A data frame (pandas, polars) or table (pyarrow) whose columns bear names of classes, in
          any order, and hold 1, 0, or nothing where a label is not known. A class without a column
          is not known for any image. Columns that are only numbered from 0 are taken as they stand.
        - A data frame with the names of each image in a column "labels", as lists or as text with
          semicolons.
        - The path of a CSV file (UTF-8) with such columns, as the page of `LabelReport` saves it.
    class_names : sequence of str, length k
        The classes.
    X : sequence of images, array of embeddings or None, default=None
        The n images. The rows of `y` are matched to them by a column with paths, best called "path"
        (or "filename", "file_name", "image"), by a column "row" with positions in X, or by the
        index, if both are of pandas or the index holds paths. Otherwise they must be in the order
        of X. Of a path as much is needed as tells it from others: "a.jpg" or "a" is
        "photos/a.jpg"; those in a file may be relative to it. Paths that match no image are an
        error. With None the rows of `y` stay in their order, and no column may say by path or
        position of which image they are.
    name : str, default="y"
        What the labels are called in messages.

    Returns
    -------
    targets : ndarray of shape (n, k), dtype float32
        1, 0, or NaN where a label is not known.

    Raises
    ------
    ValueError
        If columns or names are unknown or repeated, a value is neither 1, 0 nor NaN, the shape is
        another, or rows can't be matched; says which.
    OSError
        If the file can't be read.

    Warns
    -----
    UserWarning
        If some rows are of images that are not in X while other images have no row.

    Examples
    --------
    >>> read_targets([["cat"], ["dog", "cat"], []], ["dog", "cat"])
    array([[0., 1.],
           [1., 1.],
           [0., 0.]], dtype=float32)
    >>> read_targets({"b.jpg": "cat"}, ["dog", "cat"], X=["pets/a.jpg", "pets/b.jpg"])
    array([[nan, nan],
           [ 0.,  1.]], dtype=float32)
    """
    if y is None:
        raise ValueError(
            f"There are no labels: give {name}, an array of shape (n, k) with 1 where the class is "
            "in the image, or another form of labels."
        )
    if isinstance(y, (str, os.PathLike)):
        name = f"{name} ({os.fspath(y)})"
    table = read_table(y, class_names, name)
    if X is None and table.kind in ("path", "row"):
        raise ValueError(
            f"{name} says by {table.kind} of which image a row is, but there are no images to "
            "match. Give labels in the order of the images; load_csv reads a file with its paths."
        )
    n_images = len(table.values) if X is None else _count(X)
    if table.kind == "index":
        table = match_index(table, X, name)
    shape, found = (n_images, len(class_names)), table.values.shape
    if found[1:] != shape[1:] or (table.kind is None and found != shape):
        raise ValueError(
            f"{name} must have shape {shape}, one row per image and one column per class; got "
            f"{found}. Labels of some images need a column 'path', or an index that X has."
        )
    wrong = np.argwhere(~np.isin(table.values, (0, 1)) & ~np.isnan(table.values))
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(
            f"{name} must hold 1, 0, or NaN where a label is not known; got "
            f"{table.values[row, column]} in {table.where(row)}, column {column} "
            f"({class_names[column]})."
        )
    if table.kind is not None:
        return match_rows(table, X, n_images, class_names, name).astype(np.float32)
    return table.values.astype(np.float32, copy=False)


def in_order(scores: Any, class_names: Sequence[str], X: Any = None, *, name: str) -> Any:
    """Scores of a data frame as an array, in the order of the classes and of X; others as given."""
    if not (hasattr(scores, "columns") or isinstance(scores, Mapping)):
        return scores
    table = read_table(scores, class_names, name)
    table = match_index(table, X, name) if table.kind == "index" else table
    known = table.kind is not None
    return match_rows(table, X, _count(X), class_names, name) if known else table.values


def _count(X: Any) -> int:
    if getattr(X, "shape", None):
        return X.shape[0]
    if isinstance(X, (str, bytes, os.PathLike)) or not hasattr(X, "__len__"):
        check_images(X)  # an error, which says what X must be
    return len(X)


def warn_about_scores(y: Any, class_names: Sequence[str]) -> None:
    """Warn of labels that would give wrong scores, or that were meant to be trained with."""
    if hasattr(y, "columns"):
        columns = [str(column) for column in y.columns]
        if columns != list(class_names) and sorted(columns) == sorted(class_names):
            warn(
                "The columns of y are in another order than the classes. Scores of this package "
                "match them by name, but scorers of scikit-learn take them by position. Give "
                "y[class_names] with the names in the order of the classes."
            )
        return
    numbers = isinstance(y, np.ndarray) and y.dtype.kind in "if"
    if numbers and y.shape[1:] == (len(class_names),) and not (y >= 0).all():  # NaN is not
        warn(
            "y has labels that nobody gave (NaN or negative). It serves scores alone: training "
            "never sees it. Labels to train with go into observed=, with NaN for unknown ones."
        )
