"""Bytes under keys in a folder that many processes read and fill together.

Each process appends to two files of its own, so nobody waits for anybody and no file is locked.
``memory-1-<random>.data`` has the values one after another, ``memory-1-<random>.index`` a record of
fixed size for each. A value is written before its record: what a process that is killed leaves
half done has no record, or half a one, and is not seen. Readers take in all records once, and
later what has been appended.
"""

import errno
import os
import re
import secrets
import struct
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from hashlib import blake2b
from pathlib import Path
from tempfile import NamedTemporaryFile
from zlib import crc32

from sklearn_cdul.exceptions import warn

_NAME = "memory-1-{}.{}"  # the number is the version of the format
_INDEX = re.compile(r"memory-1-[0-9a-f]{16}\.index")
_FILES = "memory-[0-9]-" + 16 * "[0-9a-f]" + ".*"
_FULL, _TAKEN = ("ENOSPC", "EDQUOT", "EFBIG"), ("EISDIR", "EEXIST", "ENOTDIR")
_MAX_KEY = 24  # bytes
_RECORD = struct.Struct("<25s28sI")  # length and bytes of the key, place of the value, CRC of both
_PLACE = struct.Struct("<QI16s")  # offset, length, checksum
_FILE_AND_PLACE = struct.Struct("<8sQI16s")
# Some file systems hold no file above 4 GB.
_MAX_DATA = 2**30
_COPIED_AT_ONCE = 256  # entries

# What stores that were closed have taken in and the index file they wrote, by process (a fork is
# another one) and folder. The next store goes on with it: many short uses read nothing twice and
# make few files.
_State = tuple[dict[bytes, bytes], dict[str, int], Path | None]
_idle: defaultdict[tuple[int, Path], list[_State]] = defaultdict(list)


def check_folder(memory: str | os.PathLike[str]) -> Path:
    """Return the folder of ``memory=``, if it can be one as far as its name tells."""
    if not os.fspath(memory):
        raise ValueError("memory='' names no folder. Take None for none, and '.' for this one.")
    if "\0" in os.fspath(memory):
        raise ValueError(f"memory={os.fspath(memory)!r} has a null character, which no path can.")
    try:
        return Path(memory).expanduser()
    except RuntimeError as error:
        raise OSError(
            f"The home folder in memory={os.fspath(memory)!r} is unknown ({error}). Write the "
            "whole path."
        ) from error


def cant_be_used(folder: Path, error: Exception) -> OSError:
    """Return the error for a folder in which embeddings can't be stored or read."""
    return OSError(
        f"Embeddings can't be stored in the folder memory={str(folder)!r}: {error}. {advice(error)}"
    )


def advice(error: Exception) -> str:
    """Return a sentence on what to do about an error with a file."""
    name = errno.errorcode.get(getattr(error, "errno", None) or 0)
    if name in _FULL:
        return "Free some space there, or set memory to a folder on another disk."
    if name in _TAKEN:
        return "Remove what has that name, or set memory to another folder."
    return "Set memory to a folder that you may write to."


class Store(AbstractContextManager["Store"]):
    """Bytes under keys in a folder that many processes read and fill together.

    Keys have up to 24 bytes. Threads may share a store, and so may a process and its forks. After
    the opening no trouble with files is an error: what can't be read is missing, what can't be
    stored is not stored, and one warning each says so.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = check_folder(folder).absolute()
        try:
            state = _idle[os.getpid(), self._folder].pop()
        except IndexError:
            state = {}, {}, None
        # Per key the file and place of the value, 36 bytes, once for each time it was stored; per
        # index file how many of its bytes are in there; the index file this store appends to.
        self._places, self._taken, own = state
        self._own = {os.getpid(): own}
        self._locks: dict[int, threading.Lock] = {}
        self._can_store = True
        self._has_told = False
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            trouble = self._take_all()
            if not self._places:
                NamedTemporaryFile(dir=self._folder).close()
        except OSError as error:
            raise cant_be_used(self._folder, error) from error
        self._tell(trouble)

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        """Go through the keys that are known by now."""
        return (padded[1 : 1 + padded[0]] for padded in list(self._places))

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None if it is missing or damaged."""
        trouble = ""
        places = self._places.get(_pad(key), b"")
        for file, offset, length, checksum in _FILE_AND_PLACE.iter_unpack(places):
            path = self._folder / _NAME.format(file.hex(), "data")
            try:
                with open(path, "rb") as data:
                    data.seek(offset)
                    value = data.read(length)
            except OSError as error:
                trouble = f"{path} can't be read ({error.strerror})"
            else:
                if _checksum(key, value) == checksum:
                    return value
                trouble = f"{path} is damaged"
        self._tell(trouble)
        return None

    def put(self, entries: Mapping[bytes, bytes]) -> None:
        """Store values; they are written when this returns, unless a warning says otherwise."""
        with self._lock():
            if not self._can_store or not entries:
                return
            try:
                self._append(entries)
            except OSError as error:
                self._can_store = False
                warn(
                    f"The folder memory={str(self._folder)!r} can't be written "
                    f"({error.strerror}). What is computed from now on is used but not stored. "
                    f"{advice(error)}"
                )

    def refresh(self) -> None:
        """Take in what others have stored since."""
        with self._lock():
            try:
                trouble = self._take_all()
            except OSError as error:
                trouble = f"The folder {self._folder} can't be read ({error.strerror})"
        self._tell(trouble)

    def close(self) -> None:
        """Leave what was taken in, and the files, to the next store of this process."""
        with self._lock():
            if self._places:
                own = self._own.get(os.getpid()) if self._can_store else None
                _idle[os.getpid(), self._folder].append((self._places, self._taken, own))
            self._places, self._taken, self._can_store = {}, {}, False

    def _lock(self) -> threading.Lock:
        # A fork must not wait for a thread that it does not have.
        return self._locks.setdefault(os.getpid(), threading.Lock())

    def _append(self, entries: Mapping[bytes, bytes]) -> None:
        try:
            self._write(entries)
        except OSError:  # the files were deleted, or may not grow: others may be better
            self._own.clear()
            self._write(entries)

    def _write(self, entries: Mapping[bytes, bytes]) -> None:
        index = self._own.get(os.getpid()) or self._begin()
        records = []
        # Not kept open: what was closed is seen by other machines, and a deletion is noticed.
        with open(index.with_suffix(".data"), "r+b") as file:
            offset = file.seek(0, os.SEEK_END)
            for key, value in entries.items():
                padded = _pad(key)
                place = _PLACE.pack(offset, len(value), _checksum(key, value))
                records.append(_RECORD.pack(padded, place, crc32(place, crc32(padded))))
                offset += len(value)
            file.writelines(entries.values())
        with open(index, "r+b") as file:
            # Over the half of a record, where writing was interrupted.
            start = file.seek(file.seek(0, os.SEEK_END) // _RECORD.size * _RECORD.size)
            file.writelines(records)
        self._taken[index.name] = min(start, self._taken.get(index.name, 0))
        self._tell(self._take(index))
        if offset > _MAX_DATA:
            del self._own[os.getpid()]

    def _begin(self) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        index = self._folder / _NAME.format(secrets.token_hex(8), "index")
        for path in (index.with_suffix(".data"), index):
            open(path, "xb").close()
        self._own[os.getpid()] = index
        return index

    def _take_all(self) -> str:
        """Take in what is new in all index files; return what is wrong with one."""
        with os.scandir(self._folder) as files:
            paths = [Path(file.path) for file in files if _INDEX.fullmatch(file.name)]
        if not self._taken.keys() <= {path.name for path in paths}:
            self._places, self._taken = {}, {}  # somebody has emptied the folder
        trouble = ""
        for path in paths:
            try:
                if path.stat().st_size != self._taken.get(path.name, 0):
                    trouble = self._take(path) or trouble
            except FileNotFoundError:  # deleted just now
                pass
            except OSError as error:
                trouble = f"{path} can't be read ({error.strerror})"
        return trouble

    def _take(self, index: Path) -> str:
        """Take in the records that were appended to an index file."""
        with open(index, "rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            taken = self._taken.get(index.name, 0)
            if taken > size:  # cut off by somebody
                taken = 0
            stream.seek(taken)
            records = stream.read((size - taken) // _RECORD.size * _RECORD.size)
        file, trouble, places = bytes.fromhex(index.stem[-16:]), "", self._places
        for padded, place, check in _RECORD.iter_unpack(records):
            if crc32(place, crc32(padded)) != check:
                trouble = f"{index} is damaged"
                continue
            place = file + place
            if places.setdefault(padded, place) is not place:  # stored before: the newest first
                places[padded] = place + places[padded]
        self._taken[index.name] = taken + len(records)
        return trouble

    def _tell(self, trouble: str) -> None:
        if trouble and not self._has_told:
            self._has_told = True
            warn(
                f"{trouble}. What is missing is computed again, and stored if possible. "
                "sklearn_cdul.memory.merge_memory copies all that is sound to a new folder."
            )


def _pad(key: bytes) -> bytes:
    if len(key) > _MAX_KEY:
        raise ValueError(f"A key has at most {_MAX_KEY} bytes, this one has {len(key)}.")
    return bytes([len(key)]) + key.ljust(_MAX_KEY, b"\0")


def _checksum(key: bytes, value: bytes) -> bytes:
    return blake2b(value, digest_size=16, key=key).digest()


def merge_memory(memory: str | os.PathLike[str], others: Iterable[str | os.PathLike[str]]) -> int:
    """Copy into one folder the embeddings and features that others have and it lacks.

    If several machines each encode a part of the photos in a folder of their own, copy these
    folders to one machine and merge them. Entries belong to the content of a photo, not to its
    path, so the photos may lie in different places. Merging into a new folder also tidies one that
    many processes have filled.

    Parameters
    ----------
    memory : str or os.PathLike
        Folder to copy to. It is created if it does not exist, and may be in use.
    others : iterable of str or os.PathLike
        Folders to copy from, which are not changed. What can be read of a damaged one is copied.

    Returns
    -------
    n_copied : int
        Number of entries, of photos and prompts, that were new in `memory`.

    Raises
    ------
    TypeError
        If `others` is a single path.
    OSError
        If one of `others` is empty, before anything is copied, or `memory` can't be written.

    Examples
    --------
    >>> from sklearn_cdul.memory import merge_memory
    >>> merge_memory("cache", ["from-a", "from-b"])  # doctest: +SKIP
    2000
    """
    if isinstance(others, (str, os.PathLike)):
        raise TypeError(f"others must be a list of folders. For one write [{os.fspath(others)!r}].")
    sources = [_open_filled(check_folder(other)) for other in others]
    n_copied = 0
    with Store(memory) as target:
        for source in sources:
            missing = [key for key in source if target.get(key) is None]
            for start in range(0, len(missing), _COPIED_AT_ONCE):
                some = missing[start : start + _COPIED_AT_ONCE]
                found = {key: value for key in some if (value := source.get(key)) is not None}
                try:
                    target._append(found)
                except OSError as error:
                    raise cant_be_used(target._folder, error) from error
                n_copied += len(found)
    return n_copied


def _open_filled(folder: Path) -> Store:
    if not any(folder.glob(_NAME.format("*", "index"))) or not (store := Store(folder))._places:
        raise OSError(f"There are no embeddings in the folder {str(folder)!r}.")
    return store


def memory_size(memory: str | os.PathLike[str]) -> int:
    """Return how much disk space a folder of embeddings and features takes.

    One photo takes ``4 * views * d + 57`` bytes for each setting (encoder, precision, ``grid_size``
    and ``views``), with d numbers per view: 27 kB for the bundled encoder (26 views, d = 256), 31
    kB for ViT-L-14 (10 views, d = 768). A prompt takes ``4 * d + 57`` bytes. Features of a
    classifier's frozen network come on top, 26 kB per photo for the bundled one.

    Parameters
    ----------
    memory : str or os.PathLike
        The folder that was given as ``memory=``.

    Returns
    -------
    size : int
        In bytes; 0 if there is nothing.
    """
    return sum(size for _, size in _files(memory))


def clear_memory(memory: str | os.PathLike[str]) -> int:
    """Delete the embeddings and features in a folder. Other files in it stay.

    A fit that is using the folder goes on, and stores what it computes from then on.

    Parameters
    ----------
    memory : str or os.PathLike
        The folder that was given as ``memory=``.

    Returns
    -------
    size : int
        How many bytes were freed.

    Raises
    ------
    OSError
        If a file can't be deleted.
    """
    freed = 0
    for path, size in _files(memory):
        path.unlink(missing_ok=True)
        freed += size
    return freed


def _files(memory: str | os.PathLike[str]) -> Iterator[tuple[Path, int]]:
    for path in check_folder(memory).glob(_FILES):
        with suppress(FileNotFoundError):  # deleted just now
            if path.suffix in (".index", ".data") and path.is_file():
                yield path, path.stat().st_size
