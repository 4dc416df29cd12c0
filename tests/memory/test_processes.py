"""Processes share a folder: none loses or repeats the work of another."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_cdul import CLIPPseudoLabeler
from tests.memory.common import N_PHOTOS, SETTINGS, database, rows_in


class Processes:
    """Runs cache_process.py several times at once, and reads what was encoded."""

    def __init__(self, folder, memory):
        self.folder, self.memory, self.running = folder, memory, []

    def start(self, paths, **settings):
        labeler = {**SETTINGS, "batch_size": 1, "memory": str(self.memory)}
        settings = {"labeler": labeler, "log": str(self.folder), "paths": paths, **settings}
        settings["labeler"].update(settings.pop("changes", {}))
        script = Path(__file__).with_name("cache_process.py")
        process = subprocess.Popen([sys.executable, script, json.dumps(settings)])
        self.running.append(process)
        return process

    def wait(self):
        for process in self.running:
            assert process.wait(timeout=300) == 0
        self.running.clear()

    def counts(self):
        """How many views each process encoded."""
        logs = self.folder.glob("*.log")
        return [sum(int(n) for n in path.read_text().splitlines()) for path in logs]


@pytest.fixture
def processes(tmp_path):
    (tmp_path / "logs").mkdir()
    processes = Processes(tmp_path / "logs", tmp_path / "cache")
    yield processes
    for process in processes.running:
        process.kill()
        process.wait()


def wait_until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_kill_9_loses_one_batch_at_most_and_the_next_run_resumes(
    processes, labeler, photos, expected, encoded
):
    victim = processes.start(photos, pause=0.3)
    wait_until(lambda: processes.counts() and processes.counts()[0] >= 4)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    processes.running.clear()
    begun, stored = processes.counts()[0], rows_in(labeler.memory)
    assert begun - 1 <= stored < N_PHOTOS
    start = time.monotonic()
    assert_allclose(labeler.embed(photos), expected, atol=1e-5)
    assert time.monotonic() - start < 20  # the claims of the dead hold nobody up
    assert sum(encoded) == N_PHOTOS - stored
    assert sorted(path.name for path in labeler.memory.iterdir()) == [
        database("").name,
        "opening.lock",
    ]


@pytest.mark.slow
def test_four_processes_lose_and_duplicate_nothing(processes, food_photos, tmp_path):
    photos = food_photos.data[:40]
    plain = CLIPPseudoLabeler(**SETTINGS).embed(photos)
    orders = [np.random.default_rng(seed).permutation(40) for seed in range(4)]
    for number, order in enumerate(orders):
        paths = [photos[i] for i in order]
        output = str(tmp_path / f"{number}.npy")
        processes.start(paths, start=str(tmp_path / "go"), output=output, pause=0.05)
    wait_until(lambda: len(list(processes.folder.glob("*.ready"))) == 4)
    (tmp_path / "go").touch()
    processes.wait()
    counts = processes.counts()
    assert sum(counts) == 40
    assert len(counts) > 1, "one process did it all"
    for number, order in enumerate(orders):
        assert_allclose(np.load(tmp_path / f"{number}.npy"), plain[order], atol=1e-5)


@pytest.mark.slow
def test_a_search_in_two_processes_encodes_each_image_once(processes, food_photos, tmp_path):
    paths, targets = food_photos.data[:20], food_photos.target[:20].tolist()
    changes = {"classes": list(food_photos.target_names), "grid_size": 2, "batch_size": "auto"}
    scores = []
    for session in range(2):
        output = tmp_path / f"{session}.npy"
        processes.start(
            paths,
            search={"targets": targets, "n_jobs": 2},
            changes=changes,
            output=str(output),
        )
        processes.wait()
        scores.append(np.load(output))
        # The second session adds nothing.
        assert sum(processes.counts()) == 20 * 5
    assert_array_equal(scores[0], scores[1])
