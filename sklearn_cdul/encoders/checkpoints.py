"""Files of weights: what is in them, in a form that open_clip loads."""

import contextlib
import pickle
import re
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

# open_clip reads these itself. They hold arrays only.
_PLAIN_SUFFIXES = (".safetensors", ".npz", ".npy")
# OpenAI's own files hold these numbers beside the weights.
_OPENAI_SETTINGS = ("input_resolution", "context_length", "vocab_size")
# Under which the weights may be, beside an optimizer's state and the like.
_ENTRIES = ("state_dict", "model_state_dict", "model", "state_dict_ema", "model_ema")
# What wrappers of models put before each name.
_PREFIXES = ("module.", "_orig_mod.", "model.")


@contextlib.contextmanager
def readable_checkpoint(path: str) -> Iterator[tuple[str, bool]]:
    """Make a file of weights one that ``open_clip.create_model`` can read."""
    if path.lower().endswith(_PLAIN_SUFFIXES):
        yield path, False
        return
    is_openais = False
    if _is_torchscript(path):
        # Loading one runs no Python code, unlike other pickles.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # new models shall take other ways
            content = torch.jit.load(path, map_location="cpu").state_dict()
        is_openais = all(key in content for key in _OPENAI_SETTINGS)
        weights: Any = {k: v for k, v in content.items() if k not in _OPENAI_SETTINGS}
    else:
        with _numbers_of_numpy_allowed():
            content = torch.load(path, map_location="cpu", weights_only=True)
        weights = _unwrap(content)
    if weights is content:
        yield path, False
        return
    with TemporaryDirectory() as folder:
        file = str(Path(folder) / "weights.pt")
        torch.save(weights, file)
        del content, weights
        yield file, is_openais


def _is_torchscript(path: str) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _unwrap(content: Any) -> Any:
    """Return the weights out of what was saved; what has no known form as it is."""
    weights = content
    if isinstance(weights, Mapping):
        entries = (weights.get(entry) for entry in _ENTRIES)
        weights = next((entry for entry in entries if isinstance(entry, Mapping)), weights)
    while isinstance(weights, Mapping) and len(weights):
        names = [str(name) for name in weights]
        prefix = next((p for p in _PREFIXES if all(name.startswith(p) for name in names)), None)
        if prefix is None:
            break
        weights = dict(zip((n[len(prefix) :] for n in names), weights.values(), strict=True))
    return weights


def _numbers_of_numpy_allowed() -> AbstractContextManager[Any]:
    """Let torch read NumPy's numbers and arrays beside weights, and parsed arguments."""
    safe_globals = getattr(torch.serialization, "safe_globals", None)  # since torch 2.5
    if safe_globals is None:
        return contextlib.nullcontext()
    functions: list[Any] = [np.float64(0).__reduce__()[0], np.empty(0).__reduce__()[0]]
    allowed = [*functions, np.ndarray, np.dtype, Namespace]
    if TorchVersion(torch.__version__) >= "2.7":  # before, torch takes no names of its callers
        # NumPy 1 and 2 have the functions in modules of other names.
        for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            allowed += [(function, f"{module}.{function.__name__}") for function in functions]
    dtypes = {type(np.dtype(kind)) for kind in "?bBhHiIlLqQefdgSU"}
    return safe_globals([*allowed, *dtypes])


def why_unreadable(error: Exception, path: str | None) -> str:
    """Return a short reason why a file or folder of weights can't be loaded."""
    text = " ".join(str(error).split())
    found = re.search(r"(?:GLOBAL|global:?|class) `?([\w.]+\.\w+)", text)
    if isinstance(error, pickle.UnpicklingError) and found:
        return (
            f"it holds an object of type {found[1]} beside weights, and to load that could run any "
            'code. If you trust the file, save its weights alone: torch.save({"state_dict": '
            f'torch.load({path!r}, weights_only=False)["state_dict"]}}, "weights.pt")'
        )
    return text if len(text) < 400 else f"{text[:400]} ..."


def warn_about_activation(open_clip: Any, name: str, path: str) -> None:
    """Warn if an architecture exists with another activation, and a file does not tell which."""
    twin = f"{name}-quickgelu"
    if twin in open_clip.list_models():
        warn(
            f"model_name={name!r} computes with GELU, and {path} does not say whether its weights "
            "were trained so. Weights of OpenAI, MetaCLIP and DFN, and weights trained from these, "
            f"need QuickGELU: for them write model_name={twin!r}, or the embeddings are worse.",
        )
