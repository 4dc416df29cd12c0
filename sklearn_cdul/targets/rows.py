"""Find the images that rows of labels belong to: by path, by index or by position."""

import difflib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from reprlib import Repr
from typing import Any, NamedTuple
from unicodedata import normalize

import numpy as np

from sklearn_cdul.exceptions import warn
from sklearn_cdul.images.items import check_images, path_of

# A message names so many images at most.
_SHOWN = 3
_REPR = Repr()
_REPR.maxstring = _REPR.maxother = 200  # paths are long


# What a row is called in messages.
Where = Callable[[int], str]


class Table(NamedTuple):
    """Labels that were read, with what says of which image a row is."""

    values: np.ndarray
    kind: str | None = None  # "path", "row", "index", or None: the rows are in order
    keys: Any = None
    named: bool = False  # a row names classes, and more rows of an image may name more
    folder: str = ""  # of the file, which paths may be relative to
    where: Where = "row {}".format


def match_rows(
    table: Table, X: Any, n_images: int, class_names: Sequence[str], name: str
) -> np.ndarray:
    """Return labels with one row per image of X; rows of the same image are united."""
    values, kind, keys, named, folder, where = table
    if kind == "path":
        known: Sequence[Any] | None = _paths(X)
        if known is None:
            raise ValueError(
                f"{name} says by path of which image a row is, but there are no paths to match. "
                f"Give the images as paths, or leave the paths out of {name} (and of its index): "
                "its rows are then in the order of the images."
            )
        found = _find_paths(keys, known, name, folder)
    else:
        known = range(n_images) if kind == "row" else list(X.index)
        by_key = defaultdict(list)
        for position, key in enumerate(known):
            by_key[key].append(position)
        found = [by_key.get(key, []) for key in keys]

    matched = np.full((n_images, values.shape[1]), np.nan)
    rows_of: defaultdict[int, list[int]] = defaultdict(list)
    for number, (key, positions, row) in enumerate(zip(keys, found, values, strict=True)):
        for position in positions:
            before = matched[position]
            wrong = np.flatnonzero(~np.isnan(before) & ~np.isnan(row) & (before != row))
            if len(wrong) and not named:
                column = wrong[0]
                first = next(n for n in rows_of[position] if not np.isnan(values[n, column]))
                raise ValueError(
                    f"{name} has two rows for {brief(key)} that contradict each other: "
                    f"{class_names[column]!r} is {before[column]:g} in {where(first)} and "
                    f"{row[column]:g} in {where(number)}."
                )
            matched[position] = np.fmax(before, row)
            rows_of[position].append(number)
    lost = [key for key, positions in zip(keys, found, strict=True) if not positions]
    if len(lost) == len(values):
        raise ValueError(
            f"No row of {name} is of an image in X: its first is {some(keys[:1]) or 'missing'}, "
            f"the first of X is {some(known[:1]) or 'missing'}."
        )
    if lost and len(rows_of) < n_images:
        warn(
            f"{len(lost)} of {len(values)} rows of {name} are of no image in X, the first is "
            f"{brief(lost[0])}; {n_images - len(rows_of)} of {n_images} images have no row."
        )
    return matched


def match_index(table: Table, X: Any, name: str) -> Table:
    """Say whether a pandas index tells the image of each row: by path or by the index of X."""
    index, own = table.keys, index_of(X)
    in_order = table._replace(kind=None)
    if X is None or (own is not None and index.equals(own)):
        return in_order
    labels = [text_of(label) for label in index]
    is_text = labels and all(isinstance(label, str) for label in labels)
    # What looks like paths and matches none is refused: counted, rows might be mixed up.
    if is_text and (look_like_paths(labels) or any(_find_paths(labels, _paths(X) or [], name))):
        return table._replace(kind="path", keys=labels)
    if own is None:
        return in_order
    if len(index) == len(X) and np.array_equal(index, range(len(X))):  # nobody gave it an index
        if not own.isin(index).all():
            return in_order
        raise ValueError(
            f"X and {name} have the same index in another order. If their rows are in the same "
            f"order, give {name}.set_axis(X.index), else {name}.loc[X.index]."
        )
    return table._replace(keys=list(index))


def text_of(path: Any) -> Any:
    """A path as text: of pathlib, in bytes, or in levels of an index; anything else as it is."""
    if isinstance(path, tuple):
        return "/".join(map(str, path))
    return os.fsdecode(path) if isinstance(path, (bytes, os.PathLike)) else path


def look_like_paths(cells: Sequence[Any]) -> bool:
    """Whether all cells are text with a slash, or with an ending that begins with a letter."""
    return all(isinstance(c, str) and re.search(r"[\\/]|\.[^\W\d]\w*\s*$", c) for c in cells)


def _find_paths(
    texts: Sequence[str], known: Sequence[str | None], name: str, folder: str = ""
) -> list[list[int]]:
    """Positions of the image that each path is of; one image may be there more than once.

    A path is that of the same file, if it is relative to the working directory or to `folder`;
    else one path must be the end of the other. The ending of the file may be left out.
    """
    images: dict[str, list[int]] = defaultdict(list)  # by the whole path
    by_file: dict[str, dict[str, tuple[str, ...]]] = defaultdict(dict)
    for position, path in enumerate(known):
        if path is not None:
            whole = os.path.abspath(path)
            if whole not in images:
                *folders, file = _parts(path)
                for each in (os.path.splitext(file)[0], file):
                    by_file[each][whole] = (*folders, each)
            images[whole].append(position)
    found, said = [], dict[str, tuple[str, ...]]()
    for text in texts:
        ways = {os.path.abspath(text), os.path.abspath(os.path.join(folder, text))}
        same = [whole for whole in ways if whole in images]
        parts = _parts(same[0] if same else text)
        if not same:
            fitting = by_file.get(parts[-1], {})
            same = [w for w, one in fitting.items() if parts[-len(one) :] == one[-len(parts) :]]
            same = [whole for whole in same if fitting[whole] == parts] or same
        if len(same) > 1:
            names = ", ".join(repr(known[images[whole][0]]) for whole in same[:_SHOWN])
            raise ValueError(
                f"The path {brief(text)} of {name} may be that of {len(same)} images of X: "
                f"{names}. Write more of it."
            )
        for whole in same:  # that of other rows, too
            parts = (*parts[:-1], os.path.splitext(parts[-1])[0])
            other = said.setdefault(whole, parts)
            if parts[-len(other) :] != other[-len(parts) :]:
                raise ValueError(
                    f"{name} has {brief('/'.join(other))} and {brief(text)}, and either may be the "
                    f"image {known[images[whole][0]]!r}. Give the images by longer paths."
                )
            said[whole] = max(parts, other, key=len)
        found.append(images[same[0]] if same else [])
    return found


def _parts(path: str) -> tuple[str, ...]:
    """Parts of a path of any system, without those that mean nothing, accents put together."""
    first, *parts = normalize("NFC", path.strip()).replace("\\", "/").split("/")
    parts = [part for part in parts if part not in ("", ".")]
    return tuple(parts) if first == "." and parts else (first, *parts)


def _paths(X: Any) -> Sequence[str | None] | None:
    """Path of each image, None where it has none; None if none has one."""
    try:
        paths = [path_of(image) for image in check_images(X)]
    except (TypeError, ValueError):  # embeddings
        paths = []
    if any(path is not None for path in paths):
        return paths
    # Embeddings or arrays may be called by their paths.
    index = index_of(X)
    return list(index) if index is not None and all(isinstance(n, str) for n in index) else None


def index_of(table: Any) -> Any:
    """The index of a frame or a series of pandas, else None; lists have a method of that name."""
    index = getattr(table, "index", None)
    return index if hasattr(index, "equals") else None


def brief(value: object) -> str:
    """A value for messages, however large it is."""
    return _REPR.repr(value)[:250]


def by_any_form(names: Iterable[str]) -> dict[str, str]:
    """Names, and their accents put together or apart, if this fits no other name -> name."""
    names = list(names)
    counts = Counter(normalize("NFC", name) for name in names)
    only = [name for name in names if counts[normalize("NFC", name)] == 1]
    forms = {normalize("NFC", name): name for name in only}
    forms |= {normalize("NFD", name): name for name in only}
    return forms | {name: name for name in names}


def some(names: Sequence[Any], most: int = 10) -> str:
    """The first names, for messages."""
    shown = ", ".join(map(brief, names[:most]))
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def with_guesses(unknown: Sequence[Any], class_names: Sequence[str]) -> str:
    """Unknown names, the first of them with the class that was perhaps meant."""
    known = {class_name.casefold().replace("_", " "): class_name for class_name in class_names}
    guesses = {}
    for label in unknown[:10]:
        text = str(label).strip().casefold().replace("_", " ")
        if near := difflib.get_close_matches(text, list(known), n=1, cutoff=0.65):
            guesses[label] = known[near[0]]
    meant = ", ".join(f"{guess!r} for {brief(label)}" for label, guess in guesses.items())
    return some(unknown) + (f" (did you mean {meant}?)" if meant else "")
