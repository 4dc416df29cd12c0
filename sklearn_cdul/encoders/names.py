"""Check names of models and weights before anything is downloaded, and say what they should be."""

import difflib
import importlib.util
import os
from collections.abc import Sequence
from typing import Any

from sklearn_cdul.exceptions import WeightsUnavailableError

# These names carry their weights with them; open_clip takes no second source for them.
SCHEMES = ("hf-hub:", "local-dir:")
# Where transformers keeps weights that open_clip has too, and open_clip's words for them.
_OF_TRANSFORMERS = {
    "openai/clip-vit-base-patch32": ("ViT-B-32", "openai"),
    "openai/clip-vit-base-patch16": ("ViT-B-16", "openai"),
    "openai/clip-vit-large-patch14": ("ViT-L-14", "openai"),
    "openai/clip-vit-large-patch14-336": ("ViT-L-14-336", "openai"),
    "sentence-transformers/clip-vit-b-32": ("ViT-B-32", "openai"),
    "sentence-transformers/clip-vit-b-16": ("ViT-B-16", "openai"),
    "sentence-transformers/clip-vit-l-14": ("ViT-L-14", "openai"),
    "facebook/metaclip-b32-400m": ("ViT-B-32-quickgelu", "metaclip_400m"),
    "facebook/metaclip-b16-400m": ("ViT-B-16-quickgelu", "metaclip_400m"),
    "facebook/metaclip-l14-400m": ("ViT-L-14-quickgelu", "metaclip_400m"),
    "facebook/metaclip-b32-fullcc2.5b": ("ViT-B-32-quickgelu", "metaclip_fullcc"),
    "facebook/metaclip-b16-fullcc2.5b": ("ViT-B-16-quickgelu", "metaclip_fullcc"),
    "facebook/metaclip-l14-fullcc2.5b": ("ViT-L-14-quickgelu", "metaclip_fullcc"),
    "facebook/metaclip-h14-fullcc2.5b": ("ViT-H-14-quickgelu", "metaclip_fullcc"),
    "google/siglip-base-patch16-224": ("ViT-B-16-SigLIP", "webli"),
    "google/siglip-base-patch16-256": ("ViT-B-16-SigLIP-256", "webli"),
    "google/siglip-base-patch16-384": ("ViT-B-16-SigLIP-384", "webli"),
    "google/siglip-base-patch16-512": ("ViT-B-16-SigLIP-512", "webli"),
    "google/siglip-base-patch16-256-multilingual": ("ViT-B-16-SigLIP-i18n-256", "webli"),
    "google/siglip-large-patch16-256": ("ViT-L-16-SigLIP-256", "webli"),
    "google/siglip-large-patch16-384": ("ViT-L-16-SigLIP-384", "webli"),
    "google/siglip-so400m-patch14-224": ("ViT-SO400M-14-SigLIP", "webli"),
    "google/siglip-so400m-patch14-384": ("ViT-SO400M-14-SigLIP-384", "webli"),
    "google/siglip2-base-patch16-224": ("ViT-B-16-SigLIP2", "webli"),
    "google/siglip2-base-patch16-256": ("ViT-B-16-SigLIP2-256", "webli"),
    "google/siglip2-base-patch16-384": ("ViT-B-16-SigLIP2-384", "webli"),
    "google/siglip2-base-patch16-512": ("ViT-B-16-SigLIP2-512", "webli"),
    "google/siglip2-base-patch32-256": ("ViT-B-32-SigLIP2-256", "webli"),
    "google/siglip2-large-patch16-256": ("ViT-L-16-SigLIP2-256", "webli"),
    "google/siglip2-large-patch16-384": ("ViT-L-16-SigLIP2-384", "webli"),
    "google/siglip2-large-patch16-512": ("ViT-L-16-SigLIP2-512", "webli"),
    "google/siglip2-so400m-patch14-224": ("ViT-SO400M-14-SigLIP2", "webli"),
    "google/siglip2-so400m-patch14-384": ("ViT-SO400M-14-SigLIP2-378", "webli"),
    "google/siglip2-so400m-patch16-256": ("ViT-SO400M-16-SigLIP2-256", "webli"),
    "google/siglip2-so400m-patch16-384": ("ViT-SO400M-16-SigLIP2-384", "webli"),
    "google/siglip2-so400m-patch16-512": ("ViT-SO400M-16-SigLIP2-512", "webli"),
    "google/siglip2-giant-opt-patch16-256": ("ViT-gopt-16-SigLIP2-256", "webli"),
    "google/siglip2-giant-opt-patch16-384": ("ViT-gopt-16-SigLIP2-384", "webli"),
}
_SITES = ("https://huggingface.co/", "http://huggingface.co/", "huggingface.co/", "hf.co/")
# How tags of good weights begin, the best first, and those of small experiments.
_GOOD_TAGS = ("dfn", "webli", "datacomp_xl", "datacomp1b", "laion2b_s", "metaclip", "openai")
_EXPERIMENTS = ("commonpool", "datacomp_m", "datacomp_s")


def check_architecture(open_clip: Any, model_name: str) -> str:
    """Return open_clip's name of an architecture."""
    name = model_name.replace("/", "-")  # OpenAI writes ViT-B/32
    known = open_clip.list_models()
    if name in known:
        return name
    if os.path.isdir(model_name):
        advice = f'It is a folder: write model_name="local-dir:{model_name}".'
    elif os.path.isfile(model_name):
        advice = (
            "It is a file: give it as pretrained, and as model_name the architecture, for instance "
            'model_name="ViT-B-32".'
        )
    elif _repository(model_name).count("/") == 1 and ":" not in _repository(model_name):
        refuse_transformers(model_name)
        repository = _repository(model_name)
        advice = (
            f'If it is a repository of the Hugging Face hub, write "hf-hub:{repository}". It must '
            "have an open_clip_config.json; checkpoints of transformers have none."
        )
        if words := _words_of_open_clip(open_clip, repository):
            advice = f'Write model_name="hf-hub:{repository}", or {words}.'
    else:
        by_lower_case = {candidate.lower(): candidate for candidate in ["bundled", *known]}
        close = difflib.get_close_matches(name.lower(), by_lower_case, n=4)
        advice = (
            f"Close: {', '.join(by_lower_case[match] for match in close)}."
            if close
            else "open_clip.list_models() lists them."
        )
    raise ValueError(
        f"model_name={model_name!r} is no model of open_clip. {advice} Names that begin with "
        '"hf-hub:" or "local-dir:" and "bundled" work too.'
    )


def refuse_transformers(model_name: str) -> None:
    """Refuse a checkpoint of transformers that open_clip has under other words."""
    words = _OF_TRANSFORMERS.get(_repository(model_name).lower())
    if words is not None:
        raise ValueError(
            f"model_name={model_name!r} is a checkpoint of transformers. In open_clip these "
            f'weights are model_name="{words[0]}", pretrained="{words[1]}".'
        )


def _repository(model_name: str) -> str:
    """Return the name of a repository as OWNER/NAME, however it was written."""
    name = model_name.removeprefix("hf-hub:")
    for site in _SITES:
        name = name.removeprefix(site)
    return name.strip("/")


def _words_of_open_clip(open_clip: Any, repository: str) -> str | None:
    for name, tag in open_clip.list_pretrained():
        source = open_clip.get_pretrained_cfg(name, tag).get("hf_hub", "")
        if source.strip("/").lower() == repository.lower():
            return f'model_name="{name}", pretrained="{tag}"'
    return None


def check_pretrained(open_clip: Any, name: str, pretrained: str | None) -> dict[str, Any]:
    """Return the options of ``create_model`` that load these weights, all but of a file."""
    tags = open_clip.list_pretrained_tags_by_model(name)
    if pretrained is None:
        raise ValueError(
            f"model_name={name!r} alone has random weights, which know nothing of photos. "
            + (
                f"Set pretrained to one of its tags, for instance {_some_of(tags)}, or to the path "
                "of a checkpoint."
                if tags
                else "open_clip has none for it: set pretrained to the path of a checkpoint."
            )
        )
    options = {"pretrained": pretrained, "require_pretrained": True}
    config = open_clip.get_pretrained_cfg(name, pretrained)
    if config:
        # open_clip only warns when weights were trained with the other activation.
        return {**options, "force_quick_gelu": bool(config.get("quick_gelu"))}
    if os.path.isfile(pretrained):
        return options
    if os.path.isdir(pretrained):
        raise ValueError(
            f"pretrained={pretrained!r} is a folder. Give the file in it that has the weights, or "
            f'model_name="local-dir:{pretrained}" alone if it has an open_clip_config.json.'
        )
    if os.path.dirname(pretrained) or os.path.splitext(pretrained)[1]:
        raise weights_unavailable(name, pretrained, "there is no such file.")
    close = difflib.get_close_matches(pretrained, tags, n=1)
    raise ValueError(
        f"pretrained={pretrained!r} is neither a file nor a tag of {name}. "
        + (f"Did you mean {close[0]!r}? " if close else "")
        + (f"Its tags: {', '.join(tags)}." if tags else "It has no tags; give a checkpoint's path.")
    )


def _some_of(tags: Sequence[str]) -> str:
    good = [tag for start in _GOOD_TAGS for tag in tags if tag.startswith(start)]
    others = [tag for tag in tags if tag not in good and not tag.startswith(_EXPERIMENTS)]
    return ", ".join(f'"{tag}"' for tag in [*good, *others][:4])


def check_tokenizer(config: Any) -> None:
    """Refuse a model whose tokenizer or text tower needs transformers if that is not installed."""
    text = (config or {}).get("text_cfg", {})
    needs_transformers = text.get("hf_tokenizer_name") or text.get("hf_model_name")
    if needs_transformers and importlib.util.find_spec("transformers") is None:
        raise ImportError("No module named 'transformers'")


def package_missing(model_name: str, error: ImportError) -> ImportError:
    """Return the error for a model that needs more than open_clip brings along."""
    return ImportError(
        f"The tokenizer of model_name={model_name!r} needs the package transformers, and some need "
        f"sentencepiece: pip install transformers sentencepiece ({error})"
    )


def why_unavailable(model_name: str, error: BaseException) -> str:
    """Return a sentence on why open_clip could not get a model."""
    cause: BaseException | None = error
    while cause is not None:
        # LocalEntryNotFoundError, which is one of these, means no connection.
        if type(cause).__name__ in ("EntryNotFoundError", "RemoteEntryNotFoundError"):
            repository = _repository(model_name)
            return (
                f"the repository {repository} has no such file. Weights of open_clip have an "
                "open_clip_config.json beside them; checkpoints of transformers can't be used."
            )
        cause = cause.__cause__ or cause.__context__
    text = " ".join(str(error).split())
    return text if len(text) < 400 else f"{text[:400]} ..."


def weights_unavailable(
    model_name: str, pretrained: str | None, reason: object
) -> WeightsUnavailableError:
    """Return the error for weights that can't be had, with the choices that need no network."""
    return WeightsUnavailableError(
        f"The weights of model_name={model_name!r}, pretrained={pretrained!r} can't be had: "
        f'{reason} Without a network use model_name="bundled" (a small encoder in this package), '
        'model_name="local-dir:/path/to/folder" (an open_clip config and its weights), or '
        'pretrained="/path/to/checkpoint".'
    )
