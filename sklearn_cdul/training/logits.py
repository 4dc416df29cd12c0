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
from sklearn_cdul.exceptions import ImageError, warn_about_failures
from sklearn_cdul.training.batches import Source
from sklearn_cdul.training.network import PhotoNetwork

# Of networks that have predicted on a CPU: their layers, whether timm made these so, the weights,
# where these were and in which version, and the engine that took them over.
_checked: WeakKeyDictionary[nn.Module, tuple[list[nn.Module], bool]] = WeakKeyDictionary()
_engines: WeakKeyDictionary[nn.Module, tuple[Any, Any, CPUEngine]] = WeakKeyDictionary()


def fastest(
    network: nn.Module, device: torch.device, precision: torch.dtype
) -> Callable[[Tensor], Tensor]:
    """Return the fastest way to a network's logits, for prediction."""
    if not isinstance(network, PhotoNetwork) or not can_run(
        network.architecture, device, precision
    ):
        return network
    backbone: Any = network.backbone
    modules = list(backbone.modules())
    if network not in _checked or _checked[network][0] != modules:
        description = _description(str(network.architecture), backbone.num_classes)
        _checked[network] = modules, description == repr(backbone)
    # Whether nobody changed the layers, or wants to see what goes through them.
    if not _checked[network][1] or any(m._forward_hooks or m._forward_pre_hooks for m in modules):
        return network
    body = {k: v for k, v in backbone.state_dict().items() if not k.startswith("classifier.")}
    stand = [(v.data_ptr(), -1 if v.is_inference() else v._version) for v in body.values()]
    if network not in _engines or _engines[network][1] != stand:  # new, or trained since
        # The weights are kept with it, so that no others can come to lie at the same addresses.
        _engines[network] = body, stand, CPUEngine(str(network.architecture), body)
    engine = _engines[network][2]
    mean, std = network.mean.numpy(), network.std.numpy()

    def normalise(pixels: np.ndarray) -> np.ndarray:
        # In the engine's threads, which share the work; torch's would wait for each other.
        return (pixels.astype(np.float32, order="C") - mean) / std

    def feature_map(pixels: Tensor) -> Tensor:
        return torch.from_numpy(engine.run(pixels.numpy(), normalise))

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


def prediction_precision(network: nn.Module, source: Source) -> torch.dtype:
    """In what a network predicts: the source's precision, or float32 by ONNX Runtime."""
    architecture: Any = getattr(network, "architecture", None)
    free = not source.is_precision_given and can_run(architecture, source.device, torch.float32)
    return torch.float32 if free else source.precision


def predict_logits(network: nn.Module, source: Source, *, phase: str = "Predicting") -> np.ndarray:
    """Logits (n, k) of all photos, float32; NaN where a photo can't be read."""
    precision = prediction_precision(network, source)
    network.eval()
    predict = fastest(network, source.device, precision)
    return np.concatenate(list(iter_outputs(predict, source, precision, phase=phase)))


def iter_outputs(
    predict: Callable[[Tensor], Tensor], source: Source, precision: torch.dtype, *, phase: str
) -> Iterator[np.ndarray]:
    """Yield what a network gives of all photos, in order and in batches."""
    failures: dict[int, ImageError] = {}  # by their positions
    done, wrong = 0, []

    def start(inputs: Tensor) -> Callable[[], np.ndarray]:
        with torch.inference_mode():
            return fetch(forward(predict, inputs, precision))

    def batches() -> Iterator[tuple[list[Callable[[], np.ndarray]], Callable[[], np.ndarray]]]:
        size: int | None = None  # halved when the GPU runs out of memory
        for inputs in source.prediction(failures):
            parts, size = run_in_batches(start, inputs, size or len(inputs), inputs.device)
            if inputs.is_floating_point():
                yield parts, fetch(inputs.isfinite().all(dim=1))
            else:  # pixels are bytes, which are finite
                yield parts, partial(np.ones, len(inputs), bool)

    with progress(phase, len(source), verbose=source.verbose) as shown:
        for parts, is_sound in ahead(batches(), source.device):
            rows = np.concatenate([finish() for finish in parts])
            failed = [row for row in range(len(rows)) if done + row in failures]
            rows[failed] = np.nan
            expected = is_sound()
            expected[failed] = False
            finite = np.isfinite(rows).reshape(len(rows), -1).all(axis=1)
            wrong += [source.rows[done + int(row)] for row in np.flatnonzero(expected & ~finite)]
            done += len(rows)
            yield rows
            shown.update(len(rows))
    if wrong:
        raise FloatingPointError(
            f"The network gave NaN or infinity for {len(wrong)} of {source.n_images} photos, the "
            f'first X[{wrong[0]}]. Its arithmetic may be too coarse: set precision to "float32".'
        )
    warn_about_failures(list(failures.values()), source.n_images)
