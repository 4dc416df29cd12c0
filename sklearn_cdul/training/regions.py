"""Look at a feature map as a whole and in its regions, with the same output layer.

An object that fills a small part of a photo is diluted in the average over the map. So the average
over each region of the same map goes through the output layer, too, and the logit of a class is

    w * (logit of the whole map) + (1 - w) * (largest logit of a region).

It costs no second pass and no new weights.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

# The weight w of the whole map.
WHOLE_WEIGHT = 0.7
# Rows and columns of regions; no map that we know has more cells than this.
MOST_REGIONS = 16


def mix_views(logits: Any) -> Any:
    """Mix the logits of the whole map and of its regions."""
    if logits.shape[1] == 1:
        return logits[:, 0]
    regions = logits[:, 1:]
    best = regions.amax(dim=1) if isinstance(regions, Tensor) else regions.max(axis=1)
    return WHOLE_WEIGHT * logits[:, 0] + (1 - WHOLE_WEIGHT) * best


def has_regions(backbone: nn.Module, pixels: Tensor) -> bool:
    """Whether a network has a feature map whose regions can go through its output layer."""
    model: Any = backbone
    needed = ("forward_features", "forward_head", "get_classifier", "num_features")
    if not all(hasattr(model, name) for name in needed):
        return False
    if not isinstance(model.get_classifier(), nn.Linear):
        return False
    with torch.inference_mode():
        features = model.forward_features(pixels)
        if not isinstance(features, Tensor) or _layout(model, features) is None:
            return False
        try:
            whole = model.forward_head(features)
            parts = model.forward_head(region_features(model, features, 2))
        except RuntimeError:  # the head takes maps of one size only
            return False
        same = torch.allclose(whole, model(pixels), atol=1e-4)
        return same and parts.shape == (4, model.get_classifier().out_features)


def region_features(backbone: Any, features: Tensor, regions: int) -> Tensor:
    """Average the features over each region."""
    layout = _layout(backbone, features)
    if layout == "tokens":
        prefix = backbone.num_prefix_tokens
        side = math.isqrt(features.shape[1] - prefix)
        cells = features[:, prefix:].unflatten(1, (side, side))
    else:
        cells = features.permute(0, 2, 3, 1) if layout == "NCHW" else features
    rows, columns = (_bounds(size, regions) for size in cells.shape[1:3])
    # Not torch's adaptive pooling: exporters refuse it where regions don't divide the map.
    averages = [
        cells[:, top:bottom, left:right].mean(dim=(1, 2))
        for top, bottom in rows
        for left, right in columns
    ]
    flat = torch.stack(averages, dim=1).flatten(0, 1)
    if layout == "tokens":  # wherever the head looks, it finds the region
        return flat.unsqueeze(1).expand(-1, prefix + 1, -1)
    return flat[:, :, None, None] if layout == "NCHW" else flat[:, None, None]


def _bounds(size: int, parts: int) -> list[tuple[int, int]]:
    return [(i * size // parts, -(-(i + 1) * size // parts)) for i in range(parts)]


def _layout(model: Any, features: Tensor) -> str | None:
    """How the features lie: "NCHW", "NHWC", "tokens", or None if there is no map in them."""
    width = model.num_features
    if features.ndim == 3 and features.shape[2] == width:
        if not hasattr(model, "num_prefix_tokens") or getattr(model, "global_pool", "") != "avg":
            return None
        n_patches = features.shape[1] - model.num_prefix_tokens
        is_square = n_patches >= 4 and math.isqrt(n_patches) ** 2 == n_patches
        return "tokens" if is_square else None
    if features.ndim != 4 or features.shape[2] < 2:
        return None
    if getattr(model, "output_fmt", "NCHW") == "NHWC" and features.shape[3] == width:
        return "NHWC"
    return "NCHW" if features.shape[3] == features.shape[2] else None
