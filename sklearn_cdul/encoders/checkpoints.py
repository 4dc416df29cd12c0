"""Files of weights as training scripts write them, made readable for open_clip."""

import contextlib
import pickle
import re
import textwrap
import warnings
import zipfile
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch.torch_version import TorchVersion

from sklearn_cdul.exceptions import warn

# OpenAI's own files hold these numbers beside the weights.
_OPENAI_SETTINGS = {"input_resolution", "context_length", "vocab_size"}
# Where the weights are, beside an optimizer's state and the like.
_ENTRIES = ("state_dict", "model_state_dict", "model", "state_dict_ema", "model_ema")
# What wrappers of models put before each name.
_PREFIXES = ("module.", "_orig_mod.", "model.")


@contextlib.contextmanager
def readable_checkpoint(path: str) -> Iterator[tuple[str, bool]]:
    """Yield a file that ``open_clip.create_model`` reads, and whether it needs QuickGELU."""
    if path.lower().endswith((".safetensors", ".npz", ".npy")):  # arrays alone
        yield path, False
        return
    content = _read(path)
    weights = _unwrap(content)
    is_openais = isinstance(weights, Mapping) and weights.keys() >= _OPENAI_SETTINGS
    if is_openais:
        weights = {name: weights[name] for name in weights if name not in _OPENAI_SETTINGS}
    if weights is content:
        yield path, False
        return
    with TemporaryDirectory() as folder:
        file = str(Path(folder) / "weights.pt")
        torch.save(weights, file)
        del content, weights
        yield file, is_openais


def _read(path: str) -> Any:
    """Load what a file holds, and run no Python code that may be in it."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            is_torchscript = any(n.endswith("/constants.pkl") for n in archive.namelist())
        if is_torchscript:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # new models shall take other ways
                return {"state_dict": torch.jit.load(path, map_location="cpu").state_dict()}
    with _arguments_and_numbers_allowed():
        return torch.load(path, map_location="cpu", weights_only=True)


def _unwrap(content: Any) -> Any:
    """Return the weights out of what was saved; what has no known form as it is."""
    weights = content
    if isinstance(weights, Mapping):
        entries = (weights.get(entry) for entry in _ENTRIES)
        weights = next((entry for entry in entries if isinstance(entry, Mapping)), weights)
    while isinstance(weights, Mapping) and weights:
        starts = (p for p in _PREFIXES if all(str(name).startswith(p) for name in weights))
        prefix = next(starts, None)
        if prefix is None:
            break
        weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    return weights


def _arguments_and_numbers_allowed() -> AbstractContextManager[Any]:
    """Let torch read parsed arguments and NumPy's numbers and arrays beside weights."""
    if not hasattr(torch.serialization, "safe_globals"):  # before torch 2.5
        return contextlib.nullcontext()
    functions: list[Any] = [np.float64(0).__reduce__()[0], np.empty(0).__reduce__()[0]]
    dtypes = {type(np.dtype(kind)) for kind in "?bBhHiIlLqQefdgSU"}
    allowed = [Namespace, np.ndarray, np.dtype, *functions, *dtypes]
    if TorchVersion(torch.__version__) >= "2.7":  # NumPy 1 and 2 have them in other modules
        for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            allowed += [(function, f"{module}.{function.__name__}") for function in functions]
    return torch.serialization.safe_globals(allowed)


def why_unreadable(error: Exception, path: str | None) -> str:
    """Return a short reason why a file or folder of weights can't be loaded."""
    found = re.search(r"(?:GLOBAL|global:?|class) `?([\w.]+\.\w+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and found:
        return (
            f"It holds an object of type {found[1]} beside weights, and to load that could run any "
            'code. If you trust the file, save its weights alone: torch.save({"state_dict": '
            f'torch.load({path!r}, weights_only=False)["state_dict"]}}, "weights.pt").'
        )
    return f"{textwrap.shorten(str(error), 400).rstrip('.')}."


def warn_about_activation(open_clip: Any, name: str, path: str) -> None:
    """Warn if an architecture exists with another activation, and a file does not tell which."""
    twin = f"{name}-quickgelu"
    if twin in open_clip.list_models():
        warn(
            f"model_name={name!r} computes with GELU, and {path} does not say whether its weights "
            "were trained so. Weights of OpenAI, MetaCLIP and DFN, and weights trained from these, "
            f"need QuickGELU: for them write model_name={twin!r}, or the embeddings are worse.",
        )
