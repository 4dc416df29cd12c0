"""Names of models and weights, checked before anything is downloaded."""

import difflib
import os
from typing import Any

from sklearn_cdul.exceptions import WeightsUnavailableError

# Names that bring their own weights.
SCHEMES = ("hf-hub:", "local-dir:")


def check_architecture(open_clip: Any, model_name: str) -> str:
    """Return open_clip's name of an architecture."""
    name = model_name.replace("/", "-")  # OpenAI writes ViT-B/32
    known = {each.lower(): each for each in ["bundled", *open_clip.list_models()]}
    if name in open_clip.list_models():
        return name
    if os.path.isdir(model_name):
        advice = f'For a folder write model_name="local-dir:{model_name}".'
    elif os.path.isfile(model_name):
        advice = "Give a file as pretrained, and the name of its architecture as model_name."
    elif "/" in model_name:
        advice = about_repository(open_clip, model_name)
    else:
        near = [known[match] for match in difflib.get_close_matches(name.lower(), known, n=4)]
        advice = f"Near names: {', '.join(near) or 'none'}. open_clip.list_models() has all."
    raise ValueError(f"model_name={model_name!r} is not a model of open_clip. {advice}")


def about_repository(open_clip: Any, repository: str) -> str:
    """Return what to write for a repository of the Hugging Face hub."""
    for name, tag in open_clip.list_pretrained():
        source = open_clip.get_pretrained_cfg(name, tag).get("hf_hub", "").strip("/")
        if source and repository.strip("/").lower().endswith(source.lower()):
            return f'Write model_name="{name}", pretrained="{tag}", or "hf-hub:{source}".'
    return (
        'Write "hf-hub:OWNER/NAME" for a repository of the Hugging Face hub with an '
        "open_clip_config.json. Checkpoints of transformers have none; open_clip has most of these "
        'weights as an architecture and a tag, such as model_name="ViT-B-32", pretrained="openai".'
    )


def check_pretrained(open_clip: Any, name: str, pretrained: str | None) -> None:
    """Refuse weights of an architecture that are neither a file nor a tag of open_clip."""
    tags = open_clip.list_pretrained_tags_by_model(name)
    advice = f"Tags of {name}: {', '.join(tags) or 'none'}."
    if pretrained is None:
        raise ValueError(
            f"model_name={name!r} alone has random weights, which know nothing of photos. Set "
            f"pretrained to a tag or to the path of a checkpoint. {advice}"
        )
    if os.path.isfile(pretrained) or open_clip.get_pretrained_cfg(name, pretrained):
        return
    if os.path.isdir(pretrained):
        raise ValueError(
            f"pretrained={pretrained!r} is a folder. Give the file of weights in it, or "
            f'model_name="local-dir:{pretrained}" alone if it has an open_clip_config.json.'
        )
    if os.path.dirname(pretrained) or os.path.splitext(pretrained)[1]:
        raise weights_unavailable(name, pretrained, "There is no such file.")
    near = difflib.get_close_matches(pretrained, tags, n=1)
    raise ValueError(
        f"pretrained={pretrained!r} is neither a file nor a tag of {name}. "
        + (f"Did you mean {near[0]!r}? " if near else "")
        + advice
    )


def weights_unavailable(
    model_name: str, pretrained: str | None, reason: str
) -> WeightsUnavailableError:
    """Return the error for weights that can't be had, with the choices that need no network."""
    return WeightsUnavailableError(
        f"The weights of model_name={model_name!r}, pretrained={pretrained!r} can't be had. "
        f'{reason} Without a network use model_name="bundled" (a small encoder in this package), '
        'model_name="local-dir:/path/to/folder" (an open_clip config and its weights), or '
        'pretrained="/path/to/checkpoint".'
    )
