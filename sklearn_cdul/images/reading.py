"""Check the images that the user gave, and decode them ahead in threads."""

import math
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import joblib
import numpy as np
from PIL import Image

from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.photos import Photos, make_picture

T = TypeVar("T")

# Threads beyond this rarely help: decoding is faster than encoding by then.
_MAX_DEFAULT_THREADS = 8


def check_images(X: Any) -> Photos:
    """Return the images as a list, after a look at the type of each. No file is opened.

    Parameters
    ----------
    X : sequence of images
        A list, tuple, one-dimensional array or Series whose items are, in any mixture,

        - paths: str or os.PathLike;
        - PIL images;
        - uint8 arrays of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4): grey, RGB or RGBA;

        or a uint8 array of shape (n, H, W, C); or such a column as an array of shape (n, 1) or a
        data frame with one column (pandas or polars), as pipelines hand it over.

    Returns
    -------
    images : Photos of length n
        The items of `X`, as they were given. What this function returned before is returned again.

    Raises
    ------
    TypeError
        If `X` is a single image, has no order or no length, or an item is no image.
    ValueError
        If `X` is empty, an item is missing, or an array has the wrong shape or dtype.
    """
    if isinstance(X, Photos):
        return X
    images = _as_list(X)
    if not images:
        raise ValueError("X is empty. Give at least one image.")
    for index, item in enumerate(images):
        _check_item(item, f"X[{index}]")
    return Photos(images)


def _as_list(X: Any) -> list[Any]:
    if isinstance(X, (str, bytes, os.PathLike, Image.Image)):
        raise TypeError(
            f"X must be a list of images, got a single {type(X).__name__}. For one image write [X]."
        )
    if isinstance(X, np.ndarray):
        return _array_as_list(X)
    if hasattr(X, "columns") and hasattr(X, "shape"):
        if X.shape[1] != 1:
            raise ValueError(
                f"X is a data frame with {X.shape[1]} columns. Give only the column with the "
                "images."
            )
        return list(X[X.columns[0]])
    if (
        isinstance(X, (Mapping, set, frozenset))
        or not hasattr(X, "__len__")
        or not hasattr(X, "__getitem__")
    ):
        raise TypeError(
            f"X must be a list of images or another sequence of known length, got "
            f"{type(X).__name__}."
        )
    return list(X)


def _array_as_list(X: np.ndarray) -> list[Any]:
    if X.ndim == 2 and X.shape[1] == 1 and X.dtype.kind in "OUT":
        X = X[:, 0]
    if X.ndim == 1 and (X.dtype.kind in "OUT" or len(X) == 0):
        return X.tolist()
    if X.ndim == 4 and X.dtype == np.uint8:
        return list(X)
    hint = "Give a list of images, or a uint8 array of shape (n, height, width, 3)."
    if X.ndim == 4:
        hint = "Pixels must be uint8 values from 0 to 255: convert the array first."
    elif X.ndim == 3:
        hint = "For one image write [X]."
    elif X.ndim == 2 and X.dtype.kind == "f":
        hint += ' For embeddings set input="embeddings".'
    raise ValueError(
        f"X is an array of shape {X.shape} and dtype {X.dtype}, which can't be read as a sequence "
        f"of images. {hint}"
    )


def _check_item(item: Any, where: str) -> None:
    if isinstance(item, (str, os.PathLike, Image.Image)):
        return
    if isinstance(item, np.ndarray):
        if item.dtype != np.uint8:
            raise ValueError(
                f"{where} is an array of dtype {item.dtype}. Pixels must be uint8 values from 0 to "
                "255: convert the array first."
            )
        if item.ndim != 2 and not (item.ndim == 3 and item.shape[2] in (1, 3, 4)):
            raise ValueError(
                f"{where} is an array of shape {item.shape}. An image must have shape (height, "
                "width), (height, width, 3) or (height, width, 4)."
            )
        return
    # pandas writes a missing value as None, NaN or pd.NA.
    is_nan = isinstance(item, float) and math.isnan(item)
    if item is None or is_nan or type(item).__name__ == "NAType":
        raise ValueError(f"{where} is missing ({item!r}). Leave such rows out of X.")
    raise TypeError(
        f"{where} is of type {type(item).__name__}. An image must be a path, a PIL image or a "
        "uint8 array."
    )


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

    Parameters
    ----------
    function : callable
        Called in a thread with the RGB image of `load_image`. Its own exceptions pass through.
    images : Photos or sequence
        What `check_images` returns, or its items.
    indices : iterable of int or None, default=None
        Which images to read and in what order; None means all.
    n_jobs : int or None, default=None
        Number of threads. None takes one per available CPU, at most 8; -1 takes them all; 1 still
        decodes while the consumer works.
    min_size : tuple (width, height) of int or None, default=None
        See `load_image`.
    on_error : {"raise", "nan"}, default="raise"
        With "nan" an image that can't be used gives None instead of an error.
    failures : list or None, default=None
        With ``on_error="nan"`` the `ImageError` of each such image is appended to it.
    look_ahead : int or None, default=None
        How many images may be decoded or waiting, at least 1. None means four per thread.

    Yields
    ------
    result : object or None
        What `function` returned.

    Raises
    ------
    ImageError
        At the first image that can't be used, unless ``on_error="nan"``.
    ValueError
        If `on_error` is neither "raise" nor "nan", or `n_jobs` is 0.
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
                pending.append(pool.submit(work, index))
                if len(pending) >= ahead:
                    yield finish(pending.popleft())
            while pending:
                yield finish(pending.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def finish(future: Future[T | ImageError]) -> T | None:
        result = future.result()
        if not isinstance(result, ImageError):
            return result
        if on_error == "raise":
            raise result
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
    """Yield square pictures of images in order: those that were kept, the others decoded now.

    Parameters
    ----------
    photos : Photos
        What `check_images` returns.
    size : int
        Side of the pictures in pixels.
    indices : sequence of int
        Which images to read and in what order.
    n_jobs, on_error, failures
        See `map_images`, whose errors may come too.

    Yields
    ------
    picture : ndarray of shape (3, size, size), dtype uint8, or None
        See `make_picture`. None for an image that can't be used, with ``on_error="nan"``.
    """
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


def count_threads(n_jobs: int | None) -> int:
    """Return the number of threads that read images.

    Parameters
    ----------
    n_jobs : int or None
        See `map_images`.

    Returns
    -------
    n_threads : int
        At least 1.

    Raises
    ------
    ValueError
        If `n_jobs` is 0.
    """
    # joblib counts the CPUs that this process may use, containers included.
    if n_jobs is None:
        return min(joblib.cpu_count(), _MAX_DEFAULT_THREADS)
    return joblib.effective_n_jobs(n_jobs)


def warn_about_failures(failures: Sequence[ImageError], n_images: int) -> None:
    """Give one warning for all images that could not be used; none if there are none.

    Parameters
    ----------
    failures : sequence of ImageError
        What `map_images` collected.
    n_images : int
        How many images were to be read.
    """
    if failures:
        warnings.warn(
            f"{len(failures)} of {n_images} images can't be used; their rows are NaN. The first: "
            f"{failures[0]}",
            UserWarning,
            stacklevel=3,
        )
