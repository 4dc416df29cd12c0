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
# Ray would write to the home folder, and tell its makers that it is used.
ENVIRONMENT = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


@pytest.mark.parametrize("backend", ["loky", "dask", "ray"])
def test_a_worker_dies_and_no_photo_is_lost(backend, food_photos, tmp_path):
    if backend != "loky":
        pytest.importorskip({"dask": "distributed"}.get(backend, backend))
    photos = food_photos.data[:N_PHOTOS]
    (log := tmp_path / "log").mkdir()
    labeler = {**SETTINGS, "batch_size": 1, "memory": str(tmp_path / "cache")}
    settings = {"backend": backend, "labeler": labeler, "log": str(log), "paths": photos}
    settings["output"] = str(tmp_path / "labels.npy")
    settings["victim"] = str(tmp_path / "victim")
    script = Path(__file__).with_name("shards_process.py")
    call = [sys.executable, script, json.dumps(settings, default=str)]
    code = subprocess.run(call, timeout=300, env=ENVIRONMENT).returncode
    if code and backend == "ray":  # the script is started again
        code = subprocess.run(call, timeout=300, env=ENVIRONMENT).returncode
    assert code == 0
    plain = CLIPPseudoLabeler(**SETTINGS).fit().transform(photos)
    assert_allclose(np.load(tmp_path / "labels.npy"), plain, atol=1e-5)
    assert (tmp_path / "victim").exists()
    counts = [len(path.read_text().splitlines()) for path in log.iterdir()]
    # Each of two workers loses the photo that it is at, if the backend ends both.
    assert N_PHOTOS <= sum(counts) <= N_PHOTOS + 2
    assert len(counts) >= 2, "one worker did it all"
