"""A SQLite file of embeddings that many processes read and fill together."""

import hashlib
import os
import re
import sqlite3
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from sklearn_cdul.memory.files import (
    open_file,
    open_read_only,
    open_successor,
    opening_lock,
)

_OWNER_PATTERN = re.compile(rb"[0-9a-f]{32}")


class EmbeddingStore:
    """Bytes under keys, with claims: a process says what it is about to compute.

    The claims of a process hold as long as it holds a lock on a file of its own. The operating
    system takes that lock away when the process ends in any way, and then its claims are free.
    Use one store in one thread, as a context manager.

    Parameters
    ----------
    folder : Path
        Where the files are. It is created if it does not exist.

    Attributes
    ----------
    path : Path
        The SQLite file.
    writable : bool
        False if nothing can be stored, because the folder is read-only or the disk is full. A
        warning has said so, and `claim` then gives everything away.

    Raises
    ------
    OSError
        If there is no such file yet and it can't be created.

    Warns
    -----
    UserWarning
        If the file can't be written, or is damaged and replaced by a new one.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._owner = uuid.uuid4().hex.encode()
        self._lock: FileLock | None = None  # held from the first claim on
        self.writable = True
        try:
            self.path, self._connection = open_file(folder)
        except (OSError, sqlite3.OperationalError) as error:
            opened = open_read_only(folder)
            if opened is None:
                raise OSError(
                    f"Embeddings can't be stored in the folder memory={str(folder)!r}: {error}. "
                    "Set memory to a folder that you may write to, or delete this one if its "
                    "files are damaged."
                ) from error
            self.path, self._connection = opened
            self._stop_storing(error)

    def __enter__(self) -> "EmbeddingStore":
        return self

    def __exit__(self, *exception: object) -> None:
        """Give up the claims that are left and close the file."""
        if self._lock is not None:
            with suppress(sqlite3.Error):
                self._connection.execute("DELETE FROM claims WHERE owner = ?", (self._owner,))
            _remove(self._lock)
        self._connection.close()

    def get(self, key: bytes) -> bytes | None:
        """Look up one embedding.

        Parameters
        ----------
        key : bytes
            As in `put`.

        Returns
        -------
        embedding : bytes or None
            None if there is none, or if it is not what was stored.

        Raises
        ------
        sqlite3.Error
            If the file can't be read; see `is_damage`.
        """
        query = "SELECT embedding, checksum FROM embeddings WHERE key = ?"
        row = self._connection.execute(query, (key,)).fetchone()
        # Damage may turn a value into one of another type.
        if row is None or not isinstance(row[0], bytes) or row[1] != _checksum(key, row[0]):
            return None
        return row[0]

    def claim(self, keys: Sequence[bytes]) -> tuple[list[bytes], dict[bytes, bytes]]:
        """Claim the keys that nobody else has claimed or stored.

        Parameters
        ----------
        keys : sequence of bytes
            A few, since nobody else can write meanwhile.

        Returns
        -------
        mine : list of bytes
            Keys to compute and hand to `put`.
        ready : dict of bytes to bytes
            Embeddings that are stored. Keys in neither are claimed by others.

        Raises
        ------
        sqlite3.Error
            If the file can't be read; see `is_damage`.
        """
        if self._can_claim():
            try:
                with self._transaction():
                    ready = self._ready(keys)
                    missing = [key for key in keys if key not in ready]
                    return [key for key in missing if self._claim(key)], ready
            except sqlite3.OperationalError as error:
                self._stop_storing(error)
        ready = self._ready(keys)
        return [key for key in keys if key not in ready], ready

    def put(self, embeddings: Mapping[bytes, bytes | None]) -> None:
        """Store embeddings in one transaction, and end the claims on them.

        Parameters
        ----------
        embeddings : mapping of bytes to bytes or None
            None only ends the claim.

        Raises
        ------
        sqlite3.DatabaseError
            If the file is damaged; see `is_damage`.
        """
        if not self.writable or not embeddings:
            return
        rows = [(key, e, _checksum(key, e)) for key, e in embeddings.items() if e is not None]
        ended = [(key, self._owner) for key in embeddings]
        try:
            with self._transaction() as sql:
                sql.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?)", rows)
                sql.executemany("DELETE FROM claims WHERE key = ? AND owner = ?", ended)
        except sqlite3.OperationalError as error:
            self._stop_storing(error)

    def free_dead_claims(self) -> None:
        """End the claims of processes that are no more.

        Raises
        ------
        sqlite3.Error
            If the file can't be read; see `is_damage`.
        """
        query = "SELECT DISTINCT owner FROM claims WHERE owner != ?"
        try:
            for (owner,) in self._connection.execute(query, (self._owner,)).fetchall():
                lock = None
                # Anything else is damage, and as a path it could lead anywhere.
                if isinstance(owner, bytes) and _OWNER_PATTERN.fullmatch(owner):
                    lock = self._try_lock(owner)
                    if lock is None:
                        continue  # alive
                with self._transaction() as sql:
                    sql.execute("DELETE FROM claims WHERE owner = ?", (owner,))
                if lock is not None:
                    _remove(lock)
        except (OSError, sqlite3.OperationalError) as error:
            self._stop_storing(error)

    def replace_damaged_file(self, error: sqlite3.DatabaseError) -> None:
        """Go on with a new file, which another process may have begun already.

        Parameters
        ----------
        error : sqlite3.DatabaseError
            For which `is_damage` is true.

        Raises
        ------
        OSError
            If the folder is read-only.
        """
        self._connection.close()
        if not self.writable:
            raise OSError(
                f"{self.path} is damaged ({error}) and can't be replaced. Delete it, or set memory "
                "to another folder."
            ) from error
        self.path, self._connection = open_successor(self.path, error)

    def _stop_storing(self, reason: Exception) -> None:
        self.writable = False
        if self._lock is not None:
            _remove(self._lock)  # others need not wait for what will not be stored
            self._lock = None
        warnings.warn(
            f"{self.path} can't be written: {reason}. New embeddings are used but not stored.",
            UserWarning,
            stacklevel=2,
        )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        # IMMEDIATE: nobody else writes between what is read here and what is written.
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    def _ready(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return {key: e for key in keys if (e := self.get(key)) is not None}

    def _claim(self, key: bytes) -> bool:
        sql = self._connection
        sql.execute("INSERT OR IGNORE INTO claims VALUES (?, ?)", (key, self._owner))
        owner = sql.execute("SELECT owner FROM claims WHERE key = ?", (key,)).fetchone()
        return owner == (self._owner,)

    def _can_claim(self) -> bool:
        """Take the lock that vouches for this store's claims."""
        if not self.writable or self._lock is not None:
            return self.writable
        try:
            with opening_lock(self._folder):
                for path in self._folder.glob("claims-*.lock"):
                    abandoned = self._try_lock(path.stem.removeprefix("claims-").encode())
                    if abandoned is not None:
                        _remove(abandoned)
                self._lock = self._try_lock(self._owner)
        except OSError as error:
            self._stop_storing(error)
        return self.writable

    def _try_lock(self, owner: bytes) -> FileLock | None:
        lock = FileLock(self._folder / f"claims-{os.fsdecode(owner)}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return lock


def _checksum(key: bytes, embedding: bytes) -> bytes:
    # The key goes in: a damaged index may lead to the embedding of another image.
    return hashlib.blake2b(embedding, digest_size=8, key=key).digest()


def _remove(lock: FileLock) -> None:
    lock.release()
    with suppress(OSError):  # Windows: someone is trying it just now
        Path(lock.lock_file).unlink()
