"""Pseudo labels corrected by photos that look alike, and by people."""

import numpy as np
from numpy.typing import ArrayLike

from sklearn_cdul._utils.vectors import unit_vectors

# With more photos, neighbours are sought among a random sample of so many.
_MOST_COMPARED = 20_000


def smooth_labels(
    labels: ArrayLike,
    embeddings: ArrayLike,
    *,
    n_neighbors: int = 20,
    weight: float = 0.4,
    random_state: int | np.random.RandomState | None = None,
) -> np.ndarray:
    """Mix the soft label of each photo with the mean label of its nearest neighbours.

    Photos that look alike mostly show the same classes, while the errors of their labels differ.
    This step is not in the CDUL paper. Label propagation of this kind is known from [1]_.

    Parameters
    ----------
    labels : array-like of shape (n, k)
        Soft labels in [0, 1].
    embeddings : array-like of shape (n, d)
        One vector per photo, of any length. Neighbours have the largest cosine after the mean of
        the unit vectors is subtracted, which all photos share.
    n_neighbors : int, default=20
        How many neighbours; all others if there are fewer.
    weight : float, default=0.4
        Weight of the neighbours in [0, 1]; the photo's own label has the rest.
    random_state : int, RandomState instance or None, default=None
        Seed of the sample that more than 20,000 photos are compared with.

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
    Each photo is compared with all others, or with a random sample of 20,000 if there are more.
    With m the smaller of n and 20,000 it takes time O(n m d) and memory O(n (d + k + n_neighbors)).

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
    # Here, as SciPy in thresholds.py: whoever applies thresholds needs to wait for none of them.
    from sklearn.utils import check_array, check_consistent_length

    own = check_array(labels, dtype=[np.float64, np.float32], input_name="labels")
    vectors = check_array(embeddings, dtype=[np.float64, np.float32], input_name="embeddings")
    check_consistent_length(own, vectors)
    if n_neighbors < 0 or not 0 <= weight <= 1:
        raise ValueError(
            "n_neighbors must be at least 0 and weight in [0, 1]; got "
            f"{n_neighbors!r} and {weight!r}."
        )
    return mix_labels(own, find_neighbors(vectors, n_neighbors, random_state), weight)


def find_neighbors(
    embeddings: np.ndarray, n_neighbors: int, random_state: int | np.random.RandomState | None
) -> np.ndarray:
    """Rows (n, n_neighbors) of the nearest other photos, see :func:`smooth_labels`."""
    from sklearn.neighbors import NearestNeighbors
    from sklearn.utils import check_random_state

    n = len(embeddings)
    n_neighbors = int(min(n_neighbors, n - 1))  # True is a number to scikit-learn
    nearest = np.empty((n, n_neighbors), dtype=np.intp)
    if n_neighbors < 1:
        return nearest
    vectors = unit_vectors(embeddings)
    vectors = unit_vectors(vectors - vectors.mean(axis=0))
    sample = rest = np.arange(n)
    if n > _MOST_COMPARED:
        order = check_random_state(random_state).permutation(n)
        sample, rest = np.sort(order[:_MOST_COMPARED]), np.sort(order[_MOST_COMPARED:])
    # Of unit vectors, the nearest have the largest cosine.
    search = NearestNeighbors(n_neighbors=n_neighbors, algorithm="brute").fit(vectors[sample])
    nearest[sample] = sample[search.kneighbors(return_distance=False)]
    if len(rest) < n:
        nearest[rest] = sample[search.kneighbors(vectors[rest], return_distance=False)]
    return nearest


def mix_labels(labels: np.ndarray, neighbors: np.ndarray, weight: float) -> np.ndarray:
    """Labels (n, k) mixed with the means of those of the neighbours (n, m)."""
    if neighbors.shape[1] == 0:
        return labels.copy()
    total = np.zeros_like(labels)
    for rows in neighbors.T:
        total += labels[rows]
    return (1 - weight) * labels + weight / neighbors.shape[1] * total


def place_observed(labels: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Put observed labels in their places, on the scale of soft labels; return them alone, too.

    Soft labels from a softmax are faint: the surest positive of a class may lie at 0.3. Among few
    photos a 1 would outweigh all others in a regression, and such labels would do harm. So a
    positive becomes the highest soft label of its class, and a negative the lowest. Not in the
    paper.
    """
    low, high = labels.min(axis=0), labels.max(axis=0)
    keep = ~np.isnan(observed).any(axis=0) | (low == high)
    low, high = np.where(keep, 0, low), np.where(keep, 1, high)
    scaled = (low + (high - low) * observed).astype(np.float32)
    return np.where(np.isnan(scaled), labels, scaled), scaled
