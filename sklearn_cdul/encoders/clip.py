"""Turn prompts and views of images into CLIP embeddings."""

import hashlib
import re
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_cdul.devices import autocast, run_in_batches
from sklearn_cdul.encoders.base import BaseEncoder
from sklearn_cdul.images.views import Preprocessing

_PROMPTS_PER_BATCH = 256


class CLIPEncoder(BaseEncoder):
    """A CLIP model that encodes prompts and images into one space.

    Parameters
    ----------
    model : Module
        A model of open_clip, in evaluation mode. It is moved to the device.
    tokenizer : callable
        Turns a list of prompts into an int64 tensor of shape (n, context length).
    preprocessing : Preprocessing
        What the image tower expects.
    device : torch.device
        Where to compute.
    dtype : torch.dtype
        In what the image tower computes: torch.float32, torch.bfloat16 or torch.float16.
    """

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
        self._model.visual.to(memory_format=torch.channels_last)
        self._tokenizer = tokenizer
        self.preprocessing = preprocessing
        self.device = device
        self.dtype = dtype
        self.temperature = float(1 / self._model.logit_scale.detach().exp())
        mean = torch.tensor(preprocessing.mean, device=device).view(1, 3, 1, 1)
        std = torch.tensor(preprocessing.std, device=device).view(1, 3, 1, 1)
        # (pixel / 255 - mean) / std as one multiplication and one addition
        self._scale = 1 / (255 * std)
        self._shift = -mean / std

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the image tower, `preprocessing` and `dtype`, which make embeddings."""
        tower = self._model.visual
        # Layers in print tell what weights don't: activations, strides. Addresses change.
        layers = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(tower))
        settings = repr((layers, self.preprocessing, self.dtype))
        digest = hashlib.blake2b(settings.encode(), digest_size=16)
        for name, tensor in sorted(tower.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    def encode_text(self, prompts: Iterable[str]) -> np.ndarray:
        """Embed prompts, in float32.

        Parameters
        ----------
        prompts : iterable of str, length n
            Whole prompts, at least one.

        Returns
        -------
        embeddings : ndarray of shape (n, d), dtype float32
            Of length 1 each.
        """

        def encode(batch: list[str]) -> np.ndarray:
            with torch.inference_mode():
                features = self._model.encode_text(self._tokenizer(batch).to(self.device))
                return _unit_length(features)

        results, _ = run_in_batches(encode, list(prompts), _PROMPTS_PER_BATCH, self.device)
        return np.concatenate(results)

    def encode_views(self, views: np.ndarray) -> np.ndarray:
        """Embed a batch of views as `make_views` makes them, in one forward pass.

        Parameters
        ----------
        views : ndarray of shape (b, H, W, 3), dtype uint8
            (H, W) as in ``preprocessing.image_size``.

        Returns
        -------
        embeddings : ndarray of shape (b, d), dtype float32
            Of length 1 each.
        """
        pixels = torch.from_numpy(views)
        if self.device.type == "cuda":
            pixels = pixels.pin_memory()
        with torch.inference_mode():
            # Bytes travel, not floats; NHWC seen as NCHW is channels_last already.
            pixels = pixels.to(self.device, non_blocking=True).permute(0, 3, 1, 2)
            pixels = pixels.float().mul_(self._scale).add_(self._shift)
            with autocast(self.device, self.dtype):
                features = self._model.encode_image(pixels)
            return _unit_length(features)


def _unit_length(features: Tensor) -> np.ndarray:
    return nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
