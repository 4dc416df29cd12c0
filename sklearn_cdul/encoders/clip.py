"""Turn prompts and views of images into CLIP embeddings."""

import copy
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_cdul.compute.cpu_engine import INT8_GRAPH, CPUEngine, can_run, graph_digest
from sklearn_cdul.compute.devices import autocast, free_cache, memory_format, run_in_batches
from sklearn_cdul.compute.transfers import to_device
from sklearn_cdul.encoders.base import BaseEncoder
from sklearn_cdul.encoders.dense import DenseTower, dense_tower, window_means
from sklearn_cdul.encoders.texts import PROMPTS_PER_BATCH
from sklearn_cdul.images.views import Preprocessing

# Prompts whose tokens tell how a tokenizer treats case, accents, spaces, signs and length.
_PROBES = ["A Café&amp;  t-shirt_3 — 猫", "dog " * 100]


class CLIPEncoder(BaseEncoder):
    """A CLIP model that encodes prompts and images into one space."""

    def __init__(
        self,
        model: Any,
        tokenizer: Callable[[list[str]], Tensor],
        preprocessing: Preprocessing,
        *,
        device: torch.device,
        dtype: torch.dtype,
    ):
        self._model = model.to(device)
        # Batch normalisation stays apart: folded into bfloat16 weights it is a third faster on a
        # CPU, but embeddings stray twice as far from float32.
        self._model.visual.to(memory_format=memory_format(device))
        self._tokenizer = tokenizer
        self.preprocessing = preprocessing
        self.device = device
        self.dtype = dtype
        self.temperature = float(1 / self._model.logit_scale.detach().exp())
        # That of OpenAI's CLIP has learned English; words of other scripts fall apart into bytes.
        self.english_only = type(tokenizer).__name__ == "SimpleTokenizer"
        mean = torch.tensor(preprocessing.mean).view(1, 3, 1, 1)
        std = torch.tensor(preprocessing.std).view(1, 3, 1, 1)
        # (pixel / 255 - mean) / std as one multiplication and one addition
        self._scale = (1 / (255 * std)).float().to(device)
        self._shift = (-mean / std).float().to(device)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the image tower, `preprocessing` and `dtype`, which make embeddings."""
        tower = self._model.visual
        settings = [_in_print(tower), self.preprocessing, self.dtype]
        if self.dtype == torch.int8:
            settings.append(graph_digest(INT8_GRAPH))
        return _digest(tower.state_dict(), *settings)

    @cached_property
    def text_fingerprint(self) -> str | None:
        """Digest of the text tower and the tokenizer, which make embeddings of prompts."""
        weights = {
            name: tensor
            for name, tensor in self._model.state_dict().items()
            if not name.startswith(("visual.", "logit_"))
        }
        modules = [
            (name, type(module).__name__, _plain_settings(module))
            for name, module in self._model.named_modules()
            if name.split(".")[0] != "visual"
        ]
        layers = _in_print({n: m for n, m in self._model.named_children() if n != "visual"})
        return _digest(weights, modules, layers, _tokenizer_in_print(self._tokenizer))

    @cached_property
    def _engine(self) -> CPUEngine | None:
        """What runs the image tower in place of torch, if it can."""
        if self.dtype == torch.int8:
            return CPUEngine(INT8_GRAPH, {})
        trunk: Any = getattr(self._model.visual, "trunk", None)  # of timm, if there is one
        architecture: Any = getattr(trunk, "pretrained_cfg", {}).get("architecture")
        if not can_run(architecture, self.device, self.dtype):
            return None
        return CPUEngine(architecture, trunk.state_dict())

    @property
    def _projection(self) -> np.ndarray | None:
        """The matrix (d, c) from features to embeddings; None if more than that is between."""
        visual: Any = self._model.visual
        matrix = getattr(visual, "proj", None)  # of open_clip's own ViT, (c, d)
        if hasattr(visual, "trunk"):  # of timm
            end = visual.trunk.get_classifier()
            layers = [end, *visual.head.children()] if hasattr(visual, "head") else [end]
            layers = [m for m in layers if not isinstance(m, nn.Dropout | nn.Identity)]
            matrix = torch.eye(visual.trunk.num_features).float()
            if layers:
                plain = len(layers) == 1 and isinstance(layers[0], nn.Linear)
                matrix = layers[0].weight.T if plain and layers[0].bias is None else None
        return None if matrix is None else matrix.detach().T.float().cpu().numpy()

    @property
    def _auto_batch_size(self) -> int:
        if self._engine is None:
            return super()._auto_batch_size
        # Its threads wait for each other only at the end of a batch.
        return max(20, 5 * torch.get_num_threads())

    def __getstate__(self) -> dict[str, Any]:
        """State for pickle, without what is made anew."""
        return {key: value for key, value in super().__getstate__().items() if key != "_engine"}

    def offload(self) -> None:
        """Take the weights off the GPU; they come back when they are next needed."""
        if self.device.type != "cpu":
            self._model = _moved(self._model, torch.device("cpu"))
            free_cache(self.device)

    def _model_on_device(self) -> Any:
        if self._model.logit_scale.device.type != self.device.type:
            self._model = _moved(self._model, self.device)
        return self._model

    def encode_text(self, prompts: Iterable[str]) -> np.ndarray:
        """Embed prompts, in float32."""

        def encode(batch: list[str]) -> np.ndarray:
            with torch.inference_mode():
                features = model.encode_text(self._tokenizer(batch).to(self.device))
                return _unit(features).cpu().numpy()

        model = self._model_on_device()
        results, _ = run_in_batches(encode, list(prompts), PROMPTS_PER_BATCH, self.device)
        return np.concatenate(results)

    def is_truncated(self, prompts: Sequence[str]) -> np.ndarray:
        """Whether prompts are longer than the tokenizer's context; see `BaseEncoder`.

        A prompt that fills the context to the last token counts as longer.
        """
        context = self._tokenizer([""]).shape[1]
        # No token is shorter than a byte, and two mark the ends.
        long = [index for index, text in enumerate(prompts) if len(text.encode()) > context - 3]
        cut = np.zeros(len(prompts), dtype=bool)
        for start in range(0, len(long), PROMPTS_PER_BATCH):
            rows = long[start : start + PROMPTS_PER_BATCH]
            texts = [prompts[index] for index in rows]
            # What more is said is not read.
            more = self._tokenizer([f"{text} more" for text in texts])
            cut[rows] = (self._tokenizer(texts) == more).all(dim=1).numpy()
        return cut

    def encode_views(self, views: np.ndarray) -> Tensor:
        """Embed a batch of views as `make_views` makes them, in one forward pass."""
        model = self._model_on_device()
        with torch.inference_mode():
            if self._engine is not None:
                maps = torch.from_numpy(self._engine.run(views, self._normalised))
                return _unit(model.visual.head(model.visual.trunk.forward_head(maps)))
            with autocast(self.device, self.dtype):
                features = model.encode_image(self._pixels(views))
            return _unit(features)

    @property
    def dense_preprocessing(self) -> Preprocessing:
        """Size and kind of the photos that ``encode_dense`` takes."""
        tower = dense_tower(self._model.visual, self.preprocessing.image_size)
        return replace(self.preprocessing, image_size=tower.input_size)

    def encode_dense(self, views: np.ndarray, grid_size: int, *, whole: bool = True) -> Tensor:
        """Embed a batch of photos, whole and in windows; see `BaseEncoder`."""
        tower = self._dense_tower
        with torch.inference_mode():
            pixels = self._pixels(views)
            with autocast(self.device, self.dtype):
                photos, maps = tower.read(pixels, whole=whole)
            means = window_means(maps, grid_size)
            with autocast(self.device, self.dtype):
                windows = tower.embed(means.flatten(0, 1))
            vectors = _unit(windows).unflatten(0, means.shape[:2])
            # Cells of plain black may have no direction; they tell no more than the others do.
            rest = _unit(vectors.sum(dim=1, keepdim=True))
            vectors = torch.where(vectors.any(dim=-1, keepdim=True), vectors, rest)
            if whole and photos is not None:
                vectors = torch.cat([_unit(photos).unsqueeze(1), vectors], dim=1)
            return vectors

    @property
    def _dense_tower(self) -> DenseTower:
        maps = None if self._engine is None else self._maps
        visual = self._model_on_device().visual
        return dense_tower(visual, self.preprocessing.image_size, maps)

    def _maps(self, pixels: Tensor) -> Tensor:
        engine: Any = self._engine
        return torch.from_numpy(engine.run(pixels.numpy()))

    def _pixels(self, views: np.ndarray) -> Tensor:
        if self._engine is not None:
            return torch.from_numpy(self._normalised(views))
        # Bytes travel, not floats; NHWC seen as NCHW is channels_last already.
        pixels = to_device(torch.from_numpy(views), self.device).permute(0, 3, 1, 2)
        return pixels.float().mul_(self._scale).add_(self._shift)

    def _normalised(self, views: np.ndarray) -> np.ndarray:
        # Channels are taken apart before bytes become floats: six times faster. Not by torch, whose
        # threads would wait for each other.
        pixels = np.ascontiguousarray(views.transpose(0, 3, 1, 2)).astype(np.float32)
        pixels *= self._scale.numpy()
        pixels += self._shift.numpy()
        return pixels


def _unit(features: Tensor) -> Tensor:
    return nn.functional.normalize(features.float(), dim=-1)


def _moved(model: nn.Module, device: torch.device) -> nn.Module:
    """Copy a model to another device. Threads that are using the old one can go on with it."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    copies: dict[int, Any] = {}
    for tensor in tensors.values():
        moved = tensor.detach().to(device)
        is_parameter = isinstance(tensor, nn.Parameter)
        copies[id(tensor)] = nn.Parameter(moved, requires_grad=False) if is_parameter else moved
    return copy.deepcopy(model, copies)


def _digest(weights: dict[str, Any], *settings: Any) -> str:
    digest = hashlib.blake2b(repr(settings).encode(), digest_size=16)
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _in_print(layers: Any) -> str:
    # This tells what weights don't: activations, strides. Addresses change.
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(layers))


def _tokenizer_in_print(tokenizer: Any) -> Any:
    inner = getattr(tokenizer, "tokenizer", tokenizer)  # open_clip wraps those of transformers
    words = inner.get_vocab() if hasattr(inner, "get_vocab") else getattr(inner, "encoder", {})
    return type(inner).__name__, sorted(words.items()), tokenizer(_PROBES).tolist()


def _plain_settings(module: nn.Module) -> list[tuple[str, Any]]:
    """Return what a module holds besides weights and layers, such as which token is pooled."""
    kinds = (bool, int, float, str, type(None))
    return sorted((name, v) for name, v in vars(module).items() if isinstance(v, kinds))
