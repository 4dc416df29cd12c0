"""The small network that learns the pseudo labels: building it, feeding it, running it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2

from sklearn_cdul.devices import autocast
from sklearn_cdul.exceptions import EncoderUnavailableError, ImageError
from sklearn_cdul.images import map_images, warn_about_failures

EMBEDDED_WEIGHTS = Path(__file__).parent / "embedded" / "open_clip_model.safetensors"
EMBEDDED_ARCHITECTURE = "tf_efficientnet_lite0"
_EMBEDDED_TRUNK = "visual.trunk."

# Training crops are cut from pictures a little larger than the network's input, as is usual.
_CROP_MARGIN = 8 / 7
# Decoded training pictures up to this many bytes stay in memory; above, each epoch decodes anew.
_KEEP_DECODED_BYTES = 2**30


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
    """

    def __init__(self, backbone, mean, std, *, freeze_batch_norm):
        super().__init__()
        self.backbone = backbone
        self.freeze_batch_norm = freeze_batch_norm
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (b, k) of pixels (b, 3, H, W) in [0, 255], uint8 or float."""
        return self.backbone((pixels.float() - self.mean) / self.std)

    def train(self, mode: bool = True):
        """Set training mode, batch normalisation left in evaluation mode if it is frozen."""
        super().train(mode)
        if mode and self.freeze_batch_norm:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self


class EmbeddingNetwork(nn.Module):
    """A linear layer on standardised vectors, the network for ``input="embeddings"``.

    Parameters
    ----------
    embeddings : Tensor of shape (n, d)
        Training vectors, from which mean and standard deviation are taken.
    n_classes : int
        Number of outputs k.
    """

    def __init__(self, embeddings: Tensor, n_classes: int):
        super().__init__()
        self.register_buffer("mean", embeddings.mean(dim=0))
        spread = embeddings.std(dim=0, unbiased=False)
        self.register_buffer("std", torch.where(spread > 0, spread, 1.0))
        self.linear = nn.Linear(embeddings.shape[1], n_classes)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Logits (b, k) of vectors (b, d)."""
        return self.linear((embeddings - self.mean) / self.std)

    def get_classifier(self) -> nn.Module:
        """The output layer, by the name that timm uses."""
        return self.linear


def build_photo_network(network: str | Callable[..., nn.Module], n_classes: int) -> PhotoNetwork:
    """Make the network with ``n_classes`` fresh outputs.

    Parameters
    ----------
    network : str or callable
        "embedded" for EfficientNet-Lite0 with the ImageNet weights in this package, a timm name,
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
    EncoderUnavailableError
        If timm can't get the pretrained weights.
    """
    import timm

    mean: tuple[float, ...]
    std: tuple[float, ...]
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
    return PhotoNetwork(backbone, mean, std, freeze_batch_norm=isinstance(network, str))


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

    # timm's own message names close matches of an unknown model.
    if not timm.is_model(name) and not name.startswith(("hf-hub:", "hf_hub:", "local-dir:")):
        close = timm.list_models(f"*{name}*")[:5]
        raise ValueError(
            f"network={name!r} is neither 'embedded' nor a model of timm."
            + (f" Did you mean one of {close}?" if close else " See timm.list_models().")
        )
    try:
        return timm.create_model(name, pretrained=True, num_classes=n_classes)
    except (OSError, RuntimeError) as error:
        raise EncoderUnavailableError(
            f"The pretrained weights of network={name!r} could not be loaded: {error}\n"
            "Without a connection, use network='embedded', or a callable such as "
            "functools.partial(timm.create_model, NAME, pretrained=True, "
            "pretrained_cfg_overlay={'file': 'PATH'})."
        ) from error


def output_layer(network: nn.Module) -> nn.Module | None:
    """The network's last layer where timm's ``get_classifier`` tells it, else None."""
    model = getattr(network, "backbone", network)
    layer = model.get_classifier() if hasattr(model, "get_classifier") else None
    return layer if isinstance(layer, nn.Linear) else None


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


def parameter_groups(network: nn.Module, learning_rate: float, head_learning_rate: float):
    """Optimizer groups: the fresh output layer learns at its own rate.

    Returns
    -------
    groups : list of dict
        For torch optimizers.
    """
    layer = output_layer(network)
    head = list(layer.parameters()) if layer is not None else []
    chosen = {id(parameter) for parameter in head}
    rest = [p for p in network.parameters() if id(p) not in chosen and p.requires_grad]
    groups = [{"params": rest, "lr": learning_rate}, {"params": head, "lr": head_learning_rate}]
    return [group for group in groups if group["params"]]


class PhotoBatches:
    """Batches of pictures for training and for prediction.

    Pictures are stretched to a square, as the encoder's views are, so no object is cut away.
    Training pictures are randomly cropped and flipped; the random numbers are torch's.

    Parameters
    ----------
    images : list
        Images that passed ``check_images``.
    image_size : int
        Side of the network's input in pixels.
    batch_size : int
        Photos a batch.
    device : torch.device
        Where batches are put.
    n_jobs : int or None
        Threads that decode.
    min_crop : float
        Smallest share of the picture's area that a training crop shows, in (0, 1].
    on_error : {"raise", "nan"}
        See ``map_images``. With "nan" a bad image is a black picture.
    """

    def __init__(
        self, images, *, image_size, batch_size, device, n_jobs=None, min_crop=0.5, on_error="raise"
    ):
        self.images = images
        self.image_size = image_size
        self.batch_size = batch_size
        self.device = device
        self.n_jobs = n_jobs
        self.on_error = on_error
        self._training_size = round(image_size * _CROP_MARGIN)
        self._crop = v2.Compose(
            [
                v2.RandomResizedCrop(image_size, scale=(min_crop, 1.0), antialias=True),
                v2.RandomHorizontalFlip(),
            ]
        )
        self._decoded: Tensor | None = None

    def training(self) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch: every image once, in random order, randomly cropped and flipped."""
        order = torch.randperm(len(self.images))
        pictures = self._training_pictures(order)
        for indices in order.split(self.batch_size):
            crops = torch.stack([self._crop(next(pictures)) for _ in indices])
            yield indices.to(self.device), self._to_device(crops)

    def prediction(self, failures: list[ImageError]) -> Iterator[Tensor]:
        """All images once, in order, whole; ``failures`` is filled as in ``map_images``."""
        pictures = self._pictures(range(len(self.images)), self.image_size, failures)
        for start in range(0, len(self.images), self.batch_size):
            count = min(self.batch_size, len(self.images) - start)
            yield self._to_device(torch.stack([next(pictures) for _ in range(count)]))

    def _training_pictures(self, order) -> Iterator[Tensor]:
        size = self._training_size
        if 3 * size**2 * len(self.images) > _KEEP_DECODED_BYTES:
            return self._pictures(order.tolist(), size)
        if self._decoded is None:
            self._decoded = torch.stack(list(self._pictures(range(len(self.images)), size)))
        return (self._decoded[index] for index in order)

    def _pictures(self, indices, size, failures=None) -> Iterator[Tensor]:
        def resize(image):
            return np.array(image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3))

        decoded = map_images(
            resize,
            self.images,
            indices=indices,
            n_jobs=self.n_jobs,
            min_size=(size, size),
            on_error=self.on_error,
            failures=failures,
        )
        for picture in decoded:
            if picture is None:  # the caller learns of it from failures
                picture = np.zeros((size, size, 3), dtype=np.uint8)
            yield torch.from_numpy(picture).permute(2, 0, 1)

    def _to_device(self, pictures: Tensor) -> Tensor:
        # uint8 travels: a quarter of the bytes of float32.
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        if self.device.type == "cuda":
            pictures = pictures.pin_memory()
        return pictures.to(self.device, non_blocking=True)


class EmbeddingBatches:
    """Batches of vectors, with the methods of :class:`PhotoBatches`.

    Parameters
    ----------
    embeddings : ndarray of shape (n, d), float32
    batch_size : int
    device : torch.device
    """

    def __init__(self, embeddings, *, batch_size, device):
        self.embeddings = torch.as_tensor(embeddings, dtype=torch.float32, device=device)
        self.batch_size = batch_size

    def training(self) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch: every vector once, in random order."""
        order = torch.randperm(len(self.embeddings)).to(self.embeddings.device)
        for indices in order.split(self.batch_size):
            yield indices, self.embeddings[indices]

    def prediction(self, failures: list[ImageError]) -> Iterator[Tensor]:
        """All vectors once, in order; vectors don't fail."""
        yield from self.embeddings.split(self.batch_size)


def forward(network: nn.Module, inputs: Tensor, precision: torch.dtype) -> Tensor:
    """Float32 logits, computed at the given precision on the inputs' device."""
    with autocast(inputs.device, precision):
        logits = network(inputs)
    return logits.float()


def predict_logits(network: nn.Module, batches, precision: torch.dtype) -> np.ndarray:
    """Logits of all images.

    Parameters
    ----------
    network : Module
    batches : PhotoBatches or EmbeddingBatches
    precision : torch.dtype

    Returns
    -------
    logits : ndarray of shape (n, k), float32
        NaN rows stand for images that could not be read, and one warning counts them.
    """
    network.eval()
    failures: list[ImageError] = []
    with torch.inference_mode():
        logits = np.concatenate(
            [
                forward(network, inputs, precision).cpu().numpy()
                for inputs in batches.prediction(failures)
            ]
        )
    logits[[failure.index for failure in failures]] = np.nan
    warn_about_failures(failures, len(logits))
    return logits
