"""Feed pictures or vectors to the network, batch by batch."""

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.reading import map_images

# Training crops are cut from pictures a little larger than the network's input, as is usual.
_CROP_MARGIN = 8 / 7
# Smallest share of the picture's area in a training crop: its labels must stay true.
_SMALLEST_CROP = 0.5
# Decoded training pictures up to this many bytes stay in memory; above, each epoch decodes anew.
_KEEP_DECODED_BYTES = 2**30


class PhotoBatches:
    """Batches of pictures for training and for prediction.

    Pictures are stretched to a square, as the encoder's views are, so no object is cut away.
    Training pictures are randomly cropped and flipped; the random numbers are torch's.

    Parameters
    ----------
    images : list
        Images that passed ``check_images``.
    image_size : int
        Side of the network's input in pixels.
    batch_size : int
        Photos a batch.
    device : torch.device
        Where batches are put.
    n_jobs : int or None
        Threads that decode.
    on_error : {"raise", "nan"}
        See ``map_images``. With "nan" a bad image is a black picture.
    """

    def __init__(self, images, *, image_size, batch_size, device, n_jobs=None, on_error="raise"):
        self.images = images
        self.image_size = image_size
        self.batch_size = batch_size
        self.device = device
        self.n_jobs = n_jobs
        self.on_error = on_error
        self._training_size = round(image_size * _CROP_MARGIN)
        self._decoded: Tensor | None = None

    @cached_property
    def _crop(self) -> Callable[[Tensor], Tensor]:
        # Imported here because it takes a second or two, and prediction does without it.
        from torchvision.transforms import v2

        size = v2.RandomResizedCrop(self.image_size, scale=(_SMALLEST_CROP, 1.0), antialias=True)
        return v2.Compose([size, v2.RandomHorizontalFlip()])

    @property
    def steps_per_epoch(self) -> int:
        """How many batches ``training`` yields."""
        return len(_split(torch.arange(len(self.images)), self.batch_size))

    def training(self) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch: every image once, in random order, randomly cropped and flipped."""
        order = torch.randperm(len(self.images))
        pictures = self._training_pictures(order)
        for indices in _split(order, self.batch_size):
            crops = torch.stack([self._crop(next(pictures)) for _ in indices])
            yield indices.to(self.device), self._to_device(crops)

    def prediction(self, failures: list[ImageError]) -> Iterator[Tensor]:
        """All images once, in order, whole; ``failures`` is filled as in ``map_images``."""
        pictures = self._pictures(range(len(self.images)), self.image_size, failures)
        for start in range(0, len(self.images), self.batch_size):
            count = min(self.batch_size, len(self.images) - start)
            yield self._to_device(torch.stack([next(pictures) for _ in range(count)]))

    def _training_pictures(self, order) -> Iterator[Tensor]:
        size = self._training_size
        if 3 * size**2 * len(self.images) > _KEEP_DECODED_BYTES:
            return self._pictures(order.tolist(), size)
        if self._decoded is None:
            self._decoded = torch.stack(list(self._pictures(range(len(self.images)), size)))
        return (self._decoded[index] for index in order)

    def _pictures(self, indices, size, failures=None) -> Iterator[Tensor]:
        def resize(image):
            return np.array(image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3))

        decoded = map_images(
            resize,
            self.images,
            indices=indices,
            n_jobs=self.n_jobs,
            min_size=(size, size),
            on_error=self.on_error,
            failures=failures,
        )
        for picture in decoded:
            if picture is None:  # the caller learns of it from failures
                picture = np.zeros((size, size, 3), dtype=np.uint8)
            yield torch.from_numpy(picture).permute(2, 0, 1)

    def _to_device(self, pictures: Tensor) -> Tensor:
        # uint8 travels: a quarter of the bytes of float32.
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        if self.device.type == "cuda":
            pictures = pictures.pin_memory()
        return pictures.to(self.device, non_blocking=True)


class EmbeddingBatches:
    """Batches of vectors, with the methods of :class:`PhotoBatches`.

    Parameters
    ----------
    embeddings : ndarray of shape (n, d), float32
    batch_size : int
    device : torch.device
    """

    def __init__(self, embeddings, *, batch_size, device):
        # A copy: torch takes neither read-only arrays nor negative strides.
        copy = np.array(embeddings, dtype=np.float32)
        self.embeddings = torch.from_numpy(copy).to(device)
        self.batch_size = batch_size

    @property
    def steps_per_epoch(self) -> int:
        """How many batches ``training`` yields."""
        return len(_split(torch.arange(len(self.embeddings)), self.batch_size))

    def training(self) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch: every vector once, in random order."""
        order = torch.randperm(len(self.embeddings)).to(self.embeddings.device)
        for indices in _split(order, self.batch_size):
            yield indices, self.embeddings[indices]

    def prediction(self, failures: list[ImageError]) -> Iterator[Tensor]:
        """All vectors once, in order; vectors don't fail."""
        for batch in self.embeddings.split(self.batch_size):
            # In double precision a row's result does not depend on its place in the batch, once
            # it is rounded; mps has none.
            yield batch if batch.device.type == "mps" else batch.double()


def _split(order: Tensor, batch_size: int) -> list[Tensor]:
    """Cut into batches; a last one of a single photo, which has no spread, joins its neighbour."""
    batches = list(order.split(batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches
