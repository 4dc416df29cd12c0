"""Training by gradient steps on all layers, the labels updated in turn, as in the CDUL paper."""

import math
import os
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from sklearn_cdul._utils.docstrings import filled_with
from sklearn_cdul._utils.progress import progress
from sklearn_cdul.compute.devices import RandomStates, is_out_of_memory
from sklearn_cdul.metrics import score_readable
from sklearn_cdul.training.alignment import (
    TEXTS,
    BaseTraining,
    LabelState,
    Trained,
    in_words,
    kl_divergence,
)
from sklearn_cdul.training.batches import Source, epoch, split_batches, training_size
from sklearn_cdul.training.checkpoint import Checkpoint, check_folder
from sklearn_cdul.training.features import draw_sample, open_store, read_sample, ridge_layer
from sklearn_cdul.training.linear_probe import LinearProbe
from sklearn_cdul.training.logits import forward, predict_logits
from sklearn_cdul.training.network import output_layer, set_head
from sklearn_cdul.training.ranks import Ranks


@filled_with(TEXTS)
class GradientTraining(BaseTraining):
    """Train all layers by gradient descent, and update the labels in turn.

    This is "gradient alignment", section 3.2 of the CDUL paper [1]_. It takes many times as long as
    :class:`RidgeTraining` and gains little with a few hundred photos. Training images are randomly
    cropped and flipped; AdamW minimises the KL divergence between labels and predictions.

    Parameters
    ----------
    epochs : int, default=3
        Number of passes over the training photos.
    warmup_epochs : int, default=1
        Number of epochs before the first update of the labels.
    update_interval : int, default=1
        Number of epochs between updates of the labels; 0 disables them. There is none after the
        last epoch.
    {updates}
    batch_size : int, default=16
        Mini-batch size.
    learning_rate : float, default=3e-5
        Learning rate of the pretrained layers (AdamW, cosine decay to 0). A network without
        pretrained weights needs a higher one, such as 1e-3, and more epochs.
    head_learning_rate : float, default=1e-4
        Learning rate of the last layer, the only one with embeddings as input.
    weight_decay : float, default=1e-4
        Weight decay of AdamW.
    head_init : {"ridge", "mean"}, default="ridge"
        Initial last layer. "ridge" is the ridge head on the features of the pretrained network of
        at most 20,000 photos, see :func:`linear_probe`; thresholds are then found on the mean of
        its leave-one-out logits and the network's logits. "mean" predicts the mean label of each
        class, and needs a higher ``head_learning_rate`` and more epochs.
    checkpoint : str, os.PathLike or None, default=None
        Folder from which a fit that was killed resumes at the last saved epoch, with the same
        result. Fits resume only with the same photos, labels and parameters, so several may share
        the folder. Each takes three times the size of the network, which is freed when the next fit
        starts after its end. With a checkpoint, a ``random_state`` of None means 0.

    See Also
    --------
    RidgeTraining : Trains only the last layer, without gradients.

    Notes
    -----
    If timm's ``get_classifier`` finds no last linear layer, all layers start as they are and use
    ``learning_rate``. If that layer has no bias or is not used once per photo,
    ``head_init="ridge"`` is the same as "mean".

    {paper}

    Examples
    --------
    >>> from sklearn_cdul import CDULClassifier
    >>> from sklearn_cdul.training import GradientTraining
    >>> classifier = CDULClassifier(training=GradientTraining(epochs=10))
    >>> classifier.set_params(training__batch_size=8).training
    GradientTraining(batch_size=8, epochs=10)
    """

    _parameter_constraints = {
        **BaseTraining._parameter_constraints,
        "warmup_epochs": [Interval(Integral, 1, None, closed="left")],
        "update_interval": [Interval(Integral, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "head_learning_rate": [Interval(Real, 0, None, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "head_init": [StrOptions({"ridge", "mean"})],
        "checkpoint": [str, os.PathLike, None],
    }

    def __init__(
        self,
        epochs=3,
        *,
        warmup_epochs=1,
        update_interval=1,
        update_rate=0.5,
        sigma=1.0,
        cumulative_updates=False,
        batch_size=16,
        learning_rate=3e-5,
        head_learning_rate=1e-4,
        weight_decay=1e-4,
        head_init="ridge",
        checkpoint=None,
    ):
        self.epochs = epochs
        self.warmup_epochs = warmup_epochs
        self.update_interval = update_interval
        self.update_rate = update_rate
        self.sigma = sigma
        self.cumulative_updates = cumulative_updates
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.head_learning_rate = head_learning_rate
        self.weight_decay = weight_decay
        self.head_init = head_init
        self.checkpoint = checkpoint

    def picture_sizes(self, image_size):
        """Those that training crops are cut from, and whole ones."""
        return [training_size(image_size), image_size]

    def check(self, network):
        """Refuse a folder ``checkpoint`` that can't be used."""
        check_folder(self.checkpoint)

    def train(
        self, network, source, labels, *, random, observed=None, validation=None, memory=None
    ):
        """Train a network in place, and the labels in turn; see `BaseTraining`."""

        def describe():
            settings = self.get_params() | {"checkpoint": None}
            weights = network.state_dict()
            views = getattr(network, "n_views", 1)
            known = (torch.__version__, settings, views, repr(network), source.description())
            arrays = [value.cpu().numpy() for value in weights.values()]
            others = validation and (repr(validation[0].description()), validation[1])
            return [repr(known), arrays, labels, observed, others]

        with random, Checkpoint(self.checkpoint, describe) as checkpoint:
            state = LabelState.of(labels, observed, slice(None), source.device)
            kept = checkpoint.load()
            start = kept["start"] if kept else self._start(network, source, state, memory)
            history = self._epochs(network, source, state, validation, start, kept, checkpoint)
            rows, leave_one_out = start
            seen = _predict(network, source.select(rows.tolist()), "Looking again")
            unseen = seen if leave_one_out is None else leave_one_out.numpy()
            checkpoint.finish()
        return Trained(history, state.labels().cpu().numpy(), rows.numpy(), seen, unseen)

    def _start(self, network, source, state, memory):
        """Set the last layer; return rows for thresholds and their leave-one-out logits, if any."""
        layer = output_layer(network)
        if layer is None or layer.bias is None:
            return torch.arange(len(source)), None
        mean = torch.logit(state.labels().mean(dim=0), eps=1e-4)
        set_head(layer, torch.zeros_like(layer.weight), mean)
        if self.head_init == "mean" or ridge_layer(network) is None:
            return torch.arange(len(source)), None
        rows = draw_sample(len(source))
        with open_store(memory) as store:
            features = read_sample(network, source, rows, store)
        rows = torch.from_numpy(rows)
        with progress("Fitting the last layer", verbose=source.verbose):
            y = state.labels(rows.to(source.device)).cpu().numpy()
            weight, bias, leave_one_out = LinearProbe(features).fit(y)
            set_head(layer, torch.from_numpy(weight), torch.from_numpy(bias))
        return rows, torch.from_numpy(leave_one_out)

    def _epochs(self, network, source, state, validation, start, kept, checkpoint):
        """Steps A and B in turn; the history.

        Step B takes the predictions of step A, averaged over the epochs since the last step B, so
        it costs no forward pass of its own. The first one takes its own epoch's: earlier ones are
        poor. There is none after the last epoch, whose labels would teach nobody.
        """
        n_batches = len(split_batches(torch.arange(len(source)), self.batch_size))
        n_steps, interval = self.epochs * n_batches, self.update_interval
        updates = range(self.warmup_epochs, self.epochs, interval) if interval else ()
        optimizer = torch.optim.AdamW(
            parameter_groups(network, self.learning_rate, self.head_learning_rate),
            weight_decay=self.weight_decay,
        )
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / n_steps))
        )
        parts = {"network": network, "optimizer": optimizer, "scheduler": scheduler}
        parts["random"] = RandomStates(source.device)
        history, summed, n_summed = [], torch.zeros_like(state.latents), 0
        if kept:
            for name, part in parts.items():
                part.load_state_dict(kept[name])
            history, n_summed = kept["history"], kept["n_summed"]
            state.latents, summed = (kept[name].to(summed) for name in ("latents", "summed"))

        def reached():
            states = {name: part.state_dict() for name, part in parts.items()}
            now = {"history": history, "latents": state.latents, "start": start}
            return states | now | {"summed": summed, "n_summed": n_summed}

        shared, done = Ranks().wrap(network), len(history) * n_batches
        shown = {"done": done, "unit": "batch", "verbose": source.verbose}
        with progress("Training", n_steps, **shown) as bar:
            for number in range(len(history) + 1, self.epochs + 1):
                logits, loss = self._step_a(shared, source, state, optimizer, scheduler, bar)
                if number <= self.warmup_epochs:
                    summed, n_summed = torch.zeros_like(summed), 0
                summed, n_summed, movement = summed + logits, n_summed + 1, 0.0
                if number in updates:
                    movement = self._update(state, summed / n_summed)
                    summed, n_summed = torch.zeros_like(summed), 0
                if not math.isfinite(loss):
                    raise FloatingPointError(
                        f"The loss became {loss} in epoch {number} of the training. Set "
                        'precision="float32", or learning_rate and head_learning_rate lower.'
                    )
                history.append({"epoch": number, "loss": loss, "label_movement": movement})
                if validation is not None:
                    photos, y = validation
                    scores = _predict(network, photos, "Validating")
                    history[-1]["validation_map"] = score_readable(y, scores, if_none=math.nan)
                bar.set_postfix(in_words(history[-1]))
                checkpoint.save(reached, is_last=number == self.epochs)
        return history

    def _step_a(self, network, source, state, optimizer, scheduler, bar):
        """Train for one epoch; the predictions (m, k) made meanwhile, and the mean divergence."""
        ranks = Ranks()
        predictions = torch.zeros_like(state.latents)
        loss_sum = torch.zeros((), device=predictions.device)
        network.train()
        try:
            for indices, inputs in epoch(source, self.batch_size):
                logits = forward(network, inputs, source.training_precision)[: len(indices)]
                divergence = kl_divergence(state.labels(indices), logits).mean(dim=1).sum()
                size = ranks.total(len(indices), logits.device)
                optimizer.zero_grad(set_to_none=True)
                # Gradients are averaged over the processes: each counts by its share of the batch.
                (divergence * ranks.count / size).backward()
                optimizer.step()
                scheduler.step()
                predictions[indices] = logits.detach()
                loss_sum += divergence.detach()
                bar.update()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise torch.cuda.OutOfMemoryError(
                f"{source.device} has too little memory to train with "
                f"batch_size={self.batch_size}. Set batch_size or image_size lower, or "
                f'device="cpu". ({error})'
            ) from error
        return ranks.sum(predictions), float(ranks.sum(loss_sum)) / len(predictions)


def _predict(network: nn.Module, source: Source, phase: str) -> np.ndarray:
    return Ranks().in_shares(
        lambda own: predict_logits(network, source.select(own), phase=phase),
        len(source),
        source.device,
    )


def parameter_groups(
    network: nn.Module, learning_rate: float, head_learning_rate: float
) -> list[dict[str, Any]]:
    """Optimizer groups: the last layer learns at its own rate."""
    layer = output_layer(network)
    head = [] if layer is None else list(layer.parameters())
    rest = [p for p in network.parameters() if p.requires_grad and all(p is not h for h in head)]
    groups = [{"params": rest, "lr": learning_rate}, {"params": head, "lr": head_learning_rate}]
    return [group for group in groups if group["params"]]
