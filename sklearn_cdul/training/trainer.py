"""Train a network on soft labels: where it starts, what its steps are, and when labels move."""

import math
import os
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from sklearn_cdul.devices import is_out_of_memory
from sklearn_cdul.metrics import score_readable
from sklearn_cdul.training.alignment import LabelState, align, latents_from_labels
from sklearn_cdul.training.batches import Source, epoch, split_batches
from sklearn_cdul.training.linear_probe import linear_probe
from sklearn_cdul.training.network import PhotoNetwork, forward, output_layer, predict_logits

# The linear probe sees at most so many photos: it takes O(n (d + k)) memory and O(n d^2) time.
_PROBE_PHOTOS = 20_000
# Bytes for each photo and class: some eight arrays of float32 with labels and predictions.
_LABEL_BYTES = 8 * 4


@dataclass(frozen=True)
class TrainingSettings:
    """Parameters of :class:`~sklearn_cdul.CDULClassifier` that say how it trains; see there."""

    epochs: int
    warmup_epochs: int
    update_interval: int
    update_rate: float
    sigma: float
    cumulative_updates: bool
    linear_probe: bool
    batch_size: int
    learning_rate: float
    head_learning_rate: float
    weight_decay: float
    verbose: bool

    @classmethod
    def of(cls, estimator: Any) -> "TrainingSettings":
        """Read the settings off an estimator that has parameters of these names."""
        return cls(**{field.name: getattr(estimator, field.name) for field in fields(cls)})


def check_memory(n_photos: int, n_classes: int) -> None:
    """Refuse labels that this machine has no room for, before hours of work.

    Parameters
    ----------
    n_photos, n_classes : int
        Of the training.

    Raises
    ------
    MemoryError
        If the arrays with a number for each photo and class need more than all memory there is.
        Where the system does not tell how much that is, nothing is refused.
    """
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


class Trainer:
    """Trains one network, and the labels with it.

    Parameters
    ----------
    network : Module
        Fresh, on the device of training. It is changed in place.
    settings : TrainingSettings
        How to train.

    Raises
    ------
    ValueError
        If nothing in the network could learn with these settings.
    """

    def __init__(self, network: nn.Module, settings: TrainingSettings):
        self.network = network
        self.settings = settings
        self._optimizer = torch.optim.AdamW(
            parameter_groups(network, settings.learning_rate, settings.head_learning_rate),
            weight_decay=settings.weight_decay,
        )

    def train(
        self,
        source: Source,
        labels: np.ndarray,
        observed: np.ndarray | None,
        validation: tuple[Source, np.ndarray] | None = None,
    ) -> tuple[list[dict[str, float]], np.ndarray]:
        """Train the network and the labels in turn, once.

        Parameters
        ----------
        source : PhotoSource or EmbeddingSource of length n
            Training photos.
        labels : ndarray of shape (n, k)
            Soft labels in [0, 1] to start from.
        observed : ndarray of shape (n, k) or None
            1 or 0 where a person gave the label, NaN elsewhere; these never move.
        validation : tuple (source, ndarray of shape (m, k)) or None, default=None
            Photos and true labels, to be scored after each epoch.

        Returns
        -------
        history : list of dict
            A record an epoch, see :func:`~sklearn_cdul.training.alignment.align`; with validation
            photos also ``validation_map``.
        labels : ndarray of shape (n, k), float32
            The labels after the last move.

        Raises
        ------
        torch.cuda.OutOfMemoryError
            With advice on what to set.
        """
        settings = self.settings
        start = latents_from_labels(torch.tensor(labels, dtype=torch.float32))
        state = LabelState(start.to(source.device))
        if observed is not None:
            state.observed = torch.tensor(observed, device=source.device)
        start_from_priors(self.network, state.labels())
        if settings.linear_probe:
            start_from_probe(self.network, source, state.labels())

        batch_size = int(settings.batch_size)
        n_steps = settings.epochs * len(split_batches(torch.arange(len(source)), batch_size))
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / n_steps))
        )
        with tqdm(
            total=n_steps, desc="Training", unit="batch", disable=not settings.verbose
        ) as bar:

            def on_epoch(record):
                if validation is not None:
                    photos, y = validation
                    logits = predict_logits(self.network, photos, photos.precision)
                    record["validation_map"] = score_readable(y, logits, if_none=math.nan)
                bar.set_postfix({k: f"{v:.4g}" for k, v in record.items()})

            try:
                history = align(
                    self.network,
                    self._optimizer,
                    state,
                    lambda: epoch(source, batch_size),
                    epochs=settings.epochs,
                    warmup_epochs=settings.warmup_epochs,
                    update_interval=settings.update_interval,
                    update_rate=settings.update_rate,
                    sigma=settings.sigma,
                    cumulative_updates=settings.cumulative_updates,
                    forward=lambda network, inputs: forward(
                        network, inputs, source.training_precision
                    ),
                    scheduler=scheduler,
                    on_batch=bar.update,
                    on_epoch=on_epoch,
                )
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                raise torch.cuda.OutOfMemoryError(
                    f"{source.device} has too little memory to train with "
                    f"batch_size={settings.batch_size}. Set batch_size or image_size lower, or "
                    f'device="cpu". ({error})'
                ) from error
        return history, state.labels().cpu().numpy()


def start_from_priors(network: nn.Module, labels: Tensor) -> None:
    """Make a fresh network predict each class's mean label, whatever the photo.

    Parameters
    ----------
    network : Module
        Changed in place, if its output layer is linear.
    labels : Tensor of shape (n, k)
        Pseudo labels in [0, 1].
    """
    layer = output_layer(network)
    if layer is not None and layer.bias is not None:
        nn.init.zeros_(layer.weight)
        with torch.no_grad():
            layer.bias.copy_(torch.logit(labels.mean(dim=0), eps=1e-4))


class _FeatureReader(nn.Module):
    """Gives what a network's output layer receives, in place of what the network gives."""

    def __init__(self, network: nn.Module, layer: nn.Linear):
        super().__init__()
        self.network = network
        self.layer = layer

    def forward(self, inputs: Tensor) -> Tensor:
        received = [inputs.new_empty(len(inputs), 0)]  # in case that the layer is not used
        hook = self.layer.register_forward_pre_hook(lambda _, given: received.append(given[0]))
        try:
            self.network(inputs)
        finally:
            hook.remove()
        features = received[-1]
        # A layer that sees several vectors a photo can't be fitted to labels of photos.
        return features if features.ndim == 2 else inputs.new_empty(len(inputs), 0)


def start_from_probe(network: nn.Module, source: Source, labels: Tensor) -> None:
    """Fit the output layer to the labels, see :func:`~sklearn_cdul.training.linear_probe`.

    Parameters
    ----------
    network : Module
        Changed in place. It is left as it is unless its output layer is linear and takes one vector
        a photo.
    source : PhotoSource or EmbeddingSource
        Training photos, seen whole. Of more than 20,000 as many are drawn at random.
    labels : Tensor of shape (n, k)
        Their pseudo labels in [0, 1].
    """
    some = torch.randperm(len(source))[:_PROBE_PHOTOS].sort().values
    layer = output_layer(network)
    if layer is None or layer.bias is None:
        return
    reader = _FeatureReader(network, layer)
    features = predict_logits(reader, source.select(some.tolist()), source.training_precision)
    if features.shape != (len(some), layer.in_features):
        return
    finite = np.isfinite(features).all(axis=1)
    if not finite.any():
        return
    weight, bias = linear_probe(features[finite], labels.cpu().numpy()[some.numpy()][finite])
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))


def parameter_groups(network: nn.Module, learning_rate: float, head_learning_rate: float):
    """Optimizer groups: the output layer learns at its own rate.

    With a `learning_rate` of 0 the other layers are frozen, batch statistics included, which saves
    most of the backward pass.

    Returns
    -------
    groups : list of dict
        For torch optimizers.

    Raises
    ------
    ValueError
        If `learning_rate` is 0 and no output layer is known that could learn.
    """
    layer = output_layer(network)
    head = list(layer.parameters()) if layer is not None else []
    chosen = {id(parameter) for parameter in head}
    rest = [p for p in network.parameters() if id(p) not in chosen and p.requires_grad]
    if learning_rate == 0:
        if not head:
            raise ValueError(
                "With learning_rate=0 only the output layer learns, but timm's get_classifier "
                "finds none in this network. Give a learning_rate above 0."
            )
        for parameter in rest:
            parameter.requires_grad_(False)
        if isinstance(network, PhotoNetwork):
            network.freeze_batch_norm = True
        rest = []
    groups = [{"params": rest, "lr": learning_rate}, {"params": head, "lr": head_learning_rate}]
    return [group for group in groups if group["params"]]
