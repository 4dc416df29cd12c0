"""Step A in closed form, for a network of which only the output layer learns."""

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_cdul.training.alignment import LabelState, kl_divergence
from sklearn_cdul.training.linear_probe import LinearProbe
from sklearn_cdul.training.regions import mix_views

# The probe sees at most so many photos: it takes O(n v d) memory and O(n v d^2) time.
PROBE_PHOTOS = 20_000
# Predictions of other photos are made in blocks of so many.
_BLOCK = 4096


class ClosedForm:
    """Fit the output layer to the labels, and predict each photo as if it had not been seen.

    The labels then follow predictions that know other photos' labels but not their own: those of a
    layer that has seen a label repeat it. This is not in the paper, whose network has seen all.
    """

    left_out: np.ndarray

    def __init__(self, layer: nn.Linear, features: np.ndarray):
        self._layer = layer
        self._features = features
        self._some: np.ndarray | slice = slice(None)
        if len(features) > PROBE_PHOTOS:
            self._some = torch.randperm(len(features))[:PROBE_PHOTOS].sort().values.numpy()
        self._probe = LinearProbe(features[self._some])
        self._fitted_to: Tensor | None = None

    def __call__(self, state: LabelState) -> tuple[Tensor, float]:
        """Fit to the labels; return the left-out logits (n, k) and their mean divergence."""
        labels = state.labels()
        if state.latents is not self._fitted_to:  # else a fit to the same again
            self._fit(labels)
            self._fitted_to = state.latents
        logits = torch.from_numpy(self.left_out).to(state.latents.device)
        return logits, float(kl_divergence(labels, logits).mean())

    def _fit(self, labels: Tensor) -> None:
        weight, bias, left_out = self._probe.fit(labels[self._some].cpu().numpy())
        with torch.no_grad():
            self._layer.weight.copy_(torch.from_numpy(weight))
            self._layer.bias.copy_(torch.from_numpy(bias))
        self.left_out = left_out
        if len(left_out) < len(labels):
            self.left_out = self.seen()
            self.left_out[self._some] = left_out

    def seen(self) -> np.ndarray:
        """Logits (n, k) that the layer gives of all photos, as of any others."""
        with torch.inference_mode():
            layer, parts = self._layer, torch.from_numpy(self._features).split(_BLOCK)
            device = layer.weight.device
            return np.concatenate([mix_views(layer(p.to(device))).cpu().numpy() for p in parts])
