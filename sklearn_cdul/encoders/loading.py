"""Load an encoder by its name: the embedded one, or any model of open_clip."""

import difflib
import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sklearn_cdul.devices import OwnRandomState, resolve_device, resolve_precision
from sklearn_cdul.encoders.base import BaseEncoder
from sklearn_cdul.encoders.clip import CLIPEncoder
from sklearn_cdul.exceptions import WeightsUnavailableError
from sklearn_cdul.images.views import Preprocessing

EMBEDDED_FOLDER = Path(__file__).parent / "embedded"
# These names carry their weights with them; open_clip takes no second source for them.
_SCHEMES = ("hf-hub:", "local-dir:")
# Encoders kept loaded in this process, the most recently used ones.
_MAX_LOADED = 3
_loaded: OrderedDict[tuple[Any, ...], CLIPEncoder] = OrderedDict()
_loading = threading.Lock()


def load_encoder(
    model_name: str | BaseEncoder = "embedded",
    pretrained: str | os.PathLike[str] | None = None,
    *,
    device: str | torch.device = "auto",
    precision: str = "auto",
) -> BaseEncoder:
    """Load an encoder, or return the one that this process has loaded already.

    Parameters
    ----------
    model_name : str or BaseEncoder, default="embedded"
        An encoder is returned as it is. "embedded" is the small one in this package. Otherwise a
        model of open_clip: "ViT-L-14", "hf-hub:OWNER/NAME", "local-dir:/path/to/folder".
    pretrained : str, os.PathLike or None, default=None
        Weights for the name of an architecture: a tag of open_clip, such as "openai", or the path
        of a checkpoint.
    device : str or torch.device, default="auto"
        See `resolve_device`.
    precision : {"auto", "float32", "bfloat16", "float16"}, default="auto"
        Arithmetic of the image tower; see `resolve_precision`. Text is encoded in float32, once
        for each class.

    Returns
    -------
    encoder : BaseEncoder
        The same object for the same arguments, while it is among the three used last.

    Raises
    ------
    ValueError
        If a name, the device or the precision is unknown, or a file does not hold such a model.
    WeightsUnavailableError
        If the weights can't be had: no network, no such file.

    Warns
    -----
    UserWarning
        If an architecture is named without `pretrained`: its weights are random.
    """
    if isinstance(model_name, BaseEncoder):
        if pretrained is not None:
            raise ValueError(
                f"model_name is an encoder with weights of its own, so pretrained={pretrained!r} "
                "can't be used with it."
            )
        return model_name
    place = resolve_device(device)
    dtype = resolve_precision(precision, place)
    weights = None if pretrained is None else os.fspath(pretrained)
    key = (model_name, weights, place, dtype)
    with _loading:
        if key in _loaded:
            _loaded.move_to_end(key)
            return _loaded[key]
    # open_clip first draws random weights; neither the user's random state nor that of a training
    # in another thread is for that. Locked in this order, as a training that loads an encoder does.
    # Both are held while loading: a second thread shall not load the same weights again.
    with OwnRandomState(0), _loading:
        if key not in _loaded:
            model, tokenizer, preprocessing = _load_open_clip(model_name, weights)
            _loaded[key] = CLIPEncoder(model, tokenizer, preprocessing, device=place, dtype=dtype)
            while len(_loaded) > _MAX_LOADED:
                _loaded.popitem(last=False)
        _loaded.move_to_end(key)
        return _loaded[key]


def _load_open_clip(
    model_name: str, pretrained: str | os.PathLike[str] | None
) -> tuple[torch.nn.Module, Callable[[list[str]], torch.Tensor], Preprocessing]:
    """Load a model with its tokenizer and preprocessing, in float32 on the CPU.

    Parameters
    ----------
    model_name : str
        "embedded", or a name that ``open_clip.create_model`` takes: an architecture,
        "hf-hub:OWNER/NAME" or "local-dir:FOLDER".
    pretrained : str, os.PathLike or None
        For an architecture, a tag of open_clip or the path of a checkpoint. None leaves its
        weights random, which gives a warning.

    Returns
    -------
    model : Module
        In evaluation mode.
    tokenizer : callable
        Turns a list of prompts into an int64 tensor of shape (n, context length).
    preprocessing : Preprocessing
        What the image tower expects.

    Raises
    ------
    ValueError
        If the architecture or the tag is unknown, `pretrained` is given with a name that brings
        its own weights, or a checkpoint or folder does not hold such a model.
    WeightsUnavailableError
        If the weights can't be downloaded, or there is no such file or folder.
    """
    # Importing open_clip takes seconds, and prediction alone does without it.
    import open_clip

    pretrained = None if pretrained is None else os.fspath(pretrained)
    if model_name == "embedded" or model_name.startswith(_SCHEMES):
        if pretrained is not None:
            raise ValueError(
                f"model_name={model_name!r} brings its own weights, so pretrained={pretrained!r} "
                'can\'t be used with it. Name an architecture, for instance model_name="ViT-B-32".'
            )
        name = f"local-dir:{EMBEDDED_FOLDER}" if model_name == "embedded" else model_name
        options: dict[str, Any] = {"require_pretrained": True}
    else:
        name = _check_architecture(open_clip, model_name)
        options = _check_pretrained(open_clip, name, pretrained)
    local = name.startswith("local-dir:") or (pretrained is not None and os.path.isfile(pretrained))
    try:
        model = open_clip.create_model(name, **options)
        tokenizer = open_clip.get_tokenizer(name)
    except Exception as error:
        # open_clip reports a failed download, a missing folder and a wrong file by many types.
        if local and not isinstance(error, FileNotFoundError):
            source = name if pretrained is None else f"{pretrained} as weights of {name}"
            raise ValueError(f"open_clip can't load {source}: {error}") from error
        raise _unavailable(model_name, pretrained, error) from error
    preprocessing = Preprocessing.from_open_clip(open_clip.get_model_preprocess_cfg(model))
    return model.eval().requires_grad_(False), tokenizer, preprocessing


def _unavailable(model_name: str, pretrained: str | None, reason: object) -> Exception:
    return WeightsUnavailableError(
        f"The weights of model_name={model_name!r}, pretrained={pretrained!r} can't be had: "
        f'{reason} Without a network use model_name="embedded" (a small encoder in this package), '
        'model_name="local-dir:/path/to/folder" (an open_clip config and its weights), or '
        'pretrained="/path/to/checkpoint".'
    )


def _check_architecture(open_clip: Any, model_name: str) -> str:
    name = model_name.replace("/", "-")  # OpenAI writes ViT-B/32
    known = open_clip.list_models()
    if name in known:
        return name
    by_lower_case = {candidate.lower(): candidate for candidate in ["embedded", *known]}
    close = difflib.get_close_matches(name.lower(), by_lower_case, n=4)
    hint = (
        f"Close: {', '.join(by_lower_case[match] for match in close)}."
        if close
        else "open_clip.list_models() lists them."
    )
    raise ValueError(
        f"model_name={model_name!r} is no model of open_clip. {hint} Names that begin with "
        '"hf-hub:" or "local-dir:" and "embedded" work too.'
    )


def _check_pretrained(open_clip: Any, name: str, pretrained: str | None) -> dict[str, Any]:
    """Return options for ``create_model``."""
    tags = open_clip.list_pretrained_tags_by_model(name)
    if pretrained is None:
        offer = f"Set pretrained to one of: {', '.join(tags)}." if tags else "It has no tags."
        warnings.warn(
            f"model_name={name!r} without pretrained has random weights: its embeddings mean "
            f"nothing. {offer}",
            UserWarning,
            stacklevel=4,
        )
        return {}
    options = {"pretrained": pretrained, "require_pretrained": True}
    config = open_clip.get_pretrained_cfg(name, pretrained)
    if config:
        # open_clip only warns when weights were trained with the other activation.
        return {**options, "force_quick_gelu": bool(config.get("quick_gelu"))}
    if os.path.isfile(pretrained):
        return options
    if os.path.dirname(pretrained) or os.path.splitext(pretrained)[1]:
        raise _unavailable(name, pretrained, "there is no such file.")
    close = difflib.get_close_matches(pretrained, tags, n=1)
    raise ValueError(
        f"pretrained={pretrained!r} is neither a file nor a tag of {name}. "
        + (f"Did you mean {close[0]!r}? " if close else "")
        + (f"Its tags: {', '.join(tags)}." if tags else "It has no tags; give a checkpoint's path.")
    )
