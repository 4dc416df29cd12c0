"""One item of X: whether it may be an image, its name in errors, and its encoded bytes."""

import io
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import PurePath
from typing import IO, Any

import numpy as np
from PIL import Image, ImageFile

from sklearn_cdul._utils.forks import in_child
from sklearn_cdul.exceptions import ImageError

# EPS would run Ghostscript on the file. IPTC opens whatever it holds, EPS too.
NEVER_OPENED = ("EPS", "IPTC")
_BYTES = (bytes, bytearray, memoryview)
IMAGES = (str, *_BYTES, os.PathLike, np.ndarray, Image.Image)
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
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def _folder_line(path: str) -> str:
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
    if isinstance(item, (*_BYTES, np.ndarray, int)):
        return None
    if isinstance(item, PurePath) or type(item).__str__ is object.__str__:
        item = os.fspath(item) if isinstance(item, os.PathLike) else None
    return os.fsdecode(item) if isinstance(item, bytes) else str(item or "") or None


def _held_by(item: Any) -> Any:
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
    held = _held_by(item)
    return isinstance(held, _BYTES) or is_local_path(held)


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
    item = _held_by(item)
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
    elif isinstance(item, _BYTES):
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
        line = _folder_line(os.fspath(path))
        raise ValueError(f"{where} is a folder. Give a list of its photos: {line}.")


_SAYS = (
    (FileNotFoundError, ": there is no such file"),
    (IsADirectoryError, " is a directory, not an image file. Leave it out, or give {line}"),
    (PermissionError, " can't be opened: permission denied"),
    (MemoryError, " can't be decoded: there is too little memory for it"),
    (Image.UnidentifiedImageError, " {reason}"),
    (
        Image.DecompressionBombError,
        " is too large. {reason}. If the file is trusted, raise PIL.Image.MAX_IMAGE_PIXELS",
    ),
    # On damaged files Pillow's readers raise nearly any type: OSError, SyntaxError, struct.error...
    (Exception, " can't be read: {reason}"),
)


@contextmanager
def open_item(item: Any, index: int) -> Iterator[tuple[Any, Any]]:
    """Yield an item of X, one of a lazy sequence made now, and its encoded bytes.

    There is no file for pixels. What goes wrong inside becomes an `ImageError` that names the item.
    """
    try:
        if isinstance(item, LazyItem):
            item = item.make(index)
        with ExitStack() as stack:
            file = _open(_held_by(item))
            yield item, file and stack.enter_context(file)
    except ImageError:
        raise
    except Exception as error:
        path = path_of(item)
        where = f"X[{index}]" if path is None else f"X[{index}] ({shorten(path)})"
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        says = next(text for kind, text in _SAYS if isinstance(error, kind)).format(
            reason=shorten(reason).rstrip("."), line=_folder_line(path or "")
        )
        raise ImageError(f"{where}{says}.", index, path) from error


def _open(item: Any) -> IO[bytes] | None:
    if isinstance(item, np.ndarray):
        return None
    if is_local_path(item):
        return _open_regular(os.fspath(item))
    data: Any = item
    with lock_of(item):
        if isinstance(item, Image.Image):
            # Pillow from 11 on has the pixels in _im, and before in im.
            pixels = vars(item).get("_im", vars(item).get("im"))
            if not isinstance(item, ImageFile.ImageFile) or pixels is not None:
                return None
            if item.format in NEVER_OPENED:
                raise ValueError("a program would have to run on it; save it as PNG first")
            if item.fp is None or getattr(item.fp, "closed", False):
                # Where only the path is left, it was opened in a with statement that is over.
                return _open_regular(os.fsdecode(item.filename)) if item.filename else None
            data = _read_from_start(item.fp)
        elif hasattr(item, "read_bytes"):
            data = item.read_bytes()
        elif hasattr(item, "read"):
            data = _read_from_start(item)
        elif not isinstance(item, _BYTES):
            with item as file:
                data = file.read()
    if not isinstance(data, _BYTES):
        raise ValueError(f'it gives {type(data).__name__}, not bytes; open it with mode "rb"')
    return io.BytesIO(data)


def _read_from_start(file: Any) -> bytes:
    """Read a file from its first byte, and put it back where it was."""
    position = file.tell()
    try:
        file.seek(0)
        return file.read()
    finally:
        file.seek(position)


def _open_regular(path: str) -> IO[bytes]:
    if len(path) > 4096:  # the system's own error would repeat all of it
        raise ValueError("it is too long for a path")
    _check_is_regular(os.stat(path))
    with ExitStack() as stack:
        file = stack.enter_context(open(path, "rb", opener=_open_without_blocking))
        _check_is_regular(os.fstat(file.fileno()))
        stack.pop_all()  # the caller closes it
        return file


def _open_without_blocking(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_is_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError("it is a folder")
    if not stat.S_ISREG(status.st_mode):
        tests = {"named pipe": stat.S_ISFIFO, "socket": stat.S_ISSOCK}
        kinds = [kind for kind, test in tests.items() if test(status.st_mode)]
        raise ValueError(f"it is a {(kinds or ['device'])[0]}, not a regular file")
