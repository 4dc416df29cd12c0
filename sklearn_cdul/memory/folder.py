"""The folder that a user names: check it, see its size, empty it, say what is wrong with it."""

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_FILES = "memory-[0-9]-" + 16 * "[0-9a-f]" + ".*"
_FULL, _TAKEN = ("ENOSPC", "EDQUOT", "EFBIG"), ("EISDIR", "EEXIST", "ENOTDIR")


def check_folder(memory: str | os.PathLike[str]) -> Path:
    """Return the folder of ``memory=``, if it can be one as far as its name tells."""
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


def memory_size(memory: str | os.PathLike[str]) -> int:
    """Return how much disk space a folder of embeddings and features takes.

    One photo takes ``4 * views * d + 57`` bytes for each setting (encoder, precision, ``grid_size``
    and ``views``), with 10 views at ``grid_size=3`` and d numbers per view: 10 kB for the bundled
    encoder (d = 256), 31 kB for ViT-L-14 (d = 768). A prompt takes ``4 * d + 57`` bytes. Features
    of a classifier's frozen network come on top, 26 kB per photo for the bundled one.

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

    See Also
    --------
    memory_size : How much there is.

    Examples
    --------
    >>> from sklearn_cdul.memory import clear_memory
    >>> clear_memory("a folder that does not exist")
    0
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
