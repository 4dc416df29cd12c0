"""A process of its own for test_cache.py.

The one argument is a JSON object: ``labeler`` (parameters of the labeler), ``paths``, ``log`` (a
folder: each process appends there to a file of its own the number of views in each batch that it
encodes), and optionally ``search`` (targets of the photos and ``n_jobs``: a grid search instead
of one embedding), ``pause`` (seconds before each batch), ``start`` (a file to wait for) and
``output`` (where to save the result).
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from sklearn.model_selection import GridSearchCV, KFold

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.encoders.clip import CLIPEncoder

GRID = {
    "global_weight": [0.0, 0.5, 1.0],
    "local_threshold": [0.0, 0.5],
    "temperature": [None, 0.1],
}


class CountingLabeler(CLIPPseudoLabeler):
    """Logs what is encoded. From ``__main__`` it travels to worker processes by value."""

    def _encoder(self):
        encoder = super()._encoder()
        if "encode_views" not in vars(encoder):
            settings = json.loads(os.environ["CACHE_PROCESS"])

            def encode_views(views):
                time.sleep(settings.get("pause", 0))
                with open(Path(settings["log"], f"{os.getpid()}.log"), "a") as log:
                    log.write(f"{len(views)}\n")
                return CLIPEncoder.encode_views(encoder, views)

            encoder.encode_views = encode_views
        return encoder


def main(settings):
    os.environ["CACHE_PROCESS"] = json.dumps(settings)
    labeler = CountingLabeler(**settings["labeler"]).fit()
    if "start" in settings:
        Path(settings["log"], f"{os.getpid()}.ready").touch()
        while not Path(settings["start"]).exists():
            time.sleep(0.01)
    if "search" not in settings:
        result = labeler.embed(settings["paths"])
    else:
        search = GridSearchCV(
            labeler, GRID, cv=KFold(5), n_jobs=settings["search"]["n_jobs"], error_score="raise"
        )
        search.fit(settings["paths"], np.array(settings["search"]["targets"]))
        result = search.cv_results_["mean_test_score"]
    if "output" in settings:
        np.save(settings["output"], result)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
