"""Reach the encoded bytes of an item of X, and name the item in what goes wrong with them."""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Any

from PIL import Image

from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.items import (
    LazyItem,
    check_item,
    folder_line,
    held_by,
    is_local_path,
    lock_of,
    path_of,
    shorten,
)

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


def make_item(item: Any, index: int) -> Any:
    """Return an item of X; one of a lazy sequence is made now, and checked like the others."""
    if not isinstance(item, LazyItem):
        return item
    with named_errors(None, index):
        item = item.make()
    try:
        check_item(item, f"X[{index}]")
    except (TypeError, ValueError) as error:
        raise ImageError(str(error), index, None) from error
    return item


@contextmanager
def named_errors(item: Any, index: int) -> Iterator[None]:
    """Turn what goes wrong inside into an `ImageError` that names the image."""
    try:
        yield
    except Exception as error:
        path = path_of(item)
        where = f"X[{index}]" if path is None else f"X[{index}] ({shorten(path)})"
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        says = next(text for kind, text in _SAYS if isinstance(error, kind)).format(
            reason=shorten(reason).rstrip("."), line=folder_line(path or "")
        )
        raise ImageError(f"{where}{says}.", index, path) from error


def open_encoded(item: Any) -> IO[bytes]:
    """Open the encoded bytes of an item that is no array and no PIL image."""
    item = held_by(item)
    if is_local_path(item):
        return _open_regular(os.fspath(item))
    if isinstance(item, (bytes, bytearray, memoryview)):
        return io.BytesIO(item)
    with lock_of(item):
        if hasattr(item, "read_bytes"):
            data = item.read_bytes()
        elif hasattr(item, "read"):
            data = read_from_start(item)
        else:
            with item as file:
                data = file.read()
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise ValueError(f'it gives {type(data).__name__}, not bytes; open it with mode "rb"')
    return io.BytesIO(data)


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


def read_from_start(file: Any) -> bytes:
    """Read a file from its first byte, and put it back where it was. Hold its lock."""
    position = file.tell()
    try:
        file.seek(0)
        return file.read()
    finally:
        file.seek(position)
