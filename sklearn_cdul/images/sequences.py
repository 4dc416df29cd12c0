"""See X, in whatever form the user has it, as a list of items, or say which line makes it one."""

import os
from collections.abc import Mapping
from itertools import islice
from pathlib import PurePath
from typing import Any

import numpy as np
from PIL import Image

from sklearn_cdul.images.encoded import LazyItem, is_local_path, is_open_file, unwrap
from sklearn_cdul.images.items import check_item, folder_line, hint_for, is_image, shorten


def list_items(X: Any) -> list[Any]:
    """Return the items of X as a list, after a look at the type of each. No file is opened."""
    _refuse_single(X)
    if isinstance(X, np.ndarray):
        items = _array_as_list(X)
    elif isinstance(X, (list, tuple)):
        items = list(X)
    else:
        items = _sequence_as_list(_column(X))
    if not items:
        raise ValueError("X is empty. Give at least one image.")
    for index, item in enumerate(items):
        if not isinstance(item, LazyItem):
            check_item(item, f"X[{index}]")
    if len(items) == 1 and isinstance(items[0], (str, os.PathLike)):
        _refuse_folder(items[0], "X[0]")
    return items


def _refuse_single(X: Any) -> None:
    if isinstance(X, (str, os.PathLike)):
        check_item(X, "X", "[X]")
        _refuse_folder(X, "X")
        if isinstance(X, str) and any(sign in X for sign in "*?"):
            raise TypeError(
                f"X must be a list of images, got the pattern {shorten(X)!r}. Give the files it "
                "stands for: sorted(glob.glob(X))."
            )
    single = (str, bytes, bytearray, memoryview, os.PathLike, Image.Image)
    file = (hasattr(X, "read") and not hasattr(X, "__getitem__")) or hasattr(X, "read_bytes")
    local = isinstance(X, (str, PurePath))
    missing = " There is no such file or folder." if local and not os.path.exists(X) else ""
    if isinstance(X, single) or file or is_open_file(X):
        raise TypeError(
            f"X must be a list of images, got a single {shorten(type(X).__name__)}. For one image "
            f"write [X].{missing}"
        )


def _refuse_folder(path: Any, where: str) -> None:
    if is_local_path(path) and os.path.isdir(path):
        raise ValueError(
            f"{where} is a folder. Give a list of its photos: {folder_line(os.fspath(path))}."
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
        columns = shorten(", ".join(map(repr, names)))
        raise ValueError(
            f"X is a data set with the columns {columns}. Give the one with the images: "
            f"X[{shorten(repr((images or names or ['image'])[0]))}]."
        )
    return X


def _sequence_as_list(X: Any) -> list[Any]:
    kind = shorten(type(X).__name__)
    if isinstance(X, Mapping) or not (hasattr(X, "__len__") and hasattr(X, "__getitem__")):
        raise TypeError(
            f"X must be a list of images or another sequence of known length, got {kind}."
            f"{_line_for(X)}"
        )
    if type(X).__module__.split(".")[0] == "torch" and hasattr(X, "permute"):
        raise TypeError(f"X must be a list of images, got a {kind}.{_line_for_tensor(X)}")
    # As often as len() says, not until an IndexError: a Dataset of torch need not have one.
    length = len(X)
    if not length:
        return []
    rows = X.iloc if hasattr(X, "iloc") else X
    first = unwrap(rows[0])
    if isinstance(first, (tuple, dict)) and (line := _line_for_dataset(X)):
        raise TypeError(f"X[0] is of type {type(first).__name__}. Give the photos alone: {line}.")
    check_item(first, "X[0]", whole="(X[i] for i in range(len(X)))")
    held = str(getattr(X, "dtype", "")).lower() == "object"
    if held or isinstance(first, (str, os.PathLike)):
        return [unwrap(item) for item in islice(X, length)]
    return [LazyItem(rows, index) for index in range(length)]


def _line_for(X: Any) -> str:
    """What to write in place of something that is no sequence."""
    if isinstance(X, Mapping):
        if any(hasattr(part, "column_names") for part in X.values()):
            part = shorten(repr(next(iter(X))))
            return f' Give a column of one of its parts: X[{part}]["image"].'
        for name, column in X.items():  # a batch of a Hugging Face data set
            if isinstance(column, (list, tuple)) and column and is_image(column[0]):
                return f" Give X[{shorten(repr(name))}]."
        return " Write [X]." if {"bytes", "path"} & set(X) else " Give list(X.values())."
    if isinstance(X, (set, frozenset)):
        return " Give sorted(X)."
    if hasattr(X, "collect"):
        return " Give a column of X.collect()."
    if hasattr(X, "column_names"):
        return ' Load the data set without streaming=True and give X["image"].'
    if hasattr(X, "dataset"):
        return " Give the paths of its photos."
    if hasattr(X, "__iter__"):
        return " Give list(X), of paths rather than of decoded photos."
    return ""


def _line_for_tensor(X: Any) -> str:
    if X.ndim == 4 and str(X.dtype) == "torch.uint8":
        order = "" if X.shape[3] in (1, 3, 4) else ".permute(0, 2, 3, 1)"
        return f" Give X{order}.cpu().numpy()."
    if X.ndim == 2:
        return ' For embeddings set input="embeddings".'
    if X.ndim == 4:
        return f" {hint_for(X[0], 'X')}"
    return " For one image write [X.permute(1, 2, 0).cpu().numpy()]." if X.ndim == 3 else ""


def _line_for_dataset(X: Any) -> str:
    """The line that takes the paths from a data set of torchvision; "" if it has none."""
    if hasattr(X, "samples"):
        return "[path for path, _ in X.samples]"
    if hasattr(X, "indices") and hasattr(getattr(X, "dataset", None), "samples"):
        return "[X.dataset.samples[i][0] for i in X.indices]"
    return ""


def _array_as_list(X: np.ndarray) -> list[Any]:
    if X.ndim == 2 and X.shape[1] == 1 and X.dtype.kind in "OUTS":
        X = X[:, 0]
    if X.ndim == 1 and (X.dtype.kind in "OUTS" or len(X) == 0):
        return X.tolist()
    if X.ndim == 4 and X.dtype == np.uint8:
        return list(X)
    hint = "Give a list of images, or a uint8 array of shape (n, height, width, 3)."
    if X.ndim == 0 and X.dtype.kind in "OUTS":
        hint = "Give a list of paths."
    elif X.ndim == 2 and X.dtype.kind in "OUTS":
        hint = "Give the row or column with the images, for example X[:, 0]."
    elif X.ndim == 4:
        hint = "Pixels must be uint8 values from 0 to 255: convert the array first."
    elif X.ndim == 3:
        hint = "For one image write [X]."
    elif X.ndim == 2 and X.dtype.kind == "f":
        hint += ' For embeddings set input="embeddings".'
    raise ValueError(
        f"X is an array of shape {X.shape} and dtype {X.dtype}, which can't be read as a sequence "
        f"of images. {hint}"
    )
