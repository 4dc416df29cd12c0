"""Training without gradients: a ridge head on frozen features, in a few rounds."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sklearn_cdul._utils.docstrings import filled_with
from sklearn_cdul._utils.progress import progress
from sklearn_cdul.metrics import score_readable
from sklearn_cdul.training.alignment import (
    TEXTS,
    BaseTraining,
    LabelState,
    Trained,
    in_words,
    kl_divergence,
)
from sklearn_cdul.training.batches import FeatureSource
from sklearn_cdul.training.features import (
    draw_sample,
    from_features,
    open_store,
    read_sample,
    ridge_layer,
)
from sklearn_cdul.training.linear_probe import LinearProbe
from sklearn_cdul.training.network import output_layer, set_head
from sklearn_cdul.training.regions import mix_views
from sklearn_cdul.training.zero_shot import (
    find_joint_thresholds,
    join,
    read_labels,
    zero_shot_of,
)

# Photos per block of logits from features.
_BLOCK = 4096


@filled_with(TEXTS)
class RidgeTraining(BaseTraining):
    """Train only the last layer: a ridge head on frozen features.

    Each photo goes through the frozen network once. In each epoch the last layer is fitted to the
    labels in closed form, see :func:`linear_probe`. The labels are then updated as in section 3.2
    of the CDUL paper [1]_, but toward the leave-one-out logits: those of a layer that has not seen
    the photo's own label, which it would only repeat. The closed form is not in the paper.

    With more than 20,000 photos, the layer is fitted to a random sample of this size. The labels of
    the other photos follow its predictions, which have not seen them either.

    Parameters
    ----------
    epochs : int, default=3
        Number of fits. The labels are updated after each one except the last.
    {updates}

    See Also
    --------
    GradientTraining : Trains all layers; takes many times as long.

    Notes
    -----
    timm's ``get_classifier`` must find a last linear layer in the network that has a bias and is
    used once per photo. The features take memory, 26 kB per photo of the sample with the bundled
    network. They are stored in the classifier's ``memory`` if all layers are torch's or timm's.

    {paper}

    Examples
    --------
    >>> from sklearn_cdul import CDULClassifier
    >>> from sklearn_cdul.training import RidgeTraining
    >>> classifier = CDULClassifier(training=RidgeTraining(epochs=5))
    >>> classifier.set_params(training__sigma=0.5).training
    RidgeTraining(epochs=5, sigma=0.5)
    """

    def __init__(self, epochs=3, *, update_rate=0.5, sigma=1.0, cumulative_updates=False):
        self.epochs = epochs
        self.update_rate = update_rate
        self.sigma = sigma
        self.cumulative_updates = cumulative_updates

    def check(self, network):
        """Refuse a network whose last layer can't be fitted in closed form."""
        if ridge_layer(network) is None:
            raise ValueError(
                'training="ridge", the default, fits the last layer of the network, but timm\'s '
                "get_classifier finds no linear one with a bias in this network that is used once "
                'per photo. Set training="gradients".'
            )

    def train(
        self, network, source, labels, *, random, observed=None, validation=None, memory=None
    ):
        """Train a network in place, and the labels in turn; see `BaseTraining`."""
        layer, n_photos = output_layer(network), len(source)
        with random:
            some = draw_sample(n_photos)
        rest = np.setdiff1d(np.arange(n_photos), some)
        with open_store(memory) as store:
            prepared = self._prepare(network, source, some, store)
            state = LabelState.of(labels, observed, some, source.device)
            heads, leave_one_out, history = self._fit(
                prepared.probe, state, layer.weight, source.verbose
            )
            set_head(layer, *heads[-1])
            seen = head_logits(heads[-1:], prepared.features)[:, 0].cpu().numpy()
            both = join(network, np.stack([seen, leave_one_out], axis=1), prepared.labels)
            # Of each photo: labels, logits of this network and of one that has not seen the photo,
            # and open labels.
            made = np.empty((n_photos, 4, labels.shape[1]), labels.dtype)
            made[some] = _side_by_side(state, *np.moveaxis(both, 1, 0), prepared.labels)
            if len(rest):
                serving = heads if self.cumulative_updates else heads[-2:]
                mean = prepared.features.mean(axis=0)

                def follow(positions, batch):
                    # These photos were not seen: labels follow what the heads say of them.
                    batch = np.where(np.isnan(batch), mean, batch)
                    state = LabelState.of(labels, observed, rest[positions], source.device)
                    outputs, opened = head_logits(serving, batch), read_labels(network, batch)
                    for logits in outputs[:, :-1].unbind(1):
                        self._update(state, logits)
                    joined = join(network, outputs[:, -1], opened)
                    return _side_by_side(state, joined, joined, opened)

                made[rest] = from_features(network, source.select(rest.tolist()), store, follow)
            moved, seen, unseen, opened = np.moveaxis(made, 1, 0)
            trained = Trained(history, moved, np.arange(n_photos), seen, unseen)
            if part := zero_shot_of(network):
                trained.thresholds = find_joint_thresholds(part, trained.logits, opened)
                trained.open_labels = opened
            if validation is not None:
                _validate(network, heads, *validation, store, history)
        return trained

    def _prepare(self, network, source, rows, store):
        """What is made of these photos; of features that are given it is kept for the next fit."""
        kept = source.kept if isinstance(source, FeatureSource) else {}
        prepared = kept.get(rows.tobytes())
        if prepared is None:
            features = read_sample(network, source, rows, store)
            with progress("Preparing the fit", verbose=source.verbose):
                prepared = kept[rows.tobytes()] = _Prepared(features)
        prepared.follow(network)
        return prepared

    def _fit(self, probe, state, like, verbose):
        """Heads of all epochs, the leave-one-out logits of the last one, and the history."""
        heads, history = [], []
        with progress("Training", self.epochs, unit="epoch", verbose=verbose) as bar:
            for epoch in range(1, self.epochs + 1):
                y = state.labels()
                weight, bias, leave_one_out = probe.fit(y.cpu().numpy())
                heads.append((torch.from_numpy(weight).to(like), torch.from_numpy(bias).to(like)))
                logits = torch.from_numpy(leave_one_out).to(y.device)
                loss = float(kl_divergence(y, logits).mean())
                movement = self._update(state, logits) if epoch < self.epochs else 0.0
                history.append({"epoch": epoch, "loss": loss, "label_movement": movement})
                bar.set_postfix(in_words(history[-1]))
                bar.update()
        return heads, leave_one_out, history


def _side_by_side(state, seen, unseen, opened):
    """Labels, both logits and open labels of photos, NaN where there are none: (n, 4, k)."""
    opened = np.full_like(seen, np.nan) if opened is None else opened
    return np.stack([state.labels().cpu().numpy(), seen, unseen, opened], axis=1)


def _validate(network, heads, photos, y, store, history):
    """Add the mAP after each epoch to the history."""

    def logits_of(positions, batch):
        return join(network, head_logits(heads, batch), read_labels(network, batch))

    outputs = from_features(network, photos, store, logits_of)
    for record, logits in zip(history, outputs.swapaxes(0, 1), strict=True):
        record["validation_map"] = score_readable(y, logits, if_none=math.nan)


class _Prepared:
    """All that a fit makes of photos before it looks at their pseudo labels."""

    def __init__(self, features: np.ndarray):
        self.features, self.probe = features, LinearProbe(features)
        self._texts: list[Tensor] = []
        self.labels: Any = None  # what a zero-shot part says

    def follow(self, network: Any) -> None:
        """Read the labels of a zero-shot part, if it has other classes than before."""
        part = zero_shot_of(network)
        texts = [] if part is None else list(part.buffers())
        if len(texts) != len(self._texts) or not all(map(torch.equal, texts, self._texts)):
            self._texts, self.labels = texts, read_labels(network, self.features)


@torch.no_grad()
def head_logits(heads: Sequence[tuple[Tensor, Tensor]], features: np.ndarray) -> Tensor:
    """Logits (n, heads, k) of features (n, n_views, d), on the heads' device."""
    blocks = []
    for block in torch.from_numpy(features).split(_BLOCK):
        there = block.to(heads[0][0].device)
        logits = [mix_views(functional.linear(there, *head)) for head in heads]
        blocks.append(torch.stack(logits, dim=1))
    return torch.cat(blocks)
