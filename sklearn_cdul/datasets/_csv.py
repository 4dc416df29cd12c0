"""Reader and writer of tables with a photo a line."""

import csv
import io
import os
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TextIO

from sklearn.utils import Bunch

from sklearn_cdul.datasets._folders import (
    check_choice,
    check_folder,
    make_bunch,
    mark,
    resolve_classes,
)
from sklearn_cdul.datasets._writing import check_labels, write_text
from sklearn_cdul.targets.csv_files import NAMES, PATHS, SEPARATOR, SPLIT, read_csv, split_names
from sklearn_cdul.targets.tables import some

DESCR = """Photos and labels of {path}

{labels} The paths are read as relative to {root}.
"""


def load_csv(
    path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    classes: Iterable[str] | None = None,
    split: str | None = None,
    missing: Literal["raise", "skip"] = "raise",
) -> Bunch:
    """Read a table with a photo a line: its path, and its labels as names or as 0 and 1.

    Two forms are read. In the first, which :func:`dump_csv` writes, a column has the names, with
    semicolons between them::

        path,labels
        photos/a.jpg,bread;cup
        photos/b.jpg,

    In the second each class has a column with 1 or 0::

        path,bread,cup
        photos/a.jpg,1,1
        photos/b.jpg,0,0

    Parameters
    ----------
    path : str or os.PathLike
        The file, UTF-8 with commas, semicolons or tabs. Its first line names the columns: `path`
        (or `filename`, `file_name`, `image`), then `labels` (or `label`) or the classes, and
        perhaps `split`. Beside `labels` other columns are not read.
    root : str, os.PathLike or None, default=None
        Folder that the paths in the file are relative to; None is the file's own.
    classes : list of str or None, default=None
        The classes, in the order of the columns of `target`. Any other name in the file is an
        error. None takes those that the file has: of names in alphabetical order, so that a class
        that no photo shows is missing; of columns in their order.
    split : str or None, default=None
        Take only the photos with this word in the column `split`; None takes all.
    missing : {"raise", "skip"}, default="raise"
        What to do about a photo that the file names and that is not there: an error, or leave it
        out with one warning that says how many.

    Returns
    -------
    photos : :class:`~sklearn.utils.Bunch`
        data : list of str, length n
            Paths of the photos, in the order of the lines.
        target : ndarray of shape (n, k), dtype int64
            1 where the photo shows the class, else 0.
        target_names : list of str, length k
            The classes, in the order of the columns of `target`.
        split : ndarray of shape (n,), dtype str
            What the column `split` says; "all" without one.
        attributions : list, length 0
            Empty.
        DESCR : str
            Which file was read, and how.

    Raises
    ------
    ValueError
        If a column, a name or a value is wrong. The message names the file and the line.
    FileNotFoundError
        If the file, `root` or (with ``missing="raise"``) a photo is not there, or if no photo at
        all is there.

    Warns
    -----
    UserWarning
        If photos are left out.

    See Also
    --------
    dump_csv : Writes such a file.

    Examples
    --------
    >>> from pathlib import Path
    >>> from sklearn_cdul.datasets import load_csv, load_food_photos
    >>> folder = Path(load_food_photos().data[0]).parents[1]
    >>> photos = load_csv(folder / "labels.csv", root=folder / "images", split="test")
    >>> photos.target.shape
    (97, 20)
    """
    check_choice("missing", missing, ("raise", "skip"))
    path = Path(path).expanduser()
    folder = path.parent if root is None else check_folder(root)
    header, rows = read_csv(path)
    photo_column = _find(header, PATHS)
    if photo_column is None:
        raise ValueError(f"{path} has the columns {some(header)}. Expected one named {PATHS[0]!r}.")
    names_column = _find(header, NAMES)
    if split is not None:
        if SPLIT not in header:
            raise ValueError(f"{path} has no column {SPLIT!r}; leave out split={split!r}.")
        words = sorted({row[header.index(SPLIT)] for _, row in rows})
        rows = [(line, row) for line, row in rows if row[header.index(SPLIT)] == split]
        if not rows:
            raise ValueError(f"{path} has no photo of split {split!r}, only of {some(words)}.")
    for line, row in rows:
        if not row[photo_column].strip():
            raise ValueError(f"Line {line} of {path} has no {header[photo_column]}.")
    if names_column is not None:
        shown = [(line, split_names(row[names_column])) for line, row in rows]
        order = []
        how = f"The labels are the names in its column {header[names_column]!r}."
    else:
        order = [name for name in header if name not in (header[photo_column], SPLIT)]
        own = dict.fromkeys(order)
        shown = [(line, _marked(header, own, row, line, path)) for line, row in rows]
        how = "The labels are its columns of 0 and 1."
        classes = order if classes is None else list(classes)
        if absent := [name for name in classes if name not in own]:
            raise ValueError(f"{path} has no column for these classes: {some(absent)}.")
    seen = {name: f"Line 1 of {path}" for name in order}
    for line, names in shown:
        for name in names:
            seen.setdefault(name, f"Line {line} of {path}")
    columns = resolve_classes(classes, seen)
    return make_bunch(
        [folder / row[photo_column].strip().replace("\\", "/") for _, row in rows],
        mark([names for _, names in shown], columns),
        list(columns),
        [row[header.index(SPLIT)] for _, row in rows] if SPLIT in header else "all",
        missing=missing,
        descr=DESCR.format(path=path, labels=how, root=folder),
    )


def _find(header: Sequence[str], names: Sequence[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _marked(
    header: Sequence[str], classes: Container[str], row: Sequence[str], line: int, path: Path
) -> list[str]:
    """Classes with a 1 in a row."""
    names = []
    for name, cell in zip(header, row, strict=True):
        if name in classes:
            if cell.strip() not in ("0", "1", "0.0", "1.0"):
                raise ValueError(
                    f"Line {line} of {path} has {cell!r} in the column {name!r}. Expected 1 or 0. "
                    "If the labels are names, call their column 'labels'; if some are not known, "
                    "give the path of the file as observed= or y."
                )
            if float(cell):
                names.append(name)
    return names


def dump_csv(
    data: Sequence[str | os.PathLike[str]],
    target: Any,
    target_names: Sequence[str],
    path: str | os.PathLike[str] | TextIO,
    *,
    scores: Any = None,
) -> None:
    """Write a table with a photo a line: its path and the names of its classes.

    The file is UTF-8 and opens in spreadsheets::

        path,labels
        photos/a.jpg,bread;cup
        photos/b.jpg,

    Parameters
    ----------
    data : sequence of str or os.PathLike, length n
        Paths of the photos, no photo twice.
    target : array of shape (n, k), data frame or list of n lists of names
        1 where the photo shows the class, else 0, as ``predict`` gives; or the names, as
        ``predict_names`` does. The columns of a data frame are matched to the classes by name.
    target_names : sequence of str, length k
        The classes, for example ``model.class_names_``.
    path : str, os.PathLike or text file
        The file to write; one of that name is replaced. The paths in it are relative to its folder
        for photos in this folder or below, else absolute. In a text file, such as ``sys.stdout``,
        they are relative to the working directory.
    scores : array of shape (n, k) or None, default=None
        Scores, as ``predict_proba`` gives. Each class gets a column with them, such as `score:cup`.

    Raises
    ------
    TypeError
        If an item of `data` is no path.
    ValueError
        If lengths, names or values do not fit together.

    See Also
    --------
    load_csv : Reads such a file.

    Examples
    --------
    >>> import sys
    >>> from sklearn_cdul.datasets import dump_csv
    >>> dump_csv(["a.jpg", "b.jpg"], [["cup", "bread"], []], ["bread", "cup"], sys.stdout)
    path,labels
    a.jpg,bread;cup
    b.jpg,
    """
    labels = check_labels(data, target, target_names, path, scores)
    for name in labels.names:
        if SEPARATOR in name or name != name.strip():
            raise ValueError(
                f"The class {name!r} can't be written to a CSV file, in which {SEPARATOR!r} stands "
                "between names and the space around them does not count."
            )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    scored = [] if labels.scores is None else [f"score:{name}" for name in labels.names]
    writer.writerow([PATHS[0], NAMES[0], *scored])
    for row, (photo, shown) in enumerate(zip(labels.paths, labels.shown, strict=True)):
        cells = [] if labels.scores is None else [f"{score:.4g}" for score in labels.scores[row]]
        writer.writerow([photo, SEPARATOR.join(labels.names[i] for i in shown), *cells])
    write_text(path, text.getvalue())
