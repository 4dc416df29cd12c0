"""Reads the text files that people and their programs write."""

import codecs
from pathlib import Path


def read_text(path: Path, expected: str = "") -> str:
    """Text of a file in UTF-8, or with the byte-order mark of UTF-16; errors name the file."""
    try:
        data = path.read_bytes()
        marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return data.decode("utf-16" if marked else "utf-8-sig")
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no file {path}. {expected}".rstrip()) from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8. Save it as UTF-8. {expected}".rstrip()) from None
