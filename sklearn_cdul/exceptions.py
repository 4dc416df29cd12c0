"""Errors with a name of their own, so that callers can catch them apart, and our warnings."""

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

# Packages that stand between a user's line and the place in ours where something is noticed.
_BETWEEN = ("sklearn_cdul", "sklearn", "joblib", "contextlib", "concurrent", "threading")
# What was said since the begin of a fit.
_said: ContextVar[set[str] | None] = ContextVar("said", default=None)


class ImageError(ValueError):
    """One image of X can't be used.

    Parameters
    ----------
    message : str
        What is wrong, with the position and the path of the image.
    index : int or None
        Position of the image in X, counted from 0.
    path : str or None
        Path of the file; None for an image that was given as an array or an object in memory.
    """

    # Every argument but the message has a default: unpickling, for instance on the way back from
    # a worker process, calls the class with the message alone and restores the rest afterwards.
    def __init__(self, message: str, index: int | None = None, path: str | None = None):
        super().__init__(message)
        self.index = index
        self.path = path


class WeightsUnavailableError(OSError):
    """The weights of an encoder or a network can't be had: no connection, no such file."""


class UnusableImagesWarning(UserWarning):
    """Some images of X can't be used, and their rows are NaN: which ones, of how many."""

    def __init__(self, failures: Sequence[ImageError], n_images: int):
        super().__init__(
            f"{len(failures)} of {n_images} images can't be used; their rows are NaN. The first: "
            f"{failures[0]}"
        )
        self.failures = failures
        self.n_images = n_images


@contextmanager
def each_warning_once(said: set[str] | None = None) -> Iterator[None]:
    """Give the same warning once, however many parts of a fit notice the same; also a decorator.

    What was said before need not be said again: it is in the set, which gets what is said now.
    """
    token = _said.set(set() if said is None else said)
    try:
        yield
    finally:
        _said.reset(token)


def warn(message: str | UserWarning) -> None:
    """Give a UserWarning that points to the user's own line."""
    if (said := _said.get()) is not None:
        if str(message) in said:
            return
        said.add(str(message))
    level, frame = 2, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] in _BETWEEN:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)


def with_advice(error: ImageError) -> ImageError:
    """Return the error that stops a run over many images, which says how to go on without one."""
    advised = ImageError(
        f'{error} With on_error="nan" its row becomes NaN.', error.index, error.path
    )
    advised.__cause__ = error.__cause__ or error
    return advised


def warn_about_failures(failures: Sequence[ImageError], n_images: int) -> None:
    """Give one warning for all images that could not be used; none if there are none."""
    if failures:
        warn(UnusableImagesWarning(failures, n_images))
