"""Put labels that a person gave among soft labels, on the scale of these."""

import numpy as np


def observed_on_scale(labels: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Say what observed labels would be as soft labels.

    Soft labels from a softmax are faint: the surest positive of a class may lie at 0.3. Among few
    photos a 1 would outweigh all others in a regression, and such labels would do harm. So a
    positive becomes the highest soft label of its class, and a negative the lowest. Not in the
    paper.
    """
    low, high = labels.min(axis=0), labels.max(axis=0)
    keep = ~np.isnan(observed).any(axis=0) | (low == high)
    low, high = np.where(keep, 0, low), np.where(keep, 1, high)
    return (low + (high - low) * observed).astype(np.float32)
