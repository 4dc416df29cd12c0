"""Keep embeddings in a folder, so that an image is encoded once, whoever asks for it."""

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from sklearn_cdul.encoders.base import BaseEncoder
from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.decoding import load_image
from sklearn_cdul.images.reading import check_images, count_threads, warn_about_failures
from sklearn_cdul.images.views import n_views, views_version
from sklearn_cdul.memory.files import is_damage
from sklearn_cdul.memory.store import EmbeddingStore

# Few, so that processes share the last images fairly; each claim costs a tenth of a millisecond.
_CLAIM_SIZE = 8
_POLL_SECONDS = 0.05
_READ_AT_ONCE = 16  # images

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
    the batch that it is working on.

    An entry belongs to the content of an image, not to its name or its place in a list: of a path
    the bytes of the file, of anything else the decoded pixels. It also belongs to all that
    changes an embedding: ``encoder.fingerprint``, `grid_size`, `views` and the version of the code
    that cuts views, for proposals that of OpenCV too. The device is not among these: within the
    rounding of the precision all devices agree.

    Parameters
    ----------
    encoder : BaseEncoder
        For the images that are not in the folder.
    images : sequence of images, length n
        See `check_images`.
    memory : str or os.PathLike
        The folder, on a local disk: processes of different machines can't share one over a
        network. It is created if it does not exist; "~" is the home folder.
    grid_size, views, batch_size, n_jobs, on_error
        See `BaseEncoder.iter_embeddings`. With "nan" an image that can't be used is not stored.
    verbose : bool, default=False
        Show the progress.

    Returns
    -------
    embeddings : ndarray of shape (n, n_views, d), dtype float32
        As ``encoder.encode_images`` returns. What is stored are these very bits.

    Raises
    ------
    ImageError
        If an image can't be used, unless ``on_error="nan"``.
    ImportError
        If proposals are wanted and OpenCV is missing.
    OSError
        If the folder can't be created or read.

    Warns
    -----
    UserWarning
        With the number of images that can't be used, if ``on_error="nan"``. If embeddings can't
        be stored, for instance on a full disk: they are used all the same. If a file of the
        folder is damaged: its embeddings are computed again.
    """
    images = check_images(images)
    setting = repr((encoder.fingerprint, grid_size, *views_version(views))).encode()
    shape = (len(images), n_views(grid_size), encoder.embedding_dim)
    failures: list[ImageError] = []
    encode = partial(
        encoder.iter_embeddings,
        images,
        grid_size=grid_size,
        views=views,
        batch_size=batch_size,
        n_jobs=n_jobs,
        on_error=on_error,
        failures=failures,
    )
    with (
        tqdm(total=len(images), desc="Encoding", disable=not verbose) as bar,
        EmbeddingStore(Path(memory).expanduser()) as store,
    ):
        job = _Job(images, _read_contents(images, n_jobs), setting, shape, bar)
        # First what could not even be read: to fail now, not after hours.
        for batch in encode(indices=job.unreadable):
            for index, embedding in batch:
                job.set_row(index, embedding)
        while job.waiting or job.unsaved:
            try:
                job.look_up(store)
                job.encode(store, encode)
                if job.waiting:  # for other processes
                    store.free_dead_claims()
                    time.sleep(_POLL_SECONDS)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise OSError(f"{store.path} can't be read: {error}.") from error
                store.replace_damaged_file(error)
    # Of equal images only the first was tried, but all their rows are NaN.
    warn_about_failures(failures + failures[:1] * job.n_failed_copies, len(images))
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
        self.n_failed_copies = 0
        self._images = images
        self._bar = bar
        self._known: dict[int, tuple[bytes, _Content]] = {}
        for index, content in enumerate(contents):
            if content is not None:
                key = hashlib.blake2b(content.digest + setting, digest_size=16).digest()
                self._known[index] = key, content
                self.waiting.setdefault(key, []).append(index)

    def look_up(self, store: EmbeddingStore) -> None:
        """Take from the store what is there."""
        for key in list(self.waiting):
            embedding = store.get(key)
            if embedding is not None:
                self._take(key, embedding)

    def encode(self, store: EmbeddingStore, encode: Callable[..., _Batches]) -> None:
        """Encode and store what no other process has claimed."""
        try:
            with closing(encode(indices=self._claims(store))) as batches:
                for batch in batches:
                    for index, embedding in batch:
                        self._accept(index, embedding)
                    self._save(store)
        finally:  # what is done is stored, and what was claimed in vain is free
            self._save(store)

    def set_row(self, index: int, embedding: np.ndarray | None) -> None:
        """Write one row of the result; None leaves NaN."""
        if embedding is not None:
            self.result[index] = embedding
        self._bar.update()

    def _claims(self, store: EmbeddingStore) -> Iterator[int]:
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
        if content.stamp is not None and content.stamp != _stamp(self._images[index]):
            # Someone wrote to the file since. This row has its new content; rows of files that
            # were equal to it have not, and go on waiting.
            self.unsaved[key] = None
            if len(rows) > 1:
                self.waiting[key] = rows[1:]
            rows = rows[:1]
        elif embedding is None:
            self.unsaved[key] = None
            self.n_failed_copies += len(rows) - 1
        else:
            self.unsaved[key] = embedding.astype("<f4").tobytes()
        for row in rows:
            self.set_row(row, embedding)

    def _save(self, store: EmbeddingStore) -> None:
        store.put(self.unsaved)
        self.unsaved.clear()


def _read_contents(images: Sequence[Any], n_jobs: int | None) -> list[_Content | None]:
    """Read all images, in threads; None stands for what can't be read."""

    def read(start: int) -> list[_Content | None]:
        return [_read_content(image) for image in images[start : start + _READ_AT_ONCE]]

    with ThreadPoolExecutor(count_threads(n_jobs)) as pool:
        parts = pool.map(read, range(0, len(images), _READ_AT_ONCE))
        return [content for part in parts for content in part]


def _read_content(image: Any) -> _Content | None:
    # Two kinds of digests: a file and an array of its pixels needn't decode to the same views.
    if isinstance(image, (str, os.PathLike)):
        digest = hashlib.blake2b(digest_size=16, person=b"file")
        stamp = _stamp(image)
        try:
            with open(image, "rb", buffering=0) as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except (OSError, ValueError):  # ValueError: a null character in the path
            return None
        return _Content(digest.digest(), stamp)
    try:
        pixels = load_image(image, 0)
    except ImageError:
        return None
    digest = hashlib.blake2b(repr(pixels.size).encode(), digest_size=16, person=b"pixels")
    digest.update(pixels.tobytes())
    return _Content(digest.digest(), None)


def _stamp(path: str | os.PathLike[str]) -> tuple[int, ...]:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns
