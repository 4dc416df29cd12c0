"""From images to the vectors of their views, batch by batch."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import islice, tee
from numbers import Integral
from typing import Any

import numpy as np
import torch

from sklearn_cdul._utils.vectors import unit_vectors
from sklearn_cdul.compute.devices import run_in_batches
from sklearn_cdul.compute.transfers import ahead
from sklearn_cdul.encoders.looks import Look, looks_of
from sklearn_cdul.encoders.soundness import describe_unsound, is_sound, what_is_wrong
from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.reading import map_images
from sklearn_cdul.images.views import views_version

Batch = list[tuple[int, np.ndarray | None]]


def iter_batches(
    encoder: Any,
    images: Sequence[Any],
    *,
    indices: Iterable[int] | None,
    grid_size: int,
    views: str,
    batch_size: int | str,
    n_jobs: int | None,
    on_error: str,
    failures: list[ImageError] | None,
    unsound: dict[int, str] | None,
) -> Generator[Batch, None, None]:
    """Embed images batch by batch."""
    views_version(views)  # says what is wrong before an image is read
    per_batch = views_per_batch(encoder, batch_size)
    looks = looks_of(encoder, grid_size, views)
    images_per_batch = max(per_batch // max(look.n_pieces for look in looks), 1)
    order, drawn = tee(range(len(images)) if indices is None else indices)
    pieces_of_images = map_images(
        lambda image: [look.cut(image) for look in looks],
        images,
        indices=drawn,
        n_jobs=n_jobs,
        min_size=(max(look.min_size[0] for look in looks), max(look.min_size[1] for look in looks)),
        on_error=on_error,
        failures=failures,
        look_ahead=2 * images_per_batch,
    )
    n_encoded = 0
    with closing(pieces_of_images):  # type: ignore[type-var]
        rows = zip(order, pieces_of_images, strict=True)
        batches = _start_batches(encoder, looks, rows, images_per_batch, per_batch)
        for group, finish in ahead(batches, encoder.device):
            readable = [index for index, is_readable in group if is_readable]
            found = dict(zip(readable, finish(), strict=True))
            wrong = {i: what_is_wrong(e) for i, e in found.items() if not is_sound(e).all()}
            n_encoded += len(readable)
            if wrong and on_error == "raise":
                # What is sound is not lost, if the caller keeps it.
                yield [(index, found[index]) for index in readable if index not in wrong]
                message = describe_unsound(wrong, images, n_encoded, encoder)
                raise FloatingPointError(f'{message} on_error="nan" leaves such images out.')
            if unsound is not None:
                unsound.update(wrong)
            yield [(index, None if index in wrong else found.get(index)) for index, _ in group]


def _start_batches(
    encoder: Any,
    looks: list[Look],
    rows: Iterator[tuple[int, list[np.ndarray] | None]],
    images_per_batch: int,
    views_per_batch: int,
) -> Iterator[tuple[list[tuple[int, bool]], Callable[[], np.ndarray]]]:
    """Begin with the images batch by batch; yield which can be read, and what ends the work."""
    while group := list(islice(rows, images_per_batch)):
        readable = [pieces for _, pieces in group if pieces is not None]
        finish = _start(encoder, looks, readable, views_per_batch)
        yield [(index, pieces is not None) for index, pieces in group], finish


def _start(
    encoder: Any, looks: list[Look], images: list[list[np.ndarray]], batch_size: int
) -> Callable[[], np.ndarray]:
    """Begin to embed the pieces of images, (v, H, W, 3) a look, into (n, n_views, d)."""
    if not images:
        return lambda: np.empty((0, 0, encoder.embedding_dim), np.float32)
    started = []
    for look, pieces in zip(looks, zip(*images, strict=True), strict=True):
        function = partial(_start_batch, encoder, look)
        joined = _concatenate(pieces, encoder.device)
        parts, fitted = run_in_batches(function, joined, batch_size, encoder.device)
        if fitted < batch_size:
            encoder._largest_batch = fitted
        started.append(parts)

    def finish() -> np.ndarray:
        vectors = [np.concatenate([finish() for finish in parts]) for parts in started]
        shape = len(images), -1, encoder.embedding_dim
        return np.concatenate([part.reshape(shape) for part in vectors], axis=1)

    return finish


def _concatenate(images: Sequence[np.ndarray], device: torch.device) -> np.ndarray:
    if device.type != "cuda":
        return np.concatenate(images)
    # Put together where the GPU can fetch them from, not copied there afterwards.
    shape = (sum(map(len, images)), *images[0].shape[1:])
    pinned = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
    return np.concatenate(images, out=pinned.numpy())


def _start_batch(encoder: Any, look: Look, views: np.ndarray) -> Callable[[], np.ndarray]:
    with np.errstate(over="ignore", invalid="ignore"):
        finish = look.start(views)
    expected = (len(views), *look.shape, encoder.embedding_dim)

    def scaled() -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            embeddings = np.asarray(finish(), dtype=np.float32)
            if embeddings.shape != expected:
                raise ValueError(
                    f"{type(encoder).__name__}.{look.method} must return an array of shape "
                    f"{expected} for {len(views)} views; it returned {embeddings.shape}."
                )
            scaled = unit_vectors(embeddings)
        # What can't be scaled is left as it is, to tell what is wrong with it.
        return np.where(is_sound(scaled)[..., np.newaxis], scaled, embeddings)

    return scaled


def views_per_batch(encoder: Any, batch_size: int | str) -> int:
    """Return how many views go into one forward pass."""
    if batch_size == "auto":
        batch_size = encoder._auto_batch_size
    if isinstance(batch_size, bool) or not isinstance(batch_size, Integral) or batch_size < 1:
        raise ValueError(
            f'batch_size must be "auto" or an integer of at least 1, got {batch_size!r}.'
        )
    return min(int(batch_size), encoder._largest_batch or int(batch_size))
