"""What a command would do, and how long it may take on this machine."""

import argparse
import random
import time
import warnings
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from sklearn_cdul._utils.origin import encoder_name
from sklearn_cdul.cli.output import show
from sklearn_cdul.exceptions import warn_about_failures
from sklearn_cdul.images.checking import find_problems

# Samples double until one takes so many seconds.
_LONG_ENOUGH = 3.0
_FEWEST = 4  # photos of a sample


def show_plan(
    options: argparse.Namespace,
    photos: list[str],
    names: Sequence[str],
    labeler: Any,
    work: Callable[[list[str]], Any],
) -> int:
    """Say what would be done, where it goes and how long it takes; nothing is written."""
    failures = find_problems(photos)
    warn_about_failures(failures, len(photos))
    lost = {error.index for error in failures}
    usable = [photo for index, photo in enumerate(photos) if index not in lost]
    if not usable:
        raise ValueError(f"none of the {len(photos)} photos can be used")
    listed = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    lines = [f"photos: {len(usable):,}, from {usable[0]} to {usable[-1]}"]
    lines.append(f"classes: {len(names)}, {listed}")
    if labeler is not None:
        lines.append(f"encoder: {encoder_name(labeler)}")
    form = getattr(options, "format", "a classifier")
    out = "beside the photos" if form == "xmp" else options.out or "stdout"
    lines.append(f"output: {form}, {out}")
    if getattr(options, "report", None):
        lines.append(f"report: {options.report}")
    if getattr(options, "memory", None):
        lines.append(f"memory: {options.memory}; photos that it has take less time")
    show(lines)
    seconds, n = _time(work, usable)
    show([f"time: about {_in_words(seconds * len(usable))}; {n} photos were timed"])
    return 0


def _time(work: Callable[[list[str]], Any], photos: list[str]) -> tuple[float, int]:
    """Seconds per photo, and of how many it was measured: of samples that share no photo."""
    shuffled = iter(random.Random(0).sample(photos, len(photos)))
    taken: list[tuple[float, int]] = []
    size = _FEWEST // 2  # the first loads the encoder
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while len(taken) < 2 or (taken[-1][1] and taken[-1][0] < _LONG_ENOUGH):
            sample = list(islice(shuffled, size))
            began = time.perf_counter()
            if sample:
                work(sample)
            taken.append((time.perf_counter() - began, len(sample)))
            size = max(2 * size, _FEWEST)
    (fewer, before), (n, took) = sorted((count, seconds) for seconds, count in taken)[-2:]
    # What a sample takes however small it is does not count, if there are enough photos to tell.
    slope = (took - before) / (n - fewer) if n >= 4 * _FEWEST and n > fewer else took / n
    return max(slope, took / n / 2), sum(count for _, count in taken)


def _in_words(seconds: float) -> str:
    """A duration with the unit that suits it."""
    if seconds < 1.5:
        return "a second"
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
