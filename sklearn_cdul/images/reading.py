"""Read many images in threads: decoded ahead, or for their digests."""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
from PIL import Image

from sklearn_cdul._utils.cpu import cpu_count
from sklearn_cdul._utils.progress import progress
from sklearn_cdul.exceptions import ImageError, warn
from sklearn_cdul.images.decoding import decode, warn_of_size
from sklearn_cdul.images.digests import content_digest, file_stamp
from sklearn_cdul.images.pictures import PictureCache, make_picture

T = TypeVar("T")

# Threads beyond this rarely help: decoding is faster than encoding by then.
_MAX_DEFAULT_THREADS = 8
_AT_ONCE = 16  # images per task


def map_images(
    function: Callable[[Image.Image], T],
    photos: Sequence[Any],
    *,
    indices: Iterable[int] | None = None,
    n_jobs: int | None = None,
    min_size: tuple[int, int] | None = None,
    look_ahead: int | None = None,
    cache: PictureCache | None = None,
) -> Generator[T | ImageError, None, None]:
    """Decode photos in threads and yield ``function(image)`` of each, or its error, in order.

    The threads work ahead by a bounded number of photos. Closing the generator stops them.
    """
    n_threads = count_threads(n_jobs)
    ahead = 4 * n_threads if look_ahead is None else max(look_ahead, 1)
    order = range(len(photos)) if indices is None else indices
    warn_once = _once(warn_of_size)

    def work(index: int) -> T | ImageError:
        try:
            image, serves = decode(photos[index], index, min_size, warn_once)
        except ImageError as error:
            return error
        if cache is not None:
            cache.offer(index, image, serves)
        return function(image)

    def generate() -> Generator[T | ImageError, None, None]:
        pool = ThreadPoolExecutor(n_threads, thread_name_prefix="map_images")
        pending: deque[Future[T | ImageError]] = deque()
        try:
            for index in order:
                if len(pending) >= ahead:
                    yield pending.popleft().result()
                pending.append(pool.submit(work, int(index)))
            while len(pending) > 1:
                yield pending.popleft().result()
            last = [pending.popleft().result()] if pending else []
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        # Outside, for a consumer that takes all and then drops the generator: what is raised while
        # Python closes it, a KeyboardInterrupt too, is lost.
        yield from last

    return generate()


def _once(function: Callable[[str], None]) -> Callable[[str], None]:
    """A function that does something the first time only."""
    first = iter([function])
    return lambda message: next(first, lambda _: None)(message)


def read_pictures(
    photos: Sequence[Any],
    size: int,
    *,
    indices: Sequence[int],
    cache: PictureCache | None = None,
    n_jobs: int | None = None,
) -> Iterator[np.ndarray | ImageError]:
    """Yield square pictures of photos in order: those in the cache, the others decoded now."""
    kept = [None if cache is None else cache.get(index, size) for index in indices]
    decoded = map_images(
        partial(make_picture, size=size),
        photos,
        indices=[index for index, picture in zip(indices, kept, strict=True) if picture is None],
        n_jobs=n_jobs,
        min_size=(size, size),
        cache=cache,
    )
    for picture in kept:
        yield next(decoded) if picture is None else picture


class Content(NamedTuple):
    """What an image was when it was read for its digest."""

    digest: bytes
    stamp: tuple[int, ...]  # of a file: changes when someone writes to it

    def has_changed(self, image: Any) -> bool:
        """Whether someone has written to the image's file since."""
        return self.stamp != file_stamp(image)


def read_contents(
    photos: Sequence[Any], *, n_jobs: int | None = None, verbose: Any = False
) -> list[Content | None]:
    """Read the content of all images; None stands for what can't be read."""

    def read(photo: Any, index: int) -> Content | None:
        stamp = file_stamp(photo)  # first: what is written while it is read has changed it
        try:
            return Content(content_digest(photo, index), stamp)
        except ImageError:
            return None

    return go_through(photos, read, "Looking up", n_jobs=n_jobs, verbose=verbose)


def go_through(
    photos: Sequence[Any],
    function: Callable[[Any, int], T],
    phase: str,
    *,
    n_jobs: int | None,
    verbose: Any,
) -> list[T]:
    """Call a function with each photo and its index, in threads, and show the progress."""

    def work(start: int) -> list[T]:
        part = photos[start : start + _AT_ONCE]
        return [function(photo, index) for index, photo in enumerate(part, start)]

    results: list[T] = []
    with (
        ThreadPoolExecutor(count_threads(n_jobs)) as pool,
        progress(phase, len(photos), verbose=verbose) as bar,
    ):
        for part in pool.map(work, range(0, len(photos), _AT_ONCE)):
            results += part
            bar.update(len(part))
    return results


def with_advice(error: ImageError) -> ImageError:
    """Return the error that stops a run over many images, which says how to go on without one."""
    advised = ImageError(
        f'{error} With on_error="nan" its row becomes NaN.', error.index, error.path
    )
    advised.__cause__ = error.__cause__ or error
    return advised


def count_threads(n_jobs: int | None, most: int = _MAX_DEFAULT_THREADS) -> int:
    """Return the number of threads that read images; None gives all CPUs, up to `most`."""
    cpus = cpu_count()
    if n_jobs is None:
        share = os.environ.get("OMP_NUM_THREADS", "")
        if multiprocessing.parent_process() is not None and share.isdigit():
            cpus = max(min(cpus, int(share)), 1)  # in a worker of joblib: its share of the CPUs
        return min(cpus, most)
    if n_jobs == 0:
        raise ValueError("n_jobs must be None, a positive number of threads, or -1 for all CPUs.")
    return n_jobs if n_jobs > 0 else max(cpus + 1 + n_jobs, 1)


def warn_about_failures(failures: Sequence[ImageError], n_images: int) -> None:
    """Give one warning for all images that could not be used; none if there are none."""
    if failures:
        warn(
            f"{len(failures)} of {n_images} images can't be used; their rows are NaN. The first: "
            f"{failures[0]}",
        )
