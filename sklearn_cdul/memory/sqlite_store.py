"""A SQLite file of embeddings that many processes read and fill together."""

import os
import re
import sqlite3
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from sklearn_cdul.exceptions import warn
from sklearn_cdul.memory.files import (
    acquire,
    checksum,
    is_damage,
    is_whole,
    open_file,
    open_read_only,
    open_successor,
    opening_lock,
    transaction,
)
from sklearn_cdul.memory.folder import advice, cant_be_used

T = TypeVar("T")

_OWNER_PATTERN = re.compile(rb"[0-9a-f]{32}")
# Files up to this size are searched for damage before anything is computed again.
_MAX_CHECKED_BYTES = 2**28


class EmbeddingStore:
    """Bytes under keys, with claims: a process says what it is about to compute.

    The claims of a process hold as long as it holds a lock on a file of its own. The operating
    system takes that lock away when the process ends in any way, and then its claims are free.
    Use one store in one thread, as a context manager.

    Trouble after the opening ends no work: what can't be read is missing, what can't be stored is
    not stored, and a warning says so once.
    """

    def __init__(
        self,
        folder: Path,
        *,
        is_sound: Callable[[bytes], bool] = lambda embedding: True,
        quiet: bool = False,
    ):
        self._folder = folder
        self._is_sound = is_sound
        self._quiet = quiet
        self._owner = uuid.uuid4().hex.encode()
        self._lock: FileLock | None = None  # held from the first claim on
        self._has_told_damage = False
        self.readable = self.writable = True
        self.replaced = False
        try:
            self._take(open_file(folder))
        except (OSError, sqlite3.OperationalError) as error:
            opened = open_read_only(folder)
            if opened is None:
                raise cant_be_used(folder, error) from error
            self._take(opened)
            self._stop_storing(error)

    def __enter__(self) -> "EmbeddingStore":
        return self

    def __exit__(self, *exception: object) -> None:
        """Give up the claims that are left and close the file."""
        if self._lock is not None:
            with suppress(sqlite3.Error):
                self._connection.execute("DELETE FROM claims WHERE owner = ?", (self._owner,))
            self._release_lock()
        with suppress(sqlite3.Error):
            self._connection.close()

    def get(self, key: bytes) -> bytes | None:
        """Look up one embedding."""
        return self._safely(lambda: self._get(key), None)

    def claim(self, keys: Sequence[bytes]) -> tuple[list[bytes], dict[bytes, bytes]]:
        """Claim the keys that nobody else has claimed or stored."""
        self.notice_deletion()
        if self._can_claim():
            claimed = self._safely(lambda: self._claim_missing(keys), None, writes=True)
            if claimed is not None:
                return claimed
        ready = {key: e for key in keys if (e := self.get(key)) is not None}
        return [key for key in keys if key not in ready], ready

    def put(self, embeddings: Mapping[bytes, bytes | None]) -> None:
        """Store embeddings in one transaction, and end the claims on them."""
        if not embeddings:
            return
        self.notice_deletion()
        rows = [(key, e, checksum(key, e)) for key, e in embeddings.items() if e is not None]
        ended = [(key, self._owner) for key in embeddings]

        def write() -> None:
            with transaction(self._connection) as sql:
                sql.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?)", rows)
                sql.executemany("DELETE FROM claims WHERE key = ? AND owner = ?", ended)

        if self.writable:
            self._safely(write, None, writes=True)

    def free_dead_claims(self) -> None:
        """End the claims of processes that are no more."""
        try:
            self._safely(self._free_dead_claims, None, writes=True)
        except OSError as error:
            self._stop_storing(error)

    def search_damage(self) -> None:
        """Look for damage that look-ups don't meet, such as a key that can't be found any more.

        It reads the whole file, and is left out if that is large.
        """

        def check() -> None:
            (found,) = self._connection.execute("PRAGMA integrity_check(1)").fetchone()
            if found not in (b"ok", "ok"):
                words = found.decode(errors="replace") if isinstance(found, bytes) else str(found)
                raise sqlite3.DatabaseError(words)

        if self.path.exists() and self.path.stat().st_size <= _MAX_CHECKED_BYTES:
            self._safely(check, None)

    def _safely(self, operation: Callable[[], T], otherwise: T, *, writes: bool = False) -> T:
        """Call an operation on the file; with another file if this one is damaged."""
        for _ in range(2):
            if not self.readable or (writes and not self.writable):
                break
            try:
                return operation()
            except sqlite3.DatabaseError as error:
                if is_damage(error):
                    self._replace_file(error)
                elif writes:
                    self._stop_storing(error)
                else:
                    self._stop_reading(error)
        return otherwise

    def _get(self, key: bytes) -> bytes | None:
        query = "SELECT embedding, checksum FROM embeddings WHERE key = ?"
        row = self._connection.execute(query, (key,)).fetchone()
        if row is None:
            return None
        if is_whole(key, *row):
            return row[0] if self._is_sound(row[0]) else None
        if not self._has_told_damage:
            self._has_told_damage = True
            warn(
                f"{self.path} is damaged: some embeddings in it are not what was stored. They are "
                "computed again.",
            )
        return None

    def _claim_missing(self, keys: Sequence[bytes]) -> tuple[list[bytes], dict[bytes, bytes]]:
        with transaction(self._connection):
            ready = {key: e for key in keys if (e := self._get(key)) is not None}
            missing = [key for key in keys if key not in ready]
            return [key for key in missing if self._claim(key)], ready

    def _claim(self, key: bytes) -> bool:
        sql = self._connection
        sql.execute("INSERT OR IGNORE INTO claims VALUES (?, ?)", (key, self._owner))
        owner = sql.execute("SELECT owner FROM claims WHERE key = ?", (key,)).fetchone()
        return owner == (self._owner,)

    def _free_dead_claims(self) -> None:
        query = "SELECT DISTINCT owner FROM claims WHERE owner != ?"
        for (owner,) in self._connection.execute(query, (self._owner,)).fetchall():
            lock = None
            # Anything else is damage, and as a path it could lead anywhere.
            if isinstance(owner, bytes) and _OWNER_PATTERN.fullmatch(owner):
                lock = self._try_lock(owner)
                if lock is None:
                    continue  # alive
            with transaction(self._connection) as sql:
                sql.execute("DELETE FROM claims WHERE owner = ?", (owner,))
            if lock is not None:
                _remove(lock)

    def _can_claim(self) -> bool:
        """Take the lock that vouches for this store's claims."""
        if not self.writable or self._lock is not None:
            return self.writable
        try:
            with opening_lock(self._folder):
                for path in self._folder.glob("claims-*.lock"):
                    owner = os.fsencode(path.stem.removeprefix("claims-"))
                    abandoned = self._try_lock(owner) if _OWNER_PATTERN.fullmatch(owner) else None
                    if abandoned is not None:
                        _remove(abandoned)
                self._lock = self._try_lock(self._owner)
        except OSError as error:
            self._stop_storing(error)
        return self.writable

    def _try_lock(self, owner: bytes) -> FileLock | None:
        lock = FileLock(self._folder / f"claims-{os.fsdecode(owner)}.lock")
        return lock if acquire(lock, 0) else None

    def _release_lock(self) -> None:
        if self._lock is not None:
            _remove(self._lock)
            self._lock = None

    def _take(self, opened: tuple[Path, sqlite3.Connection]) -> None:
        self.path, self._connection = opened
        self._identity = _identity(self.path)

    def _replace_file(self, error: sqlite3.DatabaseError) -> None:
        """Go on with a new file, which another process may have begun already."""
        self._connection.close()
        try:
            if not self.writable:
                raise OSError(f"it is damaged ({error}) and can't be replaced") from error
            self._take(open_successor(self.path, error))
            self.replaced = True
        except (OSError, sqlite3.Error) as reason:
            self._stop_reading(reason)

    def notice_deletion(self) -> None:
        """Go on with a new file if somebody has deleted this one."""
        if not self.writable or _identity(self.path) == self._identity:
            return
        warn(
            f"{self.path} was deleted while it was in use. What is embedded in this call is stored "
            "in a new file.",
        )
        self._release_lock()
        self._connection.close()
        try:
            self._take(open_file(self._folder))
            self.replaced = True
        except (OSError, sqlite3.Error) as reason:
            self._stop_reading(reason)

    def _stop_storing(self, reason: Exception) -> None:
        was_writable, self.writable = self.writable, False
        self._release_lock()  # others need not wait for what will not be stored
        if was_writable and not self._quiet:
            warn(
                f"{self.path} can't be written: {reason}. New embeddings are used but not stored. "
                f"{advice(reason)}",
            )

    def _stop_reading(self, reason: Exception) -> None:
        self.readable = self.writable = False
        self._release_lock()
        warn(
            f"{self.path} can't be read any more: {reason}. Embeddings that are not read yet are "
            f"computed again, and not stored. {advice(reason)}",
        )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _remove(lock: FileLock) -> None:
    with suppress(OSError):  # of a file system that went away
        lock.release()
    with suppress(OSError):  # Windows: someone is trying it just now
        Path(lock.lock_file).unlink()
