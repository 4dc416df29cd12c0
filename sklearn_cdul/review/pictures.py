"""Small JPEG files of photos, made when they are asked for and kept as far as there is room."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from sklearn_cdul.images.decoding import load_image
from sklearn_cdul.review.page import make_jpeg

SIZES = {"small": 240, "large": 1280}  # pixels of the longer side
_QUALITY = 80
_KEPT_BYTES = 2**26
_AT_ONCE = 2  # photos that are decoded


class Pictures:
    """Photos by their number; threads share it."""

    def __init__(self, photos: Sequence[Any]):
        self._photos = photos
        self._kept: OrderedDict[tuple[int, str], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._decoding = threading.Semaphore(_AT_ONCE)

    def get(self, row: int, size: str) -> bytes:
        """The file, made anew from the pixels alone: nothing else of the photo goes out."""
        key = row, size
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        side = SIZES[size]
        with self._decoding:
            image = load_image(self._photos[row], row, min_size=(side, side))
            made = make_jpeg(image, side, _QUALITY)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._bytes += len(made)
            while self._bytes > _KEPT_BYTES:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return made
