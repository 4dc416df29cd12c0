"""What the readers of data set folders share: clear errors, missing photos, the bunch."""

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from sklearn_cdul.targets.tables import some


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise ValueError unless `value` is one of two or more `choices`."""
    if value not in choices:
        *others, last = (f'"{choice}"' for choice in choices)
        raise ValueError(f"{name} must be {', '.join(others)} or {last}, got {value!r}.")


def check_folder(root: str | os.PathLike[str]) -> Path:
    """Path of an existing folder; FileNotFoundError names it if there is none."""
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    return folder


def read_bytes(path: Path, expected: str) -> bytes:
    """Content of a file; FileNotFoundError names it and says what was `expected` there."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no file {path}. {expected}") from None


def read_lines(path: Path, expected: str) -> list[str]:
    """Lines of a text file without the white space around them; one or more, none empty."""
    try:
        text = read_bytes(path, expected).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file: {error}. {expected}") from None
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if "" in lines or not lines:
        number = lines.index("") + 1 if lines else 1
        raise ValueError(f"Line {number} of {path} is empty. {expected}")
    return lines


def resolve_classes(classes: Iterable[str] | None, found: Mapping[str, str]) -> dict[str, int]:
    """Column of each class."""
    if isinstance(classes, str):
        raise ValueError(f"classes must be a list of names, got {classes!r}.")
    if classes is None and not found:
        raise ValueError("No photo in the files shows a class. Give the classes as classes=.")
    names = sorted(set(found)) if classes is None else list(classes)
    check_names(names, "classes")
    columns = {name: column for column, name in enumerate(names)}
    for name, place in found.items():
        if name not in columns:
            raise ValueError(
                f"{place} has the class {name!r}, which is not among classes: {some(names)}."
            )
    return columns


def check_names(names: Sequence[object], what: str) -> None:
    """Raise ValueError unless there are class names, each of them text, not empty, and once."""
    if not names:
        raise ValueError(f"There is no class in {what}. Expected one or more names.")
    seen = set()
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"Name {index} of {what} is {name!r}. Expected text.")
        if name in seen:
            raise ValueError(f"{what} has the name {name!r} twice.")
        seen.add(name)


def mark(rows: Sequence[Iterable[str]], columns: Mapping[str, int]) -> np.ndarray:
    """Target with a 1 for each name of a row, int64 array of shape (n, k)."""
    target = np.zeros((len(rows), len(columns)), dtype=np.int64)
    for row, names in zip(target, rows, strict=True):
        row[[columns[name] for name in names]] = 1
    return target


def make_bunch(
    paths: Sequence[Path],
    target: np.ndarray,
    target_names: Sequence[str],
    split: str | Sequence[str],
    *,
    missing: str,
    attributions: Sequence[dict[str, str]] = (),
    descr: str,
) -> Bunch:
    """Bunch of the photos that exist."""
    kept = [i for i, path in enumerate(paths) if path.is_file()]
    n_missing = len(paths) - len(kept)
    if n_missing:
        first = min(set(range(len(paths))) - set(kept))
        message = f"{n_missing} of {len(paths)} photos are missing, the first is {paths[first]}."
        if not kept:
            raise FileNotFoundError(f"{message} Check that the photos are in this folder.")
        if missing == "raise":
            raise FileNotFoundError(f'{message} Add them, or leave them out: missing="skip".')
        # Level 3 is the line that called the reader.
        warnings.warn(f"{message} They are left out.", stacklevel=3)
    return Bunch(
        data=[str(paths[i]) for i in kept],
        target=target[kept],
        target_names=list(target_names),
        split=np.array([split] * len(kept) if isinstance(split, str) else [split[i] for i in kept]),
        attributions=[attributions[i] for i in kept] if attributions else [],
        DESCR=descr,
    )
