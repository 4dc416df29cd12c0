"""What an encoder is: a model that puts prompts and images into one space."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from sklearn_cdul.images.views import Preprocessing

# Small batches stay in the cache of a CPU; a GPU wants many views at once.
_AUTO_BATCH_SIZE = {"cpu": 10, "cuda": 320}


class BaseEncoder:
    """Base class of encoders; derive from it to use a model that open_clip does not have.

    An encoder puts prompts and images into one space. A derived class has :meth:`encode_text` and
    sets `temperature`. For images it also has :meth:`encode_views` and sets `preprocessing`, for
    ``views="dense"`` :meth:`encode_dense` and `dense_preprocessing`; for ``memory=`` it has
    `fingerprint` too. Give an instance to :class:`CLIPPseudoLabeler` as ``model_name``. Clones of
    the labeler share the instance; a pickled labeler, and a pickled classifier that was fitted with
    it, hold it.

    Attributes
    ----------
    temperature : float
        The model's own softmax temperature, ``1 / exp(logit_scale)``.
    preprocessing : Preprocessing
        Size and kind of the views that ``encode_views`` takes.
    dense_preprocessing : Preprocessing
        Size and kind of the images that ``encode_dense`` takes.
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
    # What encode_classes remembers; replaced in instances, never changed in place.
    _classes: Mapping[bytes, np.ndarray] = {}
    _largest_batch: int | None = None  # known once the GPU has run out of memory

    @property
    def _auto_batch_size(self) -> int:
        return _AUTO_BATCH_SIZE.get(self.device.type, 80)

    @property
    def _projection(self) -> np.ndarray | None:
        """The matrix (d, c) from the image tower's features to embeddings, if there is one."""
        return None

    def __sklearn_clone__(self) -> "BaseEncoder":
        """Clones of an estimator share their encoder: it is large and never changes."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """State for pickle, without what is only remembered."""
        forgotten = ("_classes", "_largest_batch")
        return {key: value for key, value in vars(self).items() if key not in forgotten}

    @cached_property
    def embedding_dim(self) -> int:
        """Length d of the embeddings."""
        return self.encode_text(["a photo"]).shape[1]

    @cached_property
    def preprocessing(self) -> Preprocessing:
        """Size and kind of the views that ``encode_views`` takes."""
        raise NotImplementedError(
            f"{type(self).__name__} has no preprocessing, so it takes no images. Use it with "
            'input="embeddings", or give it one and a method encode_views.'
        )

    @property
    def dense_preprocessing(self) -> Preprocessing:
        """Size and kind of the images that ``encode_dense`` takes."""
        raise NotImplementedError(
            f"{type(self).__name__} has no method encode_dense and no dense_preprocessing, which "
            'views="dense" needs. Use views="grid".'
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

    def is_truncated(self, prompts: Sequence[str]) -> np.ndarray:
        """Whether prompts are so long that the model does not read their end.

        Parameters
        ----------
        prompts : sequence of str, length n
            Whole prompts.

        Returns
        -------
        is_truncated : ndarray of shape (n,), dtype bool
            All False unless a derived class knows better.
        """
        return np.zeros(len(prompts), dtype=bool)

    def encode_views(self, views: np.ndarray) -> np.ndarray | torch.Tensor:
        """Embed a batch of views in one forward pass.

        Parameters
        ----------
        views : ndarray of shape (b, H, W, 3), dtype uint8
            RGB; (H, W) as in ``preprocessing.image_size``.

        Returns
        -------
        embeddings : ndarray or torch.Tensor of shape (b, d)
            Of any length above 0 each. A tensor that a GPU is still computing lets the CPU prepare
            the next batch meanwhile.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method encode_views.")

    def encode_dense(
        self, views: np.ndarray, grid_size: int, *, whole: bool = True
    ) -> np.ndarray | torch.Tensor:
        """Embed a batch of images, whole and in windows of what one pass sees.

        Parameters
        ----------
        views : ndarray of shape (b, H, W, 3), dtype uint8
            RGB; (H, W) as in ``dense_preprocessing.image_size``.
        grid_size : int
            As for a grid, at least 2: there are ``(2 * grid_size) ** 2`` windows.
        whole : bool, default=True
            Whether the whole image is wanted, too.

        Returns
        -------
        embeddings : ndarray or torch.Tensor of shape (b, v, d)
            Of any length above 0 each: the whole image, if wanted, then its windows row by row.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method encode_dense.")

    def offload(self) -> None:
        """Take the weights off the GPU; they come back when they are next needed.

        A classifier calls it before its network is trained. This one does nothing.
        """
