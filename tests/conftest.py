"""What tests need: no window, no network, Ctrl-C, the bundled photos, and forks that end."""

import os
import signal
import time
from collections import Counter

# Before anything imports matplotlib, huggingface_hub or onnxruntime, which read these once.
os.environ["MPLBACKEND"] = "Agg"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import pytest

# A shell without job control starts what runs in the background so that it ignores Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def food_photos():
    """The bundled photos as load_food_photos returns them; treat them as read-only."""
    from sklearn_cdul.datasets import load_food_photos

    return load_food_photos()


@pytest.fixture
def in_a_fork():
    """Runs a function in a forked process, which must end within a minute; its exit status."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")

    def run(function):
        child = os.fork()
        if child == 0:
            try:
                function()
            except BaseException:
                os._exit(1)
            os._exit(0)
        deadline = time.monotonic() + 60
        while (status := os.waitpid(child, os.WNOHANG)) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(child, 9)
                os.waitpid(child, 0)
                pytest.fail("the child waits for ever")
            time.sleep(0.02)
        return status[1]

    return run


def pytest_terminal_summary(terminalreporter):
    """Time by file, the slowest first."""
    seconds = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if hasattr(report, "duration") and hasattr(report, "nodeid"):
                seconds[report.nodeid.split("::")[0]] += report.duration
    if sum(seconds.values()) > 60:
        terminalreporter.section("time by file")
        for name, time_taken in seconds.most_common(12):
            terminalreporter.line(f"{time_taken:6.1f} s  {name}")
