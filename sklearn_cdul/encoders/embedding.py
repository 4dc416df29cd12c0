"""From images to the vectors of their views: decoded, cut, encoded and kept, batch by batch."""

import hashlib
import math
import os
import random
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from itertools import islice, tee
from numbers import Integral
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from sklearn_cdul._utils.progress import progress
from sklearn_cdul._utils.vectors import is_sound, unit_vectors, what_is_wrong
from sklearn_cdul.compute.devices import run_in_batches
from sklearn_cdul.compute.transfers import ahead, fetch
from sklearn_cdul.encoders.base import BaseEncoder
from sklearn_cdul.exceptions import ImageError, warn, warn_about_failures, with_advice
from sklearn_cdul.images.digests import Content
from sklearn_cdul.images.items import path_of, shorten
from sklearn_cdul.images.pictures import PictureCache
from sklearn_cdul.images.reading import map_images
from sklearn_cdul.images.views import (
    Preprocessing,
    make_views,
    n_parts,
    n_views,
    required_size,
    split_views,
    views_version,
)
from sklearn_cdul.memory.store import Store

# A function of embeddings gets so many bytes of them at a time.
_HELD_BYTES = 2**30
# What came of an image: its embedding (n_views, d), or why it has none.
Outcome = np.ndarray | ImageError | FloatingPointError
E = TypeVar("E")


def embed_photos(
    encoder: BaseEncoder,
    photos: Sequence[Any],
    *,
    grid_size: int = 3,
    views: str = "grid",
    batch_size: int | str = "auto",
    n_jobs: int | None = None,
    on_error: str = "raise",
    memory: str | os.PathLike[str] | None = None,
    contents: Sequence[Content | None] | None = None,
    cache: PictureCache | None = None,
    function: Callable[[np.ndarray], np.ndarray] | None = None,
    verbose: bool = False,
) -> np.ndarray:
    """Embed images, whole and in parts: (n, n_views, d) float32 of length 1 each.

    Or return what a function makes of them: of all at once, or of blocks of 1 GiB. With a folder as
    `memory` and their `contents`, each is read from there, or else stored batch by batch.
    """
    ways = ways_to_look(encoder, grid_size, views)
    per_batch = _views_per_batch(encoder, batch_size)
    with ExitStack() as stack:
        store, version = None, b""
        if memory is not None:
            store = stack.enter_context(Store(memory))
            # All that changes an embedding besides the image; the device does not. The whole image
            # alone is the same for all kinds of parts.
            looks = views_version(views if grid_size > 1 else "grid")
            version = repr((encoder.fingerprint, grid_size, *looks)).encode()
        shape = n_views(grid_size, views), encoder.embedding_dim
        work = _Work(photos, _Rows(len(photos), shape, function), store, version, contents)
        n_done = len(photos) - work.n_waiting
        bar = stack.enter_context(progress("Encoding", len(photos), done=n_done, verbose=verbose))
        while work.n_waiting:  # once more for images whose equal was overwritten meanwhile
            batches = _outcomes(encoder, work, ways, per_batch, n_jobs, cache)
            for batch in stack.enter_context(closing(batches)):
                for index, outcome in batch:
                    work.accept(index, outcome)
                work.save()
                bar.update(len(photos) - work.n_waiting - bar.n)
                if on_error == "raise" and work.failures:
                    _raise_first(work, encoder)
        bar.update(len(photos) - bar.n)
    warn_about_failures(list(work.failed(ImageError).values()), len(photos))
    if work.failed(FloatingPointError):
        warn(f"{_describe(work, encoder)} The rows of such images are NaN.")
    return work.result.finish()


def _raise_first(work: "_Work", encoder: BaseEncoder) -> None:
    first = work.failures[min(work.failures)]
    if isinstance(first, ImageError):
        raise with_advice(first)
    raise FloatingPointError(f'{_describe(work, encoder)} on_error="nan" leaves such images out.')


def _describe(work: "_Work", encoder: BaseEncoder) -> str:
    """Sentences on the images for which an encoder gave no sound vectors, with advice."""
    unsound = work.failed(FloatingPointError)
    words, first = " or ".join(dict.fromkeys(map(str, unsound.values()))), min(unsound)
    path = path_of(work.photos[first])
    if getattr(encoder, "dtype", None) == torch.float32:
        advice = (
            "It computes in float32 already, so its weights or the device's driver may be broken: "
            'take other weights, or set device="cpu".'
        )
    else:
        advice = 'Its arithmetic may be too coarse: set precision="float32".'
    count = f"{len(unsound)} of {len(work.photos) - work.n_waiting} images"
    where = f"X[{first}]" if path is None else f"X[{first}] ({shorten(path)})"
    return f"The encoder gave {words} for {count}, first {where}. {advice}"


class Way(NamedTuple):
    """One kind of views: how an image is cut into pieces, and what embeds a batch of these."""

    kind: str
    pieces: int  # grid size of the pieces: 1 for the whole image alone
    preprocessing: Preprocessing
    encode: Callable[[np.ndarray], np.ndarray | torch.Tensor]
    shape: tuple[int, ...]  # of what it gives for a piece, besides d
    whole: bool  # whether the whole image is among its views

    def cut(self, image: Any) -> np.ndarray:
        """Cut an image into its pieces (p, H, W, 3)."""
        return make_views(image, self.pieces, self.preprocessing, self.kind)


def ways_to_look(encoder: BaseEncoder, grid_size: int, views: str) -> list[Way]:
    """Return the ways to look at an image; their vectors one after the other are its embedding."""
    views_version(views)  # says what is wrong before an image is read
    kinds = split_views(views) if grid_size > 1 else ["grid"]

    def way(kind: str, whole: bool) -> Way:
        if kind != "dense":
            return Way(kind, grid_size, encoder.preprocessing, encoder.encode_views, (), whole)
        encode = partial(encoder.encode_dense, grid_size=grid_size, whole=whole)
        shape = (n_parts(grid_size, kind) + whole,)  # one pass gives all vectors
        return Way(kind, 1, encoder.dense_preprocessing, encode, shape, whole)

    return [way(kind, kind == kinds[0]) for kind in kinds]


def size_for(ways: list[Way]) -> tuple[int, int]:
    """Return the pixels (width, height) that an image should have, to be decoded once for all."""
    sizes = [required_size(way.pieces, way.preprocessing) for way in ways]
    return max(width for width, _ in sizes), max(height for _, height in sizes)


class _Rows:
    """Embeddings of n images, or what a function makes of them, NaN where there is none."""

    def __init__(
        self,
        n: int,
        shape: tuple[int, int],
        function: Callable[[np.ndarray], np.ndarray] | None,
    ):
        size = n if function is None else min(n, max(_HELD_BYTES // (4 * math.prod(shape)), 1))
        self.shape = shape
        self._function = function
        self._held = np.full((size, *shape), np.nan, np.float32)
        self._is_whole = size == n
        self._waiting: list[list[int]] = []  # the rows of each embedding of a block
        self._n, self._made = n, np.empty(0, np.float32)

    def put(self, rows: list[int], embedding: np.ndarray) -> None:
        """Note the embedding of some rows."""
        if self._is_whole:
            self._held[rows] = embedding
            return
        self._held[len(self._waiting)] = embedding
        self._waiting.append(rows)
        if len(self._waiting) == len(self._held):
            self._use_block()

    def finish(self) -> np.ndarray:
        """Return all rows."""
        if self._function is None:
            return self._held
        if self._is_whole:
            return self._function(self._held)
        if self._waiting or not len(self._made):
            self._use_block()
        return self._made

    def _use_block(self) -> None:
        assert self._function is not None
        made = self._function(self._held[: len(self._waiting)])
        if not len(self._made):
            self._made = np.full((self._n, *made.shape[1:]), np.nan, np.float32)
        for rows, values in zip(self._waiting, made, strict=True):
            self._made[rows] = values
        self._waiting = []


class _Work:
    """What has come of the images of one call, which are waited for, and what is to be stored.

    Of images with one key, their content or else their index, one is encoded.
    """

    def __init__(
        self,
        photos: Sequence[Any],
        result: _Rows,
        store: Store | None,
        version: bytes,
        contents: Sequence[Content | None] | None,
    ):
        self.photos = photos
        self.result = result
        self.failures: dict[int, ImageError | FloatingPointError] = {}
        self.n_waiting = len(photos)
        self._store = store
        known = None if store is None else contents
        self._contents = [None] * len(photos) if known is None else known
        self._keys: list[bytes | int] = []
        self._rows: dict[bytes | int, list[int]] = {}  # of each key that is waited for
        self._unsaved: dict[bytes, bytes] = {}
        self._others_store = False  # whether another process is at work on these images
        for index, content in enumerate(self._contents):
            key = index if content is None else _digest(content.digest + version)
            self._keys.append(key)
            self._rows.setdefault(key, []).append(index)
        for key in list(self._rows):
            self._take(key)

    def order(self) -> Iterator[int]:
        """One image of each key that is waited for, drawn as decoding gets on."""
        # First those that could not even be read: to fail now, not after hours. When others store
        # the same images, the rest comes in random order, so that few are encoded twice.
        waiting = sorted(reversed(self._rows), key=lambda key: isinstance(key, int))
        is_shuffled = False
        while waiting:
            if self._others_store and not is_shuffled:
                random.Random().shuffle(waiting)  # the user's own state stays as it is
                is_shuffled = True
            yield self._rows[waiting.pop()][0]

    def is_stored(self, index: int) -> bool:
        """Whether another process has stored an image in the meantime; then its rows are read."""
        found = self._take(self._keys[index])
        self._others_store |= found
        return found

    def accept(self, index: int, outcome: Outcome) -> None:
        """Note what came of an image, for all rows that it is the outcome of."""
        key, content = self._keys[index], self._contents[index]
        rows = self._rows.pop(key)
        if content is not None and content.has_changed(self.photos[index]):
            # Someone wrote to the file since it was read for its digest: this row has its new
            # content. Rows of files that were equal to it have not: they wait on.
            rows, others = rows[:1], rows[1:]
            if others:
                self._rows[key] = others
        elif isinstance(key, bytes) and isinstance(outcome, np.ndarray):
            self._unsaved[key] = outcome.astype("<f4").tobytes()
        if isinstance(outcome, np.ndarray):
            self.result.put(rows, outcome)
        else:
            self.failures |= dict.fromkeys(rows, outcome)
        self.n_waiting -= len(rows)

    def save(self) -> None:
        """Store what came of a batch, and take in what others have stored."""
        if self._store is not None:
            self._store.put(self._unsaved)
            self._unsaved = {}
            self._store.refresh()

    def failed(self, kind: type[E]) -> dict[int, E]:
        """The errors of one kind by the index of the image."""
        return {i: error for i, error in self.failures.items() if isinstance(error, kind)}

    def _take(self, key: bytes | int) -> bool:
        """Read the rows of a key, if it is stored."""
        stored = None if self._store is None or isinstance(key, int) else self._store.get(key)
        shape = self.result.shape
        if stored is None or len(stored) != 4 * math.prod(shape):
            return False
        embedding = np.frombuffer(stored, "<f4").reshape(shape)
        # Others come from an encoder that kept its fingerprint.
        if not is_sound(embedding).all():
            return False
        rows = self._rows.pop(key)
        self.result.put(rows, embedding)
        self.n_waiting -= len(rows)
        return True


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _outcomes(
    encoder: BaseEncoder,
    work: _Work,
    ways: list[Way],
    per_batch: int,
    n_jobs: int | None,
    cache: PictureCache | None,
) -> Generator[list[tuple[int, Outcome]], None, None]:
    """Decode, cut and encode images; yield what came of them, batch by batch."""
    photos_per_batch = max(per_batch // max(n_views(way.pieces) for way in ways), 1)
    order, drawn = tee(work.order())
    decoded = map_images(
        lambda image: [way.cut(image) for way in ways],
        work.photos,
        indices=drawn,
        n_jobs=n_jobs,
        min_size=size_for(ways),
        look_ahead=2 * photos_per_batch,
        cache=cache,
    )

    def started() -> Iterator[tuple[list[tuple[int, Any]], Callable[[], np.ndarray]]]:
        rows = zip(order, decoded, strict=True)
        wanted = (row for row in rows if not work.is_stored(row[0]))
        while group := list(islice(wanted, photos_per_batch)):
            pieces = [cut for _, cut in group if not isinstance(cut, ImageError)]
            yield group, _start(encoder, ways, pieces, per_batch)

    with closing(decoded):
        for group, finish in ahead(started(), encoder.device):
            vectors = iter(finish())
            batch: list[tuple[int, Outcome]] = []
            for index, cut in group:
                outcome: Outcome = cut if isinstance(cut, ImageError) else next(vectors)
                if isinstance(outcome, np.ndarray) and not is_sound(outcome).all():
                    outcome = FloatingPointError(what_is_wrong(outcome))
                batch.append((index, outcome))
            yield batch


def _start(
    encoder: BaseEncoder, ways: list[Way], images: list[list[np.ndarray]], batch_size: int
) -> Callable[[], np.ndarray]:
    """Begin to embed the pieces of images, (p, H, W, 3) per way, into (n, n_views, d)."""
    if not images:
        return lambda: np.empty((0, 0, encoder.embedding_dim), np.float32)
    started = []
    for way, pieces in zip(ways, zip(*images, strict=True), strict=True):
        function = partial(_start_batch, encoder, way)
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


def _start_batch(encoder: BaseEncoder, way: Way, views: np.ndarray) -> Callable[[], np.ndarray]:
    with np.errstate(over="ignore", invalid="ignore"):
        given = way.encode(views)
    finish = fetch(given) if isinstance(given, torch.Tensor) else lambda: given
    expected = (len(views), *way.shape, encoder.embedding_dim)

    def checked() -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            embeddings = np.asarray(finish(), dtype=np.float32)
            if embeddings.shape != expected:
                method = "encode_dense" if way.kind == "dense" else "encode_views"
                raise ValueError(
                    f"{type(encoder).__name__}.{method} must return an array of shape "
                    f"{expected} for {len(views)} views; it returned {embeddings.shape}."
                )
            scaled = unit_vectors(embeddings)
        # What can't be scaled is left as it is, to tell what is wrong with it.
        return np.where(is_sound(scaled)[..., np.newaxis], scaled, embeddings)

    return checked


def _views_per_batch(encoder: BaseEncoder, batch_size: int | str) -> int:
    """How many views go into one forward pass."""
    if batch_size == "auto":
        batch_size = encoder._auto_batch_size
    if isinstance(batch_size, bool) or not isinstance(batch_size, Integral) or batch_size < 1:
        raise ValueError(
            f'batch_size must be "auto" or an integer of at least 1, got {batch_size!r}.'
        )
    return min(int(batch_size), encoder._largest_batch or int(batch_size))
