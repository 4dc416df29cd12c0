"""What every encoder can do once it can embed prompts and views."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch

from sklearn_cdul._utils.progress import progress
from sklearn_cdul.encoders.batches import Batch, iter_batches
from sklearn_cdul.encoders.soundness import warn_about_unsound
from sklearn_cdul.encoders.texts import average_prompts, embed_prompts, key_of, remember
from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.reading import check_images, warn_about_failures
from sklearn_cdul.images.views import Preprocessing, n_views

# Small batches stay in the cache of a CPU; a GPU wants many views at once.
_AUTO_BATCH_SIZE = {"cpu": 10, "cuda": 320}


class BaseEncoder:
    """Base class of encoders; derive from it to use a model that open_clip does not have.

    An encoder puts prompts and images into one space. A derived class has :meth:`encode_text` and
    sets `temperature`. For images it also has :meth:`encode_views` and sets `preprocessing`, for
    ``views="dense"`` :meth:`encode_dense` and `dense_preprocessing`; for
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
    text_fingerprint : str or None
        Tells apart encoders that give different text embeddings. With None, the default,
        ``memory=`` keeps no text embeddings of it.
    english_only : bool
        Whether class names in other scripts mean nothing to the model; then the user is warned.
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
    english_only = False
    device = torch.device("cpu")
    # Replaced in instances, never changed in place.
    _classes: Mapping[bytes, np.ndarray] = {}
    _largest_batch: int | None = None  # known once the GPU has run out of memory

    @property
    def _auto_batch_size(self) -> int:
        return _AUTO_BATCH_SIZE.get(self.device.type, 80)

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

    @cached_property
    def text_fingerprint(self) -> str | None:
        """Tells apart encoders that give different text embeddings, or None."""
        return None

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

    def are_cut(self, prompts: Sequence[str]) -> np.ndarray:
        """Whether prompts are so long that the model does not read their end.

        Parameters
        ----------
        prompts : sequence of str, length n
            Whole prompts.

        Returns
        -------
        are_cut : ndarray of shape (n,), dtype bool
            All False unless a derived class knows better.
        """
        return np.zeros(len(prompts), dtype=bool)

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

    def start_views(self, views: np.ndarray) -> Callable[[], np.ndarray]:
        """Begin to embed a batch of views.

        This one calls `encode_views` now. One that hands the work to a GPU and returns lets the CPU
        prepare the next batch meanwhile.

        Parameters
        ----------
        views : ndarray of shape (b, H, W, 3), dtype uint8
            See `encode_views`. Not changed before `finish` has been called.

        Returns
        -------
        finish : callable
            Waits for the embeddings and returns them, see `encode_views`.
        """
        embeddings = self.encode_views(views)
        return lambda: embeddings

    @property
    def dense_preprocessing(self) -> Preprocessing:
        """Size and kind of the photos that ``encode_dense`` takes.

        Raises
        ------
        NotImplementedError
            Unless a derived class sets it.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no method encode_dense and no dense_preprocessing, which "
            'views="dense" needs. Use views="grid".'
        )

    def encode_dense(self, views: np.ndarray, grid_size: int, *, whole: bool = True) -> np.ndarray:
        """Embed a batch of photos, whole and in windows of what one pass sees.

        Parameters
        ----------
        views : ndarray of shape (b, H, W, 3), dtype uint8
            RGB; (H, W) as in ``dense_preprocessing.image_size``.
        grid_size : int
            As for a grid, at least 2: there are ``(grid_size + 1) ** 2`` windows.
        whole : bool, default=True
            Whether the whole photo is wanted, too.

        Returns
        -------
        embeddings : ndarray of shape (b, v, d)
            Of any length above 0 each: the whole photo, if wanted, then its windows row by row.

        Raises
        ------
        NotImplementedError
            Unless a derived class has it.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method encode_dense.")

    def start_dense(
        self, views: np.ndarray, grid_size: int, *, whole: bool = True
    ) -> Callable[[], np.ndarray]:
        """Begin to embed a batch of photos, whole and in windows; see `start_views`.

        Parameters
        ----------
        views, grid_size, whole
            See `encode_dense`. The views are not changed before `finish` has been called.

        Returns
        -------
        finish : callable
            Waits for the embeddings and returns them, see `encode_dense`.
        """
        embeddings = self.encode_dense(views, grid_size, whole=whole)
        return lambda: embeddings

    def encode_classes(
        self,
        prompts_per_class: Sequence[Sequence[str]],
        *,
        verbose: bool = False,
        embed: Callable[[Sequence[str]], np.ndarray] | None = None,
        place: str = "",
    ) -> np.ndarray:
        """Embed classes, each as the mean of its normalised prompts, normalised again.

        The last few lists are remembered, for searches that fit the same classes many times.

        Parameters
        ----------
        prompts_per_class : sequence of sequences of str, length k
            At least one prompt for each class.
        verbose : bool, default=False
            Show the progress.
        embed : callable or None, default=None
            Has embeddings of prompts from elsewhere, for instance from a folder; see
            `embed_prompts`, which None takes.
        place : str, default=""
            Where that is. What was remembered from one place is not used for another.

        Returns
        -------
        embeddings : ndarray of shape (k, d), dtype float32
            Of length 1 each.

        Raises
        ------
        FloatingPointError
            If a prompt has no usable embedding; names it.
        """
        key = key_of(prompts_per_class, place)
        classes = self._classes.get(key)
        if classes is None:
            prompts = [prompt for prompts in prompts_per_class for prompt in prompts]
            embed = embed or partial(embed_prompts, self, verbose=verbose)
            classes = average_prompts(embed(prompts), prompts_per_class)
            self._classes = remember(self._classes, key, classes)
        return classes.copy()

    def offload(self) -> None:
        """Take the weights off the GPU; they come back when they are next needed.

        A classifier calls it before its network is trained. This one does nothing.
        """

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
        """Embed images, whole and in parts.

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
            Of length 1 each: the whole image, then its snippets row by row or its proposals, then
            its windows row by row, whichever of these `views` asks for. With ``on_error="nan"`` NaN
            for an image that can't be used.

        Raises
        ------
        ImageError
            At the first image that can't be used, unless ``on_error="nan"``.
        FloatingPointError
            At the first image for which the encoder gives NaN, infinity or a vector of length 0,
            unless ``on_error="nan"``.
        ImportError
            If proposals are wanted and OpenCV is missing.

        Warns
        -----
        UserWarning
            With the number of images that can't be used, and with that of images for which the
            encoder gave NaN, if ``on_error="nan"``.
        """
        images = check_images(images)
        shape = (len(images), n_views(grid_size, views), self.embedding_dim)
        result = np.empty(shape, dtype=np.float32)
        failures: list[ImageError] = []
        unsound: dict[int, str] = {}
        batches = self.iter_embeddings(
            images,
            grid_size=grid_size,
            views=views,
            batch_size=batch_size,
            n_jobs=n_jobs,
            on_error=on_error,
            failures=failures,
            unsound=unsound,
        )
        with progress("Encoding", len(images), verbose=verbose) as bar, closing(batches):
            for batch in batches:
                for index, embedding in batch:
                    result[index] = np.nan if embedding is None else embedding
                bar.update(len(batch))
        warn_about_failures(failures, len(images))
        warn_about_unsound(unsound, images, self)
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
        unsound: dict[int, str] | None = None,
    ) -> Generator[Batch, None, None]:
        """Embed images batch by batch.

        Parameters
        ----------
        images : list
            What `check_images` returns.
        indices : iterable of int or None, default=None
            Which images to embed and in what order; None means all. Drawn as decoding gets on.
        grid_size : int, default=3
            Snippets per side.
        views : {"grid", "dense", "grid+dense", "proposals"}, default="grid"
            Whether images are cut into snippets or as many object proposals, see `make_views`, or
            windows are read off one pass by `encode_dense`, or both.
        batch_size : int or "auto", default="auto"
            Views in one forward pass, for "dense" photos. "auto" is 320 on a GPU, halved when
            memory runs out, 10 on a CPU, and for the bundled encoder there at least 20, with more
            than four threads five a thread.
        n_jobs : int or None, default=None
            Threads that decode; see `map_images`.
        on_error : {"raise", "nan"}, default="raise"
            With "nan" an image that can't be used gives None.
        failures : list or None, default=None
            With ``on_error="nan"`` the `ImageError` of each such image is appended to it.
        unsound : dict or None, default=None
            With ``on_error="nan"`` positions of images for which the encoder gave NaN, infinity or
            a vector of length 0 are added to it, with words for what it gave.

        Yields
        ------
        batch : list of tuple (index, embedding)
            Positions in `images`, and arrays of shape (n_views, d), dtype float32, or None; see
            `encode_images`.

        Raises
        ------
        ImageError, FloatingPointError, ValueError
            See `encode_images`; also if `batch_size` is no number of views.
        """
        return iter_batches(
            self,
            images,
            indices=indices,
            grid_size=grid_size,
            views=views,
            batch_size=batch_size,
            n_jobs=n_jobs,
            on_error=on_error,
            failures=failures,
            unsound=unsound,
        )
