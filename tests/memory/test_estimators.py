"""The folder of ``memory=`` under an estimator: processes, damage, merging, and never NaN."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_cdul import BaseEncoder, CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.images.views import Preprocessing
from sklearn_cdul.memory import merge_memory
from sklearn_cdul.memory.store import Store
from tests.memory.common import N_PHOTOS, SETTINGS, rows_in
from tests.memory.entries import fill

SETTINGS_OF_FIT = {"pseudo_labeler": CLIPPseudoLabeler(**SETTINGS), "image_size": 32}


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


@pytest.mark.slow
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
    assert_allclose(labeler.embed(photos), expected, atol=1e-5)
    assert sum(encoded) == N_PHOTOS - stored


@pytest.mark.slow
def test_four_processes_share_the_work(processes, food_photos, tmp_path):
    photos = food_photos.data[:40]
    plain = CLIPPseudoLabeler(**SETTINGS).embed(photos)
    orders = [np.random.default_rng(seed).permutation(40) for seed in range(4)]
    for number, order in enumerate(orders):
        paths = [photos[i] for i in order]
        output = str(tmp_path / f"{number}.npy")
        processes.start(paths, start=str(tmp_path / "go"), output=output, pause=0.2)
    wait_until(lambda: len(list(processes.folder.glob("*.ready"))) == 4)
    (tmp_path / "go").touch()
    processes.wait()
    counts = processes.counts()
    assert 40 <= sum(counts) < 3 * 40  # alone they would encode 4 * 40
    assert len(counts) > 1, "one process did it all"
    for number, order in enumerate(orders):
        assert_allclose(np.load(tmp_path / f"{number}.npy"), plain[order], atol=1e-5)


@pytest.mark.slow
def test_a_second_search_in_two_processes_encodes_nothing(processes, food_photos, tmp_path):
    paths, targets = food_photos.data[:20], food_photos.target[:20].tolist()
    changes = {"classes": list(food_photos.target_names), "grid_size": 2, "views": "grid"}
    changes |= {"batch_size": "auto"}
    scores, counts = [], []
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
        counts.append(sum(processes.counts()))
    # Both processes begin with the same photos.
    assert 20 * 5 <= counts[0] <= 2 * 20 * 5
    assert counts[1] == counts[0]
    assert_allclose(scores[0], scores[1], atol=1e-5)


# several folders, and damage


def test_what_each_machine_encoded_is_encoded_no_more(photos, expected, tmp_path, encoded):
    parts = {"a": photos[:6], "b": photos[4:]}
    for name, part in parts.items():
        CLIPPseudoLabeler(**SETTINGS, memory=tmp_path / name).embed(part)
    before = sum(encoded)
    assert merge_memory(tmp_path / "all", [tmp_path / name for name in parts]) == len(photos)
    merged = CLIPPseudoLabeler(**SETTINGS, memory=tmp_path / "all")
    assert_allclose(merged.embed(photos), expected, atol=1e-5)
    assert sum(encoded) == before


def test_a_damaged_embedding_is_computed_again_alone(labeler, photos, expected, encoded):
    labeler.embed(photos)
    (data,) = labeler.memory.glob("*.data")
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1  # one bit of one float
    data.write_bytes(content)
    with pytest.warns(UserWarning, match=f"{data.name} is damaged"):
        assert_allclose(labeler.embed(photos), expected, atol=1e-5)
    assert sum(encoded) == N_PHOTOS + 1
    labeler.embed(photos)
    assert sum(encoded) == N_PHOTOS + 1


# NaN


class Broken(BaseEncoder):
    """Gives NaN for dark pictures, until it is repaired."""

    temperature = 0.05
    preprocessing = Preprocessing((8, 8), "squash")
    fingerprint = "broken"
    embedding_dim = 3

    def __init__(self):
        self.broken, self.n_views = True, 0

    def encode_text(self, prompts):
        return np.eye(3)[: len(prompts)]

    def encode_views(self, views):
        self.n_views += len(views)
        vectors = views.mean(axis=(1, 2)) / 255
        if self.broken:
            vectors[vectors.max(axis=1) < 0.5] = np.nan
        return vectors


LIGHT, DARK = (np.full((9, 9, 3), value, np.uint8) for value in (200, 50))
PICTURES = [LIGHT, LIGHT + 1, DARK, DARK + 1, DARK]


@pytest.fixture
def broken(tmp_path):
    return CLIPPseudoLabeler(
        ["a", "b"], model_name=Broken(), grid_size=1, memory=tmp_path / "cache"
    )


def test_nan_is_an_error_that_costs_nothing_and_is_never_stored(broken):
    broken.set_params(batch_size=4)
    with pytest.raises(FloatingPointError, match=r"NaN for 3 of 5 images, first X\[2\]"):
        broken.embed(PICTURES)
    assert rows_in(broken.memory) == 2
    broken.model_name.broken = False
    assert np.isfinite(broken.embed(PICTURES)).all()
    assert broken.model_name.n_views == 4 + 2


def test_nan_in_rows_is_counted_with_all_equal_images_and_never_stored(broken):
    broken.set_params(on_error="nan")
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"NaN for 3 of 5 images, first X\[2\]") as caught:
            embeddings = broken.embed(PICTURES)
        assert len(caught) == 1
        assert np.isnan(embeddings).all(axis=(1, 2)).tolist() == [False, False, True, True, True]
    assert rows_in(broken.memory) == 2
    broken.model_name.broken = False
    assert np.isfinite(broken.embed(PICTURES)).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, 7.0], ids=str)
def test_what_is_stored_is_not_served_if_it_is_no_embedding(broken, bad):
    broken.model_name.broken = False
    right = broken.embed(PICTURES)
    with Store(broken.memory) as store:
        store.put({key: np.full(3, bad, "<f4").tobytes() for key in store})
    for _ in range(2):
        assert_array_equal(broken.embed(PICTURES), right)
    assert broken.model_name.n_views == 8


def test_an_encoder_that_kept_its_fingerprint_but_not_its_length_is_asked_again(broken):
    broken.model_name.broken = False
    broken.embed(PICTURES)
    broken.model_name.embedding_dim = 2
    encode_views = broken.model_name.encode_views
    broken.model_name.encode_views = lambda views: encode_views(views)[:, :2]
    assert broken.embed(PICTURES).shape == (5, 1, 2)


def test_a_fit_says_once_that_nothing_can_be_stored(as_nobody, food_photos):
    folder, read_only = as_nobody
    fill(folder, [1])
    model = CDULClassifier(**SETTINGS_OF_FIT).fit(food_photos.data[:N_PHOTOS])  # imports all
    model.set_params(memory=folder)
    with read_only(), pytest.warns(UserWarning, match="can't be written") as caught:
        model.fit(food_photos.data[:N_PHOTOS])
    assert sum("can't be written" in str(warning.message) for warning in caught) == 1


def test_a_fit_again_reads_no_validation_photo(food_photos, tmp_path, monkeypatch):
    model = CDULClassifier(**SETTINGS_OF_FIT, memory=tmp_path)
    validation = {"X_val": food_photos.data[20:23], "y_val": np.eye(3, dtype=int)}
    model.fit(food_photos.data[:N_PHOTOS], **validation)
    features = "sklearn_cdul.training.features.iter_outputs"
    monkeypatch.setattr(features, lambda *_, **__: pytest.fail("read again"))
    model.fit(food_photos.data[:N_PHOTOS], **validation)
