"""Load an encoder by its name: the bundled one, or any model of open_clip."""

import gc
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from sklearn_cdul._utils.forks import in_child
from sklearn_cdul._utils.progress import import_tqdm, progress
from sklearn_cdul.compute.devices import OwnRandomState, resolve_device, resolve_precision
from sklearn_cdul.encoders.base import BaseEncoder
from sklearn_cdul.encoders.checkpoints import (
    readable_checkpoint,
    warn_about_activation,
    why_unreadable,
)
from sklearn_cdul.encoders.clip import CLIPEncoder
from sklearn_cdul.encoders.names import (
    SCHEMES,
    about_repository,
    check_architecture,
    check_pretrained,
    weights_unavailable,
)
from sklearn_cdul.images.views import Preprocessing

BUNDLED_FOLDER = Path(__file__).parent / "bundled"
# Encoders kept loaded in this process, the most recently used ones.
_MAX_LOADED = 3
_loaded: OrderedDict[tuple[Any, ...], CLIPEncoder] = OrderedDict()
_loading = threading.Lock()


@in_child
def _renew_locks() -> None:
    # The threads that held them are not in the child of a fork.
    global _loading
    _loading = threading.Lock()
    for attribute in [*vars(BaseEncoder).values(), *vars(CLIPEncoder).values()]:
        if isinstance(attribute, cached_property) and hasattr(attribute, "lock"):
            attribute.lock = threading.RLock()  # before Python 3.12


def load_encoder(
    model_name: str | BaseEncoder = "bundled",
    pretrained: str | os.PathLike[str] | None = None,
    *,
    device: str | torch.device = "auto",
    precision: str = "auto",
    verbose: bool = False,
) -> BaseEncoder:
    """Load an encoder, or return the one that this process has loaded already."""
    if isinstance(model_name, BaseEncoder):
        if pretrained is not None:
            raise ValueError(
                f"model_name is an encoder with weights of its own, so pretrained={pretrained!r} "
                "can't be used with it."
            )
        return model_name
    device = resolve_device(device)
    if model_name == "bundled" and precision == "auto":
        # As fast as bfloat16 on GPUs and much nearer to float32. On CPUs ONNX Runtime, in float32,
        # is faster than torch in bfloat16.
        precision = {"cuda": "float16", "cpu": "float32"}.get(device.type, precision)
    if precision == "int8":
        if model_name != "bundled" or device.type != "cpu":
            raise ValueError(
                'precision="int8" is for model_name="bundled" on a CPU, got '
                f'model_name={model_name!r} on "{device}". Use precision="auto".'
            )
        dtype = torch.int8
    else:
        dtype = resolve_precision(precision, device)
    weights = None if pretrained is None else os.fspath(pretrained)
    key = (model_name, weights, device, dtype)
    with _loading:
        if key in _loaded:
            _loaded.move_to_end(key)
            return _loaded[key]
    # open_clip first draws random weights; neither the user's random state nor that of a training
    # in another thread is for that. Locked in this order, as a training that loads an encoder does.
    # Both are held while loading: a second thread shall not load the same weights again.
    with progress(f"Loading {model_name}", verbose=verbose), OwnRandomState(0), _loading:
        if key not in _loaded:
            model, tokenizer, preprocessing = _load_open_clip(model_name, weights)
            _loaded[key] = CLIPEncoder(model, tokenizer, preprocessing, device=device, dtype=dtype)
            while len(_loaded) > _MAX_LOADED:
                _loaded.popitem(last=False)
        _loaded.move_to_end(key)
        return _loaded[key]


def unload_encoders() -> None:
    """Forget all encoders that this process keeps loaded, and free their memory.

    The three used last stay loaded until then, on the GPU if they computed there. An encoder that
    is needed again is loaded again. Encoders of your own are yours to delete.
    """
    free_gpu()  # also those that somebody still holds
    with _loading:
        _loaded.clear()
    gc.collect()


def free_gpu() -> None:
    """Move the weights of all loaded encoders off the GPU; each comes back when it is needed."""
    with _loading:
        encoders = list(_loaded.values())
    for encoder in encoders:
        encoder.offload()


def _load_open_clip(
    model_name: str, pretrained: str | None
) -> tuple[torch.nn.Module, Callable[[list[str]], torch.Tensor], Preprocessing]:
    """Load a model with its tokenizer and preprocessing, in float32 on the CPU."""
    import_tqdm()  # first, so that open_clip gives no warning
    # Importing it takes seconds, and prediction alone does without it.
    import open_clip

    if model_name != "bundled" and not model_name.startswith(SCHEMES):
        name = check_architecture(open_clip, model_name)
        check_pretrained(open_clip, name, pretrained)
    elif pretrained is None:
        name = f"local-dir:{BUNDLED_FOLDER}" if model_name == "bundled" else model_name
    else:
        raise ValueError(
            f"model_name={model_name!r} brings its own weights, so pretrained={pretrained!r} "
            'can\'t be used with it. Name an architecture, for instance model_name="ViT-B-32".'
        )
    tag = {} if pretrained is None else open_clip.get_pretrained_cfg(name, pretrained)
    file = None if tag else pretrained
    # open_clip only warns when weights of a tag were trained with the other activation.
    source: Any = (pretrained, bool(tag.get("quick_gelu")))
    try:
        # The tokenizer first: what it lacks is said before gigabytes are downloaded.
        open_clip.get_model_config(name)
        tokenizer = open_clip.get_tokenizer(name)
        with nullcontext(source) if file is None else readable_checkpoint(file) as found:
            weights, quick_gelu = found
            model = open_clip.create_model(
                name, weights, force_quick_gelu=quick_gelu, require_pretrained=True
            )
    except ImportError as error:
        raise ImportError(
            f"model_name={model_name!r} needs the package transformers, and some models need "
            f"sentencepiece: pip install transformers sentencepiece. ({error})"
        ) from error
    except Exception as error:
        # open_clip reports a failed download, a missing folder and a wrong file by many types.
        reason = why_unreadable(error, file)
        is_local = file is not None or name.startswith("local-dir:")
        if is_local and not isinstance(error, FileNotFoundError):
            what = name if file is None else f"{file} as weights of {name}"
            raise ValueError(f"open_clip can't load {what}. {reason}") from error
        if name.startswith("hf-hub:"):
            reason += f" {about_repository(open_clip, name)}"
        raise weights_unavailable(model_name, pretrained, reason) from error
    if file is not None and not quick_gelu:
        warn_about_activation(open_clip, name, file)
    preprocessing = Preprocessing.from_open_clip(open_clip.get_model_preprocess_cfg(model))
    return model.float().eval().requires_grad_(False), tokenizer, preprocessing
