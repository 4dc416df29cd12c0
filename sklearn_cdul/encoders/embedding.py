"""From images to the vectors of their views: decoded, cut, encoded and kept, batch by batch."""

import hashlib
import os
import random
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from itertools import islice, tee
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import torch

from sklearn_cdul._utils.progress import progress
from sklearn_cdul._utils.vectors import unit_vectors
from sklearn_cdul.compute.devices import run_in_batches
from sklearn_cdul.compute.transfers import ahead, fetch
from sklearn_cdul.encoders.base import BaseEncoder
from sklearn_cdul.encoders.soundness import (
    describe_unsound,
    is_sound,
    warn_about_unsound,
    what_is_wrong,
)
from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.pictures import PictureCache
from sklearn_cdul.images.reading import (
    Content,
    map_images,
    read_contents,
    warn_about_failures,
    with_advice,
)
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

# What came of an image: its embedding (n_views, d), or why it has none.
Outcome = np.ndarray | ImageError | FloatingPointError


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
    verbose: bool = False,
) -> np.ndarray:
    """Embed images, whole and in parts: (n, n_views, d) float32 of length 1 each.

    With a folder as `memory`, each image is read from there if it is stored, and else stored, a
    batch at a time. An entry belongs to the image's content and to all that changes an embedding:
    the encoder's fingerprint, `grid_size`, `views` and the version of the code that cuts views.
    The device is not among these. `contents` are those of :func:`read_contents`, if they are known.
    """
    ways = ways_to_look(encoder, grid_size, views)
    per_batch = _views_per_batch(encoder, batch_size)
    result = np.full((len(photos), n_views(grid_size, views), encoder.embedding_dim), np.nan, "f4")
    failures: dict[int, ImageError | FloatingPointError] = {}
    with ExitStack() as stack:
        kept = None
        if memory is not None:
            store = stack.enter_context(Store(memory))
            if contents is None:
                contents = read_contents(photos, n_jobs=n_jobs, verbose=verbose)
            version = encoder.fingerprint, grid_size, *views_version(views)
            kept = _Kept(store, photos, contents, repr(version).encode(), result)
        bar = stack.enter_context(progress("Encoding", len(photos), verbose=verbose))
        n_waiting = len(photos)
        while n_waiting:
            batches = _outcomes(encoder, photos, ways, per_batch, n_jobs, kept, cache)
            for batch in stack.enter_context(closing(batches)):
                for index, outcome in batch:
                    rows = [index] if kept is None else kept.accept(index, outcome)
                    if isinstance(outcome, np.ndarray):
                        result[rows] = outcome
                    else:
                        failures |= dict.fromkeys(rows, outcome)
                    n_waiting -= len(rows)
                if kept is not None:
                    kept.save()
                    n_waiting = kept.n_waiting
                bar.update(len(photos) - n_waiting - bar.n)
                if failures and on_error == "raise":
                    _raise_first(failures, photos, len(photos) - n_waiting, encoder)
            if kept is not None:  # others may have stored the last ones
                n_waiting = kept.n_waiting
        bar.update(len(photos) - bar.n)
    warn_about_failures([e for e in failures.values() if isinstance(e, ImageError)], len(photos))
    unsound = {i: e for i, e in failures.items() if isinstance(e, FloatingPointError)}
    warn_about_unsound(unsound, photos, encoder)
    return result


def _raise_first(
    failures: dict[int, ImageError | FloatingPointError],
    photos: Sequence[Any],
    n_done: int,
    encoder: BaseEncoder,
) -> None:
    first = failures[min(failures)]
    if isinstance(first, ImageError):
        raise with_advice(first)
    unsound = {i: e for i, e in failures.items() if isinstance(e, FloatingPointError)}
    message = describe_unsound(unsound, photos, n_done, encoder)
    raise FloatingPointError(f'{message} on_error="nan" leaves such images out.')


class Way(NamedTuple):
    """One kind of views: how an image is cut into pieces, and what embeds a batch of these."""

    kind: str
    pieces: int  # grid size of the pieces: 1 for the whole image alone
    preprocessing: Preprocessing
    encode: Callable[[np.ndarray], np.ndarray | torch.Tensor]
    method: str
    shape: tuple[int, ...]  # of what it gives for a piece, besides d
    whole: bool  # whether the whole image is among its views

    def cut(self, image: Any) -> np.ndarray:
        """Cut an image into its pieces (p, H, W, 3)."""
        return make_views(image, self.pieces, self.preprocessing, self.kind)

    @property
    def min_size(self) -> tuple[int, int]:
        """Pixels (width, height) that an image should have."""
        return required_size(self.pieces, self.preprocessing)


def ways_to_look(encoder: BaseEncoder, grid_size: int, views: str) -> list[Way]:
    """Return the ways to look at an image; their vectors one after the other are its embedding."""
    views_version(views)  # says what is wrong before an image is read
    kinds = split_views(views) if grid_size > 1 else ["grid"]
    ways = []
    for kind in kinds:
        whole = kind == kinds[0]
        if kind == "dense":  # one pass, which gives all vectors
            dense = partial(encoder.encode_dense, grid_size=grid_size, whole=whole)
            shape = (n_parts(grid_size, kind) + whole,)
            way = Way(kind, 1, encoder.dense_preprocessing, dense, "encode_dense", shape, whole)
        else:
            views_of = encoder.encode_views
            way = Way(kind, grid_size, encoder.preprocessing, views_of, "encode_views", (), whole)
        ways.append(way)
    return ways


class _Kept:
    """Embeddings in a folder: what is there, what is waited for, and what is to be stored."""

    def __init__(
        self,
        store: Store,
        photos: Sequence[Any],
        contents: Sequence[Content | None],
        version: bytes,
        result: np.ndarray,
    ):
        self._store, self._photos, self._contents = store, photos, contents
        self._result = result
        self._unsaved: dict[bytes, bytes] = {}
        self._others_store = False  # whether another process is at work on these images
        self._unreadable = [index for index, content in enumerate(contents) if content is None]
        self._keys: dict[int, bytes] = {}
        self._rows: dict[bytes, list[int]] = {}  # of each key that is waited for
        for index, content in enumerate(contents):
            if content is not None:
                key = hashlib.blake2b(content.digest + version, digest_size=16).digest()
                self._keys[index] = key
                self._rows.setdefault(key, []).append(index)
        self.n_waiting = len(photos)
        for key in list(self._rows):
            self._take(key)

    def order(self) -> Iterator[int]:
        """One image of each content that is waited for, drawn as decoding gets on.

        First those that could not even be read: to fail now, not after hours. When other
        processes store embeddings of the same images, the rest comes in random order, so that few
        are encoded twice.
        """
        unreadable, self._unreadable = self._unreadable, []
        yield from unreadable
        waiting = [rows[0] for rows in reversed(self._rows.values())]
        is_shuffled = False
        while waiting:
            if self._others_store and not is_shuffled:
                random.shuffle(waiting)
                is_shuffled = True
            yield waiting.pop()

    def is_stored(self, index: int) -> bool:
        """Whether another process has stored an image in the meantime; then its rows are read."""
        key = self._keys.get(index)
        found = key is not None and (key not in self._rows or self._take(key))
        self._others_store |= found
        return found

    def accept(self, index: int, outcome: Outcome) -> list[int]:
        """Note what came of an image; return the rows that it is the outcome of."""
        key, content = self._keys.get(index), self._contents[index]
        rows = [index] if key is None else self._rows.pop(key)
        if content is not None and content.has_changed(self._photos[index]):
            # Someone wrote to the file since it was read for its digest: this row has its new
            # content. Rows of files that were equal to it have not: they wait on.
            if len(rows) > 1 and key is not None:
                self._rows[key] = rows[1:]
            rows = rows[:1]
        elif key is not None and isinstance(outcome, np.ndarray):
            self._unsaved[key] = outcome.astype("<f4").tobytes()
        self.n_waiting -= len(rows)
        return rows

    def save(self) -> None:
        """Store what came of a batch, and take in what others have stored."""
        self._store.put(self._unsaved)
        self._unsaved = {}
        self._store.refresh()

    def _take(self, key: bytes) -> bool:
        stored, shape = self._store.get(key), self._result.shape[1:]
        if stored is None or len(stored) != 4 * shape[0] * shape[1]:
            return False
        embedding = np.frombuffer(stored, "<f4").reshape(shape)
        # Others come from an encoder that kept its fingerprint.
        if not is_sound(embedding).all():
            return False
        rows = self._rows.pop(key)
        self._result[rows] = embedding
        self.n_waiting -= len(rows)
        return True


def _outcomes(
    encoder: BaseEncoder,
    photos: Sequence[Any],
    ways: list[Way],
    per_batch: int,
    n_jobs: int | None,
    kept: _Kept | None,
    cache: PictureCache | None,
) -> Generator[list[tuple[int, Outcome]], None, None]:
    """Decode, cut and encode images; yield what came of them, batch by batch."""
    photos_per_batch = max(per_batch // max(n_views(way.pieces) for way in ways), 1)
    order: Iterable[int] = range(len(photos)) if kept is None else kept.order()
    order, drawn = tee(order)
    decoded = map_images(
        lambda image: [way.cut(image) for way in ways],
        photos,
        indices=drawn,
        n_jobs=n_jobs,
        min_size=tuple(np.max([way.min_size for way in ways], axis=0).tolist()),
        look_ahead=2 * photos_per_batch,
        cache=cache,
    )

    def started() -> Iterator[tuple[list[tuple[int, Any]], Callable[[], np.ndarray]]]:
        rows = zip(order, decoded, strict=True)
        wanted = (row for row in rows if kept is None or not kept.is_stored(row[0]))
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

    def scaled() -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            embeddings = np.asarray(finish(), dtype=np.float32)
            if embeddings.shape != expected:
                raise ValueError(
                    f"{type(encoder).__name__}.{way.method} must return an array of shape "
                    f"{expected} for {len(views)} views; it returned {embeddings.shape}."
                )
            scaled = unit_vectors(embeddings)
        # What can't be scaled is left as it is, to tell what is wrong with it.
        return np.where(is_sound(scaled)[..., np.newaxis], scaled, embeddings)

    return scaled


def _views_per_batch(encoder: BaseEncoder, batch_size: int | str) -> int:
    """How many views go into one forward pass."""
    if batch_size == "auto":
        batch_size = encoder._auto_batch_size
    if isinstance(batch_size, bool) or not isinstance(batch_size, Integral) or batch_size < 1:
        raise ValueError(
            f'batch_size must be "auto" or an integer of at least 1, got {batch_size!r}.'
        )
    return min(int(batch_size), encoder._largest_batch or int(batch_size))
