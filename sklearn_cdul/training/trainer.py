"""Train a network on soft labels: where it starts, what its steps are, and when labels move."""

import math
import os
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_cdul._utils.progress import progress
from sklearn_cdul.compute.devices import RandomStates, is_out_of_memory
from sklearn_cdul.metrics import score_readable
from sklearn_cdul.training.alignment import (
    GradientSteps,
    LabelState,
    align,
    latents_from_labels,
)
from sklearn_cdul.training.batches import EmbeddingSource, Source, epoch, split_batches
from sklearn_cdul.training.checkpoint import Checkpoint, KeptRows
from sklearn_cdul.training.closed_form import PROBE_PHOTOS, ClosedForm
from sklearn_cdul.training.features import read_features
from sklearn_cdul.training.logits import forward, predict_logits, prediction_precision
from sklearn_cdul.training.network import PhotoNetwork, output_layer
from sklearn_cdul.training.ranks import Ranks
from sklearn_cdul.training.regions import mix_views

# A frozen network's features of all photos are kept up to this many bytes. Beyond, training reads
# the photos in each epoch.
_FEATURE_BYTES = 2**31
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


class Trainer:
    """Trains one network, and the labels with it."""

    def __init__(self, network: nn.Module, settings: TrainingSettings):
        self.network: Any = network
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
        checkpoint: Checkpoint | None = None,
    ) -> tuple[list[dict[str, float]], np.ndarray, np.ndarray]:
        """Train the network and the labels in turn, once.

        Frozen layers see each photo once, whole. What the output layer receives of it is kept, and
        with the probe each epoch fits the layer to it in closed form.
        """
        settings = self.settings
        ranks = Ranks()
        labels = ranks.agree(labels)
        checkpoint = checkpoint or Checkpoint(None)
        checkpoint.begin(lambda: self._described(source, labels, observed, validation))
        first = torch.tensor(labels, dtype=torch.float32, device=source.device)
        state = LabelState(latents_from_labels(first))
        if observed is not None:
            state.observed = torch.tensor(observed, device=source.device)
        start_from_priors(self.network, state.labels())
        layer: Any = output_layer(self.network)  # not None where there are features
        rows, features = self._some_features(source, layer, checkpoint.rows("features"))
        probe = None
        if features is not None and settings.linear_probe:
            with progress("Preparing the fit", verbose=settings.verbose):
                probe = ClosedForm(layer, features)
        if features is not None and settings.learning_rate == 0 and len(rows) == len(source):
            if probe is not None:
                history = self._align(probe, state, validation)
                scores = (probe.left_out + probe.seen()) / 2
                return history, state.labels().cpu().numpy(), scores
            network: nn.Module = _OutputLayer(layer)
            photos: Source = EmbeddingSource(features, device=source.device)
        else:
            network, photos = self.network, source
        if probe is not None:
            with progress("Fitting the output layer", verbose=settings.verbose):
                probe(state.select(torch.from_numpy(rows).to(source.device)))
        step_a = self._gradient_steps(network, photos)
        history = self._align(step_a, state, validation, checkpoint)
        seen = source if probe is None else source.select(rows.tolist())
        precision = prediction_precision(self.network, seen)
        scores = ranks.in_shares(
            lambda share: predict_logits(self.network, share, precision, phase="Looking again"),
            seen,
        )
        if probe is not None:
            scores = (probe.left_out + scores) / 2
        return history, state.labels().cpu().numpy(), scores

    def _described(self, source, labels, observed, validation) -> list[Any]:
        """All that the result of a training depends on."""
        settings = asdict(self.settings) | {"verbose": False}
        weights = self.network.state_dict()
        views = getattr(self.network, "n_views", 1)
        return [
            (torch.__version__, settings, views, list(weights), source.description()),
            *(np.atleast_1d(value.cpu().numpy()) for value in weights.values()),
            labels,
            "none" if observed is None else observed,
            *(() if validation is None else (validation[0].description(), validation[1])),
        ]

    def _align(
        self, step_a, state, validation, checkpoint: Checkpoint | None = None
    ) -> list[dict[str, float]]:
        """Call `align`, show progress, score validation photos, and advise if memory runs out."""
        settings = self.settings
        by_batch = isinstance(step_a, GradientSteps)
        if checkpoint is not None:
            parts = {
                "labels": state,
                "network": self.network,
                "optimizer": self._optimizer,
                "scheduler": step_a.scheduler,
                "random": RandomStates(state.latents.device),
            }
            checkpoint.restore(parts)

        def on_epoch(record):
            if validation is not None:
                photos, y = validation
                precision = prediction_precision(self.network, photos)
                logits = Ranks().in_shares(
                    lambda part: predict_logits(self.network, part, precision, phase="Validating"),
                    photos,
                )
                record["validation_map"] = score_readable(y, logits, if_none=math.nan)
            bar.set_postfix({k: f"{v:.4g}" for k, v in record.items()})
            if not by_batch:
                bar.update()
            if checkpoint is not None:
                checkpoint.save(parts)

        steps = step_a.n_batches if by_batch else 1
        with progress(
            "Training",
            settings.epochs * steps,
            done=len(state.history) * steps,
            unit="batch" if by_batch else "epoch",
            verbose=settings.verbose,
        ) as bar:
            if by_batch:
                step_a.on_batch = bar.update
            try:
                return align(
                    step_a,
                    state,
                    epochs=settings.epochs,
                    warmup_epochs=settings.warmup_epochs,
                    update_interval=settings.update_interval,
                    update_rate=settings.update_rate,
                    sigma=settings.sigma,
                    cumulative_updates=settings.cumulative_updates,
                    on_epoch=on_epoch,
                )
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                raise torch.cuda.OutOfMemoryError(
                    f"{state.latents.device} has too little memory to train with "
                    f"batch_size={settings.batch_size}. Set batch_size or image_size lower, or "
                    f'device="cpu". ({error})'
                ) from error

    def _gradient_steps(self, network: nn.Module, source: Source) -> GradientSteps:
        """Step A on batches of a source."""
        batch_size = int(self.settings.batch_size)
        n_batches = len(split_batches(torch.arange(len(source)), batch_size))
        n_steps = self.settings.epochs * n_batches
        return GradientSteps(
            network,
            self._optimizer,
            lambda: epoch(source, batch_size),
            forward=lambda network, inputs: forward(network, inputs, source.training_precision),
            scheduler=torch.optim.lr_scheduler.LambdaLR(
                self._optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / n_steps))
            ),
            n_batches=n_batches,
        )

    def _some_features(
        self, source: Source, layer: nn.Linear | None, kept: KeptRows | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """What the output layer receives of all photos, or of some, and which these are."""
        settings = self.settings
        frozen = settings.learning_rate == 0
        if layer is None or layer.bias is None or not (frozen or settings.linear_probe):
            return np.arange(0), None
        count = min(len(source), _FEATURE_BYTES // (4 * self.network.n_views * layer.in_features))
        if not frozen or count < len(source):
            count = min(count, PROBE_PHOTOS)
        rows = Ranks().agree(torch.randperm(len(source)))[:count].sort().values.numpy()
        return rows, read_features(self.network, layer, source.select(rows.tolist()), kept)


def start_from_priors(network: nn.Module, labels: Tensor) -> None:
    """Make a fresh network predict each class's mean label, whatever the photo."""
    layer = output_layer(network)
    if layer is not None and layer.bias is not None:
        nn.init.zeros_(layer.weight)
        with torch.no_grad():
            layer.bias.copy_(torch.logit(labels.mean(dim=0), eps=1e-4))


class _OutputLayer(nn.Module):
    """A network's output layer, for what a :class:`_FeatureReader` gave."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, features: Tensor) -> Tensor:
        return mix_views(self.layer(features))


def parameter_groups(network: nn.Module, learning_rate: float, head_learning_rate: float):
    """Optimizer groups: the output layer learns at its own rate.

    With a `learning_rate` of 0 the other layers are frozen, batch statistics included, which saves
    most of the backward pass.
    """
    layer = output_layer(network)
    head = list(layer.parameters()) if layer is not None else []
    chosen = {id(parameter) for parameter in head}
    rest = [p for p in network.parameters() if id(p) not in chosen and p.requires_grad]
    if learning_rate == 0:
        if not head:
            raise ValueError(
                "With learning_rate=0, the default, only the output layer learns, but timm's "
                "get_classifier finds no linear one in this network. Give a learning_rate, such as "
                "3e-5 for pretrained layers or 1e-3 for others."
            )
        for parameter in rest:
            parameter.requires_grad_(False)
        if isinstance(network, PhotoNetwork):
            network.freeze_batch_norm = True
        rest = []
    groups = [{"params": rest, "lr": learning_rate}, {"params": head, "lr": head_learning_rate}]
    return [group for group in groups if group["params"]]
