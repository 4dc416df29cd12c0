"""The encoded bytes of an item of X, and the errors that name it."""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Any

import numpy as np
from PIL import Image, ImageFile

from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.items import (
    BYTES,
    LazyItem,
    folder_line,
    held_by,
    is_local_path,
    lock_of,
    path_of,
    shorten,
)

# EPS would run Ghostscript on the file. IPTC opens whatever it holds, EPS too.
NEVER_OPENED = ("EPS", "IPTC")
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
    path = None
    try:
        if isinstance(item, LazyItem):
            item = item.make(index)
        path, held = path_of(item), held_by(item)
        with ExitStack() as stack:
            file = _open_regular(os.fspath(held)) if is_local_path(held) else _open(held)
            yield item, file and stack.enter_context(file)
    except ImageError:
        raise
    except Exception as error:
        where = f"X[{index}]" if path is None else f"X[{index}] ({shorten(path)})"
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        says = next(text for kind, text in _SAYS if isinstance(error, kind)).format(
            reason=shorten(reason).rstrip("."), line=folder_line(path or "")
        )
        raise ImageError(f"{where}{says}.", index, path) from error


def _open(item: Any) -> IO[bytes] | None:
    if isinstance(item, np.ndarray):
        return None
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
        elif not isinstance(item, BYTES):
            with item as file:
                data = file.read()
    if not isinstance(data, BYTES):
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
