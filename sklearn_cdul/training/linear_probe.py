"""Fit a linear layer to soft labels in closed form."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logit
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.utils import check_array, check_consistent_length

# Strengths of the penalty that are tried, in units of n times the mean variance of a feature.
_PENALTIES = np.logspace(-2, 2, 9)
# Labels are kept this far from 0 and 1, whose logits are infinite.
_EPS = 1e-4


def linear_probe(features: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Find the linear layer that gives the logits of soft labels.

    A ridge regression of the labels, with the penalty that predicts left-out rows best, gives the
    direction of each class. A logistic regression of the labels on these predictions of left-out
    rows then turns them into logits that are neither too sure nor too timid. This step is not in
    the CDUL paper; to begin fine-tuning with a linear probe is known from [1]_.

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
    y = check_array(labels, dtype=np.float64, input_name="labels")
    check_consistent_length(x, y)
    weight = np.zeros((y.shape[1], x.shape[1]))
    bias = logit(y.mean(axis=0).clip(_EPS, 1 - _EPS))
    spread = len(x) * x.var(axis=0).mean()
    if len(x) < 3 or spread < 1e-12:
        return weight, bias
    penalties = spread * _PENALTIES
    ridge = RidgeCV(penalties, scoring="neg_mean_squared_error", store_cv_results=True).fit(x, y)
    # With one class scikit-learn drops the axis of classes.
    slopes, intercepts = ridge.coef_.reshape(weight.shape), np.reshape(ridge.intercept_, bias.shape)
    left_out = ridge.cv_results_[:, :, np.flatnonzero(penalties == ridge.alpha_)[0]]
    for column, (guess, label) in enumerate(zip(left_out.T, y.clip(_EPS, 1 - _EPS).T, strict=True)):
        middle, scale = guess.mean(), guess.std()
        if scale < 1e-6:
            continue
        # A soft label is a share of a positive and of a negative photo.
        twice = np.tile((guess - middle) / scale, 2)[:, np.newaxis]
        kind = np.repeat([1, 0], len(x))
        shares = np.concatenate([label, 1 - label])
        calibration = LogisticRegression().fit(twice, kind, sample_weight=shares)
        slope = calibration.coef_[0, 0] / scale
        if slope > 0:
            weight[column] = slope * slopes[column]
            bias[column] = calibration.intercept_[0] + slope * (intercepts[column] - middle)
    return weight, bias
