"""ONNX Runtime: its import, and sessions that forks and pickle do not break."""

import os
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np

from sklearn_cdul._utils.forks import before_fork

_open: weakref.WeakSet["Sessions"] = weakref.WeakSet()


def import_onnxruntime() -> Any:
    """Import ONNX Runtime so that it sends nothing, unless the user has said otherwise."""
    name = "ORT_DISABLE_TELEMETRY"  # which newer versions read once, when they are imported
    is_set = name in os.environ
    os.environ.setdefault(name, "1")
    try:
        import onnxruntime
    finally:
        if not is_set:
            os.environ.pop(name, None)
    return onnxruntime


class Sessions:
    """Sessions that run one graph on the CPU, made when they are needed.

    Any number of threads may share them. They work in the child of a fork and can be pickled.
    """

    def __init__(self, graph: bytes, weights: Mapping[str, np.ndarray] | None = None):
        self._graph = graph
        self._weights = dict(weights or {})  # those that are not in the graph
        self._sessions: dict[int, Any] = {}  # by their number of threads

    def __getstate__(self) -> dict[str, Any]:
        """State for pickle, without ONNX Runtime's own."""
        return {**vars(self), "_sessions": {}}

    def get(self, n_threads: int) -> Any:
        """Return the session that runs each call with so many threads."""
        # No lock, which a fork could leave closed: at worst two threads make the same.
        session = self._sessions.get(n_threads)
        if session is None:
            session = self._sessions[n_threads] = self._make(n_threads)
            _open.add(self)
        return session

    def _make(self, n_threads: int) -> Any:
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads
        options.log_severity_level = 3  # errors
        # A thread that waits busily would take a core from those that decode.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(a) for a in self._weights.values()]
        options.add_external_initializers(list(self._weights), values)
        # What can't be loaded is tried once: the second time would print lines to stdout.
        return onnxruntime.InferenceSession(
            self._graph, options, providers=["CPUExecutionProvider"], enable_fallback=False
        )


@before_fork
def _close_all() -> None:
    # Threads are not in the child of a fork, which would wait for them for ever.
    for sessions in list(_open):
        sessions._sessions = {}
