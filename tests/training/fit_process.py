"""A process of its own for test_checkpoint.py, which kills itself or waits for a signal.

The one argument is a JSON object: ``settings`` of the classifier, ``names``, ``paths``, ``at`` (a
step of the fit: "labels", "features" or "epochs"), ``count`` (after how many batches there it
happens) and ``signal`` (its number).
"""

import json
import os
import signal
import sys

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.memory.store import Store
from sklearn_cdul.training.alignment import GradientSteps
from sklearn_cdul.training.checkpoint import KeptRows

STEPS = {
    "labels": (Store, "put"),
    "features": (KeptRows, "add"),
    "epochs": (GradientSteps, "__call__"),
}


def send_signal(step, count, number):
    """Make this process get a signal at the start of some call."""
    kind, name = STEPS[step]
    function, calls = getattr(kind, name), []

    def counted(*arguments):
        calls.append(arguments)
        if len(calls) == count:
            os.kill(os.getpid(), number)
        return function(*arguments)

    setattr(kind, name, counted)


def main(names, paths, settings, at, count, number):
    labeler = CLIPPseudoLabeler(names, grid_size=1)
    model = CDULClassifier(pseudo_labeler=labeler, **settings)
    if number == signal.SIGINT:
        model.fit(paths[:4])
        before = dict(vars(model))
    send_signal(at, count, number)
    try:
        model.fit(paths)
    except KeyboardInterrupt:
        after = vars(model)
        assert after.keys() == before.keys()
        assert all(after[name] is value for name, value in before.items())
        print("as it was")


if __name__ == "__main__":
    main(*json.loads(sys.argv[1]))
