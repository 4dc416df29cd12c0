"""Which classes no photo shows, judged without labels."""

import numpy as np

# A class is shown if its highest open labels reach this on average. On photos of food, Pascal VOC
# and scenes all classes that are shown do, and most names that are not do not.
_LEAST = 0.003
# How many photos must show a class, and the share of them that is enough of a few.
_PHOTOS, _SHARE = 5, 20


def find_absent(open_labels: np.ndarray, observed: np.ndarray | None = None) -> np.ndarray:
    """Whether no photo shows a class, (k,), by open labels (n, k), in which other names compete.

    A class that a person's labels (m, k) say is shown is not absent.
    """
    count = min(_PHOTOS, max(len(open_labels) // _SHARE, 1))
    highest = np.sort(open_labels, axis=0)[-count:].mean(axis=0)
    is_shown = False if observed is None else (observed == 1).any(axis=0)
    return (highest < _LEAST) & ~np.asarray(is_shown)
