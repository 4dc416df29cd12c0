"""Run a network on the CPU by ONNX Runtime, which is faster there than torch."""

import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sklearn_cdul._utils.forks import before_fork
from sklearn_cdul.compute.runtime import Sessions

Prepare = Callable[[np.ndarray], np.ndarray]

# Graphs by name, made by tools/. Those without weights have their architecture's name in timm.
_GRAPHS = {path.stem: path for path in (Path(__file__).parent / "graphs").glob("*.onnx")}
# The bundled encoder's image tower in 8 bits, with its weights.
INT8_GRAPH = "bundled_int8"


@cache
def _pool(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads, thread_name_prefix="CPUEngine")


def _run(session: Any, prepare: Prepare | None, pixels: np.ndarray) -> np.ndarray:
    ready = pixels if prepare is None else prepare(pixels)
    maps: np.ndarray = session.run(None, {"pixels": ready})[0]
    return maps


@before_fork
def _close_pools() -> None:
    _pool.cache_clear()  # their threads are not in the child of a fork


def can_run(architecture: str | None, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether `CPUEngine` is the way to run a network."""
    return architecture in _GRAPHS and device.type == "cpu" and dtype == torch.float32


def graph_digest(architecture: str) -> str:
    """Return a digest of a graph; with its weights, if it has them."""
    return hashlib.blake2b(_GRAPHS[architecture].read_bytes(), digest_size=16).hexdigest()


class CPUEngine:
    """The layers of a network of timm up to its feature map, with a copy of its weights.

    Any number of threads may share it. It works in the child of a fork and can be pickled.
    """

    def __init__(self, architecture: str, weights: Mapping[str, torch.Tensor]):
        arrays = {
            name: np.array(tensor.detach().float().numpy(), order="C")
            for name, tensor in weights.items()
            if not name.startswith("classifier.") and not name.endswith(".num_batches_tracked")
        }
        self._sessions = Sessions(_GRAPHS[architecture].read_bytes(), arrays)

    def run(self, pixels: np.ndarray, prepare: Prepare | None = None) -> np.ndarray:
        """Compute feature maps."""
        images = [pixels[i : i + 1] for i in range(len(pixels))]
        n_threads = torch.get_num_threads()
        if len(images) == 1:
            return _run(self._sessions.get(n_threads), prepare, images[0])
        # Threads with an image of their own wait for none of the others. Those that share one do,
        # layer by layer, and for long where photos are decoded beside them.
        maps = _pool(n_threads).map(partial(_run, self._sessions.get(1), prepare), images)
        return np.concatenate(list(maps))
