"""Tell images apart by their content, whatever they are called."""

import hashlib
from typing import Any

from sklearn_cdul.images.decoding import load_image, read_lazy
from sklearn_cdul.images.encoded import LazyItem, open_encoded
from sklearn_cdul.images.errors import named_errors


def content_digest(item: Any, index: int) -> bytes:
    """Return a digest of an image's content."""
    if isinstance(item, LazyItem):
        item = read_lazy(item, index)
    with named_errors(item, index):
        file = open_encoded(item)
        if file is not None:
            digest = hashlib.blake2b(digest_size=16, person=b"file")
            with file:
                while block := file.read(1 << 20):
                    digest.update(block)
            return digest.digest()
    pixels = load_image(item, index)
    digest = hashlib.blake2b(repr(pixels.size).encode(), digest_size=16, person=b"pixels")
    digest.update(pixels.tobytes())
    return digest.digest()
