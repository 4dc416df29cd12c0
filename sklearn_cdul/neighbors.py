"""Pseudo labels corrected by photos that look alike."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.neighbors import NearestNeighbors


def smooth_labels(
    labels: ArrayLike, embeddings: ArrayLike, *, n_neighbors: int = 10, weight: float = 0.5
) -> np.ndarray:
    """Mix the soft label of each photo with the mean label of its nearest neighbours.

    Photos that look alike mostly show the same classes, while the errors of their labels differ.
    This step is not in the CDUL paper. Label propagation of this kind is known from [1]_.

    Parameters
    ----------
    labels : array-like of shape (n, k)
        Soft labels in [0, 1].
    embeddings : array-like of shape (n, d)
        One vector a photo. Neighbours have the largest cosine after the mean vector is subtracted,
        which all photos share.
    n_neighbors : int, default=10
        How many neighbours; all others if there are fewer.
    weight : float, default=0.5
        Weight of the neighbours in [0, 1]; the photo's own label has the rest.

    Returns
    -------
    smoothed : ndarray of shape (n, k)
        Values in [0, 1].

    Notes
    -----
    All pairs of photos are compared: time O(n^2 d), memory O(n).

    References
    ----------
    .. [1] D. Zhou et al., "Learning with Local and Global Consistency", NIPS 2003.

    Examples
    --------
    >>> from sklearn_cdul.neighbors import smooth_labels
    >>> labels = [[1.0], [0.6], [0.0]]
    >>> smooth_labels(labels, [[1.0, 0.1], [1.0, 0.0], [0.0, 1.0]], n_neighbors=1)
    array([[0.8],
           [0.8],
           [0.5]])
    """
    labels, vectors = np.asarray(labels), np.asarray(embeddings)
    n_neighbors = min(n_neighbors, len(labels) - 1)
    if n_neighbors < 1:
        return labels.copy()
    vectors = vectors - vectors.mean(axis=0)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.where(lengths > 0, lengths, 1)
    # Of unit vectors, the nearest have the largest cosine.
    search = NearestNeighbors(n_neighbors=n_neighbors, algorithm="brute").fit(vectors)
    nearest = search.kneighbors(return_distance=False)
    return (1 - weight) * labels + weight * labels[nearest].mean(axis=1)
