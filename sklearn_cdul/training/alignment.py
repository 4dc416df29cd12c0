"""Gradient alignment: the pseudo labels, and how they move toward what a network predicts.

Implements section 3.2 of the CDUL paper (Abdelfattah et al., ICCV 2023, arXiv 2307.16634). Every
pseudo label is the sigmoid of a latent number ``u``. With the labels fixed, the network learns them
(step A); with the network fixed, the labels move toward its predictions (step B).
"""

import math
import os
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval
from torch import Tensor
from torch.nn import functional

# Parts of the docstrings of both trainings.
TEXTS = {
    "updates": """\
update_rate : float, default=0.5
    Factor on the step of the labels; 1 is the paper's.
sigma : float, default=1.0
    Width of the Gaussian that slows down labels near 0 and 1; 1 is the paper's.
cumulative_updates : bool, default=False
    Whether an update starts from the labels as the last one left them, as in the paper. By
    default each starts from the initial labels: otherwise repeated updates erase CLIP's signal.""",
    "paper": """\
References
----------
.. [1] R. Abdelfattah et al., "CDUL: CLIP-Driven Unsupervised Learning for Multi-Label Image
   Classification", ICCV 2023, arXiv 2307.16634.""",
}
# Soft labels of exactly 0 or 1 have no finite latent; this is the distance kept.
_LABEL_MARGIN = 1e-4
# Bytes per photo and class: some eight arrays of float32 with labels and predictions.
_LABEL_BYTES = 8 * 4


@dataclass
class Trained:
    """What a training gives besides the network, which is trained in place."""

    history: list[dict[str, float]]
    labels: np.ndarray  # (m, k) after the last update
    rows: np.ndarray  # (p,) the m photos, or a random sample of them, of which it gives logits:
    seen: np.ndarray  # (p, k) what the network predicts
    unseen: np.ndarray  # (p, k) and what one that had not seen the photo would
    # Of a network with a zero-shot part: open labels (p, k), and thresholds (k,), as logits
    open_labels: np.ndarray | None = None
    thresholds: np.ndarray | None = None

    @property
    def logits(self) -> np.ndarray:
        """Between both, (p, k), for thresholds."""
        return (self.unseen + self.seen) / 2


def check_memory(n_photos: int, n_classes: int) -> None:
    """Refuse labels that this machine has no room for, before hours of work."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return
    needed = _LABEL_BYTES * n_photos * n_classes
    if needed > memory > 0:
        raise MemoryError(
            f"Labels of {n_photos} photos and {n_classes} classes need about {needed / 1e9:.0f} GB "
            f"in training, and this machine has {memory / 1e9:.0f} GB. Train on a part of the "
            "photos, which is enough to learn from, or name fewer classes."
        )


def latents_from_labels(soft_labels: Tensor) -> Tensor:
    """Latents whose sigmoid is the soft label, ``u = log(y / (1 - y))``."""
    return torch.logit(soft_labels, eps=_LABEL_MARGIN)


def kl_divergence(labels: Tensor, logits: Tensor) -> Tensor:
    """KL divergence of each label from each prediction, both Bernoulli.

    ``KL = y_u log(y_u / y_p) + (1 - y_u) log((1 - y_u) / (1 - y_p))`` with ``y_p = sigmoid(v)``.
    Its gradient in v is ``y_p - y_u``.
    """
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    negative_entropy = torch.xlogy(labels, labels) + torch.xlogy(1 - labels, 1 - labels)
    return cross_entropy + negative_entropy


def update_speed(labels: Tensor, sigma: float) -> Tensor:
    """How fast a label may move, the Gaussian ``psi`` of the paper, highest at 1/2.

    ``psi(y) = exp(-(y - 1/2)^2 / (2 sigma^2)) / (sigma sqrt(2 pi))``
    """
    gaussian = torch.exp(-((labels - 0.5) ** 2) / (2 * sigma**2))
    return gaussian / (sigma * math.sqrt(2 * math.pi))


def update_latents(latents: Tensor, logits: Tensor, sigma: float, rate: float = 1.0) -> Tensor:
    """Step B, the labels follow the network: ``u <- u - rate psi(y_u) dKL/dy_u``.

    The derivative is ``dKL/dy_u = u - v``, so the step is ``u + rate psi(y_u) (v - u)``.
    """
    return latents + rate * update_speed(torch.sigmoid(latents), sigma) * (logits - latents)


class LabelState:
    """Pseudo labels of some photos: where they started, where they are, and which are observed."""

    def __init__(self, latents: Tensor, observed: Tensor | None = None):
        self.latents = self.first = latents
        self.observed = observed

    @classmethod
    def of(
        cls,
        labels: np.ndarray,
        observed: np.ndarray | None,
        rows: np.ndarray | slice,
        device: torch.device,
    ) -> "LabelState":
        """The state of some rows of labels (n, k) and observed labels (n, k), NaN where none is."""
        known = None if observed is None else torch.tensor(observed[rows], device=device)
        first = torch.tensor(labels[rows], dtype=torch.float32, device=device)
        return cls(latents_from_labels(first), known)

    def labels(self, indices: Tensor | slice = slice(None)) -> Tensor:
        """``y_u`` of some photos, with the observed labels in place."""
        labels = torch.sigmoid(self.latents[indices])
        if self.observed is None:
            return labels
        observed = self.observed[indices]
        return torch.where(observed.isnan(), labels, observed.to(labels.dtype))

    def update(self, logits: Tensor, *, rate: float, sigma: float, cumulative: bool) -> float:
        """Step B; return the labels' mean absolute change.

        It starts from the labels as they are, or else from the first ones.
        """
        before = self.labels()
        self.latents = update_latents(
            self.latents if cumulative else self.first, logits, sigma, rate
        )
        return float((self.labels() - before).abs().mean())


def in_words(record: dict[str, float]) -> dict[str, str]:
    """What the progress bar says of an epoch."""
    text = {"labels moved": f"{record['label_movement']:.2%}", "loss": f"{record['loss']:.4g}"}
    if "validation_map" in record:
        text["validation mAP"] = f"{record['validation_map']:.1%}"
    return text


class BaseTraining(BaseEstimator):
    """What the ways to train share. The classifier calls these methods, and ``train``.

    ``train`` trains a network in place, and the labels (m, k) of a source in turn; it returns
    `Trained`. ``observed`` (m, k) has labels that stay, NaN where there is none; ``validation`` is
    another source and its labels, for the history; ``random`` is for all that is drawn.
    """

    _parameter_constraints: dict[str, Any] = {
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "update_rate": [Interval(Real, 0, None, closed="left")],
        "sigma": [Interval(Real, 0, None, closed="neither")],
        "cumulative_updates": ["boolean"],
    }

    def picture_sizes(self, image_size):
        """Sides of the pictures that training reads, most often read first."""
        return [image_size]

    def check(self, network):
        """Refuse what is known not to work before hours of work."""

    def _update(self, state, logits):
        return state.update(
            logits, rate=self.update_rate, sigma=self.sigma, cumulative=self.cumulative_updates
        )
