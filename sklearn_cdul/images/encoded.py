"""Reach the encoded bytes of an item of X: of a file, or of an object that holds or gives them."""

import io
import os
import stat
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import PurePath
from typing import IO, Any

import numpy as np
from PIL import Image

_LONGEST_PATH = 4096
_LOCAL = ("", "file", "local")
# What is read through one object is not read by two threads at once: a file that is shared has
# one position, and a data set of the user's need not be made for threads. A few locks keep
# different objects apart.
_LOCKS = tuple(threading.RLock() for _ in range(16))
if hasattr(os, "register_at_fork"):  # no thread of a child process ever frees its parent's locks

    def _renew_locks() -> None:
        global _LOCKS
        _LOCKS = tuple(threading.RLock() for _ in range(16))

    os.register_at_fork(after_in_child=_renew_locks)


def lock_of(item: object) -> AbstractContextManager[Any]:
    """Return the lock to hold while an object is used that two threads may share."""
    return _LOCKS[id(item) // 64 % len(_LOCKS)]


class LazyItem:
    """One item of a sequence that makes its items when they are asked for.

    Such are a column of a Hugging Face data set, or a Dataset of torch: to hold all items would
    be to hold all decoded photos.
    """

    __slots__ = ("_index", "_source")

    def __init__(self, source: Any, index: int):
        self._source = source
        self._index = index

    def read(self) -> Any:
        """Return the item, made anew."""
        with lock_of(self._source):
            return unwrap(self._source[self._index])


def unwrap(item: Any) -> Any:
    """Return the Python object of a scalar of pyarrow, and anything else as it is."""
    return item.as_py() if hasattr(item, "as_py") else item


def path_of(item: Any) -> str | None:
    """Return the path of an item, or None if it has none."""
    if isinstance(item, Image.Image):
        item = getattr(item, "filename", None)
    elif isinstance(item, Mapping):
        item = item.get("path")
    elif hasattr(item, "read"):
        item = getattr(item, "name", None)
    elif is_open_file(item):
        item = item.path
    if isinstance(item, (bytes, bytearray, memoryview, np.ndarray, int)):
        return None
    if isinstance(item, PurePath) or type(item).__str__ is object.__str__:
        item = os.fspath(item) if isinstance(item, os.PathLike) else None
    return os.fsdecode(item) if isinstance(item, bytes) else str(item or "") or None


def is_local_path(item: Any) -> bool:
    """Whether an item is the path of a file that the operating system can open."""
    if isinstance(item, str):
        return True
    # Paths in a cloud look like local ones too: those of cloudpathlib, which are downloaded by a
    # look at them, and those of some versions of universal_pathlib.
    in_cloud = hasattr(item, "cloud_prefix") or getattr(item, "protocol", "") not in _LOCAL
    return isinstance(item, os.PathLike) and not in_cloud


def file_stamp(path: str | os.PathLike[str]) -> tuple[int, ...]:
    """What changes when someone writes to a file: its number, size and time; () if it is gone."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns


def open_encoded(item: Any) -> IO[bytes] | None:
    """Open the encoded bytes of an item."""
    if isinstance(item, (np.ndarray, Image.Image)):
        return None
    if isinstance(item, Mapping):
        return open_encoded(item["path"] if item.get("bytes") is None else item["bytes"])
    if isinstance(item, (bytes, bytearray, memoryview)):
        return io.BytesIO(item)
    if is_local_path(item):
        return open_regular(item)
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


def open_regular(path: Any) -> IO[bytes]:
    """Open a file for reading, if it is a regular one."""
    path = os.fspath(path)
    if len(path) > _LONGEST_PATH:  # the system's own error would repeat all of it
        raise ValueError("it is too long for a path")
    _check_is_regular(os.stat(path), path)
    with ExitStack() as stack:
        file = stack.enter_context(open(path, "rb", opener=_open_without_blocking))
        _check_is_regular(os.fstat(file.fileno()), path)
        stack.pop_all()  # the caller closes it
        return file


def _open_without_blocking(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_is_regular(status: os.stat_result, path: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(f"{path} is a folder")
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


def is_open_file(item: Any) -> bool:
    """Whether an item is an OpenFile of fsspec: entered with ``with``, it gives a file."""
    needed = ("open", "path", "__enter__")
    return all(hasattr(item, name) for name in needed) and not hasattr(item, "read_bytes")
