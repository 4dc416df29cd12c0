"""A trained network as plain arrays, for files, and back."""

import copy
from typing import Any

import torch
from torch import nn

from sklearn_cdul.training.network import EmbeddingNetwork, PhotoNetwork
from sklearn_cdul.training.regions import MOST_REGIONS


def pack_network(network: Any, n_classes: int) -> dict[str, Any] | nn.Module:
    """Describe a network by the name of its architecture and its arrays.

    The description holds no object of torch or timm, so a file with it is independent of how they
    arrange their classes, and skops can read it without trusting those.
    """
    import timm

    architecture = getattr(network, "architecture", None)
    if architecture is not None:
        # On the meta device a network has no values, so it costs nothing.
        fresh = _build(architecture, n_classes, len(network.mean), "meta")
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
    advice = (
        f"It was saved with timm {state['timm_version']}; timm {timm.__version__} is installed."
    )
    # A file must not make timm look elsewhere, as it does for names like "hf-hub:ORG/NAME".
    if architecture != EmbeddingNetwork.architecture and not timm.is_model(architecture):
        raise ValueError(f"timm has no network {architecture!r}. {advice}")
    regions = state.get("regions", 1)
    if type(regions) is not int or not 1 <= regions <= MOST_REGIONS:
        raise ValueError(f"The network looks at regions={regions!r}, which can't be. {advice}")
    size = state["n_classes"], len(arrays["mean"])
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


def _build(architecture: str, n_classes: int, n_features: int, device: str) -> nn.Module:
    import timm

    with torch.random.fork_rng(devices=[]):  # the new weights are random and soon replaced
        if architecture == EmbeddingNetwork.architecture:
            return EmbeddingNetwork(torch.zeros(2, n_features), n_classes)
        with torch.device(device):
            backbone = timm.create_model(architecture, num_classes=n_classes)
    network = PhotoNetwork(backbone, [0.0] * 3, [1.0] * 3, freeze_batch_norm=True)
    network.architecture = architecture
    return network


def _layout(network: nn.Module) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (value.shape, value.dtype) for name, value in network.state_dict().items()}
