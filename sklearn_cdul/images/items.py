"""X and its items: which images it holds, by the type of each. No file is opened."""

import io
import os
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from itertools import islice
from pathlib import PurePath
from typing import Any

import numpy as np
from PIL import Image

from sklearn_cdul._utils.forks import in_child
from sklearn_cdul._utils.text_files import printable
from sklearn_cdul.exceptions import ImageError

BYTES = (bytes, bytearray, memoryview)
IMAGES = (str, *BYTES, os.PathLike, np.ndarray, Image.Image)
# Photos that Pillow reads, some of them with a plug-in. Those that it can't are listed all the
# same: an error that names them is better than photos that go missing without a word.
SUFFIXES = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".heic", ".heif", ".avif", ".jp2", ".ppm", ".pgm"),
)
# What is read through one object is not read by two threads at once: a file that is shared has
# one position, and a data set of the user's need not be made for threads. A few locks keep
# different objects apart.
_LOCKS = [threading.RLock() for _ in range(16)]


@in_child  # where no thread ever frees the locks of the parent
def _renew_locks() -> None:
    _LOCKS[:] = [threading.RLock() for _ in range(16)]


def lock_of(item: object) -> AbstractContextManager[Any]:
    """The lock to hold while an object is used that two threads may share."""
    return _LOCKS[id(item) // 64 % len(_LOCKS)]


class LazyItem:
    """One item of a sequence that makes its items when asked: to hold all would fill the memory."""

    __slots__ = ("_index", "_source")

    def __init__(self, source: Any, index: int):
        self._source = source
        self._index = index

    def make(self, index: int) -> Any:
        """The item, made anew and checked like the others; it is X[index]."""
        with lock_of(self._source):
            item = python_object(self._source[self._index])
        try:
            check_item(item, f"X[{index}]")
        except (TypeError, ValueError) as error:
            raise ImageError(str(error), index) from error
        return item


def python_object(item: Any) -> Any:
    """The Python object of a scalar of pyarrow, and anything else as it is."""
    return item.as_py() if hasattr(item, "as_py") else item


def shorten(text: str) -> str:
    """A text for a message: signs that a terminal prints, and not too many of them."""
    text = text if len(text) <= 200 else f"{text[:120]}...{text[-70:]}"
    return printable(text).replace("\n", r"\n")


def folder_line(path: str) -> str:
    """The call that lists the photos of a folder."""
    return f"sklearn_cdul.datasets.list_photos({shorten(path)!r})"


def path_of(item: Any) -> str | None:
    """The path of an item, or None if it has none."""
    if isinstance(item, Image.Image):
        item = getattr(item, "filename", None)
    elif isinstance(item, Mapping):
        item = item.get("path")
    elif hasattr(item, "read"):
        item = getattr(item, "name", None)
    elif is_open_file(item):
        item = item.path
    if isinstance(item, (*BYTES, np.ndarray, int)):
        return None
    if isinstance(item, PurePath) or type(item).__str__ is object.__str__:
        item = os.fspath(item) if isinstance(item, os.PathLike) else None
    return os.fsdecode(item) if isinstance(item, bytes) else str(item or "") or None


def held_by(item: Any) -> Any:
    """The bytes or path in a mapping of Hugging Face, and anything else as it is."""
    if isinstance(item, Mapping) and {"bytes", "path"} & set(item):
        return item.get("path") if item.get("bytes") is None else item["bytes"]
    return item


def is_local_path(item: Any) -> bool:
    """Whether an item is the path of a file that the operating system can open."""
    if isinstance(item, str):
        return True
    # Paths in a cloud look like local ones too: those of cloudpathlib, which are downloaded by a
    # look at them, and those of some versions of universal_pathlib.
    is_local = getattr(item, "protocol", "") in ("", "file", "local")
    return isinstance(item, os.PathLike) and is_local and not hasattr(item, "cloud_prefix")


def is_at_hand(item: Any) -> bool:
    """Whether an item is a file of this machine, or one in memory."""
    held = held_by(item)
    return isinstance(held, BYTES) or is_local_path(held)


def is_open_file(item: Any) -> bool:
    """Whether an item is an OpenFile of fsspec: entered with ``with``, it gives a file."""
    needed = ("open", "path", "__enter__")
    return all(hasattr(item, name) for name in needed) and not hasattr(item, "read_bytes")


def is_missing(item: Any) -> bool:
    """Whether a cell of a table is empty: pandas writes None, NaN, NaT or pd.NA."""
    is_nan = isinstance(item, float) and item != item
    return item is None or is_nan or type(item).__name__ in ("NAType", "NaTType")


EMBEDDINGS = 'For embeddings set input="embeddings".'
# Texts that are no paths, by how they begin, and what to say of them.
_TEXTS = {
    "file:/": 'a URL, {text!r}. Give the path alone, without "file://".',
    # Path("https://a.b/c.jpg") has lost a slash. A folder may end with a colon, so not any word.
    "[a-z][a-z0-9+.-]+://|(https?|s3|gs|gcs|hf|ftp|az|abfs):/": "a URL, {text!r}, not a path. "
    "Download the files first, or let universal_pathlib read them: [upath.UPath(x) for x in "
    "{whole}].",
    "data:": "an image as text, not a path. Give the bytes: "
    '[base64.b64decode(x.partition(",")[2]) for x in {whole}].',
    # The signatures of JPEG, PNG, GIF and WebP files in base64.
    r"(?=.{100})(/9j/|iVBORw0KGgo|R0lGOD|UklGR)[a-z0-9+/=\s]*\Z": "an image as text, not a path. "
    "Give the bytes: [base64.b64decode(x) for x in {whole}].",
}
_TEXTS_BEGIN = {re.compile(start, re.IGNORECASE | re.DOTALL): _TEXTS[start] for start in _TEXTS}


def check_item(item: Any, where: str, whole: str = "X") -> None:
    """Refuse what is no image by its type. No file is opened."""
    item = held_by(item)
    kind = type(item).__name__
    if isinstance(item, str) or (isinstance(item, PurePath) and not hasattr(item, "protocol")):
        text = item if isinstance(item, str) else item.as_posix()
        for start, line in _TEXTS_BEGIN.items():
            if start.match(text):
                raise ValueError(f"{where} is {line.format(text=shorten(text), whole=whole)}")
    elif isinstance(item, np.ndarray):
        if item.dtype != np.uint8:
            raise ValueError(
                f"{where} is an array of dtype {item.dtype}. Pixels must be uint8 values from 0 to "
                f"255: convert the array first. {EMBEDDINGS}"
            )
        if item.ndim != 2 and item.shape[2:] not in ((1,), (3,), (4,)):
            raise ValueError(
                f"{where} is an array of shape {item.shape}. An image must have shape (height, "
                "width), (height, width, 3) or (height, width, 4)."
            )
        if np.ma.is_masked(item):
            raise ValueError(f"{where} has masked pixels. Give them a value first: x.filled(255).")
    elif isinstance(item, BYTES):
        # Image files are not printable text of one line; paths and base64 are.
        if re.fullmatch(rb"[ -~]+", bytes(item[:4096])):
            raise TypeError(
                f"{where} is of type bytes and holds text. If these are paths: [os.fsdecode(x) for "
                f"x in {whole}]; if it is base64: [base64.b64decode(x) for x in {whole}]."
            )
    elif isinstance(item, (Image.Image, LazyItem, os.PathLike)) or hasattr(item, "read_bytes"):
        pass
    elif hasattr(item, "read"):
        if getattr(item, "closed", False) is True:
            raise ValueError(f"{where} is a closed file. Give its path or its bytes.")
        if isinstance(item, io.TextIOBase):
            raise TypeError(f'{where} is a file that was opened as text. Open it with mode "rb".')
        if not hasattr(item, "seek") or not getattr(item, "seekable", lambda: True)():
            raise TypeError(
                f"{where} is of type {shorten(kind)}, which can be read only once. Give what its "
                "read() returns."
            )
    elif is_missing(item):
        raise ValueError(f"{where} is missing ({item!r}). Leave such rows out of X.")
    elif not is_open_file(item):
        raise TypeError(f"{where} is of type {shorten(kind)}. {_line_for_item(item, whole)}")


def _line_for_item(item: Any, whole: str) -> str:
    """What to write in place of a sequence of such items."""
    if is_tensor(item):
        return line_for_tensor(item, whole)
    if isinstance(item, Mapping):
        keys, key = ", ".join(map(repr, item)), key_of(item, is_image) or "'image'"
        return (
            f"It has the keys {shorten(keys)}. Give the photos alone: "
            f"[x[{shorten(key)}] for x in {whole}]."
        )
    if isinstance(item, (tuple, list)) and item and is_image(item[0]):
        return f"Give the photos alone: [x[0] for x in {whole}]."
    return "An image must be a path, a PIL image, a uint8 array, or the bytes of an image file."


def line_for_tensor(tensor: Any, whole: str) -> str:
    """What to write in place of tensors, or of one that holds all images."""
    if tensor.ndim < 3:
        return EMBEDDINGS
    if str(tensor.dtype) != "torch.uint8":
        return (
            "Give the photos as they were before they became float tensors, or, if the values lie "
            f"in [0, 1]: [(x * 255).byte().permute(1, 2, 0).cpu().numpy() for x in {whole}]."
        )
    is_last = tensor.shape[-1] in (1, 3, 4) and tensor.shape[-3] not in (1, 3, 4)
    if tensor.ndim == 4:
        return f"Give X{'' if is_last else '.permute(0, 2, 3, 1)'}.cpu().numpy()."
    order = "" if is_last else ".permute(1, 2, 0)"
    return f"Give arrays (height, width, 3): [x{order}.cpu().numpy() for x in {whole}]."


def is_tensor(item: Any) -> bool:
    """Whether an item is a tensor of torch, which is not imported for that."""
    return type(item).__module__.split(".")[0] == "torch" and hasattr(item, "permute")


def is_image(item: Any) -> bool:
    """Whether an item may stand for an image in a tuple or mapping, or once it is converted."""
    return isinstance(item, (*IMAGES, dict)) or (is_tensor(item) and item.ndim == 3)


def key_of(X: Any, test: Callable[[Any], Any]) -> str:
    """The first key of a mapping whose value passes a test, as code; "" if there is none."""
    return next((repr(key) for key in X if test(X[key])), "") if isinstance(X, Mapping) else ""


def refuse_folder(path: Any, where: str) -> None:
    """Say which line lists the photos of a folder that stands where a photo should."""
    if is_local_path(path) and os.path.isdir(path):
        line = folder_line(os.fspath(path))
        raise ValueError(f"{where} is a folder. Give a list of its photos: {line}.")


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
    (lambda X: _is_array(X, 2, "f") or hasattr(X, "tocsr"), EMBEDDINGS),
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
    length = None
    with suppress(TypeError):  # sparse matrices have a length only to say so
        length = len(X)
    if isinstance(X, Mapping) or length is None or not hasattr(X, "__getitem__"):
        raise TypeError(
            f"X must be a list of images or another sequence of known length, got {kind}. "
            f"{_line_for(X)}"
        )
    # As often as len() says, not until an IndexError: a Dataset of torch need not have one.
    if not length:
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
