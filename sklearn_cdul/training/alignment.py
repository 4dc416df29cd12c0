"""Gradient alignment: the network and the pseudo labels are trained in turn.

Implements section 3.2 of the CDUL paper (Abdelfattah et al., ICCV 2023, arXiv 2307.16634). Every
pseudo label is the sigmoid of a latent number ``u``. With the labels fixed, the network takes
gradient steps (step A); with the network fixed, the labels move toward its predictions (step B).
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sklearn_cdul.training.ranks import Ranks

# Soft labels of exactly 0 or 1 have no finite latent; this is the distance kept.
_LABEL_MARGIN = 1e-4


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


@dataclass
class LabelState:
    """Pseudo labels of all training images, and where their training stands between two epochs."""

    latents: Tensor
    observed: Tensor | None = None
    first: Tensor = field(init=False)
    summed: Tensor | None = field(default=None, init=False)
    n_summed: int = field(default=0, init=False)
    history: list[dict[str, float]] = field(default_factory=list, init=False)

    def __post_init__(self):
        self.first = self.latents

    def labels(self, indices: Tensor | slice = slice(None)) -> Tensor:
        """``y_u`` of some images, with the observed labels in place."""
        labels = torch.sigmoid(self.latents[indices])
        if self.observed is None:
            return labels
        observed = self.observed[indices]
        return torch.where(observed.isnan(), labels, observed)

    def select(self, indices: Tensor) -> "LabelState":
        """The state of some images alone."""
        observed = None if self.observed is None else self.observed[indices]
        return LabelState(self.latents[indices], observed)

    def state_dict(self) -> dict[str, Any]:
        """What training has changed, or will need to go on, as torch's modules give theirs."""
        names = ("latents", "summed", "n_summed", "history")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was called; `first` and `observed` are those of this state."""
        for name, value in state.items():
            here = value.to(self.first.device) if isinstance(value, Tensor) else value
            setattr(self, name, here)


class GradientSteps:
    """Step A of the paper, one epoch: a gradient step on the network for each batch."""

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        batches: Callable[[], Iterable[tuple[Tensor, Tensor]]],
        *,
        forward: Callable[[nn.Module, Tensor], Tensor],
        scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
        n_batches: int = 0,
        on_batch: Callable[[], None] = lambda: None,
    ):
        self.ranks = Ranks()
        self.network = self.ranks.wrap(network)
        self.optimizer = optimizer
        self.batches = batches
        self.forward = forward
        self.scheduler = scheduler
        self.n_batches = n_batches
        self.on_batch = on_batch

    def __call__(self, state: LabelState) -> tuple[Tensor, float]:
        """Train for one epoch."""
        predictions = torch.zeros_like(state.latents)
        loss_sum = torch.zeros((), device=state.latents.device)
        self.network.train()
        for indices, inputs in self.batches():
            logits = self.forward(self.network, inputs)[: len(indices)]
            divergence = kl_divergence(state.labels(indices), logits).mean(dim=1).sum()
            size = self.ranks.total(len(indices), logits.device)
            self.optimizer.zero_grad(set_to_none=True)
            # Gradients are averaged over the processes, so each counts by its share of the batch.
            (divergence * self.ranks.count / size).backward()
            self.optimizer.step()
            if self.scheduler is not None:
                self.scheduler.step()
            predictions[indices] = logits.detach()
            loss_sum += divergence.detach()
            self.on_batch()
        loss = float(self.ranks.sum(loss_sum)) / len(predictions)
        return self.ranks.sum(predictions), loss


def align(
    step_a: Callable[[LabelState], tuple[Tensor, float]],
    state: LabelState,
    *,
    epochs: int,
    warmup_epochs: int,
    update_interval: int,
    update_rate: float,
    sigma: float,
    cumulative_updates: bool,
    on_epoch: Callable[[dict], None] = lambda record: None,
) -> list[dict]:
    """Train the network and the labels in turn.

    Step B comes after epoch ``warmup_epochs`` and then every ``update_interval`` epochs, up to the
    last but one: a label that moves after the last epoch would teach nobody. It takes the
    predictions of step A, averaged over the epochs since the last step B (the first one takes its
    own epoch's), so it costs no forward pass of its own.
    """
    update_epochs = range(warmup_epochs, epochs, update_interval) if update_interval else ()
    for epoch in range(len(state.history) + 1, epochs + 1):
        logits, loss = step_a(state)
        # Early predictions are poor: the first step B hears its own epoch alone.
        if state.summed is None or epoch <= warmup_epochs:
            state.summed, state.n_summed = torch.zeros_like(state.latents), 0
        state.summed += logits
        state.n_summed += 1

        movement = 0.0
        if epoch in update_epochs:
            before = state.labels()
            state.latents = update_latents(
                state.latents if cumulative_updates else state.first,
                state.summed / state.n_summed,
                sigma,
                update_rate,
            )
            movement = float((state.labels() - before).abs().mean())
            state.summed = None
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"The loss became {loss} in epoch {epoch} of the training. Set "
                'precision="float32", or learning_rate and head_learning_rate lower.'
            )
        record = {
            "epoch": epoch,
            "loss": loss,
            "label_movement": movement,
        }
        state.history.append(record)
        on_epoch(record)
    return state.history
