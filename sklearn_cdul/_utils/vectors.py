"""Vectors of length 1."""

import numpy as np


def unit_vectors(vectors):
    """Scale vectors to length 1; a zero vector stays zero."""
    vectors = np.asarray(vectors)
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(lengths == 0, 1, lengths)
