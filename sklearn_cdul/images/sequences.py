"""X, in whatever form the user has it, as a list of items; or the line that makes it one."""

import os
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import PurePath
from typing import Any

import numpy as np

from sklearn_cdul.images.items import (
    EMBEDDINGS,
    IMAGES,
    LazyItem,
    check_item,
    is_image,
    is_open_file,
    is_tensor,
    key_of,
    line_for_tensor,
    python_object,
    refuse_folder,
    shorten,
)


class Photos(list[Any]):
    """The images of X after :func:`check_images`: a plain list of items."""


def _is_table(X: Any) -> bool:
    return hasattr(X, "column_names")  # of Hugging Face


def _is_array(X: Any, n_axes: int, kinds: str = "OUTSfiu") -> bool:
    return isinstance(X, np.ndarray) and X.ndim == n_axes and X.dtype.kind in kinds


# An X that is no sequence of images: how to tell, and what to write in its place.
_LINES: tuple[tuple[Callable[[Any], Any], str], ...] = (
    (lambda X: _is_array(X, 0, "OUTS"), "Give a list of paths."),
    (lambda X: _is_array(X, 2, "OUTS"), "Give the column with the images, for example X[:, 0]."),
    (lambda X: _is_array(X, 2, "f"), EMBEDDINGS),
    (lambda X: _is_array(X, 3), "For one image write [X]."),
    (lambda X: _is_array(X, 4), "Pixels must be uint8 values from 0 to 255: convert them first."),
    (lambda X: isinstance(X, np.ndarray), "Give a uint8 array of shape (n, height, width, 3)."),
    (lambda X: key_of(X, _is_table), 'Give a column of one of its parts: X[{found}]["image"].'),
    (
        lambda X: key_of(X, lambda x: isinstance(x, (list, tuple)) and any(map(is_image, x[:1]))),
        "Give X[{found}].",
    ),
    (lambda X: isinstance(X, Mapping) and {"bytes", "path"} & set(X), "Write [X]."),
    (lambda X: isinstance(X, Mapping), "Give list(X.values())."),
    (lambda X: isinstance(X, (set, frozenset)), "Give sorted(X)."),
    (lambda X: hasattr(X, "collect"), "Give a column of X.collect()."),
    (_is_table, 'Load the data set without streaming=True and give X["image"].'),
    (lambda X: hasattr(X, "dataset"), "Give the paths of its photos."),
    (lambda X: hasattr(X, "__iter__"), "Give list(X), of paths rather than of decoded photos."),
    (lambda X: True, "Paths are best."),
)


def check_images(X: Any) -> Photos:
    """The images of X as a list, after a look at the type of each. No file is opened."""
    return X if isinstance(X, Photos) else Photos(_list_items(X))


def _list_items(X: Any) -> list[Any]:
    _refuse_single(X)
    X = _column(X)
    if _is_array(X, 2, "OUTS") and X.shape[1] == 1:
        X = X[:, 0]
    if isinstance(X, (list, tuple)) or (_is_array(X, 4) and X.dtype == np.uint8):
        items = list(X)
    elif not isinstance(X, np.ndarray):
        items = _list_sequence(X)
    elif _is_array(X, 1, "OUTS") or X.shape == (0,):
        items = X.tolist()
    else:
        raise ValueError(
            f"X is an array of shape {X.shape} and dtype {X.dtype}, which can't be read as a "
            f"sequence of images. {_line_for(X)}"
        )
    if not items:
        raise ValueError("X is empty. Give at least one image.")
    for index, item in enumerate(items):
        check_item(item, f"X[{index}]")
    if len(items) == 1:
        refuse_folder(items[0], "X[0]")
    return items


def _refuse_single(X: Any) -> None:
    if isinstance(X, (str, os.PathLike)):
        check_item(X, "X", "[X]")
        refuse_folder(X, "X")
    if isinstance(X, str) and ("*" in X or "?" in X):
        raise TypeError(
            f"X must be a list of images, got the pattern {shorten(X)!r}. Give the files it "
            "stands for: sorted(glob.glob(X))."
        )
    is_file = hasattr(X, "read_bytes") or (hasattr(X, "read") and not hasattr(X, "__getitem__"))
    if is_file or is_open_file(X) or (isinstance(X, IMAGES) and not isinstance(X, np.ndarray)):
        is_there = not isinstance(X, (str, PurePath)) or os.path.exists(X)
        raise TypeError(
            f"X must be a list of images, got a single {shorten(type(X).__name__)}. For one image "
            f"write [X].{'' if is_there else ' There is no such file or folder.'}"
        )


def _column(X: Any) -> Any:
    """The column of images of a table; X itself if it is no table."""
    if hasattr(X, "shape") and hasattr(X, "columns"):
        if X.shape[1] != 1:
            raise ValueError(
                f"X is a data frame with {X.shape[1]} columns. Give only the column with the "
                'images; for embeddings set input="embeddings".'
            )
        return X.column(0) if hasattr(X, "column") else X[X.columns[0]]
    if hasattr(X, "column_names") and hasattr(X, "features") and hasattr(X, "__len__"):
        names = list(X.column_names)
        images = [name for name in names if type(X.features[name]).__name__ == "Image"]
        columns, name = ", ".join(map(repr, names)), repr((images or names or ["image"])[0])
        raise ValueError(
            f"X is a data set with the columns {shorten(columns)}. Give the one with the images: "
            f"X[{shorten(name)}]."
        )
    return X


def _line_for(X: Any) -> str:
    found, line = next((found, line) for test, line in _LINES if (found := test(X)))
    return line.format(found=shorten(str(found)))


def _list_sequence(X: Any) -> list[Any]:
    kind = shorten(type(X).__name__)
    if is_tensor(X):
        line = line_for_tensor(X, "[X]" if X.ndim == 3 else "X")
        raise TypeError(f"X must be a list of images, got a {kind}. {line}")
    if isinstance(X, Mapping) or not (hasattr(X, "__len__") and hasattr(X, "__getitem__")):
        raise TypeError(
            f"X must be a list of images or another sequence of known length, got {kind}. "
            f"{_line_for(X)}"
        )
    # As often as len() says, not until an IndexError: a Dataset of torch need not have one.
    if not (length := len(X)):
        return []
    rows = X.iloc if hasattr(X, "iloc") else X
    first = python_object(rows[0])
    line = ""
    if hasattr(X, "samples"):  # torchvision's ImageFolder, and torch's Subset of it
        line = "[path for path, _ in X.samples]"
    elif hasattr(X, "indices") and hasattr(getattr(X, "dataset", None), "samples"):
        line = "[X.dataset.samples[i][0] for i in X.indices]"
    if line and isinstance(first, tuple):
        raise TypeError(f"X[0] is of type tuple. Give the photos alone: {line}.")
    check_item(first, "X[0]", whole="(X[i] for i in range(len(X)))")
    is_held = str(getattr(X, "dtype", "")).lower() == "object"
    if is_held or isinstance(first, (str, os.PathLike)):
        return [python_object(item) for item in islice(X, length)]
    return [LazyItem(rows, index) for index in range(length)]
