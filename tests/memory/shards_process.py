"""A process of its own for test_shards.py, which labels shards by the recipe of the docs.

The one argument is a JSON object: ``backend`` ("loky", "dask" or "ray"), ``labeler`` (its
parameters), ``paths``, ``log`` (a folder where each worker notes what it encodes), ``victim`` (a
file: the worker that can make it kills itself after some photos) and ``output``. It fails if a
worker died and the backend could not go on: Ray's workers that are left may hold their places.
"""

import json
import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.encoders.clip import CLIPEncoder

# How often the same call is made: Dask goes on by itself, and Ray can't in this process.
ATTEMPTS = {"loky": 3, "dask": 1, "ray": 1}
N_WORKERS = 2
SHARD = 6


class LoggingLabeler(CLIPPseudoLabeler):
    """Logs what is encoded. From ``__main__`` it travels to workers by value."""

    def _encoder(self):
        encoder = super()._encoder()
        if "encode_views" not in vars(encoder):
            settings, done = json.loads(os.environ["SHARDS_PROCESS"]), []

            def encode_views(views):
                if "victim" in settings and len(done) == 3:
                    try:
                        os.close(os.open(settings["victim"], os.O_CREAT | os.O_EXCL))
                        os.kill(os.getpid(), signal.SIGKILL)
                    except FileExistsError:
                        pass  # another worker was the victim
                time.sleep(0.1)
                done.append(len(views))
                with open(Path(settings["log"], f"{os.getpid()}.log"), "a") as file:
                    file.write(f"{len(views)}\n")
                return CLIPEncoder.encode_views(encoder, views)

            encoder.encode_views = encode_views
        return encoder


@contextmanager
def cluster(backend):
    if backend == "dask":
        from dask.distributed import Client, LocalCluster

        settings = {"n_workers": N_WORKERS, "threads_per_worker": 1, "dashboard_address": None}
        with LocalCluster(**settings) as workers, Client(workers):
            yield
    elif backend == "ray":
        import ray
        from ray.util.joblib import register_ray

        ray.init(num_cpus=N_WORKERS, include_dashboard=False)
        register_ray()
        yield
        ray.shutdown()
    else:
        yield


def label(labeler, paths):
    shards = [paths[start : start + SHARD] for start in range(0, len(paths), SHARD)]
    parts = joblib.Parallel()(joblib.delayed(labeler.transform)(shard) for shard in shards)
    return np.concatenate(parts)


def main(settings):
    os.environ["SHARDS_PROCESS"] = json.dumps(settings)  # before workers start
    labeler = LoggingLabeler(**settings["labeler"]).fit()
    backend = settings["backend"]
    with cluster(backend), joblib.parallel_config(backend, n_jobs=N_WORKERS):
        for attempt in range(ATTEMPTS[backend]):
            try:
                np.save(settings["output"], label(labeler, settings["paths"]))
                return
            except Exception as error:
                print(f"attempt {attempt}: {type(error).__name__}", flush=True)
    sys.exit(1)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
