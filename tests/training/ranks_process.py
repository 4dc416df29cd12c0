"""One of the processes that torchrun starts for test_ranks.py, or a process alone.

The one argument is a JSON object: ``names``, ``paths``, ``memory``, ``settings`` of the classifier,
``output`` (where the result goes, with the number of the process) and ``victim`` (the last process
kills itself in the third epoch).
"""

import json
import os
import signal
import sys

import numpy as np
import torch.distributed as dist

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.training.alignment import GradientSteps


def die_in_the_third_epoch():
    train, calls = GradientSteps.__call__, []

    def counted(self, state):
        calls.append(state)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return train(self, state)

    GradientSteps.__call__ = counted


def main(names, paths, memory, settings, output, victim):
    number = os.environ.get("RANK", "alone")
    if number != "alone":
        dist.init_process_group("gloo")
        if victim and dist.get_rank() == dist.get_world_size() - 1:
            die_in_the_third_epoch()
    labeler = CLIPPseudoLabeler(names, grid_size=1, memory=memory)
    model = CDULClassifier(pseudo_labeler=labeler, **settings).fit(paths)
    arrays = {key: value.numpy() for key, value in model.network_.state_dict().items()}
    arrays |= {"labels": model.pseudo_labels_, "thresholds": model.thresholds_}
    arrays["losses"] = np.array([record["loss"] for record in model.history_])
    np.savez(f"{output}-{number}.npz", **arrays)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
