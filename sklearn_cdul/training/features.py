"""Read what a network's output layer receives of each photo."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_cdul.training.batches import Source
from sklearn_cdul.training.checkpoint import KeptRows
from sklearn_cdul.training.logits import fastest, predict_logits
from sklearn_cdul.training.ranks import Ranks


class _FeatureReader(nn.Module):
    """Gives what a network's output layer receives, in place of what the network gives."""

    def __init__(self, predict: Callable[[Tensor], Tensor], layer: nn.Linear):
        super().__init__()
        self.predict = predict
        self.layer = layer

    def forward(self, inputs: Tensor) -> Tensor:
        received: list[Tensor] = []
        hook = self.layer.register_forward_pre_hook(lambda _, given: received.append(given[0]))
        try:
            self.predict(inputs)
        finally:
            hook.remove()
        # A layer that sees several vectors a photo for other reasons can't be fitted to labels of
        # photos; nor can one that is not used.
        if not received or any(vectors.ndim != 2 for vectors in received):
            return inputs.new_empty(len(inputs), 0)
        return torch.cat([vectors.unflatten(0, (len(inputs), -1)) for vectors in received], dim=1)


def read_features(
    network: Any, layer: nn.Linear, source: Source, kept: KeptRows | None = None
) -> np.ndarray | None:
    """Read what the output layer receives of each photo."""
    predict = fastest(network, source.device, source.training_precision)
    reader = _FeatureReader(predict, layer)
    precision = source.training_precision
    features = Ranks().in_shares(
        lambda share: predict_logits(reader, share, precision, kept, phase="Reading features"),
        source,
    )
    if features.shape[1:] != (network.n_views, layer.in_features):
        return None
    readable = np.isfinite(features).all(axis=(1, 2))
    if not readable.all():
        features[~readable] = features[readable].mean(axis=0) if readable.any() else 0
    return features
