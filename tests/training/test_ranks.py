"""Two processes that torchrun starts train the network that one trains, and find its labels."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.distributed as dist
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_cdul.training.batches import EmbeddingSource
from sklearn_cdul.training.ranks import Ranks
from tests.training import fit_process

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
WAYS = {
    "ridge": ["RidgeTraining", {}],
    "gradients": [
        "GradientTraining",
        {"learning_rate": 1e-3, "head_learning_rate": 1e-2, "batch_size": 8},
    ],
}


class Third(Ranks):
    """The last of three processes, as far as its share goes."""

    def __init__(self):
        self.number, self.count = 2, 3


def test_alone_nothing_is_shared():
    ranks = Ranks()
    assert (ranks.number, ranks.count, ranks.agree("a")) == (0, 1, "a")
    assert ranks.places(4) == [0, 1, 2, 3]
    assert_array_equal(ranks.in_shares(np.asarray, 3, torch.device("cpu")), [0, 1, 2])
    network = torch.nn.Linear(1, 1)
    assert ranks.wrap(network) is network


def test_a_process_without_a_photo_in_the_batch_has_an_input_that_counts_for_nothing(monkeypatch):
    monkeypatch.setattr("sklearn_cdul.training.batches.Ranks", Third)
    source = EmbeddingSource(np.eye(8), device=torch.device("cpu"))
    full, small = source.training([torch.arange(6), torch.tensor([6, 7])])
    assert full[0].tolist() == [2, 5]
    assert_array_equal(full[1], np.eye(8)[[2, 5]])
    assert len(small[0]) == 0
    assert_array_equal(small[1], np.eye(8)[[6]])


@pytest.mark.slow
@pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()), reason="processes can't talk"
)
@pytest.mark.parametrize(
    "way, killed", [("ridge", False), ("gradients", False), ("gradients", True)]
)
def test_two_processes_train_the_network_that_one_trains(
    way, killed, food_photos, food_labels, tmp_path
):
    np.save(tmp_path / "labels.npy", food_labels[:27])
    name, parameters = WAYS[way]
    job = {
        # Not a multiple of the batch: the last batch has one photo for each process, then one more.
        "paths": [str(path) for path in food_photos.data[:27]],
        "labels": str(tmp_path / "labels.npy"),
        "memory": str(tmp_path / "memory"),
        "training": [name, parameters],
        "output": str(tmp_path / "result"),
        "kill": None,
    }

    def run(processes, **changes):
        command = [sys.executable, *TORCHRUN, str(processes), fit_process.__file__]
        command.append(json.dumps(job | changes))
        return subprocess.run(command, capture_output=True, text=True, timeout=400)

    fit_process.main(**job)
    changes = {"memory": None}
    if killed:
        checkpoint = {"checkpoint": str(tmp_path / "run")}
        changes["training"] = [name, parameters | checkpoint]
        assert run(2, **changes, kill=["epochs", 3]).returncode != 0
        assert list((tmp_path / "run").glob("fit-*/epochs.pt"))
    ended = run(2, **changes)
    assert ended.returncode == 0, ended.stderr
    for own in (tmp_path / "run").glob("fit-*"):
        assert (own / "finished").exists()
    alone = np.load(tmp_path / "result-alone.npz")
    for number in (0, 1):
        result = np.load(tmp_path / f"result-{number}.npz")
        for key in alone.files:
            assert_allclose(result[key], alone[key], atol=1e-4, err_msg=key)
        assert_allclose(result["labels"], alone["labels"], atol=1e-5)
