"""Logits of all photos from a network, by the fastest way there is on the device."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_cdul._utils.progress import progress
from sklearn_cdul.compute.cpu_engine import CPUEngine, can_run
from sklearn_cdul.compute.devices import autocast, run_in_batches
from sklearn_cdul.compute.transfers import ahead, fetch
from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.reading import warn_about_failures
from sklearn_cdul.training.network import PhotoNetwork

# Of networks that have predicted on a CPU: a print of their weights then, and the engine.
_engines: WeakKeyDictionary[nn.Module, tuple[list[float], CPUEngine]] = WeakKeyDictionary()


def fastest(
    network: nn.Module, device: torch.device, precision: torch.dtype
) -> Callable[[Tensor], Tensor]:
    """Return the fastest way to a network's logits, for prediction."""
    if not isinstance(network, PhotoNetwork) or not can_run(
        network.architecture, device, precision
    ):
        return network
    backbone: Any = network.backbone
    # Whether nobody changed the layers, or wants to see what goes through them.
    standard = _description(network.architecture, backbone.num_classes) == repr(backbone)
    if not standard or any(m._forward_hooks or m._forward_pre_hooks for m in backbone.modules()):
        return network
    body = {k: v for k, v in backbone.state_dict().items() if not k.startswith("classifier.")}
    weights = [float(tensor.double().sum()) for tensor in body.values()]
    if network not in _engines or _engines[network][0] != weights:  # new, or trained since
        _engines[network] = weights, CPUEngine(str(network.architecture), body)
    engine = _engines[network][1]

    def feature_map(inputs: Tensor) -> Tensor:
        return torch.from_numpy(engine.run(inputs.contiguous().numpy()))

    return partial(network, feature_map=feature_map)


@cache
def _description(architecture: str, n_classes: int) -> str:
    import timm

    with torch.device("meta"):  # layers without values cost nothing
        return repr(timm.create_model(architecture, num_classes=n_classes))


def forward(network: Callable[[Tensor], Tensor], inputs: Tensor, precision: torch.dtype) -> Tensor:
    """Float32 logits, computed at the given precision on the inputs' device."""
    with autocast(inputs.device, precision):
        logits = network(inputs)
    return logits.float()


def prediction_precision(network: nn.Module, source: Any) -> torch.dtype:
    """In what a network predicts: the source's precision, or float32 by ONNX Runtime."""
    architecture = getattr(network, "architecture", None)
    free = not source.is_precision_given and can_run(architecture, source.device, torch.float32)
    return torch.float32 if free else source.precision


def predict_logits(
    network: nn.Module,
    source: Any,
    precision: torch.dtype,
    kept: Any = None,
    *,
    phase: str = "Predicting",
) -> np.ndarray:
    """Logits of all photos."""
    network.eval()
    predict = fastest(network, source.device, precision)
    failures: dict[int, ImageError] = {}  # by their positions in `rest`
    logits: np.ndarray | None = None
    done, wrong = 0, []

    def start(inputs: Tensor) -> Callable[[], np.ndarray]:
        return fetch(forward(predict, inputs, precision))

    def batches() -> Iterator[tuple[list[Callable[[], np.ndarray]], Callable[[], np.ndarray]]]:
        size: int | None = None  # halved when the GPU runs out of memory
        for inputs in rest.prediction(failures) if len(rest) else ():
            parts, size = run_in_batches(start, inputs, size or len(inputs), inputs.device)
            # Pixels are bytes, which are finite: one of a photo is enough.
            numbers = inputs if inputs.is_floating_point() else inputs[:, :1, :1, :1]
            yield parts, fetch(numbers.isfinite().flatten(1).all(dim=1))

    def add(rows: np.ndarray) -> None:
        nonlocal logits, done
        if logits is None:
            logits = np.empty((len(source), *rows.shape[1:]), rows.dtype)
        logits[done : done + len(rows)] = rows
        done += len(rows)

    for rows in kept.read() if kept is not None else ():
        add(rows)
    first, rest = done, source.select(range(done, len(source))) if done else source
    bar = progress(phase, len(source), done=first, verbose=source.verbose)
    with torch.inference_mode(), bar as shown:
        for parts, is_sound in ahead(batches(), source.device):
            rows = np.concatenate([finish() for finish in parts])
            failed = [row for row in range(len(rows)) if done + row - first in failures]
            rows[failed] = np.nan
            expected = is_sound()
            expected[failed] = False
            finite = np.isfinite(rows).reshape(len(rows), -1).all(axis=1)
            wrong += [source.rows[done + row] for row in np.flatnonzero(expected & ~finite)]
            if kept is not None and not wrong:
                kept.add(rows)
            add(rows)
            shown.update(len(rows))
    if wrong:
        raise FloatingPointError(
            f"The network gave NaN or infinity for {len(wrong)} of {len(source)} photos, the first "
            f'X[{wrong[0]}]. Its arithmetic may be too coarse: set precision to "float32".'
        )
    warn_about_failures(list(failures.values()), len(source))
    assert logits is not None
    return logits
