"""The two kinds of training data, photos and embeddings, behind the same three methods."""

import copy
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_cdul.compute.devices import memory_format, resolve_precision
from sklearn_cdul.compute.transfers import to_device
from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.checking import check_files
from sklearn_cdul.images.digests import file_stamp
from sklearn_cdul.images.items import is_local_path
from sklearn_cdul.images.photos import Photos
from sklearn_cdul.images.reading import count_threads, read_pictures
from sklearn_cdul.training.building import build_photo_network, check_input_size, look_at_regions
from sklearn_cdul.training.crops import cut, cut_together, draw_crop
from sklearn_cdul.training.network import EmbeddingNetwork
from sklearn_cdul.training.ranks import Ranks

# Training crops are cut from pictures a little larger than the network's input, as is usual.
_CROP_MARGIN = 8 / 7
# Decoded pictures of one list of photos up to this many bytes stay in memory; those beyond are
# decoded anew each time.
_KEEP_DECODED_BYTES = 2**30
# Photos a forward pass in prediction. Small batches stay in the cache of a CPU.
_PREDICTION_BATCH = defaultdict(lambda: 256, cpu=10)


class Source(Protocol):
    """What a network can be built for, trained on and asked about."""

    device: torch.device
    rows: Sequence[int]
    precision: torch.dtype
    training_precision: torch.dtype
    is_precision_given: bool
    verbose: bool

    def __len__(self) -> int:
        """Return how many photos there are."""

    def select(self, rows: Sequence[int]) -> "Source":
        """Return the source of these photos only, in this order."""

    def build_network(
        self, network: str | Callable[..., nn.Module], n_classes: int, *, regions: int = 1
    ) -> nn.Module:
        """Make a fresh network, on the device, and check that it takes such batches."""

    def training(self, batches: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield pairs of indices (b,) and inputs (b, ...), augmented, for batches of indices."""

    def prediction(self, failures: dict[int, ImageError]) -> Iterator[Tensor]:
        """Yield all inputs once, in order, as they are, and note those that can't be used."""

    def description(self) -> Any:
        """Tell what the results depend on besides the labels; its ``repr`` is compared."""


def make_source(
    X: Photos | np.ndarray,
    *,
    device: torch.device,
    precision: str,
    image_size: int | None,
    n_jobs: int | None = None,
    on_error: str = "raise",
    keep: str | None = None,
    verbose: bool = False,
) -> "PhotoSource | EmbeddingSource":
    """Return the source for what `check_X` returned."""
    if isinstance(X, Photos):
        return PhotoSource(
            X,
            image_size=image_size,
            device=device,
            precision=precision,
            n_jobs=n_jobs,
            on_error=on_error,
            keep=keep,
            verbose=verbose,
        )
    return EmbeddingSource(X[:, 0], device=device, precision=precision, verbose=verbose)


class PhotoSource:
    """Pictures for training and for prediction.

    Pictures are stretched to a square, as the encoder's views are, so no object is cut away.
    Training pictures are randomly cropped and flipped; the random numbers are torch's.
    """

    def __init__(
        self,
        photos,
        *,
        image_size,
        device,
        precision="auto",
        n_jobs=None,
        on_error="raise",
        keep=None,
        verbose=False,
    ):
        self.photos = photos
        self.verbose = verbose
        self.image_size = image_size
        self.device = device
        self.precision = resolve_precision(precision, device)
        self.is_precision_given = precision != "auto"
        # The small gradients of float16 would vanish. On a CPU, bfloat16 makes the backward pass
        # through depthwise convolutions four times slower, and no network faster that we tried.
        full = self.precision == torch.float16 or (precision == "auto" and device.type == "cpu")
        self.training_precision = torch.float32 if full else self.precision
        count_threads(n_jobs)  # says now what is wrong with it
        if keep is not None and on_error == "raise":  # likewise, not after hours of encoding
            check_files(photos, n_jobs=n_jobs, verbose=verbose)
        self.rows: Sequence[int] = range(len(photos))
        self._training_size = round(image_size * _CROP_MARGIN)
        self._reading = {"n_jobs": n_jobs, "on_error": on_error}
        room = _KEEP_DECODED_BYTES
        # Training pictures first: they are read in every epoch.
        sizes = {"training": [self._training_size, image_size], "prediction": [image_size]}
        for size in sizes.get(keep, []):
            room -= 3 * size**2 * len(photos)
            if room < 0:
                break
            photos.keep_pictures(size)

    def __len__(self) -> int:
        """How many photos there are."""
        return len(self.rows)

    def select(self, rows: Sequence[int]) -> "PhotoSource":
        """The source of these photos only, in this order; pictures that were kept are shared."""
        part = copy.copy(self)
        part.rows = [self.rows[row] for row in rows]
        return part

    def build_network(
        self, network: str | Callable[..., nn.Module], n_classes: int, *, regions: int = 1
    ) -> nn.Module:
        """Make a fresh network and check that it takes such pictures.

        It looks at so many rows and columns of regions, if it can: see `look_at_regions`.
        """
        fresh = build_photo_network(network, n_classes)
        check_input_size(fresh, self.image_size, n_classes)
        look_at_regions(fresh, regions, self.image_size)
        return fresh.to(self.device, memory_format=memory_format(self.device))  # type: ignore[call-overload]

    def training(self, batches: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Pictures of the batches, randomly cropped and flipped."""
        ranks, blank = Ranks(), torch.empty(1, self._training_size, self._training_size)
        own = [ranks.places(len(indices)) for indices in batches]
        wanted = [indices[places or [0]] for indices, places in zip(batches, own, strict=True)]
        pictures = self._pictures(torch.cat(wanted).tolist(), self._training_size)
        for indices, places in zip(batches, own, strict=True):
            # Crops of others' photos are drawn, too, so that random numbers are the same as alone.
            drawn = [draw_crop(blank) for _ in indices]
            crops = [drawn[place] for place in places or [0]]
            some = [next(pictures) for _ in crops]
            if self.device.type == "cuda":
                batch = cut_together(self._to_device(some), crops, self.image_size)
            else:
                cuts = [cut(p, crop, self.image_size) for p, crop in zip(some, crops, strict=True)]
                batch = self._to_device(cuts)
            yield to_device(indices[places], self.device), self._in_layout(batch)

    def prediction(self, failures: dict[int, ImageError]) -> Iterator[Tensor]:
        """All pictures once, in order, whole."""
        pictures = self._pictures(range(len(self)), self.image_size, failures)
        size = _PREDICTION_BATCH[self.device.type]
        for start in range(0, len(self), size):
            count = min(size, len(self) - start)
            batch = self._to_device([next(pictures) for _ in range(count)])
            yield self._in_layout(batch)

    def description(self) -> tuple[Any, ...]:
        """What the pictures depend on: of files the size and the time of the last change."""
        files = hashlib.blake2b()
        for row in self.rows:
            photo = self.photos[row]
            stamp = file_stamp(photo) if is_local_path(photo) else ()
            files.update(repr((row, stamp)).encode())
        return self.image_size, self.device.type, self.training_precision, files.hexdigest()

    def _pictures(self, order, size, failures=None) -> Iterator[Tensor]:
        rows = [self.rows[position] for position in order]
        errors: list[ImageError] = []
        pictures = read_pictures(self.photos, size, indices=rows, failures=errors, **self._reading)
        for position, picture in zip(order, pictures, strict=True):
            if picture is None:
                picture = np.zeros((3, size, size), dtype=np.uint8)
                if failures is not None:
                    failures[position] = errors[-1]
            yield torch.from_numpy(picture)

    def _to_device(self, pictures: list[Tensor]) -> Tensor:
        # uint8 travels: a quarter of the bytes of float32.
        shape, is_cuda = (len(pictures), *pictures[0].shape), self.device.type == "cuda"
        batch = torch.empty(shape, dtype=torch.uint8, pin_memory=is_cuda)
        torch.stack(pictures, out=batch)
        return to_device(batch, self.device)

    def _in_layout(self, batch: Tensor) -> Tensor:
        return batch.contiguous(memory_format=memory_format(self.device))


class EmbeddingSource:
    """Vectors for training and for prediction."""

    def __init__(self, embeddings, *, device, precision="auto", verbose=False):
        self.verbose = verbose
        # A copy: torch takes neither read-only arrays nor negative strides.
        copy = np.array(embeddings, dtype=np.float32)
        self.embeddings = torch.from_numpy(copy).to(device)
        self.rows: Sequence[int] = range(len(copy))
        self.device = device
        self.is_precision_given = precision != "auto"
        self.precision = resolve_precision(
            precision if self.is_precision_given else "float32", device
        )
        half = self.precision == torch.float16
        self.training_precision = torch.float32 if half else self.precision

    def __len__(self) -> int:
        """How many photos there are."""
        return len(self.embeddings)

    def select(self, rows: Sequence[int]) -> "EmbeddingSource":
        """The source of these photos only, in this order."""
        part = copy.copy(self)
        part.rows = [self.rows[row] for row in rows]
        part.embeddings = self.embeddings[torch.as_tensor(rows, device=self.device)]
        return part

    def build_network(self, network: Any, n_classes: int, *, regions: int = 1) -> nn.Module:
        """A linear layer, whatever ``network`` names."""
        return EmbeddingNetwork(self.embeddings, n_classes).to(self.device)

    def training(self, batches: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Vectors of the batches, as they are; see :meth:`PhotoSource.training`."""
        ranks = Ranks()
        for indices in batches:
            places = ranks.places(len(indices))
            own = to_device(indices[places or [0]], self.device)  # indexed here: nobody waits
            yield own[: len(places)], self.embeddings[own]

    def prediction(self, failures: dict[int, ImageError]) -> Iterator[Tensor]:
        """All vectors once, in order; vectors don't fail."""
        for batch in self.embeddings.split(_PREDICTION_BATCH[self.device.type]):
            # In double precision a row's result does not depend on its place in the batch, once
            # it is rounded; mps has none.
            yield batch if batch.device.type == "mps" else batch.double()

    def description(self) -> tuple[Any, ...]:
        """What the vectors are."""
        vectors = hashlib.blake2b(self.embeddings.cpu().numpy().tobytes()).hexdigest()
        return self.device.type, self.training_precision, vectors


def split_batches(order: Tensor, batch_size: int) -> list[Tensor]:
    """Cut an order into batches."""
    batches = list(order.split(batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def epoch(source: Source, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Every photo once, in random order."""
    order = Ranks().agree(torch.randperm(len(source)))
    return source.training(split_batches(order, batch_size))
