"""Tell images apart by their content, whatever they are called."""

import hashlib
import os
from typing import Any

import numpy as np
from PIL import Image

from sklearn_cdul.images.decoding import load_image
from sklearn_cdul.images.encoded import make_item, named_errors, open_encoded


def content_digest(item: Any, index: int) -> bytes:
    """Return a digest of an image's content."""
    item = make_item(item, index)
    if isinstance(item, (np.ndarray, Image.Image)):
        pixels = load_image(item, index)
        digest = hashlib.blake2b(repr(pixels.size).encode(), digest_size=16, person=b"pixels")
        digest.update(pixels.tobytes())
        return digest.digest()
    digest = hashlib.blake2b(digest_size=16, person=b"file")
    with named_errors(item, index), open_encoded(item) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.digest()


def file_stamp(path: str | os.PathLike[str]) -> tuple[int, ...]:
    """What changes when someone writes to a file: its number, size and time; () if it is gone."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns
