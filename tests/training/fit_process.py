"""A process of its own that trains on photos, for tests that kill it or start several by torchrun.

The one argument is a JSON object: ``training`` (name and parameters), ``paths``, ``labels`` (a
file), ``memory``, ``output`` (where the result goes, with the number of the process) and ``kill``,
null or at which call of what the (last) process kills itself: "features" are batches that are
stored, "epochs" are those of gradient steps.
"""

import json
import os
import signal
import sys

import numpy as np
import torch.distributed as dist

from sklearn_cdul.images.digests import read_contents
from sklearn_cdul.memory.store import Store
from sklearn_cdul.training import GradientTraining, RidgeTraining
from tests.training.conftest import photo_source, train

STEPS = {"features": (Store, "put"), "epochs": (GradientTraining, "_step_a")}


def die_at(step, count):
    kind, name = STEPS[step]
    function, calls = getattr(kind, name), []

    def counted(*arguments):
        calls.append(arguments)
        if len(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)

    setattr(kind, name, counted)


def main(training, paths, labels, memory, output, kill):
    number = os.environ.get("RANK", "alone")
    if number != "alone":
        dist.init_process_group("gloo")
    if kill and (number == "alone" or dist.get_rank() == dist.get_world_size() - 1):
        die_at(*kill)
    name, parameters = training
    kinds = {kind.__name__: kind for kind in (RidgeTraining, GradientTraining)}
    source = photo_source(paths, contents=read_contents(paths))
    network, trained = train(
        kinds[name](**parameters), source, np.load(labels), memory=memory, regions=1
    )
    arrays = {key: value.numpy() for key, value in network.state_dict().items()}
    arrays |= {"labels": trained.labels, "logits": trained.logits}
    arrays["losses"] = np.array([record["loss"] for record in trained.history])
    np.savez(f"{output}-{number}.npz", **arrays)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
