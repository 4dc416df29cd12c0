"""Shards are labelled by the workers of joblib, Dask and Ray; a worker that dies costs a batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_cdul import CLIPPseudoLabeler
from tests.memory.common import SETTINGS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="SIGKILL"),
]
N_PHOTOS = 24


# Of Ray's, the workers that are left may hold their places; the script is started again.
@pytest.mark.parametrize(
    ("backend", "victim"),
    [("loky", True), ("dask", True), ("ray", False)],
    ids=["loky, a worker dies", "dask, a worker dies", "ray"],
)
def test_shards_lose_and_repeat_nothing(backend, victim, food_photos, tmp_path):
    if backend != "loky":
        pytest.importorskip({"dask": "distributed"}.get(backend, backend))
    photos = food_photos.data[:N_PHOTOS]
    (log := tmp_path / "log").mkdir()
    labeler = {**SETTINGS, "batch_size": 1, "memory": str(tmp_path / "cache")}
    settings = {"backend": backend, "labeler": labeler, "log": str(log), "paths": photos}
    settings["output"] = str(tmp_path / "labels.npy")
    if victim:
        settings["victim"] = str(tmp_path / "victim")
    script = Path(__file__).with_name("shards_process.py")
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}  # else it writes to the home folder
    subprocess.run(
        [sys.executable, script, json.dumps(settings, default=str)],
        check=True,
        timeout=300,
        env=environment,
    )
    plain = CLIPPseudoLabeler(**SETTINGS).fit().transform(photos)
    assert_allclose(np.load(tmp_path / "labels.npy"), plain, atol=1e-5)
    assert (tmp_path / "victim").exists() == victim
    counts = [len(path.read_text().splitlines()) for path in log.iterdir()]
    # Each of two workers loses the photo that it is at, if the backend ends both.
    assert N_PHOTOS <= sum(counts) <= N_PHOTOS + 2 * victim
    assert len(counts) >= 2, "one worker did it all"
