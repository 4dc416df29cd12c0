"""Find the images that rows of labels belong to: by path, by index or by position."""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from unicodedata import normalize

import numpy as np

from sklearn_cdul.exceptions import warn
from sklearn_cdul.images.items import path_of
from sklearn_cdul.images.sequences import check_images
from sklearn_cdul.targets.tables import Table

# A message names so many images at most.
_SHOWN = 3


def place_rows(
    table: Table, X: Any, n_images: int, class_names: Sequence[str], name: str
) -> np.ndarray:
    """Return labels with one row per image of X; rows of the same image are united."""
    values, kind, keys, named = table
    if kind == "path":
        known: Sequence[Any] | None = _paths(X)
        if known is None:
            raise ValueError(
                f"{name} says by path of which image a row is, but X has no paths. Give X as "
                f"paths, or leave the paths out of {name}: its rows are then in the order of X."
            )
        found = _find_paths(keys, known, name)
    else:
        known = range(n_images) if kind == "row" else list(X.index)
        places = defaultdict(list)
        for place, key in enumerate(known):
            places[key].append(place)
        found = [places.get(key, []) for key in keys]

    placed = np.full((n_images, values.shape[1]), np.nan, dtype=np.float32)
    covered = np.zeros(n_images, dtype=bool)
    for key, places_of_row, row in zip(keys, found, values, strict=True):
        for place in places_of_row:
            before = placed[place]
            wrong = np.flatnonzero(~np.isnan(before) & ~np.isnan(row) & (before != row))
            if len(wrong) and not named:
                raise ValueError(
                    f"{name} has two rows for {key!r} that contradict each other: "
                    f"{class_names[wrong[0]]!r} is {before[wrong[0]]:g} and {row[wrong[0]]:g}."
                )
            placed[place] = np.fmax(before, row)
            covered[place] = True
    lost = [key for key, places_of_row in zip(keys, found, strict=True) if not places_of_row]
    if len(lost) == len(values):
        raise ValueError(
            f"No row of {name} is of an image in X: its first is {_first(keys)}, the first of X is "
            f"{_first(known)}."
        )
    if lost and not covered.all():
        warn(
            f"{len(lost)} of {len(values)} rows of {name} are of no image in X, the first is "
            f"{lost[0]!r}; {np.count_nonzero(~covered)} of {n_images} images have no row."
        )
    return placed


def match_index(table: Table, X: Any, name: str) -> Table:
    """Say whether a pandas index tells the image of each row: by path or by the index of X."""
    index, own = table.keys, X.index if _has_index(X) else None
    in_order = table._replace(kind=None)
    if own is not None and index.equals(own):
        return in_order
    if len(index) and all(isinstance(label, str) for label in index):
        known = _paths(X)
        if known is not None and any(_find_paths(index, known, name)):
            return table._replace(kind="path")
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


def _find_paths(texts: Sequence[str], known: Sequence[str | None], name: str) -> list[list[int]]:
    """Positions of the image that each path is of; one image may be there more than once."""
    by_path: dict[tuple[str, ...], list[int]] = defaultdict(list)
    by_file: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for position, path in enumerate(known):
        if path is not None:
            parts = _parts(path)
            if parts not in by_path:
                by_file[parts[-1]].append(parts)
            by_path[parts].append(position)
    found = []
    for text in texts:
        parts = _parts(text)
        fitting = [other for other in by_file.get(parts[-1], []) if _is_end(parts, other)]
        if parts in by_path:
            fitting = [parts]
        if len(fitting) > 1:
            images = ", ".join(repr(known[by_path[other][0]]) for other in fitting[:_SHOWN])
            raise ValueError(
                f"The path {text!r} of {name} may be that of {len(fitting)} images of X: {images}. "
                "Write more of it."
            )
        found.append(by_path[fitting[0]] if fitting else [])
    return found


def _parts(path: str) -> tuple[str, ...]:
    """Parts of a path of any system, without those that mean nothing, accents put together."""
    parts = re.split(r"[\\/]+", normalize("NFC", path.strip()))
    return tuple(part for part in parts if part != ".") or ("",)


def _is_end(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether one path is the end of the other."""
    length = min(len(one), len(other))
    return one[-length:] == other[-length:]


def _paths(X: Any) -> Sequence[str | None] | None:
    """Path of each image, None where it has none; None if none has one."""
    try:
        paths = [path_of(image) for image in check_images(X)]
    except (TypeError, ValueError):  # embeddings
        paths = []
    if any(path is not None for path in paths):
        return paths
    # Embeddings or arrays may be called by their paths.
    if _has_index(X) and all(isinstance(label, str) for label in X.index):
        return list(X.index)
    return None


def _has_index(X: Any) -> bool:
    """Whether X is of pandas; lists have a method of that name."""
    return hasattr(X, "index") and hasattr(X.index, "equals")


def _first(keys: Sequence[Any]) -> str:
    return repr(keys[0]) if len(keys) else "missing"
