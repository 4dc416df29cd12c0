"""The images of one call, which remember what was made of them, so that it is not made twice."""

from collections.abc import Callable, Iterable
from typing import Any
from weakref import ref

import numpy as np
from PIL import Image

from sklearn_cdul.images.decoding import decode, warn_of_size
from sklearn_cdul.images.items import lock_of


class Photos(list[Any]):
    """A list of images as the user gave them, each decoded on demand.

    Whoever decodes an image of the list, for instance to encode it, thereby also makes the small
    pictures that were asked for with `keep_pictures`, so that a network that is trained on them
    need not decode it again.
    """

    def __init__(self, images: Iterable[Any] = ()):
        super().__init__(images)
        self.files_checked = False  # by check_files, which looks at them once
        self._embedded: tuple[Any, Any, ref[np.ndarray]] | None = None
        self._pictures: dict[int, np.ndarray] = {}
        self._is_kept: dict[int, np.ndarray] = {}
        self._warned_of_size = False

    def embed_once(
        self, encoder: object, settings: Any, embed: Callable[[], np.ndarray]
    ) -> np.ndarray:
        """Return the embeddings of all images, made now unless somebody still holds them."""
        if self._embedded is not None:
            made_by, made_with, held = self._embedded
            embeddings = held()
            if embeddings is not None and made_by is encoder and made_with == settings:
                return embeddings
        embeddings = embed()
        self._embedded = encoder, settings, ref(embeddings)
        return embeddings

    def keep_pictures(self, size: int) -> None:
        """Ask to keep square pictures of all images, made when an image is next decoded."""
        self._pictures[size] = np.empty((len(self), 3, size, size), dtype=np.uint8)
        self._is_kept[size] = np.zeros(len(self), dtype=bool)

    def picture(self, index: int, size: int) -> np.ndarray | None:
        """Return a picture that was kept."""
        if size in self._is_kept and self._is_kept[size][index]:
            return self._pictures[size][index]
        return None

    def load(self, index: int, min_size: tuple[int, int] | None = None) -> Image.Image:
        """Decode one image to upright RGB."""
        image, serves = decode(self[index], index, min_size, self._warn_of_size)
        for size, is_kept in self._is_kept.items():
            # Not from pixels that were decoded at another scale: they would differ a little, and
            # with them the network, depending on who came first.
            if not is_kept[index] and serves((size, size)):
                self._pictures[size][index] = make_picture(image, size)
                is_kept[index] = True
        return image

    def _warn_of_size(self, message: str) -> None:
        with lock_of(self):
            warned, self._warned_of_size = self._warned_of_size, True
        if not warned:
            warn_of_size(message)


def make_picture(image: Image.Image, size: int) -> np.ndarray:
    """Stretch an image to a square, as the encoder's views are, so that nothing is cut away."""
    square = image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3)
    return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))
