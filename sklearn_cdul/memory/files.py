"""Find and open the SQLite file in a folder, and begin a new one when it is damaged."""

import re
import sqlite3
import warnings
from contextlib import closing, suppress
from pathlib import Path
from urllib.request import pathname2url

from filelock import FileLock

# The first number is the version of the tables. The second counts up when a file is damaged: a
# name is never used twice, since a process that still has the damaged file open would delete the
# log file of its successor.
_NAME = "embeddings-1-{:03d}.sqlite"
_PATTERN = re.compile(r"embeddings-1-(\d{3})\.sqlite")
# Large pages keep an embedding in one piece: look-ups are twice as fast as with 4096.
_PAGE_SIZE = 16384
_TIMEOUT = 60.0  # seconds; a transaction takes milliseconds
_TABLES = """
CREATE TABLE IF NOT EXISTS embeddings (
    key BLOB PRIMARY KEY, embedding BLOB NOT NULL, checksum BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS claims (key BLOB PRIMARY KEY, owner BLOB NOT NULL) WITHOUT ROWID;
"""


def opening_lock(folder: Path) -> FileLock:
    """Return the lock to hold while tables or lock files are made, or a new file is begun.

    Parameters
    ----------
    folder : Path
        Must exist.

    Returns
    -------
    lock : FileLock
        Not yet acquired. Waits for a minute at most, then raises `filelock.Timeout`.
    """
    return FileLock(folder / "opening.lock", timeout=_TIMEOUT)


def open_file(folder: Path) -> tuple[Path, sqlite3.Connection]:
    """Open the newest file of a folder for reading and writing; create it if there is none.

    Parameters
    ----------
    folder : Path
        It is created if it does not exist.

    Returns
    -------
    path : Path
        The file.
    connection : sqlite3.Connection
        Without Python's own transactions, which begin too late: two processes would read, then
        both write.

    Raises
    ------
    OSError, sqlite3.OperationalError
        If the folder or the file can't be created or written.

    Warns
    -----
    UserWarning
        If the newest file is damaged and a new one is begun.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with opening_lock(folder):
        path = _newest(folder)
        try:
            return path, _connect(path)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            path = _begin_next(path, error)
            return path, _connect(path)


def open_successor(damaged: Path, error: sqlite3.DatabaseError) -> tuple[Path, sqlite3.Connection]:
    """Open the file that comes after a damaged one, unless another process has begun it already.

    Parameters
    ----------
    damaged : Path
        The file.
    error : sqlite3.DatabaseError
        For which `is_damage` is true.

    Returns
    -------
    path, connection
        See `open_file`, whose errors and warnings may come too.
    """
    with opening_lock(damaged.parent):
        if _newest(damaged.parent) == damaged:
            _begin_next(damaged, error)
    return open_file(damaged.parent)


def open_read_only(folder: Path) -> tuple[Path, sqlite3.Connection] | None:
    """Open the newest file of a folder for reading.

    Parameters
    ----------
    folder : Path
        Needs no permission to write.

    Returns
    -------
    path, connection
        See `open_file`; or None if there is no file that can be read.
    """
    # SQLite can't open a file with a write-ahead log where it can't create the log, except as
    # immutable. First without: where someone else may write, the log is there.
    with suppress(OSError):
        path = _newest(folder)
        for option in ("mode=ro", "immutable=1"):
            address = f"file:{pathname2url(str(path.absolute()))}?{option}"
            connection = sqlite3.connect(address, uri=True, isolation_level=None)
            with suppress(sqlite3.Error, UnicodeDecodeError):
                connection.execute("SELECT key, embedding, checksum FROM embeddings LIMIT 1")
                return path, connection
            connection.close()
    return None


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite found that a file is not what it wrote.

    Parameters
    ----------
    error : sqlite3.Error
        What was raised.

    Returns
    -------
    is_damage : bool
        False for anything that another disk, or patience, could cure.
    """
    # "malformed" and "not a database" come as this class itself, all else as one derived from it.
    return type(error) is sqlite3.DatabaseError


def _newest(folder: Path) -> Path:
    names = [path.name for path in folder.iterdir() if _PATTERN.fullmatch(path.name)]
    return folder / max(names, default=_NAME.format(0))


def _begin_next(damaged: Path, error: sqlite3.DatabaseError) -> Path:
    number = int(_PATTERN.fullmatch(damaged.name)[1])  # type: ignore[index]
    path = damaged.with_name(_NAME.format(number + 1))
    path.touch()
    warnings.warn(
        f"{damaged} is damaged ({error}). Embeddings are computed again and stored in "
        f"{path.name}. You can delete {damaged.name}: it is not read any more.",
        UserWarning,
        stacklevel=2,
    )
    return path


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_TIMEOUT, isolation_level=None)
    connection.text_factory = bytes  # damaged text must not fail to decode
    try:
        connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
        connection.execute("PRAGMA journal_mode = WAL")
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
        raise
    return connection


def _schema(connection: sqlite3.Connection) -> list[tuple[bytes, ...]]:
    return connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
