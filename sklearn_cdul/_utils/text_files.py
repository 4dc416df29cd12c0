"""Text: files that people and their programs write, and what a terminal may be sent."""

import codecs
import errno
import os
from pathlib import Path


def user_path(path: str | os.PathLike[str]) -> Path:
    """A path with the home folder for ``~``; names that only begin with it stay."""
    return Path(os.path.expanduser(path))


def file_path(path: str | os.PathLike[str]) -> Path:
    """The path of a file to write: as `user_path`, but not that of a folder."""
    if os.fspath(path).endswith((os.sep, os.altsep or os.sep)):
        said = "A name that ends in a slash is that of a folder. Name a file"
        raise IsADirectoryError(errno.EISDIR, said, os.fspath(path))
    return user_path(path)


def printable(text: str) -> str:
    """A text whose signs can't steer a terminal; line ends stay."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def read_text(path: Path, expected: str = "", errors: str = "strict") -> str:
    """Text of a file in UTF-8, or with the byte-order mark of UTF-16; errors name the file."""
    try:
        data = path.read_bytes()
        marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = data.decode("utf-16" if marked else "utf-8-sig", errors)
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no file {path}. {expected}".rstrip()) from None
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # of UTF-16 without a mark, too
        raise ValueError(f"{path} is not UTF-8. Save it as UTF-8. {expected}".rstrip())
    return text
