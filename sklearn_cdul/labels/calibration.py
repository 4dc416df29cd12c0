"""Turn the logits of a network into those of probabilities, and probabilities into counts.

A calibration is an array (k, 3) with a row per class: slope and offset of the logits, and the
standard deviation of what is not known of the offset. Slopes are positive, so no ranking changes.
"""

import numpy as np

# Slope and offset of logits from the threshold found without labels: a photo at the threshold
# shows the class with a probability of 0.25. Chosen by benchmarks/answers.py.
_SLOPE, OFFSET = 2.0, -1.1
# The offset of a class that does not stand out is lower: so many times the difference of the mean
# of its probabilities from that at the threshold, as logits, and so much at most.
_FAINT, _MOST_LOWERED = 3.0, 4.0
# Standard deviations of what labels may change in slope and offset: for all classes, and for each.
_SHARED, _OWN = (0.1, 1.0), (0.2, 2.0)
_LEAST_SLOPE = 0.05
_MOST_NEWTON_STEPS = 50
# Standard deviations on either side of an expected count; 90 % of a normal distribution.
_WIDTH = 1.645
_BLOCK_VALUES = 2**22


def calibrate_without_labels(thresholds: np.ndarray) -> np.ndarray:
    """Calibration of a network whose thresholds (k,), as logits, were found without labels."""
    ones = np.ones(len(thresholds))
    return np.stack([_SLOPE * ones, OFFSET - _SLOPE * thresholds, _OWN[1] * ones], axis=1)


def faintness(logits: np.ndarray, calibration: np.ndarray) -> np.ndarray:
    """How much lower offsets (k,) should be, at most 0, by logits (n, k) of all photos.

    If the sum of a class's probabilities is one of many low ones, few of these photos show it. So
    this is lower where the mean of the probabilities, weighted by themselves, is.
    """
    from scipy.special import expit, logit

    sums = np.zeros((2, len(calibration)))
    for block in np.array_split(logits, -(-logits.size // _BLOCK_VALUES)):
        # Squares of the probabilities of lower logits would be 0.
        p = expit(calibrate(block.astype(np.float64), calibration).clip(-300))
        p[np.isnan(p)] = 0  # photos that could not be read
        sums += p.sum(axis=0), (p**2).sum(axis=0)
    lower: np.ndarray = logit(sums[1] / sums[0]) - OFFSET
    return np.clip(_FAINT * lower, -_MOST_LOWERED, 0)


def no_calibration(n_classes: int) -> np.ndarray:
    """Calibration that leaves logits as they are."""
    return np.tile([1, 0, _OWN[1]], (n_classes, 1))


def is_told(calibration: np.ndarray) -> np.ndarray:
    """Whether labels of a class were among those that taught the calibration, (k,)."""
    return calibration[:, 2] < _OWN[1]


def calibrate(logits: np.ndarray, calibration: np.ndarray) -> np.ndarray:
    """Logits of probabilities, in the type of the logits."""
    slope, offset, _ = calibration.T.astype(logits.dtype)
    return slope * logits + offset


def learn_from_labels(
    calibration: np.ndarray, logits: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Update a calibration by labels (n, k), NaN where unknown, of photos with logits (n, k).

    Logistic regressions of the labels on the calibrated logits (Platt scaling), one for each class,
    whose lines are drawn toward one for all, and this to what it was: normal priors. They need no
    random photos: which label a logit stands for does not depend on how photos were chosen by their
    logits.
    """
    x = calibrate(logits.astype(np.float64), calibration)
    known = ~np.isnan(x) & ~np.isnan(labels)
    lines, told = _fit_lines(x[known], labels[known], np.nonzero(known)[1], len(calibration))
    slope, offset = np.maximum(lines[:, 0], _LEAST_SLOPE), lines[:, 1]
    spread = (_OWN[1] ** -2 + told) ** -0.5
    return np.stack([slope * calibration[:, 0], slope * calibration[:, 1] + offset, spread], axis=1)


def _fit_lines(
    x: np.ndarray, labels: np.ndarray, owners: np.ndarray, n_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Slopes and offsets (k, 2) of the highest posterior density, and what is told of offsets (k,).

    ``x`` and labels are flat, with the class of each as its owner. By Newton's method for the lines
    of the classes and the one for all together: fitted to all labels at once, the latter would be
    too flat where offsets differ.
    """
    from scipy.special import expit

    def of_classes(values: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(owners, v, n_classes) for v in values], axis=-1)

    start = np.array([1.0, 0.0])
    shared, lines = start, np.tile(start, (n_classes, 1))
    prior, own = (np.diag(np.array(spread) ** -2) for spread in (_SHARED, _OWN))
    for _ in range(_MOST_NEWTON_STEPS):
        p = expit(lines[owners, 0] * x + lines[owners, 1])
        error, weight = p - labels, p * (1 - p)
        apart = (lines - shared) @ own
        gradients = of_classes(np.stack([error * x, error])) + apart
        told = of_classes(np.stack([weight * x**2, weight * x, weight * x, weight]))
        inverses = np.linalg.inv(told.reshape(-1, 2, 2) + own)
        # Each class's step for a shared line that stays; what that line moves then moves them all.
        steps = -(inverses @ gradients[..., np.newaxis])[..., 0]
        follow = inverses @ own
        curvature = prior + own @ (np.eye(2) - follow).sum(axis=0)
        slope = prior @ (shared - start) - apart.sum(axis=0) - own @ steps.sum(axis=0)
        move = -np.linalg.solve(curvature, slope)
        steps = (steps + follow @ move).clip(-1, 1)
        shared, lines = shared + move.clip(-1, 1), lines + steps
        if np.abs(steps).max() < 1e-9:
            break
    return lines, told[:, 3]


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
