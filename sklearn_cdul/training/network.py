"""The small network that learns the pseudo labels: building it and running it."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_cdul.cpu_engine import CPUEngine, can_run
from sklearn_cdul.devices import autocast, run_in_batches
from sklearn_cdul.exceptions import ImageError, WeightsUnavailableError
from sklearn_cdul.images.reading import warn_about_failures
from sklearn_cdul.progress import progress
from sklearn_cdul.training.regions import has_regions, mix_views, region_features
from sklearn_cdul.transfers import ahead, fetch

# The image tower of the embedded CLIP. Only its file is shared with the room of the encoders.
EMBEDDED_WEIGHTS = Path(__file__).parents[1] / "encoders/embedded/open_clip_model.safetensors"
EMBEDDED_ARCHITECTURE = "tf_efficientnet_lite2"
_EMBEDDED_TRUNK = "visual.trunk."
# Of networks that have predicted on a CPU: a print of their weights then, and the engine.
_engines: WeakKeyDictionary[nn.Module, tuple[list[float], CPUEngine]] = WeakKeyDictionary()
_ELSEWHERE = ("hf-hub:", "hf_hub:", "local-dir:")


class PhotoNetwork(nn.Module):
    """A backbone that takes uint8 pictures: scaling and normalisation are its first step.

    Parameters
    ----------
    backbone : Module
        Maps normalised float images (b, 3, H, W) to logits (b, k).
    mean, std : sequences of 3 floats
        Normalisation of each channel, for pixels in [0, 1].
    freeze_batch_norm : bool
        Keep the running statistics of batch normalisation, which small batches would spoil.

    Attributes
    ----------
    regions : int
        The feature map is also looked at in so many rows and columns of regions, see
        `look_at_regions`. With 1 it is averaged alone, as the backbone does.
    """

    mean: Tensor
    std: Tensor
    architecture: str | None = None  # the name under which timm builds the backbone, if any

    def __init__(self, backbone, mean, std, *, freeze_batch_norm):
        super().__init__()
        self.backbone = backbone
        self.freeze_batch_norm = freeze_batch_norm
        self.regions = 1
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255)

    def forward(
        self, pixels: Tensor, feature_map: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Logits (b, k) of pixels (b, 3, H, W) in [0, 255], uint8 or float.

        ``feature_map`` stands in for the backbone's ``forward_features``.
        """
        inputs = self.normalise(pixels)
        if self.regions == 1 and feature_map is None:
            return self.backbone(inputs)
        features = (feature_map or self.backbone.forward_features)(inputs)
        whole = self.backbone.forward_head(features)
        if self.regions == 1:
            return whole
        parts = region_features(self.backbone, features, self.regions)
        logits = self.backbone.forward_head(parts).unflatten(0, (-1, self.regions**2))
        return mix_views(torch.cat([whole.unsqueeze(1), logits], dim=1))

    @property
    def n_views(self) -> int:
        """How many vectors a photo the output layer sees: of the whole map and of each region."""
        return 1 if self.regions == 1 else 1 + self.regions**2

    def normalise(self, pixels: Tensor) -> Tensor:
        """Inputs of the backbone."""
        return (pixels.float() - self.mean) / self.std

    def train(self, mode: bool = True):
        """Set training mode, batch normalisation left in evaluation mode if it is frozen."""
        super().train(mode)
        if mode and self.freeze_batch_norm:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self


class _LinearInPrecisionOfInput(nn.Linear):
    def forward(self, vectors: Tensor) -> Tensor:
        weight, bias = (values.to(vectors.dtype) for values in self.parameters())
        return nn.functional.linear(vectors, weight, bias)


class EmbeddingNetwork(nn.Module):
    """A linear layer on standardised vectors, the network for ``input="embeddings"``.

    Parameters
    ----------
    embeddings : Tensor of shape (n, d)
        Training vectors, from which mean and standard deviation are taken.
    n_classes : int
        Number of outputs k.
    """

    mean: Tensor
    std: Tensor
    architecture = "linear"  # timm has none of this name
    n_views = 1

    def __init__(self, embeddings: Tensor, n_classes: int):
        super().__init__()
        embeddings = embeddings[~embeddings.isnan().any(dim=1)]  # rows of unreadable images
        self.register_buffer("mean", embeddings.mean(dim=0))
        spread = embeddings.std(dim=0, unbiased=False)
        self.register_buffer("std", torch.where(spread > 0, spread, 1.0))
        self.linear = _LinearInPrecisionOfInput(embeddings.shape[1], n_classes)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Logits (b, k) of vectors (b, d), computed in the precision of the vectors."""
        return self.linear((embeddings - self.mean) / self.std)

    def get_classifier(self) -> nn.Module:
        """The output layer, by the name that timm uses."""
        return self.linear


def build_photo_network(network: str | Callable[..., nn.Module], n_classes: int) -> PhotoNetwork:
    """Make the network with ``n_classes`` fresh outputs, without regions.

    Parameters
    ----------
    network : str or callable
        "embedded" for EfficientNet-Lite2 with the ImageNet weights in this package, a timm name,
        or a callable that is given ``num_classes=k`` and returns a Module.
    n_classes : int
        Number of outputs k.

    Returns
    -------
    network : PhotoNetwork

    Raises
    ------
    ValueError
        If timm has no model of that name.
    WeightsUnavailableError
        If timm can't get the pretrained weights.
    """
    import timm

    if not isinstance(network, str):
        backbone = network(num_classes=n_classes)
        if not isinstance(backbone, nn.Module):
            raise TypeError(
                "The callable given as network must return a torch.nn.Module; it returned "
                f"{type(backbone).__name__}."
            )
    elif network == "embedded":
        backbone = timm.create_model(EMBEDDED_ARCHITECTURE, num_classes=n_classes)
        backbone.load_state_dict(_embedded_trunk(), strict=False)
    else:
        backbone = _pretrained_timm_model(network, n_classes)
    config = timm.data.resolve_model_data_config(backbone) if _is_timm(backbone) else {}
    mean = config.get("mean", timm.data.IMAGENET_DEFAULT_MEAN)
    std = config.get("std", timm.data.IMAGENET_DEFAULT_STD)
    photo_network = PhotoNetwork(backbone, mean, std, freeze_batch_norm=isinstance(network, str))
    if isinstance(network, str):
        name = EMBEDDED_ARCHITECTURE if network == "embedded" else network
        photo_network.architecture = name if timm.is_model(name) else None
    return photo_network


def _is_timm(backbone) -> bool:
    return hasattr(backbone, "pretrained_cfg")


def _embedded_trunk() -> dict[str, Tensor]:
    from safetensors import safe_open

    with safe_open(EMBEDDED_WEIGHTS, framework="pt") as weights:
        return {
            key.removeprefix(_EMBEDDED_TRUNK): weights.get_tensor(key).float()
            for key in weights.keys()  # noqa: SIM118 - not a dict
            if key.startswith(_EMBEDDED_TRUNK)
        }


def _pretrained_timm_model(name: str, n_classes: int) -> nn.Module:
    import timm

    if not timm.is_model(name) and not name.startswith(_ELSEWHERE):
        close = timm.list_models(f"*{name}*")[:5]
        raise ValueError(
            f"network={name!r} is neither 'embedded' nor a model of timm."
            + (f" Did you mean one of {close}?" if close else " See timm.list_models().")
        )
    try:
        return timm.create_model(name, pretrained=True, num_classes=n_classes)
    except (OSError, RuntimeError) as error:
        raise WeightsUnavailableError(
            f"The pretrained weights of network={name!r} could not be loaded: {error}\n"
            "Without a connection, use network='embedded', or a callable such as "
            "functools.partial(timm.create_model, NAME, pretrained=True, "
            "pretrained_cfg_overlay={'file': 'PATH'})."
        ) from error


def resolve_image_size(image_size: int | str, network: str | Callable[..., nn.Module]) -> int:
    """Return the side of the network's input in pixels.

    Parameters
    ----------
    image_size : int or "auto"
        "auto" is 320, or the size that a network of timm was made for if it takes no other. Of
        callables and of names that point elsewhere ("hf-hub:") nothing is known: 224, as most are
        made for.
    network : str or callable
        See `build_photo_network`.

    Returns
    -------
    image_size : int
    """
    if image_size != "auto":
        return int(image_size)
    if not isinstance(network, str) or network.startswith(_ELSEWHERE):
        return 224
    if network == "embedded":
        return 320
    import timm

    try:
        config = timm.get_pretrained_cfg(network) if timm.is_model(network) else None
    except RuntimeError:  # no such tag of weights; building the network says so
        config = None
    return config.input_size[-1] if config and config.fixed_input_size else 320


def check_input_size(network: nn.Module, image_size: int, n_classes: int) -> None:
    """Run one grey picture through, so that an unfit network fails before the long part.

    Raises
    ------
    ValueError
        If the network refuses pictures of this size, or gives something else than (b, k) logits.
    """
    pixels = torch.full((1, 3, image_size, image_size), 128, dtype=torch.uint8)
    try:
        with torch.inference_mode():
            shape = tuple(network.eval()(pixels).shape)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"The network does not take pictures of image_size={image_size}: {error}"
        ) from error
    if shape != (1, n_classes):
        raise ValueError(
            f"The network must give one logit a class, shape (b, {n_classes}); one picture gave "
            f"{shape}."
        )


def look_at_regions(network: PhotoNetwork, regions: int, image_size: int) -> None:
    """Let a network look at the regions of its feature map, if it has one.

    Parameters
    ----------
    network : PhotoNetwork
        In evaluation mode. Changed in place.
    regions : int
        See `PhotoNetwork`.
    image_size : int
        Side of its input.
    """
    grey = torch.full((1, 3, image_size, image_size), 128.0)
    if regions > 1 and has_regions(network.backbone, network.normalise(grey)):
        network.regions = regions


def output_layer(network: nn.Module) -> nn.Linear | None:
    """The network's last layer where timm's ``get_classifier`` tells it, else None."""
    model: Any = getattr(network, "backbone", network)
    layer = model.get_classifier() if hasattr(model, "get_classifier") else None
    return layer if isinstance(layer, nn.Linear) else None


def fastest(
    network: nn.Module, device: torch.device, precision: torch.dtype
) -> Callable[[Tensor], Tensor]:
    """Return the fastest way to a network's logits, for prediction.

    Parameters
    ----------
    network : Module
    device : torch.device
    precision : torch.dtype

    Returns
    -------
    predict : callable
        Inputs to logits: on CPUs with the feature map from ONNX Runtime, if that can run just these
        layers; else the network itself.
    """
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
    """In what a network predicts: the source's precision, or float32 by ONNX Runtime.

    Parameters
    ----------
    network : Module
    source : PhotoSource or EmbeddingSource

    Returns
    -------
    precision : torch.dtype
        Float32 where the choice is ours and ONNX Runtime can run the network: it is faster than
        torch in bfloat16, on CPUs that have it too.
    """
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
    """Logits of all photos.

    Parameters
    ----------
    network : Module
    source : PhotoSource or EmbeddingSource
    precision : torch.dtype
    kept : KeptRows or None, default=None
        Where batches are kept, and those that the same call made before it was killed are found.
    phase : str, default="Predicting"
        What the progress is called.

    Returns
    -------
    logits : ndarray of shape (n, k), float32
        NaN rows stand for photos that could not be read, and one warning counts them.

    Raises
    ------
    FloatingPointError
        If the network gives NaN or infinity for anything else.
    """
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
