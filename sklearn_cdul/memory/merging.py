"""Bring the embeddings that several machines have made into one folder."""

import os
from collections.abc import Iterable
from contextlib import ExitStack, closing

from sklearn_cdul.memory.folder import cant_be_used, check_folder


def merge_memory(memory: str | os.PathLike[str], others: Iterable[str | os.PathLike[str]]) -> int:
    """Copy into one folder the embeddings that others have and it lacks.

    For machines that each encode a part of the photos in a folder of their own: copy these folders
    to one machine and merge them there. An entry belongs to the content of a photo, not to its
    path, so the machines may keep the photos in different places.

    Parameters
    ----------
    memory : str or os.PathLike
        Folder to copy to. It is created if it does not exist, and may be in use.
    others : iterable of str or os.PathLike
        Folders to copy from, given as ``memory=`` before. They are not changed. Of a damaged one
        what can be read is copied.

    Returns
    -------
    n_copied : int
        Number of embeddings, of photos and prompts, that were new in `memory`.

    Raises
    ------
    TypeError
        If `others` is a single path.
    OSError
        If one of `others` has no embeddings, before anything is copied; or if `memory` can't be
        written.

    See Also
    --------
    memory_size : How much disk a folder takes.

    Examples
    --------
    >>> from sklearn_cdul.memory import merge_memory
    >>> merge_memory("cache", ["from-a", "from-b"])  # doctest: +SKIP
    2000
    """
    if isinstance(others, (str, os.PathLike)):
        raise TypeError(f"others must be a list of folders. For one write [{os.fspath(others)!r}].")
    target, sources = check_folder(memory), [check_folder(other) for other in others]
    import sqlite3  # a few Pythons lack it, which check_folder has said by now

    from sklearn_cdul.memory.files import copy_rows, open_file, open_read_only

    with ExitStack() as stack:
        connections = []
        for source in sources:
            opened = open_read_only(source)
            if opened is None:
                raise OSError(f"There are no embeddings in the folder {str(source)!r}.")
            connections.append(stack.enter_context(closing(opened[1])))
        try:
            _, connection = open_file(target)
            with closing(connection):
                return sum(copy_rows(other, connection) for other in connections)
        except (OSError, sqlite3.Error) as error:
            raise cant_be_used(target, error) from error
