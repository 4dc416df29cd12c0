"""What tests need: no window, no network, Ctrl-C, the bundled photos, and forks that end."""

import os
import signal
import time
from collections import Counter

# Before anything imports matplotlib, huggingface_hub or onnxruntime, which read these once.
os.environ["MPLBACKEND"] = "Agg"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# Two processes with as many threads as cores would wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

# A shell without job control starts what runs in the background so that it ignores Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """Two processes for all fast tests; those that the command line names run in this one."""
    named = config.args_source is not pytest.Config.ArgsSource.TESTPATHS
    return 0 if named or config.option.markexpr != "not slow" else 2


@pytest.fixture(scope="session")
def food_photos():
    """The bundled photos as load_food_photos returns them; treat them as read-only."""
    from sklearn_cdul.datasets import load_food_photos

    return load_food_photos()


@pytest.fixture(scope="session")
def memory(tmp_path_factory):
    """A folder of embeddings, for tests that encode many photos and are about something else."""
    return tmp_path_factory.mktemp("memory")


@pytest.fixture(scope="session")
def exported(food_photos, tmp_path_factory):
    """A classifier trained on 16 photos, loaded from a file, and the ONNX file that it wrote.

    The export takes long, so all processes of a run share the two files.
    """
    import joblib
    from filelock import FileLock

    from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with FileLock(folder / "exported.lock"):
        folder = folder / "exported"
        if not (folder / "model.onnx").exists():
            folder.mkdir(exist_ok=True)
            labeler = CLIPPseudoLabeler(grid_size=1)
            settings = {"image_size": 64, "precision": "float32", "random_state": 0}
            classifier = CDULClassifier(
                ["pizza", "cake", "café"], pseudo_labeler=labeler, **settings
            ).fit(food_photos.data[:16])
            # Probabilities lie on both sides of such a threshold.
            classifier.set_thresholds({"cake": 0.123456789})
            joblib.dump(classifier, folder / "model.joblib")
            classifier.export_onnx(folder / "model.onnx")
    return joblib.load(folder / "model.joblib"), folder / "model.onnx"


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
