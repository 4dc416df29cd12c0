"""Check the images that the user gave, and decode them ahead in threads."""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import joblib
import numpy as np

from sklearn_cdul.exceptions import ImageError, warn
from sklearn_cdul.images.items import list_items
from sklearn_cdul.images.photos import Photos, make_picture

T = TypeVar("T")

# Threads beyond this rarely help: decoding is faster than encoding by then.
_MAX_DEFAULT_THREADS = 8


def check_images(X: Any) -> Photos:
    """Return the images as a list, after a look at the type of each. No file is opened."""
    return X if isinstance(X, Photos) else Photos(list_items(X))


def map_images(
    function: Callable[..., T],
    images: Sequence[Any],
    *,
    indices: Iterable[int] | None = None,
    n_jobs: int | None = None,
    min_size: tuple[int, int] | None = None,
    on_error: str = "raise",
    failures: list[ImageError] | None = None,
    look_ahead: int | None = None,
) -> Iterator[T | None]:
    """Decode images in threads and yield ``function(image)`` of each, in order.

    The threads work ahead of the consumer by a fixed number of images, so memory stays bounded.
    Closing the generator stops them.
    """
    if on_error not in ("raise", "nan"):
        raise ValueError(f'on_error must be "raise" or "nan", got {on_error!r}.')
    n_threads = count_threads(n_jobs)
    ahead = 4 * n_threads if look_ahead is None else max(look_ahead, 1)
    order = range(len(images)) if indices is None else indices
    photos = images if isinstance(images, Photos) else Photos(images)

    def work(index: int) -> T | ImageError:
        try:
            image = photos.load(int(index), min_size)
        except ImageError as error:
            return error
        return function(image)

    def generate() -> Iterator[T | None]:
        pool = ThreadPoolExecutor(n_threads, thread_name_prefix="map_images")
        pending: deque[Future[T | ImageError]] = deque()
        try:
            for index in order:
                if len(pending) >= ahead:
                    yield finish(pending.popleft())
                pending.append(pool.submit(work, index))
            while len(pending) > 1:
                yield finish(pending.popleft())
            last = [finish(pending.popleft())] if pending else []
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        # Outside, for a consumer that takes all and then drops the generator: what is raised while
        # Python closes it, a KeyboardInterrupt too, is lost.
        yield from last

    def finish(future: Future[T | ImageError]) -> T | None:
        result = future.result()
        if not isinstance(result, ImageError):
            return result
        if on_error == "raise":
            raise with_advice(result)
        if failures is not None:
            failures.append(result)
        return None

    return generate()


def read_pictures(
    photos: Photos,
    size: int,
    *,
    indices: Sequence[int],
    n_jobs: int | None = None,
    on_error: str = "raise",
    failures: list[ImageError] | None = None,
) -> Iterator[np.ndarray | None]:
    """Yield square pictures of images in order: those that were kept, the others decoded now."""
    missing = [index for index in indices if photos.picture(index, size) is None]
    decoded = map_images(
        partial(make_picture, size=size),
        photos,
        indices=missing,
        n_jobs=n_jobs,
        min_size=(size, size),
        on_error=on_error,
        failures=failures,
    )
    to_come = set(missing)
    for index in indices:
        yield next(decoded) if index in to_come else photos.picture(index, size)


def with_advice(error: ImageError) -> ImageError:
    """Return the error that stops a run over many images, which says how to go on without one."""
    advised = ImageError(
        f'{error} With on_error="nan" its row becomes NaN.', error.index, error.path
    )
    advised.__cause__ = error.__cause__ or error
    return advised


def count_threads(n_jobs: int | None) -> int:
    """Return the number of threads that read images."""
    # joblib counts the CPUs that this process may use, containers included.
    if n_jobs is None:
        cpus, share = joblib.cpu_count(), os.environ.get("OMP_NUM_THREADS", "")
        if multiprocessing.parent_process() is not None and share.isdigit():
            cpus = max(min(cpus, int(share)), 1)  # in a worker of joblib: its share of the CPUs
        return min(cpus, _MAX_DEFAULT_THREADS)
    return joblib.effective_n_jobs(n_jobs)


def warn_about_failures(failures: Sequence[ImageError], n_images: int) -> None:
    """Give one warning for all images that could not be used; none if there are none."""
    if failures:
        warn(
            f"{len(failures)} of {n_images} images can't be used; their rows are NaN. The first: "
            f"{failures[0]}",
        )
