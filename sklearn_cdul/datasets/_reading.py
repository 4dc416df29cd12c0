"""What the readers share: texts, names, where photos are, and the bunch that they make of rows."""

import json
import os
import re
import reprlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unicodedata import normalize

import numpy as np

from sklearn_cdul._utils.text_files import read_text, user_path
from sklearn_cdul.datasets._signatures import Bunch, PathLike
from sklearn_cdul.targets.tables import some


class Row(NamedTuple):
    """What a file says of a photo."""

    photo: str | Path
    shown: Iterable[str]  # names of classes
    where: str  # for messages: "Line 2 of labels.csv"


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise ValueError unless `value` is one of two or more `choices`."""
    if value not in choices:
        *others, last = (f'"{choice}"' for choice in choices)
        raise ValueError(f"{name} must be {', '.join(others)} or {last}, got {value!r}.")


def check_folder(root: PathLike) -> Path:
    """Path of an existing folder; FileNotFoundError names it if there is none."""
    folder = user_path(root)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    return folder


def file_and_root(path: PathLike, root: PathLike | None) -> tuple[Path, Path]:
    """A file of labels, and the folder that the paths in it are relative to."""
    file = user_path(path)
    return file, file.parent if root is None else check_folder(root)


def read_lines(path: Path, expected: str, *, words: bool = False) -> list[str]:
    """Lines of a text file without the white space around them, none empty; or single words."""
    # Paths may have bytes that are not UTF-8.
    text = read_text(path, expected, "strict" if words else "surrogateescape").rstrip()
    lines = [line.strip() for line in re.split(r"\r?\n|\r", text)]
    for number, line in enumerate(lines, start=1):
        if not line or (words and len(line.split()) > 1):
            found = repr(line) if line else "empty"
            raise ValueError(f"Line {number} of {path} is {found}. {expected}")
    return lines


def read_json(path: Path, expected: str, object_hook: Callable[..., Any] | None = None) -> Any:
    """Content of a JSON file."""
    text = read_text(path, expected)
    try:
        return json.loads(text, object_hook=object_hook)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON, or is cut off: {error}.") from None
    except (RecursionError, ValueError) as error:  # nested without end, a number without end
        raise ValueError(f"{path} can't be read as JSON: {error}") from None


def brief(value: object) -> str:
    """A value for messages, however large it is."""
    return reprlib.repr(value)[:100]


def check_names(names: Sequence[object], what: str) -> None:
    """Raise ValueError unless there are class names, each of them text, not empty, and once."""
    if isinstance(names, str) or not names:
        raise ValueError(f"There is no class in {what}. Expected one or more names.")
    seen = set()
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name.strip() or re.search("[\ud800-\udfff]", name):
            raise ValueError(f"Name {index} of {what} is {brief(name)}. Expected text.")
        if name in seen:
            raise ValueError(f"{what} has the name {name!r} twice.")
        seen.add(name)


def make_bunch(
    rows: Sequence[Row],
    classes: Iterable[str] | None,
    split: str | Sequence[str] | None,
    *,
    folder: Path = Path(),
    others: Callable[[str], Iterable[str]] | None = None,
    missing: str = "raise",
    agree: bool = False,
    attributions: Sequence[dict[str, str]] = (),
    descr: str,
) -> Bunch:
    """Bunch of the photos that exist, each of them once.

    Rows of one photo are united. With `agree` each says all about it, so they must be the same.
    `others` gives other names that a photo which is not there may have in the folder.
    """
    names = _resolve_classes(classes, rows)
    columns = {name: column for column, name in enumerate(names)}
    target = np.zeros((len(rows), len(names)), dtype=np.int64)
    first_rows: dict[Path, int] = {}
    renamed: dict[Path, str | Path] = {}
    lost = []
    for index, row in enumerate(rows):
        target[index, [columns[name] for name in row.shown]] = 1
        path = find_photo(folder, row.photo)
        if path is None and others is not None:
            ways = (find_photo(folder, other) for other in others(str(row.photo)))
            path = next((way for way in ways if way), None)
            if path and (other := renamed.setdefault(path, row.photo)) != row.photo:
                raise ValueError(f"{row.where} has {row.photo}, but {path} may be {other}, too.")
        if path is None:
            lost.append(folder / row.photo)
            continue
        first = first_rows.setdefault(path, index)
        if agree and (target[first] != target[index]).any():
            raise ValueError(f"{rows[first].where} and {row.where} contradict each other: {path}.")
        target[first] |= target[index]
    if lost:
        message = f"{len(lost)} of {len(rows)} photos are missing, the first is {lost[0]}."
        if not first_rows:
            raise FileNotFoundError(f"{message} Check that the photos are in this folder.")
        if missing == "raise":
            raise FileNotFoundError(f'{message} Add them, or leave them out: missing="skip".')
        # Level 3 is the line that called the reader.
        warnings.warn(f"{message} They are left out.", stacklevel=3)
    from sklearn import utils

    kept = list(first_rows.values())
    splits = [split or "all"] * len(rows) if isinstance(split, str | None) else split
    return utils.Bunch(
        data=[str(path) for path in first_rows],
        target=target[kept],
        target_names=names,
        split=np.array([splits[index] for index in kept]),
        attributions=[attributions[index] for index in kept] if attributions else [],
        DESCR=descr,
    )


def _resolve_classes(classes: Iterable[str] | None, rows: Sequence[Row]) -> list[str]:
    """Names of the columns; a name of another class is an error."""
    if isinstance(classes, str):
        raise ValueError(f"classes must be a list of names, got {classes!r}.")
    found: dict[str, str] = {}
    for row in rows:
        for name in row.shown:
            found.setdefault(name, row.where)
    if classes is None and not found:
        raise ValueError("No photo in the files shows a class. Give the classes as classes=.")
    names = sorted(found) if classes is None else list(classes)
    check_names(names, "classes")
    if unknown := [name for name in found if name not in set(names)]:
        raise ValueError(
            f"{found[unknown[0]]} has the class {unknown[0]!r}, which is not among classes: "
            f"{some(names)}. Give all as classes=, or None for those in the files."
        )
    return names


def find_photo(folder: Path, photo: str | Path) -> Path | None:
    """The file that a path means, which may have been written on another system."""
    slashed = str(photo).strip().replace("\\", "/")
    forms = (photo, slashed, normalize("NFC", slashed), normalize("NFD", slashed))  # macOS: NFD
    return next((folder / form for form in forms if os.path.isfile(folder / form)), None)


def ends(photo: str) -> Iterator[str]:
    """The ends of an absolute path, the longest first: it may be of another machine."""
    parts = re.split(r"[\\/]+", photo.strip())
    is_absolute = not parts[0] or parts[0].endswith(":")
    return ("/".join(parts[start:]) for start in range(1, len(parts) * is_absolute))
