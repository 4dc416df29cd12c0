"""Tell images apart by their content, whatever they are called."""

import hashlib
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.decoding import load_image
from sklearn_cdul.images.items import check_images, is_local_path, path_of
from sklearn_cdul.images.opening import open_item
from sklearn_cdul.images.threads import go_through


def content_digest(item: Any, index: int) -> bytes:
    """Return a digest of an image's content."""
    digest = hashlib.blake2b(digest_size=16, person=b"file")
    with open_item(item, index) as (item, file):
        if file is None or isinstance(item, Image.Image):
            pixels = load_image(item, index)
            size = repr(pixels.size).encode()
            digest = hashlib.blake2b(size, digest_size=16, person=b"pixels")
            digest.update(pixels.tobytes())
        else:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.digest()


def file_stamp(item: Any) -> tuple[int, ...]:
    """What changes when someone writes to a file: its number, size and time; () for no file."""
    try:
        status = os.stat(item) if is_local_path(item) else None
    except (OSError, ValueError):
        status = None
    return () if status is None else (status.st_ino, status.st_size, status.st_mtime_ns)


class Content(NamedTuple):
    """What an image was when it was read for its digest."""

    digest: bytes
    stamp: tuple[int, ...]  # of a file: changes when someone writes to it

    def has_changed(self, image: Any) -> bool:
        """Whether someone has written to the image's file since."""
        return self.stamp != file_stamp(image)


def read_contents(
    photos: Sequence[Any], *, n_jobs: int | None = None, verbose: Any = False
) -> list[Content | None]:
    """Read the content of all images; None stands for what can't be read."""

    def read(photo: Any, index: int) -> Content | None:
        stamp = file_stamp(photo)  # first: what is written while it is read has changed it
        try:
            return Content(content_digest(photo, index), stamp)
        except ImageError:
            return None

    return go_through(photos, read, "Looking up", n_jobs=n_jobs, verbose=verbose)


def digest_of_X(X: Any) -> str | None:
    """Tell a list of images, or embeddings, from others; None where that can't be known.

    Images are known by their paths, or by their pixels or bytes if they are in memory.
    """
    digest = hashlib.blake2b(digest_size=16)
    try:
        items = check_images(X)
    except (TypeError, ValueError):  # embeddings
        try:
            digest.update(np.ascontiguousarray(X, dtype=np.float32).tobytes())
        except (TypeError, ValueError):
            return None
        return digest.hexdigest()
    for item in items:
        path = path_of(item)
        if path is not None:
            content = repr(path).encode()  # surrogates are no UTF-8
        elif isinstance(item, np.ndarray | Image.Image):
            pixels = np.asarray(item)
            content = repr((pixels.shape, hashlib.blake2b(pixels.tobytes()).digest())).encode()
        elif isinstance(item, bytes | bytearray | memoryview):
            content = hashlib.blake2b(item).digest()
        else:
            return None
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()
