"""Vectors of length 1, and what is none."""

import numpy as np
from numpy.typing import ArrayLike


def unit_vectors(vectors: ArrayLike) -> np.ndarray:
    """Scale vectors to length 1; a zero vector stays zero."""
    given = np.asarray(vectors)
    lengths = np.linalg.norm(given, axis=-1, keepdims=True)
    return given / np.where(lengths == 0, 1, lengths)


def is_sound(vectors: np.ndarray) -> np.ndarray:
    """Whether vectors that were scaled to length 1 have it."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.abs(np.linalg.norm(vectors, axis=-1) - 1) < 0.01


def what_is_wrong(vectors: np.ndarray) -> str:
    """Words for vectors that are not sound."""
    tests = {"NaN": np.isnan, "infinity": np.isinf}
    kinds = [word for word, test in tests.items() if test(vectors).any()]
    return " or ".join(kinds) or "a vector of length 0"
