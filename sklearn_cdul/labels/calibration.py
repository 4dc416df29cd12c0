"""Turn the logits of a network into those of probabilities, and probabilities into counts.

A calibration is an array (k, 3) with a row per class: slope and offset of the logits, and the
standard deviation of what is not known of the offset. Slopes are positive, so no ranking changes.
"""

import numpy as np

# Slope and offset of logits from the threshold found without labels: a photo at the threshold
# shows the class with a probability of 0.25. Chosen by benchmarks/answers.py.
_SLOPE, OFFSET = 2.0, -1.1
# Standard deviations of what labels may change in slope and offset: for all classes, and for each.
_SHARED, _OWN = (0.1, 1.0), (0.1, 2.0)
_LEAST_SLOPE = 0.05
_MOST_NEWTON_STEPS = 50
# Standard deviations on either side of an expected count; 90 % of a normal distribution.
_WIDTH = 1.645


def calibrate_without_labels(thresholds: np.ndarray) -> np.ndarray:
    """Calibration of a network whose thresholds (k,), as logits, were found without labels."""
    ones = np.ones_like(thresholds)
    return np.stack([_SLOPE * ones, OFFSET - _SLOPE * thresholds, _OWN[1] * ones], axis=1)


def no_calibration(n_classes: int) -> np.ndarray:
    """Calibration that leaves logits as they are."""
    return np.tile([1, 0, _OWN[1]], (n_classes, 1))


def calibrate(logits: np.ndarray, calibration: np.ndarray) -> np.ndarray:
    """Logits of probabilities, in the type of the logits."""
    slope, offset, _ = calibration.T.astype(logits.dtype)
    return slope * logits + offset


def learn_from_labels(
    calibration: np.ndarray, logits: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Update a calibration by labels (n, k), NaN where unknown, of photos with logits (n, k).

    Logistic regressions of the labels on the calibrated logits (Platt scaling), with normal priors:
    one for all classes, from which one for each class starts. They need no random photos: which
    label a logit stands for does not depend on how photos were chosen by their logits.
    """
    x = calibrate(logits.astype(np.float64), calibration)
    known = ~np.isnan(x) & ~np.isnan(labels)
    shared = _fit_line(x[known], labels[known], np.array([1.0, 0.0]), _SHARED)
    lines = np.tile(shared, (len(calibration), 1))
    spread = np.full(len(calibration), _OWN[1])
    for j in np.flatnonzero(known.any(axis=0)):
        rows = known[:, j]
        lines[j] = _fit_line(x[rows, j], labels[rows, j], shared, _OWN)
        told = _sigmoid_slope(lines[j, 0] * x[rows, j] + lines[j, 1]).sum()
        spread[j] = (_OWN[1] ** -2 + told) ** -0.5
    lines[:, 0] = np.maximum(lines[:, 0], _LEAST_SLOPE)
    slope, offset = lines.T
    return np.stack([slope * calibration[:, 0], slope * calibration[:, 1] + offset, spread], axis=1)


def _fit_line(
    x: np.ndarray, labels: np.ndarray, mean: np.ndarray, spread: tuple[float, float]
) -> np.ndarray:
    """Slope and offset of the highest posterior density, by Newton's method."""
    from scipy.special import expit

    precision = np.array(spread) ** -2.0
    inputs, line = np.stack([x, np.ones_like(x)], axis=1), mean
    for _ in range(_MOST_NEWTON_STEPS):
        p = expit(inputs @ line)
        gradient = inputs.T @ (p - labels) + precision * (line - mean)
        curvature = (inputs * (p * (1 - p))[:, np.newaxis]).T @ inputs + np.diag(precision)
        step = np.linalg.solve(curvature, gradient).clip(-1, 1)
        line = line - step
        if np.abs(step).max() < 1e-9:
            break
    return line


def _sigmoid_slope(logits: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    p: np.ndarray = expit(logits)
    return p * (1 - p)


def count_photos(
    logits: np.ndarray, calibration: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many photos are expected to show each class, and the ends of a 90 % interval.

    The width has two parts: whether each photo shows the class, and how far the offset of the class
    is off, which is the same for all photos.
    """
    from scipy.special import expit

    x = calibrate(logits[~np.isnan(logits).any(axis=1)].astype(np.float64), calibration)
    count = expit(x).sum(axis=0)
    chance = _WIDTH**2 * _sigmoid_slope(x).sum(axis=0)
    ends = []
    for side in (-1, 1):
        moved = expit(x + side * _WIDTH * calibration[:, 2]).sum(axis=0)
        ends.append(count + side * np.sqrt((moved - count) ** 2 + chance))
    return count, np.maximum(ends[0], 0), np.minimum(ends[1], len(x))
