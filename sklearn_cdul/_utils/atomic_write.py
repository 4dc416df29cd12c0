"""Writes a file whole: whoever interrupts this leaves the old one, or none."""

import glob
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sklearn_cdul._utils.text_files import file_path

# Parts of runs that were killed are deleted after so many seconds.
_LEFT_BEHIND = 24 * 3600


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Let a new file take the place of an old one once it is written whole; links stay links."""
    path, part = file_path(path), None
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    try:
        if path.exists() and not path.is_file():
            yield path
            return
        # Nobody can foresee the name, and put a link there. Names may not be much longer.
        name = f"{path.name[:40]}.{{}}.part"
        for other in path.parent.glob(glob.escape(name).format("[0-9a-f]" * 16)):
            with suppress(OSError):  # gone, or of somebody else
                if other.stat().st_mtime < time.time() - _LEFT_BEHIND:
                    other.unlink()
        part = path.with_name(name.format(secrets.token_hex(8)))
        try:
            open(part, "xb").close()
            yield part
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        if error.errno is None or error.filename not in (None, part and os.fspath(part)):
            raise
        raise type(error)(error.errno, error.strerror, os.fspath(path)) from error
