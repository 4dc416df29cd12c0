"""Square pictures for the network, kept so that no photo is decoded more often than needed."""

from collections.abc import Callable, Iterable

import numpy as np
from PIL import Image

# Decoded pictures of one list of photos up to this many bytes stay in memory; those beyond are
# decoded anew each time.
_KEPT_BYTES = 2**30
# What becomes of a photo on its way to the network, in `make_picture` and in decoding.py. ONNX
# files carry it, and those with another text are refused, so change it with any of these.
PREPROCESSING = {
    "frame": "first",
    "orientation": "as EXIF says",
    "color": "RGB, 8 bits; grey of 10 to 16 bits is scaled",
    "transparent": "white",
    "jpeg": "decoded at 1/8, 1/4 or 1/2 of its size if both sides stay at least image_size",
    "resize": "stretched to image_size x image_size, bicubic, Pillow's reducing_gap=3",
}


class PictureCache:
    """Square pictures of photos, known by their position, kept whenever one is decoded.

    The encoder decodes each photo, and the network finds its pictures here.
    """

    def __init__(self, n_photos: int, sizes: Iterable[int] = ()):
        self._pictures: dict[int, np.ndarray] = {}
        self._is_kept: dict[int, np.ndarray] = {}
        room = _KEPT_BYTES
        for size in sizes:
            room -= 3 * size**2 * n_photos
            if room < 0:
                break
            self._pictures[size] = np.empty((n_photos, 3, size, size), dtype=np.uint8)
            self._is_kept[size] = np.zeros(n_photos, dtype=bool)

    def get(self, index: int, size: int) -> np.ndarray | None:
        """Return the picture of a photo, (3, size, size), if it is kept."""
        if size in self._is_kept and self._is_kept[size][index]:
            return self._pictures[size][index]
        return None

    def offer(
        self, index: int, image: Image.Image, serves: Callable[[tuple[int, int]], bool]
    ) -> None:
        """Make the pictures that are wanted of a decoded photo."""
        # Not from pixels that were decoded at another scale: they would differ a little, and with
        # them the network, depending on who came first.
        for size, is_kept in self._is_kept.items():
            if not is_kept[index] and serves((size, size)):
                self._pictures[size][index] = make_picture(image, size)
                is_kept[index] = True


def make_picture(image: Image.Image, size: int) -> np.ndarray:
    """Stretch an image to a square, as the encoder's views are, so that nothing is cut away."""
    square = image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3)
    return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))
