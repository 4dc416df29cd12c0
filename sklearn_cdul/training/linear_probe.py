"""Fit a linear layer to soft labels in closed form."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit
from sklearn.utils import check_array, check_consistent_length

from sklearn_cdul.training.regions import mix_views

# Strengths of the penalty that are tried, in units of n times the mean variance of a feature.
_PENALTIES = np.logspace(-2, 2, 9)
# Labels are kept this far from 0 and 1, whose logits are infinite.
_EPS = 1e-4
# Values of an array (n, views, some classes): classes go in blocks of 16 or 32 MB.
_BLOCK_VALUES = 2**22
_MOST_NEWTON_STEPS = 50
# Share of the largest singular value below which others are rounding.
_SMALL = 1e-7
# The penalty is chosen on at most so many classes, and so many labels, spread evenly over all.
_MOST_JUDGES, _MOST_JUDGED = 1000, 2**18
_FLOATS = (np.float64, np.float32)


def linear_probe(
    features: ArrayLike, labels: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the linear layer that gives the logits of soft labels.

    A ridge regression of the labels, with the penalty of the smallest leave-one-out error, gives
    the direction of each class. A logistic regression of the labels on the leave-one-out
    predictions then calibrates the logits. This is not in the CDUL paper; starting fine-tuning from
    a linear probe is known from [1]_.

    For one vector per photo it is what scikit-learn's ``RidgeCV`` and ``LogisticRegression`` give,
    one class after another, in memory that does not grow with the number of classes times that of
    penalties. Of more than 1,000 classes as many, at least half of that, choose the penalty for
    all.

    Parameters
    ----------
    features : array-like of shape (n, d) or (n, v, d)
        One vector per photo, or that of the whole feature map and then those of its regions. The
        regression sees the whole; the logits mix both, as the network does.
    labels : array-like of shape (n, k)
        Soft labels in [0, 1].

    Returns
    -------
    weight : ndarray of shape (k, d), float64
    bias : ndarray of shape (k,), float64
        The logits are ``features @ weight.T + bias``, and with regions their mixture. Where the
        features tell nothing about a class, and of fewer than 3 photos, its weights are 0 and its
        bias is the logit of its mean label.
    leave_one_out : ndarray of shape (n, k), float32
        The logits of each photo if the regression had not seen it.

    Raises
    ------
    ValueError
        If the numbers of rows differ or a value is not finite.

    Notes
    -----
    With m the smaller of n and d it takes time O(n d m + n v d k) and, besides what comes in and
    goes out, memory O(n v d) and about 200 MB.

    References
    ----------
    .. [1] A. Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform
       Out-of-Distribution", ICLR 2022, arXiv 2202.10054.

    Examples
    --------
    >>> from sklearn_cdul.training import linear_probe
    >>> features, labels = [[0.0], [1.0], [2.0], [3.0]], [[0.1], [0.2], [0.8], [0.9]]
    >>> weight, bias, leave_one_out = linear_probe(features, labels)
    >>> weight.shape, bias.shape, leave_one_out.shape
    ((1, 1), (1,), (4, 1))
    """
    return LinearProbe(features).fit(labels)


class LinearProbe:
    """What :func:`linear_probe` computes of the features, once for several sets of labels."""

    def __init__(self, features: ArrayLike):
        views = check_array(features, allow_nd=True, dtype=_FLOATS, input_name="features")
        self._views = views.reshape(len(views), -1, views.shape[-1])
        self._spread = len(views) * self._views[:, 0].var(axis=0, dtype=np.float64).mean()
        self._ridge = None
        if len(views) >= 3 and self._spread >= 1e-12:
            self._ridge = _Ridge(self._views)

    def fit(self, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weight, bias and leave-one-out logits for these labels; see :func:`linear_probe`."""
        y = check_array(labels, dtype=_FLOATS, input_name="labels")
        check_consistent_length(self._views, y)
        weight = np.zeros((y.shape[1], self._views.shape[2]))
        bias = logit(y.mean(axis=0, dtype=np.float64).clip(_EPS, 1 - _EPS))
        leave_one_out = np.tile(bias.astype(np.float32), (len(y), 1))
        ridge = self._ridge
        if ridge is None:
            return weight, bias, leave_one_out
        some = y[:, :: -(-y.shape[1] // _MOST_JUDGES)]
        judges = _blocks(some.shape[1], _BLOCK_VALUES // len(y))
        penalties = self._spread * _PENALTIES
        rows = slice(None, None, -(-some.size // _MOST_JUDGED))
        errors = sum(ridge.errors(some[:, block], penalties, rows) for block in judges)
        penalty = penalties[np.argmin(errors)]
        for block in _blocks(y.shape[1], _BLOCK_VALUES // (len(y) * self._views.shape[1])):
            slopes, intercepts, guesses = ridge.fit(y[:, block], penalty)
            middle, scale = guesses.mean(axis=0), guesses.std(axis=0)
            tells = scale >= 1e-6
            standard = (guesses - middle) / np.where(tells, scale, 1)
            slope, offset = _calibrate(standard, y[:, block].clip(_EPS, 1 - _EPS))
            tells &= slope > 0
            calibrated = offset + slope * standard
            leave_one_out[:, block] = np.where(tells, calibrated, leave_one_out[:, block])
            slope = slope / np.where(tells, scale, 1)
            # A positive slope goes through the maximum over regions, so the layer can have it.
            weight[block] = np.where(tells, slope, 0)[:, np.newaxis] * slopes
            bias[block] = np.where(tells, offset + slope * (intercepts - middle), bias[block])
        return weight, bias, leave_one_out


def _blocks(count: int, size: int) -> list[slice]:
    size = max(size, 1)
    return [slice(start, start + size) for start in range(0, count, size)]


class _Ridge:
    """Ridge regressions on the same features, with their leave-one-out predictions."""

    # X are the centred features of the wholes, L and V the eigenvalues and vectors of X'X, P = XV.
    # The predictions are P (L + penalty)^-1 P'y. Without a row, its residual e is divided by 1
    # minus its leverage, and the prediction of any vector z is lower by h e, where
    # h = 1/n + z (X'X + penalty)^-1 x is what the row x adds to it: for x itself, the leverage.

    def __init__(self, views: np.ndarray):
        whole = views[:, 0].astype(np.float64)
        self._views = views
        self._additions: dict[float, np.ndarray] = {}  # by penalty; the same for all labels
        self._mean = whole.mean(axis=0)
        whole -= self._mean  # in place: it is as large as what comes in
        # Of the smaller square: several times faster than the singular values.
        if len(whole) > whole.shape[1]:
            squares, vectors = np.linalg.eigh(whole.T @ whole)
            self._v, self._p = vectors.T, whole @ vectors
        else:
            squares, vectors = np.linalg.eigh(whole @ whole.T)
            s = np.sqrt(squares.clip(0))
            self._p = vectors * s
            self._v = vectors.T @ whole / np.where(s > _SMALL * s[-1], s, np.inf)[:, np.newaxis]
        self._eigenvalues = squares.clip(0)

    def errors(self, labels: np.ndarray, penalties: np.ndarray, rows: slice) -> np.ndarray:
        """Summed squared leave-one-out error on some rows, for each penalty."""
        y = labels - labels.mean(axis=0, dtype=np.float64)
        projected = self._p.T @ y
        p, shares = self._p[rows], 1 / (self._eigenvalues + penalties[:, np.newaxis])
        leverages = 1 / len(y) + p**2 @ shares.T
        return np.array(
            [
                (((y[rows] - p @ (share * projected.T).T) / (1 - h)[:, np.newaxis]) ** 2).sum()
                for share, h in zip(shares, leverages.T, strict=True)
            ]
        )

    def _added(self, penalty: float) -> np.ndarray:
        """What each row adds to the predictions of its whole and its regions, (n, v)."""
        if penalty not in self._additions:
            shares, n = 1 / (self._eigenvalues + penalty), len(self._p)
            added = [self._p**2 @ shares]
            # In the precision of the features: this is most of the work.
            kind = self._views.dtype
            mean, pull = (
                self._mean.astype(kind),
                (self._p * shares).astype(kind) @ self._v.astype(kind),
            )
            for region in np.moveaxis(self._views[:, 1:], 1, 0):
                added.append(np.einsum("nd,nd->n", region, pull) - pull @ mean)
            self._additions[penalty] = 1 / n + np.stack(added, axis=1)
        return self._additions[penalty]

    def fit(self, labels: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Slopes (k, d), intercepts (k,) and leave-one-out predictions (n, k)."""
        middle = labels.mean(axis=0, dtype=np.float64)
        y, added = labels - middle, self._added(penalty)
        slopes = (self._p.T @ y / (self._eigenvalues + penalty)[:, np.newaxis]).T @ self._v
        intercepts = middle - slopes @ self._mean
        flat = self._views.reshape(-1, self._views.shape[2])
        # In the precision of the features, as there are many.
        guesses = (flat @ slopes.T.astype(flat.dtype)).reshape(*self._views.shape[:2], -1)
        residuals = (labels - intercepts - guesses[:, 0]) / (1 - added[:, :1])
        for view in range(guesses.shape[1]):
            guesses[:, view] -= added[:, view, np.newaxis] * residuals
        return slopes, intercepts, mix_views(guesses) + intercepts


def _calibrate(guesses: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope and offset (k,) of a logistic regression of each soft label on its guess."""
    # Newton's method on the cross-entropy plus half the squared slope, all classes at once.
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
