"""What the encoder says of a photo, kept in the network that shares its image tower.

An output layer that learns from a few photos forgets what the encoder knew of the classes. So the
projection and the text embeddings of the encoder are a fixed part of the network, behind the same
features: no second pass, and no CLIP. For the whole map and for each region, the softmax of the
cosines with the texts gives labels; a photo's label is the mean of that of the whole and the
largest of a region. In the closed label q the classes compete with each other and with the user's
background classes. In the open label o they also compete with a background of other names, and with
names of their own kinds, of which the largest counts as the class: a photo of a beagle shows a dog.
A kind may be another class, and of two classes.
The logit of a class is

    min((1 - w) v + w (logit(q) + 3 logit(o)) / 4,  t + max(d, 0)) + s min(d, 0)

with d = logit(o) - logit(g), the logit v of the output layer, and the logit t of the threshold that
was found on the first term. So a class is found only where its open label reaches the gate g, below
which it is as faint as on photos that show none of the classes. This is not in the CDUL paper.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# The slope s and the gate g. Both, and the default weight w, were chosen across food photos, photos
# of Pascal VOC and scenes; benchmarks/open_world.py measures what they give.
_SLOPE, _GATE = 0.5, 0.004
# Share of the open label in what the encoder says, chosen likewise.
_OPEN = 0.75
# Labels are kept this far from 0 and 1, whose logits are infinite.
_EPS = 1e-6
# Photos per block.
_BLOCK = 512


class ZeroShot(nn.Module):
    """Joins the logits of an output layer with the encoder's own answer.

    ``projection`` (d, c) maps features to the encoder's space, with ``texts`` (u, d) of the classes
    and then of the user's background classes, and ``background`` (m, d) of other names and of kinds
    of classes. Columns ``sources`` (l,) of both count as the classes in the columns ``owners``.
    """

    projection: Tensor
    texts: Tensor
    background: Tensor
    sources: Tensor
    owners: Tensor
    bounds: Tensor
    numbers: Tensor

    def __init__(
        self,
        projection: Any,
        texts: Any,
        background: Any,
        sources: Any,
        owners: Any,
        n_classes: int,
        *,
        scale: float = 1.0,
        weight: float = 0.0,
    ):
        super().__init__()
        # Half precision is enough for unit vectors, and half of the file.
        for name, value in (
            ("projection", projection),
            ("texts", texts),
            ("background", background),
        ):
            self.register_buffer(name, torch.as_tensor(value).to(torch.float16))
        for name, columns in (("sources", sources), ("owners", owners)):
            self.register_buffer(name, torch.as_tensor(columns, dtype=torch.int64))
        # Before thresholds are known, the gate is open: it has the logit of 0.
        self.register_buffer("bounds", torch.zeros(n_classes))
        self.register_buffer("numbers", torch.tensor([scale, weight, _OPEN, _SLOPE, -torch.inf]))

    def close_gate(self, thresholds: np.ndarray) -> None:
        """Take the thresholds that were found, as logits, and close the gate."""
        self.bounds.copy_(_logit(torch.as_tensor(thresholds, dtype=torch.float32)))
        self.numbers[-1] = math.log(_GATE / (1 - _GATE))

    def forward(self, logits: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Joined logits and open labels (b, k), of logits (b, k) and features (b, v, c).

        Logits may be those of several output layers, (b, h, k).
        """
        closed, opened = self.labels(features)
        return self.join(logits, closed, opened), opened

    def labels(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Closed and open labels (b, k), whatever the output layers are."""
        # Cosines need more digits than the layers before.
        with torch.autocast(features.device.type, enabled=False):
            vectors = nn.functional.normalize(features.float() @ self.projection.float().T, dim=-1)
            texts = torch.cat([self.texts, self.background]).float()
            cosines = self.numbers[0] * (vectors @ texts.T)
        opened = self._label(cosines)
        # A single class has nothing to compete with but the background.
        closed = self._label(cosines[..., : len(self.texts)]) if len(self.texts) > 1 else opened
        return closed, opened

    def join(self, logits: Tensor, closed: Tensor, opened: Tensor) -> Tensor:
        """Joined logits, with the labels of the same photos."""
        _, weight, share, *_ = self.numbers
        known = (1 - share) * _logit(closed) + share * _logit(opened)
        if logits.dim() == 3:
            known = known.unsqueeze(1)
        return self.gated((1 - weight) * logits.float() + weight * known, opened)

    def gated(self, joined: Tensor, opened: Tensor) -> Tensor:
        """Joined logits (b, k) or (b, h, k) as low as the gate makes them."""
        *_, slope, gate = self.numbers
        above = _logit(opened) - gate
        if joined.dim() == 3:
            above = above.unsqueeze(1)
        capped = torch.minimum(joined, self.bounds + above.clamp(min=0))
        return capped + slope * above.clamp(max=0)

    def _label(self, cosines: Tensor) -> Tensor:
        shares = cosines.float().softmax(dim=-1)
        labels = shares[..., : len(self.bounds)]
        if len(self.owners) and cosines.shape[-1] > len(self.texts):
            kinds = shares[..., self.sources]
            labels = labels.scatter_reduce(-1, self.owners.expand_as(kinds), kinds, "amax")
        if labels.shape[1] == 1:
            return labels[:, 0]
        return (labels[:, 0] + labels[:, 1:].amax(dim=1)) / 2


def _logit(labels: Tensor) -> Tensor:
    clipped = labels.clamp(_EPS, 1 - _EPS)
    return torch.log(clipped / (1 - clipped))


@torch.no_grad()
def read_labels(network: Any, features: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Closed and open labels (n, k) of features (n, v, c); None without a zero-shot part."""
    part = zero_shot_of(network)
    if part is None:
        return None
    device = part.bounds.device
    blocks = torch.from_numpy(features).split(_BLOCK)
    made = zip(*(part.labels(views.to(device)) for views in blocks), strict=True)
    closed, opened = (torch.cat(parts).cpu().numpy() for parts in made)
    return closed, opened


@torch.no_grad()
def join(network: Any, logits: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """What a network makes of `read_labels` and logits (n, k) or (n, h, k) of output layers.

    Joined logits of that shape, and open labels (n, k); without a zero-shot part the logits as they
    are, and NaN.
    """
    given, part = torch.as_tensor(logits), zero_shot_of(network)
    if part is None:
        opened = np.full((len(given), given.shape[-1]), np.nan, np.float32)
        return given.cpu().numpy(), opened
    device = part.bounds.device
    both = (torch.from_numpy(values).to(device) for values in labels)
    return part.join(given.to(device), *both).cpu().numpy(), labels[1]


@torch.no_grad()
def gated(part: ZeroShot, joined: np.ndarray, opened: np.ndarray) -> np.ndarray:
    """Joined logits (n, k) or (n, h, k), once the gate is closed, by open labels (n, k)."""
    device = part.bounds.device
    both = (torch.from_numpy(values).to(device) for values in (joined, opened))
    return part.gated(*both).cpu().numpy()


def zero_shot_of(network: Any) -> ZeroShot | None:
    """The zero-shot part of a network, if it has one."""
    return getattr(network, "zero_shot", None)
