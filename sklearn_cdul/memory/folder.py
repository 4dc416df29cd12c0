"""The folder that a user names: check it, see its size, empty it, say what is wrong with it."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

_FILES = ("embeddings-*.sqlite*", "opening.lock", "claims-*.lock")

# What is wrong, by the name of the error's number, and by what SQLite says.
_BY_NAME = {
    "full": ("ENOSPC", "EDQUOT", "EFBIG"),
    "in the way": ("EISDIR", "EEXIST", "ENOTDIR"),
    "permission": ("EACCES", "EPERM", "EROFS"),
    "network": ("ENOSYS", "EOPNOTSUPP", "ENOTSUP", "ENOLCK", "EIO", "ESTALE", "EREMOTEIO"),
}
_BY_WORDS = {
    "is full": "full",
    "is locked": "busy",
    "readonly": "permission",
    "unable to open": "permission",
    "locking protocol": "network",
    "i/o error": "network",
    "write-ahead log": "network",
}
_ADVICE = {
    "full": "Free some space there, or set memory to a folder on another disk.",
    "in the way": "Remove what has that name, or set memory to another folder.",
    "permission": "Set memory to a folder that you may write to.",
    "network": (
        "It may be a network folder, where files can't be locked or shared, or a full disk: set "
        "memory to a folder on a local disk."
    ),
    "busy": (
        "Another process has kept it locked for a minute. Wait for that process, or set memory to "
        "another folder."
    ),
    "other": "Set memory to another folder, on a local disk, that you may write to.",
}


def check_folder(memory: str | os.PathLike[str]) -> Path:
    """Return the folder of ``memory=``, if embeddings can be kept there as far as one can tell."""
    try:
        import sqlite3  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"memory={os.fspath(memory)!r} needs the module sqlite3, and this Python was built "
            f"without it ({error}). Install a Python that has it, or set memory=None."
        ) from error
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
    if isinstance(error, TimeoutError):
        return _ADVICE["busy"]
    name = errno.errorcode.get(getattr(error, "errno", None) or 0)
    kinds = [kind for kind, names in _BY_NAME.items() if name in names]
    kinds += [kind for words, kind in _BY_WORDS.items() if words in str(error).lower()]
    return _ADVICE[kinds[0] if kinds else "other"]


def memory_size(memory: str | os.PathLike[str]) -> int:
    """Return how much disk the embeddings in a folder take.

    One photo takes some ``4 * views * d`` bytes for each setting (encoder, precision, ``grid_size``
    and ``views``), with 10 views at ``grid_size=3`` and d numbers a view, and what is left over of
    a page of 16 kB: 16 kB for the bundled encoder (d = 256), 33 kB for ViT-L-14 (d = 768). A
    prompt takes some ``4 * d`` bytes.

    Parameters
    ----------
    memory : str or os.PathLike
        The folder that was given as ``memory=``.

    Returns
    -------
    size : int
        In bytes; 0 if there is nothing.

    See Also
    --------
    clear_memory : Empties the folder.

    Examples
    --------
    >>> from sklearn_cdul.memory import memory_size
    >>> memory_size("a folder that does not exist")
    0
    """
    return sum(path.stat().st_size for path in _files(memory))


def clear_memory(memory: str | os.PathLike[str]) -> int:
    """Delete the embeddings in a folder, of all settings. Other files in it stay.

    A fit that uses the folder at this moment goes on, and stores what it has once more.

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

    See Also
    --------
    memory_size : How much there is.

    Examples
    --------
    >>> from sklearn_cdul.memory import clear_memory
    >>> clear_memory("a folder that does not exist")
    0
    """
    size = memory_size(memory)
    for path in _files(memory):
        path.unlink(missing_ok=True)
    return size


def _files(memory: str | os.PathLike[str]) -> Iterator[Path]:
    folder = Path(memory).expanduser()
    return (path for pattern in _FILES for path in folder.glob(pattern) if path.is_file())
