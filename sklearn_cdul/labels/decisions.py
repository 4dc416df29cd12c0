"""What a training decides, without labels and then with some: probabilities and thresholds."""

import numpy as np
from scipy.special import expit, logit

from sklearn_cdul.labels.calibration import (
    OFFSET,
    calibrate_without_labels,
    faintness,
    is_told,
)
from sklearn_cdul.labels.thresholds import EPS, find_thresholds, learn_decisions

# The threshold of a class that does not stand out is lowered by this part of what its offset is.
_FOLLOWS = 0.5


def find_decisions(
    logits: np.ndarray,
    seen: np.ndarray,
    thresholds: np.ndarray | None = None,
    labels: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Calibration (k, 3) and thresholds (k,), as probabilities, for logits (n, k) of a training.

    ``thresholds`` are those that the training found itself, as logits, if it did. ``labels`` (n, k)
    are those of a person, NaN where there are none; see `update_decisions` for ``seen``. Logits of
    photos that could not be read are NaN.
    """
    if thresholds is None:
        at = logit(np.minimum(find_thresholds(expit(logits)), 1 - EPS))
        # A threshold above all scores says that the class is absent, not how far they are off.
        middle = np.minimum(at, np.fmax.reduce(logits, axis=0))
    else:
        at = middle = thresholds
    calibration = calibrate_without_labels(middle)
    start, lowered = calibration[:, 0] * at + calibration[:, 1], faintness(logits, calibration)
    calibration[:, 1] += lowered
    thresholds = expit(start + _FOLLOWS * lowered)
    if labels is None or np.isnan(labels).all():
        return calibration, thresholds
    return update_decisions(calibration, thresholds, labels, logits, seen)


def update_decisions(
    calibration: np.ndarray,
    thresholds: np.ndarray,
    labels: np.ndarray,
    logits: np.ndarray,
    seen: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Learn calibration and thresholds from labels, see `fit_thresholds`.

    The calibration learns from ``logits``, which these labels did not shape, and the thresholds
    from those ``seen``, by which the network predicts.
    """
    start = logit(np.clip(thresholds, EPS, 1 - EPS))
    # Once a photo is said to show a class, labels tell how far it stands out, so it starts like the
    # others; "no" alone does not. Thresholds that labels have moved are no sign of it any more.
    is_shown = ((labels == 1) & ~np.isnan(logits)).any(axis=0)
    raised = np.where(is_shown & ~is_told(calibration), np.maximum(OFFSET - start, 0), 0)
    calibration = calibration + np.outer(raised, [0, 1, 0])
    calibration, found = learn_decisions(calibration, start + raised, labels, logits, seen)
    return calibration, expit(found)
