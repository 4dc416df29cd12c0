"""Networks by their names: fresh ones, checked before the long part, and those from files."""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_cdul.exceptions import WeightsUnavailableError
from sklearn_cdul.training.network import EmbeddingNetwork, PhotoNetwork
from sklearn_cdul.training.regions import MOST_REGIONS, has_regions
from sklearn_cdul.training.zero_shot import ZeroShot

# The image tower of the bundled CLIP. Only its file is shared with the room of the encoders.
BUNDLED_WEIGHTS = Path(__file__).parents[1] / "encoders/bundled/open_clip_model.safetensors"
BUNDLED_ARCHITECTURE = "tf_efficientnet_lite2"
_BUNDLED_TRUNK = "visual.trunk."
# From this cosine on two embeddings of a picture differ only by the precision of the towers.
_SAME_TOWER = 0.98
_ELSEWHERE = ("hf-hub:", "hf_hub:", "local-dir:")


def build_photo_network(network: str | Callable[..., nn.Module], n_classes: int) -> PhotoNetwork:
    """Make the network with ``n_classes`` fresh outputs, without regions."""
    import timm

    if not isinstance(network, str):
        backbone = network(num_classes=n_classes)
        if not isinstance(backbone, nn.Module):
            raise TypeError(
                "The callable given as network must return a torch.nn.Module; it returned "
                f"{type(backbone).__name__}."
            )
    elif network == "bundled":
        backbone = timm.create_model(BUNDLED_ARCHITECTURE, num_classes=n_classes)
        backbone.load_state_dict(_bundled_trunk(), strict=False)
    else:
        backbone = _pretrained_timm_model(network, n_classes)
    config = (
        timm.data.resolve_model_data_config(backbone) if hasattr(backbone, "pretrained_cfg") else {}
    )
    mean = config.get("mean", timm.data.IMAGENET_DEFAULT_MEAN)
    std = config.get("std", timm.data.IMAGENET_DEFAULT_STD)
    is_named = isinstance(network, str)
    photo_network = PhotoNetwork(backbone, mean, std, freeze_batch_norm=is_named).float()
    if isinstance(network, str):
        name = BUNDLED_ARCHITECTURE if network == "bundled" else network
        photo_network.architecture = name if timm.is_model(name) else None
    return photo_network


def _bundled_trunk() -> dict[str, Tensor]:
    from safetensors import safe_open

    with safe_open(BUNDLED_WEIGHTS, framework="pt") as weights:
        return {
            key.removeprefix(_BUNDLED_TRUNK): weights.get_tensor(key).float()
            for key in weights.keys()  # noqa: SIM118 - not a dict
            if key.startswith(_BUNDLED_TRUNK)
        }


def _pretrained_timm_model(name: str, n_classes: int) -> nn.Module:
    import timm

    if not timm.is_model(name) and not name.startswith(_ELSEWHERE):
        close = timm.list_models(f"*{name}*")[:5]
        raise ValueError(
            f"network={name!r} is neither 'bundled' nor a model of timm."
            + (f" Did you mean one of {close}?" if close else " See timm.list_models().")
        )
    try:
        return timm.create_model(name, pretrained=True, num_classes=n_classes)
    except (OSError, RuntimeError) as error:
        raise WeightsUnavailableError(
            f"The pretrained weights of network={name!r} could not be loaded: {error}\n"
            "Without a connection, use network='bundled', or a callable such as "
            "functools.partial(timm.create_model, NAME, pretrained=True, "
            "pretrained_cfg_overlay={'file': 'PATH'})."
        ) from error


def resolve_image_size(image_size: int | str, network: str | Callable[..., nn.Module]) -> int:
    """Return the side of the network's input in pixels."""
    if image_size != "auto":
        return int(image_size)
    if not isinstance(network, str) or network.startswith(_ELSEWHERE):
        return 224
    if network == "bundled":
        return 320
    import timm

    try:
        config = timm.get_pretrained_cfg(network) if timm.is_model(network) else None
    except RuntimeError:  # no such tag of weights; building the network says so
        config = None
    return config.input_size[-1] if config and config.fixed_input_size else 320


def check_input_size(network: PhotoNetwork, image_size: int, n_classes: int) -> None:
    """Run one grey picture through, so that an unfit network fails before the long part."""
    network.image_size = image_size
    try:
        with torch.inference_mode():
            shape = tuple(network.eval()(network.example()).shape)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"The network does not take pictures of image_size={image_size}: {error}"
        ) from error
    if shape != (1, n_classes):
        raise ValueError(
            f"The network must give one logit per class, shape (b, {n_classes}); one picture gave "
            f"{shape}."
        )


def look_at_regions(network: PhotoNetwork, regions: int) -> None:
    """Let a network look at the regions of its feature map, if it has one."""
    if regions > 1 and has_regions(network.backbone, network.normalise(network.example())):
        network.regions = regions


def is_image_tower(network: Any, encoder: Any) -> bool:
    """Whether a network's features, projected, are the embeddings that an encoder gives.

    One picture of noise tells, since other weights or layers give it another embedding.
    """
    if encoder._projection is None:
        return False
    random = torch.Generator().manual_seed(0)
    shape = 1, *encoder.preprocessing.image_size, 3
    views = torch.randint(0, 256, shape, generator=random, dtype=torch.uint8)
    pixels = views.permute(0, 3, 1, 2).to(network.mean.device)
    try:
        with torch.inference_mode():
            maps = network.eval().backbone.forward_features(network.normalise(pixels))
            whole = network._heads(maps, pre_logits=True)[:, 0].float().cpu()
            embedding = nn.functional.linear(whole, torch.from_numpy(encoder._projection))
    except (AttributeError, TypeError, RuntimeError, AssertionError):
        return False  # a network without timm's methods, of another size or width
    expected = torch.as_tensor(encoder.encode_views(views.numpy())).float().cpu()
    if embedding.shape != expected.shape:
        return False
    return bool(nn.functional.cosine_similarity(embedding, expected) > _SAME_TOWER)


def pack_network(network: Any, n_classes: int) -> dict[str, Any] | nn.Module:
    """Describe a network by its name and its arrays: no class of torch or timm is in the file."""
    import timm

    architecture = getattr(network, "architecture", None)
    if architecture is not None:
        # On the meta device a network has no values, so it costs nothing.
        fresh = _build(architecture, n_classes, network.state_dict(), "meta")
        # Whether nobody changed the layers, as far as their descriptions and arrays show.
        if repr(fresh) == repr(network) and _layout(fresh) == _layout(network):
            return {
                "architecture": architecture,
                "n_classes": n_classes,
                "regions": getattr(network, "regions", 1),
                "timm_version": timm.__version__,
                "arrays": {key: value.cpu().numpy() for key, value in network.state_dict().items()},
            }
    return copy.deepcopy(network).cpu()


def unpack_network(state: dict[str, Any] | nn.Module) -> nn.Module:
    """Build the network that :func:`pack_network` described."""
    if isinstance(state, nn.Module):
        return state
    import timm

    architecture, arrays = state["architecture"], state["arrays"]
    advice = "It was saved by another version of sklearn_cdul, or changed since."
    if state["timm_version"] != timm.__version__:
        advice = (
            f"It was saved with timm {state['timm_version']}; timm {timm.__version__} is installed."
        )
    # A file must not make timm look elsewhere, as it does for names like "hf-hub:ORG/NAME".
    if architecture != EmbeddingNetwork.architecture and not timm.is_model(architecture):
        raise ValueError(f"timm has no network {architecture!r}. {advice}")
    regions = state.get("regions", 1)
    if type(regions) is not int or not 1 <= regions <= MOST_REGIONS:
        raise ValueError(f"The network looks at regions={regions!r}, which can't be. {advice}")
    size = state["n_classes"], arrays
    # First without memory: a small file could name a network that fills it.
    outline = {
        name: shape for name, (shape, _) in _layout(_build(architecture, *size, "meta")).items()
    }
    given = {name: tuple(array.shape) for name, array in arrays.items()}
    if wrong := [name for name in outline | given if outline.get(name) != given.get(name)]:
        raise ValueError(
            f"The weights do not fit the network {architecture!r}: {len(wrong)} arrays differ, the "
            f"first is {wrong[0]!r}. {advice}"
        )
    network = _build(architecture, *size, "cpu")
    network.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})
    if isinstance(network, PhotoNetwork):
        network.regions = regions
    return network.to(memory_format=torch.channels_last).eval()


def _build(architecture: str, n_classes: int, arrays: Mapping[str, Any], device: str) -> nn.Module:
    """A network without values, in the form that some arrays have."""
    import timm

    with torch.random.fork_rng(devices=[]):  # the new weights are random and soon replaced
        if architecture == EmbeddingNetwork.architecture:
            return EmbeddingNetwork(torch.zeros(2, len(arrays["mean"])), n_classes)
        with torch.device(device):
            backbone = timm.create_model(architecture, num_classes=n_classes)
    network = PhotoNetwork(backbone, [0.0] * 3, [1.0] * 3, freeze_batch_norm=True).float()
    network.architecture = architecture
    if any(name.startswith("zero_shot.") for name in arrays):
        n_features: Any = backbone.num_features
        width, n_texts, n_others, n_kinds, n_gains = (
            len(arrays.get(f"zero_shot.{name}", ()))
            for name in ("projection", "texts", "background", "owners", "gains")
        )
        with torch.device(device):
            network.zero_shot = ZeroShot(
                torch.empty(width, n_features),
                torch.empty(n_texts, width),
                torch.empty(n_others, width),
                torch.empty(n_kinds),
                torch.empty(n_kinds),
                torch.empty(n_gains),
            )
    return network


def _layout(network: nn.Module) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (value.shape, value.dtype) for name, value in network.state_dict().items()}
