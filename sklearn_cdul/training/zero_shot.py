"""What the encoder says of a photo, kept in the network that shares its image tower.

An output layer that learns from a few photos forgets what the encoder knew of the classes. So the
projection and the text embeddings of the encoder are a fixed part of the network, behind the same
features: no second pass, and no CLIP. For the whole map and for each region, the softmax of the
cosines with the texts gives labels; a photo's label o is the mean of that of the whole and the
largest of a region. The classes compete with each other, with the user's background classes, with a
background of other names, and with names of their own kinds, of which the largest counts as the
class: a photo of a beagle shows a dog. A kind may be another class, and of two classes. With the
logit v of the output layer, the logit of a class is

    (1 - w) v + w (logit(o) - logit(0.01))

So a class is found where it is likely in absolute terms, and not only more likely than on other
photos. This is not in the CDUL paper.
"""

import math
from typing import Any

import numpy as np
import torch
from scipy.special import expit, logit
from torch import Tensor, nn

from sklearn_cdul.labels.thresholds import find_thresholds

# The open label that says neither yes nor no. It, what follows and the default weight w were chosen
# across food photos, photos of Pascal VOC and scenes; benchmarks/open_world.py measures them.
_NEUTRAL = 0.01
# The open label's weight, as a part of w, in the logits by which thresholds are found; and the
# number of photos with which it is half-way from that to 1.
_PART, _FEW = 0.25, 25
# Labels are kept this far from 0 and 1, whose logits are infinite.
_EPS = 1e-6
# Photos per block.
_BLOCK = 512


class ZeroShot(nn.Module):
    """Joins the logits of an output layer with the encoder's own answer.

    ``projection`` (d, c) maps features to the encoder's space, with ``texts`` (u, d) of the classes
    and then of the user's background classes, and ``background`` (m, d) of other names and of kinds
    of classes. Columns ``sources`` (l,) of both count as the classes in the columns ``owners``.
    ``gains`` (k + l,) are those of the classes and of the sources, see `gains_of`.
    """

    projection: Tensor
    texts: Tensor
    background: Tensor
    sources: Tensor
    owners: Tensor
    gains: Tensor
    numbers: Tensor

    def __init__(
        self,
        projection: Any,
        texts: Any,
        background: Any,
        sources: Any,
        owners: Any,
        gains: Any,
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
        self.register_buffer("gains", torch.as_tensor(gains, dtype=torch.float32))
        self.register_buffer("numbers", torch.tensor([scale, weight]))

    def forward(self, logits: Tensor, features: Tensor) -> Tensor:
        """Joined logits (b, k), of logits (b, k) and features (b, v, c)."""
        return self.join(logits, self.labels(features))

    def labels(self, features: Tensor) -> Tensor:
        """Open labels (b, k), whatever the output layer is."""
        # Cosines need more digits than the layers before.
        with torch.autocast(features.device.type, enabled=False):
            vectors = nn.functional.normalize(features.float() @ self.projection.float().T, dim=-1)
            texts = torch.cat([self.texts, self.background]).float()
            cosines = self.numbers[0] * (vectors @ texts.T)
        shares = cosines.softmax(dim=-1)
        k = len(self.gains) - len(self.sources)
        parts = [(values[..., :k], values[..., self.sources]) for values in (shares, cosines)]
        own, similar = (torch.cat(both, dim=-1) for both in parts)
        own = torch.sigmoid(_logit(own) + (self.gains - 1) * similar)
        labels, kinds = own[..., :k], own[..., k:]
        if len(self.owners):
            labels = labels.scatter_reduce(-1, self.owners.expand_as(kinds), kinds, "amax")
        if labels.shape[1] == 1:
            return labels[:, 0]
        return (labels[:, 0] + labels[:, 1:].amax(dim=1)) / 2

    def join(self, logits: Tensor, opened: Tensor) -> Tensor:
        """Joined logits (b, k) or (b, h, k), with the open labels (b, k) of the same photos."""
        weight, known = self.numbers[1], _known(opened)
        if logits.dim() == 3:
            known = known.unsqueeze(1)
        return (1 - weight) * logits.float() + weight * known


def _logit(labels: Tensor) -> Tensor:
    clipped = labels.clamp(_EPS, 1 - _EPS)
    return torch.log(clipped / (1 - clipped))


def _known(opened: Tensor) -> Tensor:
    """What the encoder adds to a logit, before its weight; 0 where it says neither yes nor no."""
    return _logit(opened) - math.log(_NEUTRAL / (1 - _NEUTRAL))


@torch.no_grad()
def read_labels(network: Any, features: np.ndarray) -> np.ndarray | None:
    """Open labels (n, k) of features (n, v, c); None without a zero-shot part."""
    part = zero_shot_of(network)
    if part is None:
        return None
    blocks = torch.from_numpy(features).split(_BLOCK)
    return torch.cat([part.labels(views.to(part.gains.device)) for views in blocks]).cpu().numpy()


@torch.no_grad()
def join(network: Any, logits: Any, opened: np.ndarray | None) -> np.ndarray:
    """What a network makes of logits (n, k) or (n, h, k) of output layers, and `read_labels`.

    Without a zero-shot part the logits as they are.
    """
    given, part = torch.as_tensor(logits), zero_shot_of(network)
    if part is None:
        return given.cpu().numpy()
    there = (values.to(part.gains.device) for values in (given, torch.as_tensor(opened)))
    return part.join(*there).cpu().numpy()


def find_joint_thresholds(part: ZeroShot, joined: np.ndarray, opened: np.ndarray) -> np.ndarray:
    """Thresholds (k,) for joined logits (n, k), as logits, found where the output layer decides.

    The open label tells how likely a class is in absolute terms. If it had its full weight here,
    too, the thresholds would follow it, and its word would be lost. It has more of it with few
    photos, of which the output layer learns little.
    """
    weight, known = part.numbers[1].item(), _known(torch.as_tensor(opened)).numpy()
    if weight == 1:
        return np.zeros(joined.shape[1])
    own = (joined - weight * known) / (1 - weight)
    share = weight * (_PART + (1 - _PART) * _FEW / (len(joined) + _FEW))
    found = find_thresholds(expit((1 - share) * own + share * known))
    return (1 - weight) / (1 - share) * logit(found.clip(_EPS, 1 - _EPS))


def zero_shot_of(network: Any) -> ZeroShot | None:
    """The zero-shot part of a network, if it has one."""
    return getattr(network, "zero_shot", None)
