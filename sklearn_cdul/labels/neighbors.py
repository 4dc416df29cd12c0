"""Pseudo labels corrected by photos that look alike."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_array, check_consistent_length

from sklearn_cdul._utils.vectors import unit_vectors


def smooth_labels(
    labels: ArrayLike, embeddings: ArrayLike, *, n_neighbors: int = 20, weight: float = 0.4
) -> np.ndarray:
    """Mix the soft label of each photo with the mean label of its nearest neighbours.

    Photos that look alike mostly show the same classes, while the errors of their labels differ.
    This step is not in the CDUL paper. Label propagation of this kind is known from [1]_.

    Parameters
    ----------
    labels : array-like of shape (n, k)
        Soft labels in [0, 1].
    embeddings : array-like of shape (n, d)
        One vector a photo, of any length. Neighbours have the largest cosine after the mean of the
        unit vectors is subtracted, which all photos share.
    n_neighbors : int, default=20
        How many neighbours; all others if there are fewer.
    weight : float, default=0.4
        Weight of the neighbours in [0, 1]; the photo's own label has the rest.

    Returns
    -------
    smoothed : ndarray of shape (n, k)
        Values in [0, 1].

    Raises
    ------
    ValueError
        If the numbers of rows differ, a value is not finite, `n_neighbors` is negative or `weight`
        is outside [0, 1].

    Notes
    -----
    All pairs of photos are compared: time O(n^2 d), memory O(n (d + k + n_neighbors)).

    References
    ----------
    .. [1] D. Zhou et al., "Learning with Local and Global Consistency", NIPS 2003.

    Examples
    --------
    >>> from sklearn_cdul.labels import smooth_labels
    >>> labels = [[1.0], [0.6], [0.0]]
    >>> smooth_labels(labels, [[1.0, 0.1], [1.0, 0.0], [0.0, 1.0]], n_neighbors=1, weight=0.5)
    array([[0.8],
           [0.8],
           [0.5]])
    """
    own = check_array(labels, dtype=[np.float64, np.float32], input_name="labels")
    vectors = check_array(embeddings, dtype=[np.float64, np.float32], input_name="embeddings")
    check_consistent_length(own, vectors)
    if n_neighbors < 0 or not 0 <= weight <= 1:
        raise ValueError(
            "n_neighbors must be at least 0 and weight in [0, 1]; got "
            f"{n_neighbors!r} and {weight!r}."
        )
    n_neighbors = min(n_neighbors, len(own) - 1)
    if n_neighbors < 1:
        return own.copy()
    vectors = unit_vectors(vectors)
    vectors = unit_vectors(vectors - vectors.mean(axis=0))
    # Of unit vectors, the nearest have the largest cosine.
    search = NearestNeighbors(n_neighbors=n_neighbors, algorithm="brute").fit(vectors)
    total = np.zeros_like(own)
    for neighbors in search.kneighbors(return_distance=False).T:
        total += own[neighbors]
    return (1 - weight) * own + weight / n_neighbors * total
