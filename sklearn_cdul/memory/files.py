"""Find and open the SQLite file in a folder, and begin a new one when it is damaged."""

import errno
import hashlib
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from urllib.request import pathname2url

from filelock import FileLock, Timeout

from sklearn_cdul.exceptions import warn

# The first number is the version of the tables. The second counts up when a file is damaged: a
# name is never used twice, since a process that still has the damaged file open would delete the
# log file of its successor.
_NAME = "embeddings-1-{:03d}.sqlite"
_PATTERN = re.compile(r"embeddings-1-(\d{3})\.sqlite")
# Large pages keep an embedding in one piece: look-ups are twice as fast as with 4096.
_PAGE_SIZE = 16384
_TIMEOUT = 60.0  # seconds; a transaction takes milliseconds
_COPIED_AT_ONCE = 256  # embeddings
_TABLES = """
CREATE TABLE IF NOT EXISTS embeddings (
    key BLOB PRIMARY KEY, embedding BLOB NOT NULL, checksum BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS claims (key BLOB PRIMARY KEY, owner BLOB NOT NULL) WITHOUT ROWID;
"""


@contextmanager
def opening_lock(folder: Path) -> Iterator[None]:
    """Hold the lock while tables or lock files are made, or a new file is begun."""
    lock = FileLock(folder / "opening.lock")
    if not acquire(lock, _TIMEOUT):
        raise TimeoutError(f"{lock.lock_file} is locked")
    try:
        yield
    finally:
        lock.release()


def acquire(lock: FileLock, timeout: float) -> bool:
    """Take a lock, if nobody else has it."""
    try:
        lock.acquire(timeout=timeout)
    except Timeout:
        return False
    except NotImplementedError as error:  # filelock before 4
        raise OSError(errno.ENOSYS, "files can't be locked here", lock.lock_file) from error
    return True


def open_file(folder: Path) -> tuple[Path, sqlite3.Connection]:
    """Open the newest file of a folder for reading and writing; create it if there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    with opening_lock(folder):
        damaged = _newest(folder)
        try:
            return damaged, _connect(damaged)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            path, connection = _begin_next(damaged, error)
    _copy_damaged(damaged, connection)
    return path, connection


def open_successor(damaged: Path, error: sqlite3.DatabaseError) -> tuple[Path, sqlite3.Connection]:
    """Open the file that comes after a damaged one, unless another process has begun it already.

    What can still be read of the damaged file is copied.
    """
    with opening_lock(damaged.parent):
        if _newest(damaged.parent) != damaged:
            path = None
        else:
            path, connection = _begin_next(damaged, error)
    if path is None:
        return open_file(damaged.parent)
    _copy_damaged(damaged, connection)
    return path, connection


def open_read_only(folder: Path) -> tuple[Path, sqlite3.Connection] | None:
    """Open the newest file of a folder for reading."""
    # SQLite can't open a file with a write-ahead log where it can't create the log, except as
    # immutable. First without: where someone else may write, the log is there.
    with suppress(OSError):
        path = _newest(folder)
        for option in ("mode=ro", "mode=ro&immutable=1"):
            with suppress(sqlite3.Error, UnicodeDecodeError):
                connection = _connect_read_only(path, option)
                try:
                    connection.execute("SELECT key, embedding, checksum FROM embeddings LIMIT 1")
                except BaseException:
                    connection.close()
                    raise
                return path, connection
    return None


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Write all or nothing, while nobody else writes."""
    # IMMEDIATE: nobody else writes between what is read here and what is written.
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite found that a file is not what it wrote."""
    # "malformed" and "not a database" come as this class itself, all else as one derived from it.
    return type(error) is sqlite3.DatabaseError


def checksum(key: bytes, embedding: bytes) -> bytes:
    """Return what is stored beside an embedding, to find damage."""
    return hashlib.blake2b(embedding, digest_size=8, key=key).digest()


def is_whole(key: object, embedding: object, check: object) -> bool:
    """Whether a row is what was stored; damage may turn a value into one of another type."""
    sound = isinstance(key, bytes) and isinstance(embedding, bytes) and 0 < len(key) <= 64
    return sound and check == checksum(key, embedding)  # type: ignore[arg-type]


def copy_rows(old: sqlite3.Connection, connection: sqlite3.Connection) -> int:
    """Copy whole rows that the other file lacks; of a damaged file what can be read."""
    n_copied = 0
    damage: list[Exception] = []
    for order in ("ASC", "DESC"):
        rows = _whole_rows(old, order, damage)
        while some := list(islice(rows, _COPIED_AT_ONCE)):
            with transaction(connection):
                cursor = connection.executemany(
                    "INSERT OR IGNORE INTO embeddings VALUES (?, ?, ?)", some
                )
            n_copied += max(cursor.rowcount, 0)
        if not damage:
            break
    return n_copied


def _whole_rows(
    old: sqlite3.Connection, order: str, damage: list[Exception]
) -> Iterator[tuple[bytes, bytes, bytes]]:
    query = f"SELECT key, embedding, checksum FROM embeddings ORDER BY rowid {order}"
    try:
        yield from (row for row in old.execute(query) if is_whole(*row))
    except (sqlite3.Error, UnicodeDecodeError) as error:
        damage.append(error)


def _newest(folder: Path) -> Path:
    names = [path.name for path in folder.iterdir() if _PATTERN.fullmatch(path.name)]
    return folder / max(names, default=_NAME.format(0))


def _begin_next(damaged: Path, error: sqlite3.DatabaseError) -> tuple[Path, sqlite3.Connection]:
    number = int(_PATTERN.fullmatch(damaged.name)[1])  # type: ignore[index]
    path = damaged.with_name(_NAME.format(number + 1))
    connection = _connect(path)
    warn(
        f"{damaged} is damaged ({error}). What can be read of it is copied to {path.name}, the "
        f"other embeddings are computed again. You can delete {damaged.name}: it is not read any "
        "more.",
    )
    return path, connection


def _copy_damaged(damaged: Path, connection: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error, UnicodeDecodeError), closing(_connect_read_only(damaged)) as old:
        copy_rows(old, connection)


def _connect_read_only(path: Path, option: str = "mode=ro") -> sqlite3.Connection:
    address = f"file:{pathname2url(str(path.absolute()))}?{option}"
    connection = sqlite3.connect(address, uri=True, isolation_level=None)
    connection.text_factory = bytes  # damaged text must not fail to decode
    return connection


def _connect(path: Path) -> sqlite3.Connection:
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder, not a file", str(path))
    is_new = not path.exists()
    if not is_new and path.stat().st_size == 0:
        raise sqlite3.DatabaseError("it is empty")
    connection = sqlite3.connect(path, timeout=_TIMEOUT, isolation_level=None)
    connection.text_factory = bytes
    try:
        connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode not in ((b"wal",), ("wal",)):
            raise sqlite3.OperationalError("it can't have a write-ahead log")
        # A power failure may cost the last transactions, never the file.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_TABLES)
        with closing(sqlite3.connect(":memory:")) as fresh:
            fresh.text_factory = bytes
            fresh.executescript(_TABLES)
            if _schema(connection) != _schema(fresh):
                raise sqlite3.DatabaseError("its tables are not as they were made")
    except UnicodeDecodeError as error:  # of SQLite's own message
        connection.close()
        raise sqlite3.DatabaseError("its tables have no readable names") from error
    except BaseException:
        connection.close()
        if is_new:  # what can't be used is not left for the next one to wonder about
            with suppress(OSError):
                path.unlink()
        raise
    return connection


def _schema(connection: sqlite3.Connection) -> list[tuple[bytes, ...]]:
    return connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
