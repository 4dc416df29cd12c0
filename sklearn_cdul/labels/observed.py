"""Put labels that a person gave among soft labels, on the scale of these."""

import numpy as np

from sklearn_cdul.labels.thresholds import find_thresholds


def observed_on_scale(labels: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Say what observed labels would be as soft labels.

    Soft labels from a softmax are faint: the positives of a class may lie at 0.2. A 1 among them
    would weigh as much in a regression as twenty of them, and few such labels make it worse. So a
    positive becomes the mean of the soft labels that lie above the class's own cut, as
    :func:`find_thresholds` finds it, and a negative the mean of those below. Not in the paper.

    Parameters
    ----------
    labels : ndarray of shape (n, k)
        Soft labels in [0, 1], before anything was observed.
    observed : ndarray of shape (n, k)
        1, 0, or NaN where nothing was observed.

    Returns
    -------
    targets : ndarray of shape (n, k), dtype float32
        NaN where nothing was observed. Classes of which all labels are observed, or whose soft
        labels are all equal, keep 1 and 0.

    Examples
    --------
    >>> labels = np.array([[0.02], [0.04], [0.2], [0.3]])
    >>> observed = np.array([[1.0], [np.nan], [np.nan], [0.0]])
    >>> observed_on_scale(labels, observed).round(2).ravel()
    array([0.25,  nan,  nan, 0.03], dtype=float32)
    """
    targets = observed.astype(np.float32)
    upper = labels >= find_thresholds(labels, shrinkage=0)
    for j in np.flatnonzero(np.isnan(observed).any(axis=0)):
        above, below = labels[upper[:, j], j], labels[~upper[:, j], j]
        if len(above) and len(below):
            low, high = below.mean(), above.mean()
            targets[:, j] = low + (high - low) * targets[:, j]
    return targets
