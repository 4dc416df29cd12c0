"""Read what a network's last layer receives of each photo, and keep it in a store."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_cdul.memory.store import Store
from sklearn_cdul.training.batches import FeatureSource, PhotoSource, Source
from sklearn_cdul.training.logits import fastest, iter_outputs
from sklearn_cdul.training.network import output_layer
from sklearn_cdul.training.ranks import Ranks

# A ridge head is fitted to at most so many photos: it takes O(n v d) memory and O(n v d^2) time.
PROBE_PHOTOS = 20_000
# Photos per block of stored features.
_BLOCK = 256
# Counts up when the same network gives other features of the same photo.
_VERSION = 1


class _FeatureReader(nn.Module):
    """Gives what a network's last layer receives, in place of what the network gives."""

    def __init__(self, predict: Callable[[Tensor], Tensor], layer: nn.Linear):
        super().__init__()
        self.predict = predict
        self.layer = layer

    def forward(self, inputs: Tensor) -> Tensor:
        received: list[Tensor] = []
        hook = self.layer.register_forward_pre_hook(lambda _, given: received.append(given[0]))
        try:
            self.predict(inputs)
        finally:
            hook.remove()
        # A layer that sees several vectors per photo for other reasons can't be fitted to labels
        # of photos; nor can one that is not used.
        if not received or any(vectors.ndim != 2 for vectors in received):
            return inputs.new_empty(len(inputs), 0)
        return torch.cat([vectors.unflatten(0, (len(inputs), -1)) for vectors in received], dim=1)


def ridge_layer(network: Any) -> nn.Linear | None:
    """The network's last layer, if it can be a ridge head."""
    layer = output_layer(network)
    if layer is None or layer.bias is None:
        return None
    with torch.inference_mode():
        shape = _FeatureReader(network.eval(), layer)(network.example()).shape
    return layer if tuple(shape) == (1, network.n_views, layer.in_features) else None


def open_store(memory: str | os.PathLike[str] | None) -> AbstractContextManager[Store | None]:
    """The store in a folder, or None if no folder is given."""
    return nullcontext() if memory is None else Store(memory)


def draw_sample(n_photos: int) -> np.ndarray:
    """Sorted rows of the photos that a ridge head is fitted to: all, or a random sample."""
    rows = torch.randperm(n_photos)[:PROBE_PHOTOS].sort().values.numpy()
    return Ranks().agree(rows)


def read_sample(network: Any, source: Source, rows: np.ndarray, store: Store | None) -> np.ndarray:
    """Features (n, n_views, d) of these photos; of those that can't be read the others' mean."""
    if isinstance(source, FeatureSource) and len(rows) == len(source):
        return source.features
    part = source.select(rows.tolist())
    features = from_features(network, part, store, lambda positions, batch: batch)
    readable = np.isfinite(features).all(axis=(1, 2))
    if not readable.all():
        features[~readable] = features[readable].mean(axis=0) if readable.any() else 0
    return features


def from_features(
    network: Any,
    source: Source,
    store: Store | None,
    function: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Rows that a function of positions (b,) and features (b, n_views, d) gives of all photos.

    Features are float32, and NaN of photos that can't be read. No more than a batch is held.
    """

    def read(own: range) -> np.ndarray:
        share, result = source.select(own), np.empty(0)
        for positions, batch in _iter_features(network, share, store):
            rows = function(own.start + positions, batch)
            if len(result) == 0:
                result = np.empty((len(own), *rows.shape[1:]), rows.dtype)
            result[positions] = rows
        return result

    return Ranks().in_shares(read, len(source), source.device)


def _iter_features(
    network: Any, source: Any, store: Store | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield positions and features: first those in the store, then the others as they come."""
    if isinstance(source, FeatureSource):
        for rows in np.array_split(np.arange(len(source)), -(-len(source) // _BLOCK) or 1):
            yield rows, source.features[rows]
        return
    layer: Any = output_layer(network)
    shape = network.n_views, layer.in_features
    keys = _keys(network, layer, source) if store is not None else [None] * len(source)
    missing: list[int] = []
    for start in range(0, len(keys), _BLOCK):
        stored = {}
        for position in range(start, min(start + _BLOCK, len(keys))):
            key = keys[position]
            value = None if key is None or store is None else store.get(key)
            if value is None or len(value) != 4 * shape[0] * shape[1]:
                missing.append(position)
            else:
                stored[position] = np.frombuffer(value, dtype=np.float32).reshape(shape)
        if stored:
            yield np.fromiter(stored, dtype=int), np.stack(list(stored.values()))
    if not missing:
        return
    precision = source.training_precision
    reader = _FeatureReader(fastest(network, source.device, precision), layer)
    rest, done = source.select(missing), 0
    for batch in iter_outputs(reader.eval(), rest, precision, phase="Reading features"):
        positions = np.array(missing[done : done + len(batch)])
        done += len(batch)
        if store is not None:
            store.put(
                {
                    key: features.tobytes()
                    for position, features in zip(positions, batch, strict=True)
                    if (key := keys[position])
                    and np.isfinite(features).all()
                    # Someone may have written to the file since it was read for its digest.
                    and not source.has_changed(position)
                }
            )
        yield positions, batch


def _keys(network: Any, layer: nn.Linear, source: Any) -> Sequence[bytes | None]:
    """A key per photo; None where the photo's content or what the network does is not known."""
    contents = source.contents if isinstance(source, PhotoSource) else None
    if contents is None or (described := _describe(network, layer)) is None:
        return [None] * len(source)
    kind = (b"features", described, source.image_size, network.n_views)
    end = repr((*kind, str(source.training_precision), _VERSION)).encode()
    known = (contents[row] for row in source.rows)
    return [c and hashlib.blake2b(c.digest + end, digest_size=16).digest() for c in known]


def _describe(network: Any, layer: nn.Linear) -> str | None:
    """A digest of all that makes the features; None where that can't be known."""
    # Layers of other packages, and layers with a method of their own, may compute something else
    # under the same names and weights.
    import timm

    digest = hashlib.blake2b(timm.__version__.encode(), digest_size=16)
    for name, module in network.backbone.named_modules():
        kind = type(module)
        is_known = kind.__module__.split(".")[0] in ("torch", "torchvision", "timm")
        own = [key for key, value in vars(module).items() if callable(value) and hasattr(kind, key)]
        if not is_known or own or module._forward_hooks or module._forward_pre_hooks:
            return None
        if module is not layer:
            settings = {
                key: value
                for key, value in vars(module).items()
                if isinstance(value, bool | int | float | str | tuple)
                and key not in ("training", "num_classes")
            }
            digest.update(repr((name, kind.__qualname__, sorted(settings.items()))).encode())
    head = {value.data_ptr() for value in layer.state_dict().values()}
    for name, value in [*network.named_parameters(), *network.named_buffers()]:
        # What is behind the features does not change them.
        if value.data_ptr() not in head and not name.startswith("zero_shot."):
            digest.update(repr((name, tuple(value.shape), str(value.dtype))).encode())
            digest.update(value.cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
