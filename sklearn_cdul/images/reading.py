"""Decode many images in threads, ahead of whoever takes them."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.decoding import decode, warn_of_size
from sklearn_cdul.images.pictures import PictureCache, make_picture
from sklearn_cdul.images.threads import count_threads

T = TypeVar("T")


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
