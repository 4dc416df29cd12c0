"""Fit a linear layer to soft labels in closed form."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit
from sklearn.utils import check_array, check_consistent_length

# Strengths of the penalty that are tried, in units of n times the mean variance of a feature.
_PENALTIES = np.logspace(-2, 2, 9)
# Labels are kept this far from 0 and 1, whose logits are infinite.
_EPS = 1e-4
# Values of an array (n, some classes) of float64: classes go in blocks of 32 MB.
_BLOCK_VALUES = 2**22
_MOST_NEWTON_STEPS = 50
# The penalty is chosen on at most so many classes, spread evenly over all.
_MOST_JUDGES = 1000


def linear_probe(features: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Find the linear layer that gives the logits of soft labels.

    A ridge regression of the labels, with the penalty that predicts left-out rows best, gives the
    direction of each class. A logistic regression of the labels on these predictions of left-out
    rows then turns them into logits that are neither too sure nor too timid. This step is not in
    the CDUL paper; to begin fine-tuning with a linear probe is known from [1]_.

    It is what scikit-learn's ``RidgeCV`` and ``LogisticRegression`` give, one class after another,
    in memory that does not grow with the number of classes times that of penalties. Of more than
    1,000 classes as many, at least half of that, choose the penalty for all.

    Parameters
    ----------
    features : array-like of shape (n, d)
        One vector a photo.
    labels : array-like of shape (n, k)
        Soft labels in [0, 1].

    Returns
    -------
    weight : ndarray of shape (k, d), float64
    bias : ndarray of shape (k,), float64
        The logits are ``features @ weight.T + bias``. Where the features tell nothing about a
        class, and of fewer than 3 photos, its weights are 0 and its bias is the logit of its mean
        label.

    Raises
    ------
    ValueError
        If the numbers of rows differ or a value is not finite.

    Notes
    -----
    With m the smaller of n and d it takes time O(n d m + n m k) and, besides what comes in and goes
    out, memory O(n d) and about 200 MB.

    References
    ----------
    .. [1] A. Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform
       Out-of-Distribution", ICLR 2022, arXiv 2202.10054.

    Examples
    --------
    >>> from sklearn_cdul.training import linear_probe
    >>> weight, bias = linear_probe([[0.0], [1.0], [2.0], [3.0]], [[0.1], [0.2], [0.8], [0.9]])
    >>> weight.shape, bias.shape
    ((1, 1), (1,))
    """
    x = check_array(features, dtype=np.float64, input_name="features")
    y = check_array(labels, dtype=[np.float64, np.float32], input_name="labels")
    check_consistent_length(x, y)
    weight = np.zeros((y.shape[1], x.shape[1]))
    bias = logit(y.mean(axis=0, dtype=np.float64).clip(_EPS, 1 - _EPS))
    spread = len(x) * x.var(axis=0).mean()
    if len(x) < 3 or spread < 1e-12:
        return weight, bias
    ridge = _Ridge(x)
    size = max(_BLOCK_VALUES // len(x), 1)
    blocks = [slice(start, start + size) for start in range(0, y.shape[1], size)]
    some = y[:, :: -(-y.shape[1] // _MOST_JUDGES)]
    errors = sum(ridge.errors(some[:, block], spread * _PENALTIES) for block in blocks)
    penalty = spread * _PENALTIES[np.argmin(errors)]
    for block in blocks:
        slopes, intercepts, left_out = ridge.fit(y[:, block], penalty)
        middle, scale = left_out.mean(axis=0), left_out.std(axis=0)
        tells = scale >= 1e-6
        standard = (left_out - middle) / np.where(tells, scale, 1)
        slope, offset = _calibrate(standard, y[:, block].clip(_EPS, 1 - _EPS))
        slope = slope / np.where(tells, scale, 1)
        tells &= slope > 0
        weight[block] = np.where(tells, slope, 0)[:, np.newaxis] * slopes
        bias[block] = np.where(tells, offset + slope * (intercepts - middle), bias[block])
    return weight, bias


class _Ridge:
    """Ridge regressions on the same features, with their predictions of left-out rows.

    With the singular value decomposition U S V' of the centred features, and s the shares
    S^2 / (S^2 + penalty), the predictions are U s U'y, and a row without which the regression was
    made has the residual of the row divided by 1 minus its leverage.
    """

    def __init__(self, x: np.ndarray):
        self._mean = x.mean(axis=0)
        self._u, self._s, self._v = np.linalg.svd(x - self._mean, full_matrices=False)

    def _shares(self, penalty: float) -> np.ndarray:
        return self._s**2 / (self._s**2 + penalty)

    def _residuals(self, y: np.ndarray, projected: np.ndarray, penalty: float) -> np.ndarray:
        """Residuals (n, k) of left-out rows of the centred labels ``y``."""
        shares = self._shares(penalty)
        leverage = 1 / len(y) + self._u**2 @ shares
        return (y - self._u @ (shares[:, np.newaxis] * projected)) / (1 - leverage)[:, np.newaxis]

    def errors(self, labels: np.ndarray, penalties: np.ndarray) -> np.ndarray:
        """Summed squared error of left-out rows, for each penalty."""
        y = labels - labels.mean(axis=0, dtype=np.float64)
        projected = self._u.T @ y
        return np.array([(self._residuals(y, projected, p) ** 2).sum() for p in penalties])

    def fit(self, labels: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Slopes (k, d), intercepts (k,) and predictions (n, k) of left-out rows."""
        middle = labels.mean(axis=0, dtype=np.float64)
        y = labels - middle
        projected = self._u.T @ y
        shrunk = self._s / (self._s**2 + penalty)
        slopes = (shrunk[:, np.newaxis] * projected).T @ self._v
        left_out = labels - self._residuals(y, projected, penalty)
        return slopes, middle - slopes @ self._mean, left_out


def _calibrate(guesses: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope and offset (k,) of a logistic regression of each label on its guess.

    Newton's method on the cross-entropy plus half the squared slope, all classes at once. A soft
    label is a share of a positive and of a negative photo.
    """
    slope, offset = np.zeros(labels.shape[1]), logit(labels.mean(axis=0))
    for _ in range(_MOST_NEWTON_STEPS):
        predicted = expit(slope * guesses + offset)
        wrong, curvature = predicted - labels, predicted * (1 - predicted)
        gradient = np.stack([(wrong * guesses).sum(axis=0) + slope, wrong.sum(axis=0)])
        aa = (curvature * guesses**2).sum(axis=0) + 1
        ab, bb = (curvature * guesses).sum(axis=0), curvature.sum(axis=0) + 1e-12
        determinant = aa * bb - ab**2
        steps = np.stack([bb * gradient[0] - ab * gradient[1], aa * gradient[1] - ab * gradient[0]])
        steps = (steps / determinant).clip(-2, 2)  # a long step from far away would overshoot
        slope, offset = slope - steps[0], offset - steps[1]
        if np.abs(steps).max() < 1e-8:
            break
    return slope, offset
