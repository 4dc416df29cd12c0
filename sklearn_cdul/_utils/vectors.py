"""Vectors of length 1."""

import numpy as np
from numpy.typing import ArrayLike


def unit_vectors(vectors: ArrayLike) -> np.ndarray:
    """Scale vectors to length 1; a zero vector stays zero."""
    given = np.asarray(vectors)
    lengths = np.linalg.norm(given, axis=-1, keepdims=True)
    return given / np.where(lengths == 0, 1, lengths)
