"""The small network that learns the pseudo labels, and its linear form for embeddings."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_cdul.training.regions import mix_views, region_features
from sklearn_cdul.training.zero_shot import ZeroShot


class PhotoNetwork(nn.Module):
    """A backbone that takes uint8 pictures: scaling and normalisation are its first step."""

    mean: Tensor
    std: Tensor
    architecture: str | None = None  # the name under which timm builds the backbone, if any
    zero_shot: ZeroShot | None  # what the encoder says, if the backbone is its tower
    image_size = 224  # side of the pictures that it was made for

    def __init__(self, backbone, mean, std, *, freeze_batch_norm):
        super().__init__()
        self.backbone = backbone
        self.freeze_batch_norm = freeze_batch_norm
        self.regions = 1
        self.zero_shot = None
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255)

    def forward(
        self, pixels: Tensor, feature_map: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Logits (b, k) of pixels (b, 3, H, W) in [0, 255], uint8 or float.

        ``feature_map`` stands in for all that comes before the map.
        """
        if self.regions == 1 and feature_map is None and self.zero_shot is None:
            return self.backbone(self.normalise(pixels))
        features = (feature_map or self._feature_map)(pixels)
        if self.zero_shot is None:
            return mix_views(self._heads(features))
        views = self._heads(features, pre_logits=True)
        # The layer takes rows (b * n_views, c), as it does without this part.
        logits = self.backbone.get_classifier()(views.flatten(0, 1))
        return self.zero_shot(mix_views(logits.unflatten(0, (-1, self.n_views))), views)

    def _feature_map(self, pixels: Tensor) -> Tensor:
        return self.backbone.forward_features(self.normalise(pixels))

    def _heads(self, features: Tensor, **options: Any) -> Tensor:
        """What the head makes of the whole map and of each region, (b, n_views, ...)."""
        whole = self.backbone.forward_head(features, **options).unsqueeze(1)
        if self.regions == 1:
            return whole
        regions = region_features(self.backbone, features, self.regions)
        parts = self.backbone.forward_head(regions, **options)
        return torch.cat([whole, parts.unflatten(0, (-1, self.regions**2))], dim=1)

    @property
    def n_views(self) -> int:
        """How many vectors per photo the last layer sees: of the whole map and of each region."""
        return 1 if self.regions == 1 else 1 + self.regions**2

    def example(self) -> Tensor:
        """A grey picture of the size that the network was made for."""
        shape = 1, 3, self.image_size, self.image_size
        return torch.full(shape, 128, dtype=torch.uint8, device=self.mean.device)

    def normalise(self, pixels: Tensor) -> Tensor:
        """Inputs of the backbone."""
        return (pixels.float() - self.mean) / self.std

    def train(self, mode: bool = True):
        """Set training mode, batch normalisation left in evaluation mode if it is frozen."""
        super().train(mode)
        if mode and self.freeze_batch_norm:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self


class _LinearInPrecisionOfInput(nn.Linear):
    def forward(self, vectors: Tensor) -> Tensor:
        weight, bias = (values.to(vectors.dtype) for values in self.parameters())
        return nn.functional.linear(vectors, weight, bias)


class EmbeddingNetwork(nn.Module):
    """A linear layer on standardised vectors, the network for ``input="embeddings"``."""

    mean: Tensor
    std: Tensor
    architecture = "linear"  # timm has none of this name
    n_views = 1

    def __init__(self, embeddings: Tensor, n_classes: int):
        super().__init__()
        embeddings = embeddings[~embeddings.isnan().any(dim=1)]  # rows of unreadable images
        self.register_buffer("mean", embeddings.mean(dim=0))
        spread = embeddings.std(dim=0, unbiased=False)
        self.register_buffer("std", torch.where(spread > 0, spread, 1.0))
        self.linear = _LinearInPrecisionOfInput(embeddings.shape[1], n_classes)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Logits (b, k) of vectors (b, d), computed in the precision of the vectors."""
        return self.linear((embeddings - self.mean) / self.std)

    def example(self) -> Tensor:
        """A vector of the size that the network was made for."""
        return self.mean.unsqueeze(0)

    def get_classifier(self) -> nn.Module:
        """The last layer, by the name that timm uses."""
        return self.linear


class HeadNetwork(nn.Module):
    """A last layer alone: takes the features (b, n_views * d) that the layers before it gave."""

    architecture = None  # timm can't build it
    zero_shot: ZeroShot | None

    def __init__(self, n_views: int, n_features: int, n_classes: int):
        super().__init__()
        self.n_views = n_views
        self.zero_shot = None
        self.linear = nn.Linear(n_features, n_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (b, k)."""
        views = features.unflatten(1, (self.n_views, -1))
        logits = mix_views(self.linear(views))
        return logits if self.zero_shot is None else self.zero_shot(logits, views)

    def get_classifier(self) -> nn.Module:
        """The last layer, by the name that timm uses."""
        return self.linear


def output_layer(network: nn.Module) -> nn.Linear | None:
    """The network's last layer where timm's ``get_classifier`` tells it, else None."""
    model: Any = getattr(network, "backbone", network)
    layer = model.get_classifier() if hasattr(model, "get_classifier") else None
    return layer if isinstance(layer, nn.Linear) else None


@torch.no_grad()
def set_head(layer: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    """Give a layer this weight (k, d) and bias (k,)."""
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)


def with_head(network: nn.Module, head: nn.Linear) -> nn.Module:
    """A copy of a network with this last layer, of perhaps other classes."""
    changed = copy.deepcopy(network)
    old = output_layer(changed)
    for module in list(changed.modules()):
        for name, child in list(module.named_children()):
            if child is old:
                setattr(module, name, copy.deepcopy(head))
                if hasattr(module, "num_classes"):  # as timm's models know it
                    module.num_classes = head.out_features  # type: ignore[assignment]
    return changed
