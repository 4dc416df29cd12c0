"""Read labels out of what people keep them in: CSV files, data frames, names for each photo."""

import os
import reprlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sklearn_cdul._utils.text_files import user_path
from sklearn_cdul.targets.csv_files import (
    NAMES,
    PATHS,
    SPLIT,
    check_header,
    read_csv,
    read_number,
    split_names,
)
from sklearn_cdul.targets.rows import (
    Table,
    Where,
    brief,
    by_any_form,
    index_of,
    look_like_paths,
    some,
    text_of,
    with_guesses,
)

# Columns that say of which photo a row is, by its position.
ROWS = ("row", "position")
# What a class may be called, too.
_ROLES = (*PATHS, *NAMES, SPLIT, *ROWS)


def read_table(y: Any, class_names: Sequence[str], name: str) -> Table:
    """Read labels of any form."""
    if isinstance(y, (str, os.PathLike)):
        file = user_path(y)
        header, rows = read_csv(file, class_names)
        cells = zip(*(row for _, row in rows), strict=True)
        columns = {column: list(part) for column, part in zip(header, cells, strict=True)}
        table = _from_columns(columns, None, class_names, name, lambda row: f"line {rows[row][0]}")
        return table._replace(folder=str(file.parent))
    kind, index = None, None
    where: Where = "row {}".format
    if isinstance(y, Mapping):
        kind, index, y = "path", [text_of(key) for key in y], list(y.values())
        if wrong := [key for key in index if not isinstance(key, str)]:
            raise ValueError(f"{name} must have paths as keys, got {brief(wrong[0])}.")
        paths = index
        where = lambda row: f"the labels of {brief(paths[row])}"  # noqa: E731
    y = y.collect() if hasattr(y, "collect") else _to_array(y)  # a lazy frame of polars
    if isinstance(y, (list, tuple)):
        y = [_to_array(row) for row in y]
    if kind is None and (index := index_of(y)) is not None:
        kind = "index"
    if hasattr(y, "to_pydict"):  # a table of pyarrow
        return _from_columns(y.to_pydict(), None, class_names, name, where)
    if hasattr(y, "columns"):
        names = list(y.columns)
        if names == list(range(len(class_names))):  # of pandas, from an array
            y, names = y.set_axis(list(class_names), axis=1), list(class_names)
        if repeated := [column for column, count in Counter(names).items() if count > 1]:
            raise ValueError(f"{name} has these columns more than once: {some(repeated)}.")
        columns = {column: y[column] for column in names}
        return _from_columns(columns, index, class_names, name, where)
    if _has_names(y):
        values = _from_names(list(y), class_names, name, where)
        return Table(values, kind, index, named=True, where=where)
    return Table(_from_numbers(y, len(class_names), name, where), kind, index, where=where)


def _to_array(values: Any) -> Any:
    """A sparse matrix, a masked array or a tensor of torch, on whatever device, as an array."""
    if hasattr(values, "toarray"):
        return values.toarray()
    if isinstance(values, np.ma.MaskedArray):
        # Numbers, or names, which None goes with.
        missing = np.nan if values.dtype.kind in "biuf" else np.array(None, dtype=object)
        return np.where(np.ma.getmaskarray(values), missing, values.data)
    if hasattr(values, "cpu"):
        values = values.detach().cpu()
        values = (values.float() if values.is_floating_point() else values).numpy()
    return values


def _from_numbers(y: Any, n_classes: int, name: str, where: Where) -> np.ndarray:
    try:
        values = _numbers(y)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} must hold 1, 0 or NaN with one row per image and one column per class, or the "
            f"names of the classes of each image; got {reprlib.repr(y)}."
        ) from None
    if values.ndim != 1 or n_classes == 1:
        return values.reshape(-1, 1) if values.ndim == 1 else values
    if any(getattr(v, "dtype", type(v)) in (bool,) for v in np.asarray(y, dtype=object)):
        raise ValueError(
            f"A vector {name} must hold the one class of each image, and True is none. Give an "
            f"array of shape (n, {n_classes})."
        )
    columns = np.arange(n_classes, dtype=np.float32)
    unknown = np.isnan(values)
    if wrong := np.flatnonzero(~np.isin(values, columns) & ~unknown).tolist():
        raise ValueError(
            f"A vector {name} must hold the one class of each image, as a column from 0 to "
            f"{n_classes - 1}; got {values[wrong[0]]:g} in {where(wrong[0])}. Or give an array of "
            f"shape (n, {n_classes})."
        )
    labels = (values[:, np.newaxis] == columns).astype(np.float32)
    labels[unknown] = np.nan
    return labels


def _has_names(y: Any) -> bool:
    """Whether labels are names: one per image, or a list, tuple or set of them, perhaps empty."""
    if isinstance(y, str) or not (isinstance(y, Sequence) or hasattr(y, "__array__")):
        return False  # sparse matrices and generators among them
    if isinstance(y, np.ndarray) and (y.ndim != 1 or y.dtype.kind not in "OUT"):
        return False
    rows = [row for row in y if row is not None]
    for row in rows:
        if isinstance(row, str):
            return True
        if isinstance(row, Iterable) and getattr(row, "ndim", 1) != 0:
            for first in row:
                return isinstance(first, str)
    return bool(rows) and all(isinstance(row, (list, tuple, set, frozenset)) for row in rows)


def _from_columns(
    columns: Mapping[Any, Any], index: Any, class_names: Sequence[str], name: str, where: Where
) -> Table:
    """Labels from columns of a file or a frame, which are matched by their names."""
    forms = by_any_form(class_names)
    named = {forms.get(column, column): part for column, part in columns.items()}
    columns = named if len(named) == len(columns) else columns
    # A class may have the name of such a column; its own has nothing but 1 and 0.
    own = {c for c in class_names if c in columns}
    own -= {c for c in own.intersection(_ROLES) if not _is_binary(columns[c], class_names)}
    rest = [column for column in columns if column not in own]
    found = [column for column in PATHS if column in rest]
    names, *others = [*(column for column in NAMES if column in rest), None]
    shown = [column for column in columns if column in own]
    row_column = next((column for column in ROWS if column in rest), None)
    unknown = [c for c in rest if c not in (*found[:1], names, SPLIT, row_column)]
    if not found and row_column is None:
        found = [column for column in unknown if look_like_paths(columns[column])]
        if len(found) > 1:
            raise ValueError(
                f"Several columns of {name} have paths: {some(found)}. Call one 'path'."
            )
        if found:
            check_header(found[0], name)
        unknown = [column for column in unknown if column not in found]
    path = found[0] if found else None
    if names is not None and (shown := [*others[:-1], *shown]):
        raise ValueError(
            f"{name} has the column {names!r}, with names, and columns of its own for classes: "
            f"{some(shown)}. Leave out one of both."
        )
    if names is None and (unknown or not shown):
        found = f"Unknown: {with_guesses(unknown, class_names)}. " if unknown else ""
        raise ValueError(
            f"The columns of {name} must be names of classes, in any order, besides 'path'; or one "
            f"column 'labels' holds the names. {found}The classes are {some(list(class_names))}."
        )
    if names is not None:
        values = _from_names(list(columns[names]), class_names, name, where)
    else:
        values = np.full((len(columns[shown[0]]), len(class_names)), np.nan)
        for number, column in enumerate(class_names):
            if column in columns:
                values[:, number] = _column(columns[column], column, name, where)
    kind, keys = (None if index is None else "index"), index
    if path is not None:
        kind, keys = "path", [_path(*pair, name, where) for pair in enumerate(columns[path])]
    elif row_column is not None:
        kind = "row"
        keys = [_position(*pair, name, where) for pair in enumerate(columns[row_column])]
    return Table(values, kind, keys, names is not None, where=where)


def _from_names(
    rows: Sequence[Any], class_names: Sequence[str], name: str, where: Where
) -> np.ndarray:
    """1 for the classes that a row names and 0 for the others; NaN for a row that is missing."""
    positions = {class_name: column for column, class_name in enumerate(class_names)}
    columns = {form: positions[name] for form, name in by_any_form(class_names).items()}
    values = np.zeros((len(rows), len(class_names)), dtype=np.float32)
    unknown: dict[str, int] = {}
    for index, row in enumerate(rows):
        if not isinstance(row, Iterable):
            values[index] = np.nan
            continue
        if isinstance(row, Mapping):
            raise ValueError(
                f"{name} has a mapping for an image, in {where(index)}. Give a list of names, or "
                "a data frame with a column per class: pandas.DataFrame.from_dict(y, 'index')."
            )
        if isinstance(row, str):  # one name, or text as in a cell of a file
            row = [row] if row in columns else split_names(row)
        for label in row:
            if isinstance(label, str) and label in columns:
                values[index, columns[label]] = 1
            else:
                unknown.setdefault(str(label), index)
    if unknown:
        first, index = next(iter(unknown.items()))
        which = f"{brief(first)} " if len(unknown) > 1 else ""
        raise ValueError(
            f"{name} has names that are no classes: {with_guesses(sorted(unknown), class_names)}, "
            f"{which}in {where(index)}. The classes are {some(list(class_names))}."
        )
    return values


def _numbers(cells: Any) -> np.ndarray:
    """Values of a frame or a column as numbers, NaN for what is missing."""
    if hasattr(cells, "iloc"):  # pandas, whose missing values come in several kinds
        return cells.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(cells, dtype=np.float64)


def _is_binary(cells: Any, class_names: Sequence[str]) -> bool:
    """Whether a column has 1 and 0, which are no names of classes."""
    try:
        values = _column(cells, "", "", str)
    except ValueError:
        return False
    named = {"", *class_names}.issuperset(str(cell).strip() for cell in cells)
    return bool(np.isin(values[~np.isnan(values)], (0, 1)).all()) and not named


def _column(cells: Any, column: Any, name: str, where: Where) -> np.ndarray:
    """Numbers of one column, NaN for what is missing."""
    try:
        return _numbers(cells)
    except (TypeError, ValueError):
        pass  # text, as files have it, or a value that is wrong
    values = np.empty(len(cells))
    for row, cell in enumerate(cells):
        try:
            values[row] = read_number(str(cell))
        except ValueError:
            raise ValueError(
                f"{name} must hold 1 and 0, and nothing where a label is not known; got "
                f"{brief(cell)} in {where(row)}, column {brief(column)}."
            ) from None
    return values


def _path(row: int, cell: Any, name: str, where: Where) -> str:
    if isinstance(cell, (str, os.PathLike)) and str(cell).strip():
        return os.fspath(cell)
    raise ValueError(f"{name} has no path in {where(row)} ({brief(cell)}).")


def _position(row: int, cell: Any, name: str, where: Where) -> int:
    try:
        if int(cell) == float(cell):
            return int(cell)
    except (TypeError, ValueError):
        pass
    raise ValueError(
        f"The column 'row' of {name} must hold positions in X, from 0; got {brief(cell)} "
        f"in {where(row)}."
    )
