"""The two kinds of training data, photos and embeddings, behind the same methods."""

import copy
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_cdul.compute.devices import memory_format, resolve_precision
from sklearn_cdul.compute.transfers import to_device
from sklearn_cdul.exceptions import ImageError, with_advice
from sklearn_cdul.images.digests import Content, file_stamp
from sklearn_cdul.images.items import Photos
from sklearn_cdul.images.pictures import PictureCache
from sklearn_cdul.images.reading import read_pictures
from sklearn_cdul.training.building import build_photo_network, check_input_size, look_at_regions
from sklearn_cdul.training.network import EmbeddingNetwork
from sklearn_cdul.training.ranks import Ranks

# Photos or vectors per forward pass in prediction. On a CPU photos per thread, so few that they
# stay in the cache of a core, and the most of all threads together, for the memory.
_PREDICTION_BATCH, _PER_THREAD, _CPU_BATCH = 256, 10, 32
# Smallest share of the picture's area in a training crop: its labels must stay true.
_SMALLEST_CROP = 0.5


def training_size(image_size: int) -> int:
    """Side of the pictures that training crops are cut from: a little larger, as is usual."""
    return round(image_size * 8 / 7)


class _Source:
    """What both kinds share: where and how precisely they are computed with, and which rows."""

    def __init__(self, n: int, device: torch.device, precision: str, verbose: bool):
        self.rows: Sequence[int] = range(n)
        self.n_images = n  # of all X, whatever part of it is selected
        self.device = device
        self.verbose = verbose
        self.is_precision_given = precision != "auto"
        self.precision = resolve_precision(precision, device)
        # The small gradients of float16 would vanish.
        half = self.precision == torch.float16
        self.training_precision = torch.float32 if half else self.precision

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, rows: Sequence[int]) -> Any:
        """The source of these photos only, in this order; what is kept of them is shared."""
        part = copy.copy(self)
        part.rows = [self.rows[row] for row in rows]
        return part


class PhotoSource(_Source):
    """Pictures for training and for prediction.

    Pictures are stretched to a square, as the encoder's views are, so no object is cut away.
    Training pictures are randomly cropped and flipped; the random numbers are torch's.
    """

    def __init__(
        self,
        photos: Photos,
        *,
        image_size: int,
        device: torch.device,
        precision: str = "auto",
        n_jobs: int | None = None,
        on_error: str = "raise",
        cache: PictureCache | None = None,
        contents: Sequence[Content | None] | None = None,
        verbose: bool = False,
    ):
        super().__init__(len(photos), device, precision, verbose)
        # On a CPU, bfloat16 makes the backward pass through depthwise convolutions four times
        # slower, and no network faster that we tried.
        if precision == "auto" and device.type == "cpu":
            self.training_precision = torch.float32
        self.photos = photos
        self.contents: Any = contents  # of each photo, where they are known
        self.image_size = image_size
        self._on_error = on_error
        self._reading: dict[str, Any] = {"n_jobs": n_jobs, "cache": cache}

    def build_network(
        self, network: str | Callable[..., nn.Module], n_classes: int, *, regions: int = 1
    ) -> nn.Module:
        """Make a fresh network, with regions if it can, and check that it takes such pictures."""
        fresh = build_photo_network(network, n_classes)
        check_input_size(fresh, self.image_size, n_classes)
        look_at_regions(fresh, regions)
        return fresh.to(self.device, memory_format=memory_format(self.device))  # type: ignore[call-overload]

    def training(self, batches: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Indices (b,) and pictures, randomly cropped and flipped, for batches of indices."""
        ranks, size = Ranks(), training_size(self.image_size)
        own = [ranks.places(len(indices)) for indices in batches]
        wanted = [indices[places or [0]] for indices, places in zip(batches, own, strict=True)]
        pictures = self._pictures(torch.cat(wanted).tolist(), size)
        for indices, places in zip(batches, own, strict=True):
            # Crops of others' photos are drawn, too, so that random numbers are the same as alone.
            drawn = [draw_crop(size) for _ in indices]
            crops = [drawn[place] for place in places or [0]]
            wholes = [next(pictures) for _ in crops]
            if self.device.type == "cuda":  # which cuts faster
                wholes = list(self._to_device(wholes))
            cuts = [cut(p, crop, self.image_size) for p, crop in zip(wholes, crops, strict=True)]
            batch = torch.stack(cuts) if self.device.type == "cuda" else self._to_device(cuts)
            yield to_device(indices[places], self.device), self._in_layout(batch)

    def prediction(self, failures: dict[int, ImageError]) -> Iterator[Tensor]:
        """All pictures once, in order, whole; positions of photos that can't be read are noted."""
        pictures = self._pictures(range(len(self)), self.image_size, failures)
        size = _PREDICTION_BATCH
        if self.device.type == "cpu":
            size = min(_PER_THREAD * torch.get_num_threads(), _CPU_BATCH)
        for start in range(0, len(self), size):
            count = min(size, len(self) - start)
            batch = self._to_device([next(pictures) for _ in range(count)])
            yield self._in_layout(batch)

    def has_changed(self, position: int) -> bool:
        """Whether someone has written to a photo's file since its content was read."""
        row = self.rows[position]
        return self.contents[row].has_changed(self.photos[row])

    def description(self) -> tuple[Any, ...]:
        """What the pictures depend on: of files the size and the time of the last change."""
        files = hashlib.blake2b()
        for row in self.rows:
            files.update(repr((row, file_stamp(self.photos[row]))).encode())
        return self.image_size, self.device.type, self.training_precision, files.hexdigest()

    def _pictures(self, order, size, failures=None) -> Iterator[Tensor]:
        rows = [self.rows[position] for position in order]
        pictures = read_pictures(self.photos, size, indices=rows, **self._reading)
        for position, picture in zip(order, pictures, strict=True):
            if isinstance(picture, ImageError):
                if self._on_error == "raise":
                    raise with_advice(picture)
                if failures is not None:
                    failures[position] = picture
                picture = np.zeros((3, size, size), dtype=np.uint8)
            yield torch.from_numpy(picture)

    def _to_device(self, pictures: list[Tensor]) -> Tensor:
        # uint8 travels: a quarter of the bytes of float32.
        shape, is_cuda = (len(pictures), *pictures[0].shape), self.device.type == "cuda"
        batch = torch.empty(shape, dtype=torch.uint8, pin_memory=is_cuda)
        torch.stack(pictures, out=batch)
        return to_device(batch, self.device)

    def _in_layout(self, batch: Tensor) -> Tensor:
        return batch.contiguous(memory_format=memory_format(self.device))


class EmbeddingSource(_Source):
    """Vectors for training and for prediction."""

    def __init__(
        self,
        embeddings: np.ndarray,
        *,
        device: torch.device,
        precision: str = "auto",
        verbose: bool = False,
    ):
        super().__init__(len(embeddings), device, precision, verbose)
        if precision == "auto":
            self.precision = self.training_precision = torch.float32
        # A copy: torch takes neither read-only arrays nor negative strides.
        self.embeddings = torch.from_numpy(np.array(embeddings, dtype=np.float32)).to(device)

    def select(self, rows: Sequence[int]) -> "EmbeddingSource":
        """The source of these vectors only, in this order."""
        part = super().select(rows)
        # Of no rows torch would make an index of floats.
        index = torch.as_tensor(rows, dtype=torch.long, device=self.device)
        part.embeddings = self.embeddings[index]
        return part

    def build_network(self, network: Any, n_classes: int, *, regions: int = 1) -> nn.Module:
        """A linear layer, whatever ``network`` names."""
        return EmbeddingNetwork(self.embeddings, n_classes).to(self.device)

    def training(self, batches: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Indices (b,) and vectors, as they are, for batches of indices."""
        ranks = Ranks()
        for indices in batches:
            places = ranks.places(len(indices))
            own = to_device(indices[places or [0]], self.device)  # indexed here: nobody waits
            yield own[: len(places)], self.embeddings[own]

    def prediction(self, failures: dict[int, ImageError]) -> Iterator[Tensor]:
        """All vectors once, in order; vectors don't fail."""
        for batch in self.embeddings.split(_PREDICTION_BATCH):
            # In double precision a row's result does not depend on its place in the batch, once
            # it is rounded; mps has none.
            yield batch if batch.device.type == "mps" else batch.double()

    def description(self) -> tuple[Any, ...]:
        """What the vectors are."""
        vectors = hashlib.blake2b(self.embeddings.cpu().numpy().tobytes()).hexdigest()
        return self.device.type, self.training_precision, vectors


class FeatureSource(EmbeddingSource):
    """What the last layer of a network receives of photos, in place of the photos.

    A head can be fitted to it many times: what does not depend on labels is computed once.
    """

    def __init__(self, features: np.ndarray, **options: Any):
        super().__init__(features.reshape(len(features), -1), **options)
        self._shape = features.shape[1:]
        self.kept: dict[bytes, Any] = {}  # by their rows, what a training made of the features

    @property
    def features(self) -> np.ndarray:
        """Array (n, n_views, d), on the CPU."""
        return self.embeddings.cpu().numpy().reshape(-1, *self._shape)

    def select(self, rows: Sequence[int]) -> "FeatureSource":
        """The source of these photos only, in this order; of all of them it is the same."""
        if np.array_equal(rows, np.arange(len(self))):
            return self
        key = b"part" + np.asarray(rows, dtype=np.int64).tobytes()
        if key not in self.kept:
            self.kept[key] = part = super().select(rows)
            part.kept = {}  # type: ignore[attr-defined]
        return self.kept[key]

    def prediction(self, failures: dict[int, ImageError]) -> Iterator[Tensor]:
        """All features once, in order."""
        yield from self.embeddings.split(_PREDICTION_BATCH)


Source = PhotoSource | EmbeddingSource


def split_batches(order: Tensor, batch_size: int) -> list[Tensor]:
    """Cut an order into batches, none of them of one photo if others are there."""
    batches = list(order.split(batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def epoch(source: Source, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Every photo once, in random order."""
    order = Ranks().agree(torch.randperm(len(source)))
    return source.training(split_batches(order, batch_size))


def draw_crop(size: int) -> tuple[int, int, int, int, bool]:
    """Draw a crop of half to all of a square picture's area: top, left, height, width, mirrored."""
    from torchvision.transforms import RandomResizedCrop  # takes seconds; prediction does without

    box = RandomResizedCrop.get_params(
        torch.empty(1, size, size), [_SMALLEST_CROP, 1.0], [3 / 4, 4 / 3]
    )
    return *box, bool(torch.rand(()) < 0.5)


def cut(picture: Tensor, crop: tuple[int, int, int, int, bool], size: int) -> Tensor:
    """Cut a picture and resize the crop, with a bilinear filter that smooths."""
    from torchvision.transforms.v2 import functional

    resized = functional.resized_crop(picture, *crop[:4], size=[size, size], antialias=True)
    return resized.flip(-1) if crop[4] else resized
