"""Turn prompts and views of images into CLIP embeddings."""

import hashlib
import re
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import cached_property, partial
from itertools import islice, tee
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from sklearn_cdul.devices import autocast, run_in_batches
from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images import check_images, map_images, warn_about_failures
from sklearn_cdul.views import Preprocessing, make_views, n_views, required_size

# Small batches stay in the cache of a CPU; a GPU wants many views at once.
_AUTO_BATCH_SIZE = {"cpu": 10, "cuda": 320}
_PROMPTS_PER_BATCH = 256


class CLIPEncoder:
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
    model_name : str
        For the user's information.

    Attributes
    ----------
    embedding_dim : int
        Length d of the embeddings.
    temperature : float
        The model's own softmax temperature, ``1 / exp(logit_scale)``.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Callable[[list[str]], Tensor],
        preprocessing: Preprocessing,
        *,
        device: torch.device,
        dtype: torch.dtype,
        model_name: str,
    ):
        self._model = model.to(device)
        # Batch normalisation stays apart: folded into bfloat16 weights it is a third faster on a
        # CPU, but embeddings stray twice as far from float32.
        self._model.visual.to(memory_format=torch.channels_last)
        self._tokenizer = tokenizer
        self.preprocessing = preprocessing
        self.device = device
        self.dtype = dtype
        self.model_name = model_name
        self.temperature = float(1 / self._model.logit_scale.detach().exp())
        self.embedding_dim = self.encode_text(["a photo"]).shape[1]
        mean = torch.tensor(preprocessing.mean, device=device).view(1, 3, 1, 1)
        std = torch.tensor(preprocessing.std, device=device).view(1, 3, 1, 1)
        # (pixel / 255 - mean) / std as one multiplication and one addition
        self._scale = 1 / (255 * std)
        self._shift = -mean / std
        self._classes: dict[tuple[tuple[str, ...], ...], np.ndarray] = {}
        self._largest_batch: int | None = None  # known once the GPU has run out of memory

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

    def encode_classes(self, prompts_per_class: Sequence[Sequence[str]]) -> np.ndarray:
        """Embed classes, each as the mean of its normalised prompts, normalised again.

        The last few lists are remembered, for searches that fit the same classes many times.

        Parameters
        ----------
        prompts_per_class : sequence of sequences of str, length k
            At least one prompt for each class.

        Returns
        -------
        embeddings : ndarray of shape (k, d), dtype float32
            Of length 1 each.
        """
        key = tuple(tuple(prompts) for prompts in prompts_per_class)
        classes = self._classes.get(key)
        if classes is None:
            embeddings = self.encode_text(prompt for prompts in key for prompt in prompts)
            parts = np.split(embeddings, np.cumsum([len(prompts) for prompts in key])[:-1])
            means = np.stack([part.mean(axis=0) for part in parts])
            classes = means / np.linalg.norm(means, axis=1, keepdims=True)
            recent = self._classes if len(self._classes) < 16 else {}
            self._classes = {**recent, key: classes}
        return classes.copy()

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

    def encode_images(
        self,
        images: Any,
        *,
        grid_size: int = 3,
        batch_size: int | str = "auto",
        n_jobs: int | None = None,
        on_error: str = "raise",
        verbose: bool = False,
    ) -> np.ndarray:
        """Embed images, whole and in snippets.

        Parameters
        ----------
        images : sequence of images, length n
            See `check_images`.
        grid_size, batch_size, n_jobs, on_error
            See `iter_embeddings`.
        verbose : bool, default=False
            Show the progress.

        Returns
        -------
        embeddings : ndarray of shape (n, n_views, d), dtype float32
            Of length 1 each: the whole image, then its snippets row by row. With
            ``on_error="nan"`` NaN for an image that can't be used.

        Raises
        ------
        ImageError
            At the first image that can't be used, unless ``on_error="nan"``.

        Warns
        -----
        UserWarning
            With the number of images that can't be used, if ``on_error="nan"``.
        """
        images = check_images(images)
        shape = (len(images), n_views(grid_size), self.embedding_dim)
        result = np.empty(shape, dtype=np.float32)
        failures: list[ImageError] = []
        batches = self.iter_embeddings(
            images,
            grid_size=grid_size,
            batch_size=batch_size,
            n_jobs=n_jobs,
            on_error=on_error,
            failures=failures,
        )
        with tqdm(total=len(images), desc="Encoding", disable=not verbose) as bar:
            for batch in batches:
                for index, embedding in batch:
                    result[index] = np.nan if embedding is None else embedding
                bar.update(len(batch))
        warn_about_failures(failures, len(images))
        return result

    def iter_embeddings(
        self,
        images: Sequence[Any],
        *,
        indices: Iterable[int] | None = None,
        grid_size: int = 3,
        batch_size: int | str = "auto",
        n_jobs: int | None = None,
        on_error: str = "raise",
        failures: list[ImageError] | None = None,
    ) -> Generator[list[tuple[int, np.ndarray | None]], None, None]:
        """Embed images batch by batch.

        Parameters
        ----------
        images : list
            What `check_images` returns.
        indices : iterable of int or None, default=None
            Which images to embed and in what order; None means all. Drawn as decoding gets on.
        grid_size : int, default=3
            Snippets per side.
        batch_size : int or "auto", default="auto"
            Views in one forward pass. "auto" is 10 on a CPU and 320 on a GPU; on a GPU it is
            halved when memory runs out.
        n_jobs : int or None, default=None
            Threads that decode; see `map_images`.
        on_error : {"raise", "nan"}, default="raise"
            With "nan" an image that can't be used gives None.
        failures : list or None, default=None
            With ``on_error="nan"`` the `ImageError` of each such image is appended to it.

        Yields
        ------
        batch : list of tuple (index, embedding)
            Positions in `images`, and arrays of shape (n_views, d), dtype float32, or None; see
            `encode_images`.
        """
        per_batch = self._views_per_batch(batch_size)
        images_per_batch = max(per_batch // n_views(grid_size), 1)
        order, drawn = tee(range(len(images)) if indices is None else indices)
        views = map_images(
            partial(make_views, grid_size=grid_size, preprocessing=self.preprocessing),
            images,
            indices=drawn,
            n_jobs=n_jobs,
            min_size=required_size(grid_size, self.preprocessing),
            on_error=on_error,
            failures=failures,
            look_ahead=2 * images_per_batch,
        )
        rows = zip(order, views, strict=True)
        while group := list(islice(rows, images_per_batch)):
            readable = [view for _, view in group if view is not None]
            embeddings = iter(self._encode_in_batches(readable, per_batch))
            yield [(i, None if view is None else next(embeddings)) for i, view in group]

    def _encode_in_batches(self, images: list[np.ndarray], batch_size: int) -> np.ndarray:
        """Embed the views of images, ``(n_views, H, W, 3)`` each, into (n, n_views, d)."""
        if not images:
            return np.empty((0, 0, self.embedding_dim), np.float32)
        views = np.concatenate(images)
        results, fitted = run_in_batches(self.encode_views, views, batch_size, self.device)
        if fitted < batch_size:
            self._largest_batch = fitted
        return np.concatenate(results).reshape(len(images), len(images[0]), -1)

    def _views_per_batch(self, batch_size: int | str) -> int:
        if batch_size == "auto":
            batch_size = _AUTO_BATCH_SIZE.get(self.device.type, 80)
        if isinstance(batch_size, bool) or not isinstance(batch_size, Integral) or batch_size < 1:
            raise ValueError(
                f'batch_size must be "auto" or an integer of at least 1, got {batch_size!r}.'
            )
        return min(int(batch_size), self._largest_batch or int(batch_size))


def _unit_length(features: Tensor) -> np.ndarray:
    return nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
