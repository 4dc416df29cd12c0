"""What the processor can do."""

from pathlib import Path


def cpu_flags() -> set[str]:
    """Return the words with which Linux describes the processor; none on other systems."""
    # torch has no public question for instruction sets in the versions that we support.
    try:
        return set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return set()
