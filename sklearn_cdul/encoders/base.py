"""What every encoder can do once it can embed prompts and views."""

from collections.abc import Generator, Iterable, Mapping, Sequence
from functools import cached_property, partial
from itertools import islice, tee
from numbers import Integral
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from sklearn_cdul.devices import run_in_batches
from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.reading import check_images, map_images, warn_about_failures
from sklearn_cdul.images.views import (
    Preprocessing,
    make_views,
    n_views,
    required_size,
    views_version,
)
from sklearn_cdul.labels.aggregation import unit_vectors

# Small batches stay in the cache of a CPU; a GPU wants many views at once.
_AUTO_BATCH_SIZE = {"cpu": 10, "cuda": 320}


class BaseEncoder:
    """Base class of encoders; derive from it to use a model that open_clip does not have.

    An encoder puts prompts and images into one space. A derived class has :meth:`encode_text` and
    sets `temperature`. For images it also has :meth:`encode_views` and sets `preprocessing`; for
    ``CLIPPseudoLabeler(memory=...)`` it has `fingerprint` too. Give an instance to
    :class:`CLIPPseudoLabeler` as ``model_name``. Clones of the labeler share the instance; a
    pickled labeler, and a pickled classifier that was fitted with it, hold it.

    Attributes
    ----------
    temperature : float
        The model's own softmax temperature, ``1 / exp(logit_scale)``.
    preprocessing : Preprocessing
        Size and kind of the views that ``encode_views`` takes.
    device : torch.device
        Where the model computes; decides the default batch size. The CPU unless set otherwise.
    fingerprint : str
        Tells apart encoders that give different image embeddings.
    embedding_dim : int
        Length d of the embeddings. Unless a derived class sets it, that of the prompt "a photo".

    Examples
    --------
    Embeddings that were made elsewhere, and the text side of the same model:

    >>> import numpy as np
    >>> from sklearn_cdul import BaseEncoder, CLIPPseudoLabeler
    >>> class Letters(BaseEncoder):
    ...     temperature = 0.1
    ...
    ...     def encode_text(self, prompts):
    ...         return np.array([[prompt.count("a"), prompt.count("b")] for prompt in prompts])
    >>> labeler = CLIPPseudoLabeler(
    ...     ["aaa", "bbb"], model_name=Letters(), prompt_template="{}", input="embeddings"
    ... )
    >>> labeler.fit_transform(np.array([[0.0, 1.0], [1.0, 1.0]])).round(2)
    array([[0. , 1. ],
           [0.5, 0.5]], dtype=float32)
    """

    temperature: float
    device = torch.device("cpu")
    # Replaced in instances, never changed in place.
    _classes: Mapping[tuple[tuple[str, ...], ...], np.ndarray] = {}
    _largest_batch: int | None = None  # known once the GPU has run out of memory

    def __sklearn_clone__(self) -> "BaseEncoder":
        """Clones of an estimator share their encoder: it is large and never changes."""
        return self

    @cached_property
    def embedding_dim(self) -> int:
        """Length d of the embeddings."""
        return self.encode_text(["a photo"]).shape[1]

    def __getstate__(self) -> dict[str, Any]:
        """State for pickle, without what is only remembered."""
        forgotten = ("_classes", "_largest_batch")
        return {key: value for key, value in vars(self).items() if key not in forgotten}

    @cached_property
    def preprocessing(self) -> Preprocessing:
        """Size and kind of the views that ``encode_views`` takes."""
        raise NotImplementedError(
            f"{type(self).__name__} has no preprocessing, so it takes no images. Use it with "
            'input="embeddings", or give it one and a method encode_views.'
        )

    @cached_property
    def fingerprint(self) -> str:
        """Tells apart encoders that give different image embeddings."""
        raise NotImplementedError(
            f"{type(self).__name__} has no attribute fingerprint, by which memory= tells its "
            "embeddings from those of others. Give it one, a str that changes with the weights."
        )

    def with_embedding_dim(self, embedding_dim: int) -> "BaseEncoder":
        """Return the encoder whose embeddings have this length, if there is a choice.

        Asked for with ``input="embeddings"``. This one returns itself, whatever its length; models
        whose embeddings may be cut to several lengths can do better.

        Parameters
        ----------
        embedding_dim : int
            Length of the embeddings at hand.

        Returns
        -------
        encoder : BaseEncoder
        """
        return self

    def encode_text(self, prompts: list[str]) -> np.ndarray:
        """Embed prompts.

        Parameters
        ----------
        prompts : list of str, length n
            Whole prompts, at least one.

        Returns
        -------
        embeddings : ndarray of shape (n, d)
            Of any length above 0 each.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method encode_text.")

    def encode_views(self, views: np.ndarray) -> np.ndarray:
        """Embed a batch of views, in one forward pass.

        Parameters
        ----------
        views : ndarray of shape (b, H, W, 3), dtype uint8
            RGB; (H, W) as in ``preprocessing.image_size``.

        Returns
        -------
        embeddings : ndarray of shape (b, d)
            Of any length above 0 each.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method encode_views.")

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
            flat = [prompt for prompts in key for prompt in prompts]
            embeddings = unit_vectors(np.asarray(self.encode_text(flat), dtype=np.float32))
            if embeddings.ndim != 2 or len(embeddings) != len(flat):
                raise ValueError(
                    f"{type(self).__name__}.encode_text must return an array of shape "
                    f"({len(flat)}, d) for {len(flat)} prompts; it returned {embeddings.shape}."
                )
            parts = np.split(embeddings, np.cumsum([len(prompts) for prompts in key])[:-1])
            means = np.stack([part.mean(axis=0) for part in parts])
            classes = unit_vectors(means)
            recent = self._classes if len(self._classes) < 16 else {}
            self._classes = {**recent, key: classes}
        return classes.copy()

    def encode_images(
        self,
        images: Any,
        *,
        grid_size: int = 3,
        views: str = "grid",
        batch_size: int | str = "auto",
        n_jobs: int | None = None,
        on_error: str = "raise",
        verbose: bool = False,
    ) -> np.ndarray:
        """Embed images, whole and in snippets or proposals.

        Parameters
        ----------
        images : sequence of images, length n
            See `check_images`.
        grid_size, views, batch_size, n_jobs, on_error
            See `iter_embeddings`.
        verbose : bool, default=False
            Show the progress.

        Returns
        -------
        embeddings : ndarray of shape (n, n_views, d), dtype float32
            Of length 1 each: the whole image, then its snippets row by row or its proposals. With
            ``on_error="nan"`` NaN for an image that can't be used.

        Raises
        ------
        ImageError
            At the first image that can't be used, unless ``on_error="nan"``.
        ImportError
            If proposals are wanted and OpenCV is missing.

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
            views=views,
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
        views: str = "grid",
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
        views : {"grid", "proposals"}, default="grid"
            Whether images are cut into snippets or as many object proposals; see `make_views`.
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
        views_version(views)  # says what is wrong before an image is read
        per_batch = self._views_per_batch(batch_size)
        images_per_batch = max(per_batch // n_views(grid_size), 1)
        order, drawn = tee(range(len(images)) if indices is None else indices)
        cut = partial(
            make_views, grid_size=grid_size, preprocessing=self.preprocessing, views=views
        )
        views_of_images = map_images(
            cut,
            images,
            indices=drawn,
            n_jobs=n_jobs,
            min_size=required_size(grid_size, self.preprocessing),
            on_error=on_error,
            failures=failures,
            look_ahead=2 * images_per_batch,
        )
        rows = zip(order, views_of_images, strict=True)
        while group := list(islice(rows, images_per_batch)):
            readable = [view for _, view in group if view is not None]
            embeddings = iter(self._encode_in_batches(readable, per_batch))
            yield [(i, None if view is None else next(embeddings)) for i, view in group]

    def _encode_in_batches(self, images: list[np.ndarray], batch_size: int) -> np.ndarray:
        """Embed the views of images, ``(n_views, H, W, 3)`` each, into (n, n_views, d)."""
        if not images:
            return np.empty((0, 0, self.embedding_dim), np.float32)
        views = np.concatenate(images)
        results, fitted = run_in_batches(self._encode_batch, views, batch_size, self.device)
        if fitted < batch_size:
            self._largest_batch = fitted
        return np.concatenate(results).reshape(len(images), len(images[0]), -1)

    def _encode_batch(self, views: np.ndarray) -> np.ndarray:
        embeddings = np.asarray(self.encode_views(views), dtype=np.float32)
        if embeddings.shape != (len(views), self.embedding_dim):
            raise ValueError(
                f"{type(self).__name__}.encode_views must return an array of shape "
                f"{(len(views), self.embedding_dim)} for {len(views)} views; it returned "
                f"{embeddings.shape}."
            )
        return unit_vectors(embeddings)

    def _views_per_batch(self, batch_size: int | str) -> int:
        if batch_size == "auto":
            batch_size = _AUTO_BATCH_SIZE.get(self.device.type, 80)
        if isinstance(batch_size, bool) or not isinstance(batch_size, Integral) or batch_size < 1:
            raise ValueError(
                f'batch_size must be "auto" or an integer of at least 1, got {batch_size!r}.'
            )
        return min(int(batch_size), self._largest_batch or int(batch_size))
