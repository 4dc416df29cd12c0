"""Reader and writer of tables with one photo per line."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

from sklearn_cdul.datasets._reading import Row, check_choice, ends, file_and_root, make_bunch
from sklearn_cdul.datasets._signatures import Bunch, Missing, PathLike, documented
from sklearn_cdul.datasets._writing import check_labels, csv_text, write_text
from sklearn_cdul.targets.csv_files import (
    NAMES,
    PATHS,
    SEPARATOR,
    SPLIT,
    UNKNOWN,
    check_header,
    read_csv,
    read_number,
    split_names,
)
from sklearn_cdul.targets.rows import brief, look_like_paths, some

# What people write between names, too.
_SIGNS = re.compile(r"[,|\[{\t\r\n\uff0c\uff1b\u3001\uff5c]")
_PERHAPS = re.compile(r"(?:\band\b|[\s/&+:\\._~*#\u00b7\u2022-])+")

DESCR = """Photos and labels of {path}

The labels are {labels}. The paths are read as relative to {root}.
"""


@documented
def load_csv(
    path: PathLike,
    *,
    root: PathLike | None = None,
    classes: Iterable[str] | None = None,
    split: str | None = None,
    missing: Missing = "raise",
) -> Bunch:
    """Read a table of photos: the path of each, and its labels as names or as 0 and 1.

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
        (or `filename`, `file_name`, `image`), then `labels` (or `label`, `class`) or the classes,
        and perhaps `split`. Beside `labels` other columns are not read; if they look like those of
        classes, give the classes. A photo may have more lines with names; lines with 1 and 0 must
        agree. Columns for classes stay in their order.
    root : str, os.PathLike or None, default=None
        Folder that the paths in the file are relative to; None is the file's own.
    {classes}
    split : str or None, default=None
        Take only the photos with this word in the column `split`; None takes all.
    {missing, returns, warns}

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
    path, folder = file_and_root(path, root)
    given = set() if classes is None or isinstance(classes, str) else set(classes := list(classes))
    header, lines = read_csv(path, list(given))
    records = [(f"Line {n} of {path}", dict(zip(header, cells, strict=True))) for n, cells in lines]
    cells = {name: {record[name].strip().lower() for _, record in records} for name in header}
    binary = [name for name in header if all(map(_is_number, cells[name]))]
    # A class may be called "path", "label" or "split".
    of_class = {name for name in given.intersection(binary) if not cells[name] <= given}
    photo = _column_of_photos({name: cells[name] for name in header if name not in binary}, path)
    named = [name for name in NAMES if name in header and name not in of_class]
    roles = {photo, SPLIT, *named} - of_class
    own = [name for name in header if name not in roles]
    # Beside names other columns are not read.
    doubtful = [name for name in own if named and name in given]
    if classes is None and (named or split is None):
        odd = (*own, *named) if named else (SPLIT,)
        doubtful = [name for name in binary if name in odd and not name.startswith("score:")]
    if doubtful := named[1:] + doubtful:
        raise ValueError(
            f"{path} has a column {brief(doubtful[0])}, which may have the labels of a class or "
            "not. Give the classes as classes=, or leave this column out."
        )
    if split is not None:
        records = _of_split(records, split, path)
    if not (own or named):
        raise ValueError(f"{path} has no column for a class, and none called {NAMES[0]!r}.")
    if not named and any(re.fullmatch(r"(Unnamed: \d+)?", name) for name in own):
        raise ValueError(
            f"{path} has a column without a name. If it numbers the rows, leave it out: with "
            "index=False, if to_csv of pandas wrote it."
        )
    if not named and not isinstance(classes, str):
        classes = list(own if classes is None else classes)
        if other := set(own) ^ set(classes):
            raise ValueError(
                f"{path} has columns for {some(own)}, but classes are {some(classes)}. Only one of "
                f"both has {some(sorted(other))}."
            )
    rows = []
    for where, record in records:
        if not record[photo].strip():
            raise ValueError(f"{where} has no {photo}.")
        shown = split_names(record[named[0]]) if named else []
        shown += [] if named else [name for name in own if _is_one(record[name], name, where)]
        rows.append(Row(record[photo], shown, where))
    if classes is None:
        _check_signs(rows)
    labels = f"the names in its column {named[0]!r}" if named else "its columns of 0 and 1"
    splits = [record.get(SPLIT, "all") for _, record in records] if SPLIT in roles else None
    descr = DESCR.format(path=path, labels=labels, root=folder)
    more: dict[str, Any] = {"folder": folder, "missing": missing, "descr": descr}
    more["others"] = None if root is None else ends
    return make_bunch(rows, classes, splits, agree=not named, **more)


def _of_split(
    records: list[tuple[str, dict[str, str]]], split: str, path: Path
) -> list[tuple[str, dict[str, str]]]:
    """The records with this word in the column for it."""
    if any(SPLIT not in record for _, record in records):
        raise ValueError(f"{path} has no column {SPLIT!r}; leave out split={split!r}.")
    found = [(where, record) for where, record in records if record[SPLIT] == split]
    if not found:
        words = sorted({record[SPLIT] for _, record in records})
        raise ValueError(f"{path} has no photo of split {split!r}, only of {some(words)}.")
    return found


def _column_of_photos(cells: dict[str, set[str]], path: Path) -> str:
    """The column with paths: by its name, else the one that has nothing else."""
    called = [name for name in PATHS if name in cells]
    fitting = called[:1] or [name for name in cells if look_like_paths(list(cells[name]))]
    if len(fitting) != 1:
        raise ValueError(f"{path} has the columns {some(list(cells))}. Call one {PATHS[0]!r}.")
    if not called:
        check_header(fitting[0], path)
    return fitting[0]


def _check_signs(rows: Sequence[Row]) -> None:
    """Refuse names that look like several with another sign between them."""
    known = {name for row in rows for name in row.shown}
    for row in rows:
        for name in row.shown:
            parts = re.split(_PERHAPS, name)
            if _SIGNS.search(name) or (len(parts) > 1 and known.issuperset(parts)):
                raise ValueError(
                    f"{row.where} has {brief(name)} for the name of a class. Write {SEPARATOR!r} "
                    "between names, or give the classes as classes= if it is one."
                )
            if name.lower() in UNKNOWN:
                raise ValueError(
                    f"{row.where} has {brief(name)} for the name of a class. Leave the cell empty "
                    "if the photo shows none, leave out a photo whose labels are not known, or "
                    "give the classes as classes= if it is one."
                )


def _is_one(cell: str, name: str, where: str) -> bool:
    try:
        if (number := read_number(cell)) in (0, 1):
            return bool(number)
    except ValueError:
        pass
    raise ValueError(
        f"{where} has {brief(cell)} in the column {brief(name)}. Expected 1 or 0. If the labels "
        "are names, call their column 'labels'; if some are not known, give the path of the file "
        "as observed= or y."
    )


def _is_number(cell: str) -> bool:
    """Whether a cell has 1 or 0."""
    try:
        return read_number(cell) in (0, 1)
    except ValueError:
        return False


@documented
def dump_csv(
    data: Sequence[PathLike],
    target: Any,
    target_names: Sequence[str],
    path: PathLike | TextIO,
    *,
    scores: Any = None,
) -> None:
    """Write a table of photos: the path of each and the names of its classes.

    The file is UTF-8 and opens in spreadsheets::

        path,labels
        photos/a.jpg,bread;cup
        photos/b.jpg,

    Parameters
    ----------
    {labels}
    path : str, os.PathLike or text file
        The file to write; one of that name is replaced. The paths in it are relative to its folder
        for photos in this folder or below, else absolute. In a text file, such as ``sys.stdout``,
        they are relative to the working directory.
    {scores}
        Each class gets a column with them, such as `score:cup`.

    {writing}

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
    labels = check_labels(data, target, target_names, path, scores, "csv")
    scored = [] if labels.scores is None else [f"score:{name}" for name in labels.names]
    lines = [[PATHS[0], NAMES[0], *scored]]
    for row, (photo, shown) in enumerate(zip(labels.paths, labels.shown, strict=True)):
        cells = [] if labels.scores is None else [f"{score:.4g}" for score in labels.scores[row]]
        lines.append([photo, SEPARATOR.join(labels.names[i] for i in shown), *cells])
    write_text(path, csv_text(lines))
