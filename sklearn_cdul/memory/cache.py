"""Keep embeddings in a folder, so that an image is encoded once, whoever asks for it."""

import hashlib
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sklearn_cdul._utils.progress import progress
from sklearn_cdul.encoders.base import BaseEncoder
from sklearn_cdul.encoders.soundness import is_sound, warn_about_unsound
from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.digests import content_digest
from sklearn_cdul.images.encoded import file_stamp, is_local_path
from sklearn_cdul.images.reading import check_images, count_threads, warn_about_failures
from sklearn_cdul.images.views import n_views, views_version
from sklearn_cdul.memory.folder import check_folder

if TYPE_CHECKING:
    from sklearn_cdul.memory.claims import EmbeddingStore

# Few, so that processes share the last images fairly; each claim costs a tenth of a millisecond.
_CLAIM_SIZE = 8
_POLL_SECONDS = 0.05
_READ_AT_ONCE = 16  # images
_SAVED_AT_ONCE = 256

_Batches = Generator[list[tuple[int, np.ndarray | None]], None, None]


class _Content(NamedTuple):
    """What an image was when it was read for its digest."""

    digest: bytes
    stamp: tuple[int, ...] | None  # of a file: changes when someone writes to it


def encode_images_once(
    encoder: BaseEncoder,
    images: Any,
    memory: str | os.PathLike[str],
    *,
    grid_size: int = 3,
    views: str = "grid",
    batch_size: int | str = "auto",
    n_jobs: int | None = None,
    on_error: str = "raise",
    verbose: bool = False,
) -> np.ndarray:
    """Embed images as ``encoder.encode_images`` does, but each at most once for one folder.

    What is in the folder is not encoded. What another process or thread encodes at this moment
    is waited for. The rest is encoded and stored batch by batch: a process that is killed loses
    the batch that it is working on, with a GPU two.

    An entry belongs to the content of an image, not to its name or its place in a list: of a path
    the bytes of the file, of anything else the decoded pixels. It also belongs to all that
    changes an embedding: ``encoder.fingerprint``, `grid_size`, `views` and the version of the code
    that cuts views, for proposals that of OpenCV too. The device is not among these: within the
    rounding of the precision all devices agree.
    """
    folder = check_folder(memory)
    # Without memory= nobody needs it.
    from sklearn_cdul.memory.claims import EmbeddingStore

    images = check_images(images)
    setting = repr((encoder.fingerprint, grid_size, *views_version(views))).encode()
    shape = (len(images), n_views(grid_size, views), encoder.embedding_dim)
    failures: list[ImageError] = []
    unsound: dict[int, str] = {}
    encode = partial(
        encoder.iter_embeddings,
        images,
        grid_size=grid_size,
        views=views,
        batch_size=batch_size,
        n_jobs=n_jobs,
        on_error=on_error,
        failures=failures,
        unsound=unsound,
    )
    is_entry = partial(_is_embedding, shape=shape[1:])
    with EmbeddingStore(folder, is_sound=is_entry) as store:
        contents = _read_contents(images, n_jobs, verbose)
        with progress("Encoding", len(images), verbose=verbose) as bar:
            job = _Job(images, contents, setting, shape, bar)
            # First what could not even be read: to fail now, not after hours.
            for batch in encode(indices=job.unreadable):
                for index, embedding in batch:
                    job.set_row(index, embedding)
            job.look_up(store)
            if job.waiting:
                store.search_damage()
                job.look_up(store)
            while job.waiting:
                job.encode(store, encode)
                if job.waiting:  # for other processes
                    store.free_dead_claims()
                    time.sleep(_POLL_SECONDS)
                    job.look_up(store)
        store.notice_deletion()
        if store.replaced:
            job.save_all(store)
    # Of equal images only the first was tried, but all their rows are NaN.
    warn_about_failures([f for f in failures for _ in job.rows_like(f.index)], len(images))
    unsound = {row: words for i, words in unsound.items() for row in job.rows_like(i)}
    warn_about_unsound(unsound, images, encoder)
    return job.result


class _Job:
    """The images of one call: what has an embedding, and what waits for one."""

    def __init__(
        self,
        images: Sequence[Any],
        contents: Sequence[_Content | None],
        setting: bytes,
        shape: tuple[int, int, int],
        bar: Any,
    ):
        self.result = np.full(shape, np.nan, dtype=np.float32)
        self.unreadable = [index for index, content in enumerate(contents) if content is None]
        self.waiting: dict[bytes, list[int]] = {}  # key: rows, several for equal images
        self.unsaved: dict[bytes, bytes | None] = {}
        self._images = images
        self._bar = bar
        self._known: dict[int, tuple[bytes, _Content]] = {}
        self._changed: set[bytes] = set()  # keys of files that someone wrote to meanwhile
        self._failed: dict[int, list[int]] = {}
        for index, content in enumerate(contents):
            if content is not None:
                key = hashlib.blake2b(content.digest + setting, digest_size=16).digest()
                self._known[index] = key, content
                self.waiting.setdefault(key, []).append(index)

    def look_up(self, store: "EmbeddingStore") -> None:
        """Take from the store what is there."""
        for key in list(self.waiting):
            embedding = store.get(key)
            if embedding is not None:
                self._take(key, embedding)

    def encode(self, store: "EmbeddingStore", encode: Callable[..., _Batches]) -> None:
        """Encode and store what no other process has claimed."""
        try:
            with closing(encode(indices=self._claims(store))) as batches:
                for batch in batches:
                    for index, embedding in batch:
                        self._accept(index, embedding)
                    self._save(store)
        finally:  # what is done is stored, and what was claimed in vain is free
            self._save(store)

    def save_all(self, store: "EmbeddingStore") -> None:
        """Store what another file, in place of a damaged or deleted one, does not have yet."""
        for key, index in {key: index for index, (key, _) in self._known.items()}.items():
            is_known = key not in self._changed and not np.isnan(self.result[index]).any()
            if is_known and store.get(key) is None:
                self.unsaved[key] = self.result[index].astype("<f4").tobytes()
            if len(self.unsaved) >= _SAVED_AT_ONCE:
                self._save(store)
        self._save(store)

    def rows_like(self, index: Any) -> list[Any]:
        """Return all rows that are NaN because one image could not be used."""
        return self._failed.get(index, [index])

    def set_row(self, index: int, embedding: np.ndarray | None) -> None:
        """Write one row of the result; None leaves NaN."""
        if embedding is not None:
            self.result[index] = embedding
        self._bar.update()

    def _claims(self, store: "EmbeddingStore") -> Iterator[int]:
        # Drawn as the decoding threads get on, so claims run ahead of the encoder a little only.
        keys = list(self.waiting)
        for start in range(0, len(keys), _CLAIM_SIZE):
            mine, ready = store.claim(keys[start : start + _CLAIM_SIZE])
            for key, embedding in ready.items():
                self._take(key, embedding)
            for key in mine:
                yield self.waiting[key][0]

    def _take(self, key: bytes, embedding: bytes) -> None:
        for index in self.waiting.pop(key):
            self.set_row(index, np.frombuffer(embedding, "<f4").reshape(self.result.shape[1:]))

    def _accept(self, index: int, embedding: np.ndarray | None) -> None:
        key, content = self._known[index]
        rows = self.waiting.pop(key)
        if content.stamp is not None and content.stamp != file_stamp(self._images[index]):
            # Someone wrote to the file since. This row has its new content; rows of files that
            # were equal to it have not, and go on waiting.
            self.unsaved[key] = None
            self._changed.add(key)
            if len(rows) > 1:
                self.waiting[key] = rows[1:]
            rows = rows[:1]
        elif embedding is None:
            self.unsaved[key] = None
            self._failed[index] = rows
        else:
            self.unsaved[key] = embedding.astype("<f4").tobytes()
        for row in rows:
            self.set_row(row, embedding)

    def _save(self, store: "EmbeddingStore") -> None:
        store.put(self.unsaved)
        self.unsaved.clear()


def _is_embedding(stored: bytes, *, shape: tuple[int, int]) -> bool:
    # Others come from versions that stored NaN, or from an encoder that kept its fingerprint.
    if len(stored) != 4 * shape[0] * shape[1]:
        return False
    return bool(is_sound(np.frombuffer(stored, "<f4").reshape(shape)).all())


def _read_contents(
    images: Sequence[Any], n_jobs: int | None, verbose: bool
) -> list[_Content | None]:
    """Read all images, in threads; None stands for what can't be read."""

    def read(start: int) -> list[_Content | None]:
        return [_read_content(image) for image in images[start : start + _READ_AT_ONCE]]

    contents: list[_Content | None] = []
    with (
        ThreadPoolExecutor(count_threads(n_jobs)) as pool,
        progress("Looking up", len(images), verbose=verbose) as bar,
    ):
        for part in pool.map(read, range(0, len(images), _READ_AT_ONCE)):
            contents += part
            bar.update(len(part))
    return contents


def _read_content(image: Any) -> _Content | None:
    stamp = file_stamp(image) if is_local_path(image) else None
    try:
        return _Content(content_digest(image, 0), stamp)
    except ImageError:
        return None
