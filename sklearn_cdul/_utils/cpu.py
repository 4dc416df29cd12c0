"""What the processor can do, and how many of its cores this process may use."""

import os
from contextlib import suppress
from pathlib import Path

_CONTAINER = Path("/sys/fs/cgroup")


def cpu_flags() -> set[str]:
    """Return the words with which Linux describes the processor; none on other systems."""
    # torch has no public question for instruction sets in the versions that we support.
    try:
        return set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return set()


def cpu_count() -> int:
    """Return how many CPUs this process may use, by its affinity and by its container's share."""
    # As joblib counts them, whose import takes longer than a prediction.
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # neither on macOS nor on Windows
        count = min(count, len(os.sched_getaffinity(0)))
    for names in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        with suppress(OSError, ValueError):  # there is no such file, or no limit
            texts = [(_CONTAINER / name).read_text(encoding="ascii") for name in names]
            quota, period = map(int, " ".join(texts).split())
            if quota > 0:
                count = min(count, -(-quota // period))
    return count
