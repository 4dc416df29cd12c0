"""Work on many images in threads."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sklearn_cdul._utils.cpu import cpu_count
from sklearn_cdul._utils.progress import progress

T = TypeVar("T")

# Threads beyond this rarely help: decoding is faster than encoding by then.
_MAX_DEFAULT_THREADS = 8
_AT_ONCE = 16  # images per task


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
