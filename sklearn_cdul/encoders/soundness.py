"""Find vectors that an encoder can't have meant: NaN, infinity, no length."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from sklearn_cdul.exceptions import warn


def is_sound(embeddings: np.ndarray) -> np.ndarray:
    """Whether vectors that were scaled to length 1 have it."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.abs(np.linalg.norm(embeddings, axis=-1) - 1) < 0.01


def what_is_wrong(embeddings: np.ndarray) -> str:
    """Return words for vectors that are not sound."""
    kinds = []
    if np.isnan(embeddings).any():
        kinds.append("NaN")
    if np.isinf(embeddings).any():
        kinds.append("infinity")
    return " or ".join(kinds) or "a vector of length 0"


def describe_unsound(
    unsound: Mapping[int, Exception], images: Sequence[Any], n_encoded: int, encoder: Any
) -> str:
    """Return sentences on the images for which an encoder gave no sound vectors, with advice."""
    words = " or ".join(dict.fromkeys(map(str, unsound.values())))
    first = min(unsound)
    image = images[first]
    path = f" ({os.fspath(image)})" if isinstance(image, (str, os.PathLike)) else ""
    if getattr(encoder, "dtype", None) == torch.float32:
        advice = (
            "It computes in float32 already, so its weights or the device's driver may be broken: "
            'take other weights, or set device="cpu".'
        )
    else:
        advice = 'Its arithmetic may be too coarse: set precision="float32".'
    count = f"{len(unsound)} of {n_encoded} images"
    return f"The encoder gave {words} for {count}, first X[{first}]{path}. {advice}"


def warn_about_unsound(
    unsound: Mapping[int, Exception], images: Sequence[Any], encoder: Any
) -> None:
    """Give one warning for all images without sound vectors; none if there are none."""
    if unsound:
        words = describe_unsound(unsound, images, len(images), encoder)
        warn(f"{words} The rows of such images are NaN.")
