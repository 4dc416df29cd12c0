"""Turn probabilities into 0/1 predictions, with thresholds per class found without labels.

Labels that come from a softmax are faint when a photo shows several classes, and so is a network
that learned from them. A fixed threshold of 0.5 then misses most labels.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_cdul.labels.calibration import (
    OFFSET,
    calibrate,
    learn_from_labels,
    no_calibration,
)

# Softmax and sigmoid in single precision leave [0, 1] by a few units of the last place.
ROUNDING = 1e-5
# Probabilities are kept this far from 0 and 1, whose logits are infinite.
EPS = 1e-12
# A class with negatives alone is named from this probability on.
_LIKELY = 0.35
# So far, in logits, a threshold is raised above negatives if there are positives.
_MOST_RAISED = 0.5
# Distance in logits from a label: of a threshold that is raised above it, and for rounding alone.
_MARGIN, _ROUNDING_LOGITS = 0.25, 1e-5
# The common threshold is found on at most so many scores.
_MOST_VALUES = 2**22


def find_thresholds(scores: ArrayLike, *, shrinkage: float = 25) -> np.ndarray:
    r"""Find a decision threshold for each class from unlabelled scores.

    The sorted scores :math:`x_i` of a class are split into two groups that stay as close as
    possible to their means :math:`m_0 < m_1` in the Kullback-Leibler divergence between Bernoulli
    distributions, with which the CDUL network is trained:

    .. math:: \min_c \sum_{i < c} KL(x_i \| m_0) +
              \sum_{i \ge c} KL(x_i \| m_1)

    This is the optimal clustering into two groups [1]_; every split is tried. It is to this
    divergence what Otsu's threshold is to the squared difference, and the minimum cross-entropy
    threshold of image processing [2]_ to the generalised divergence of positive numbers. The
    threshold is the score at which both divergences are equal,

    .. math:: t = \frac{\log\frac{1 - m_0}{1 - m_1}}
                       {\log\frac{1 - m_0}{1 - m_1} + \log\frac{m_1}{m_0}}

    A few photos give uncertain thresholds, so in logits :math:`t_j` gets the weight
    :math:`n / (n + s)`, with the shrinkage :math:`s`, and a common threshold of the scores of all
    classes gets the rest. Each class is assumed to be present in some photos and absent from
    others: if it is absent from all, its highest scores are taken for positives.

    Parameters
    ----------
    scores : array-like of shape (n, k)
        Probabilities or soft labels in [0, 1], one row per photo. NaN entries are ignored.
    shrinkage : float, default=25
        Number of photos at which a class's own threshold and the common one count the same. 0 uses
        the class's own.

    Returns
    -------
    thresholds : ndarray of shape (k,), dtype float64
        In (0, 1]. A score counts as positive if it is at least the threshold. Without shrinkage,
        a class with two or more different scores has positives and negatives. A class without
        (constant, a single photo, or only NaN) gets the common threshold, which is 0.5 if all
        scores are equal.

    Raises
    ------
    ValueError
        If `scores` is not two-dimensional or has values outside [0, 1], or `shrinkage` is
        negative.

    Notes
    -----
    Takes the time of a few sorts of all n k scores. The common threshold uses at most four million
    of them, spread evenly, so that about 300 MB are needed at most besides some bytes per score.

    References
    ----------
    .. [1] A. Banerjee, S. Merugu, I. S. Dhillon, J. Ghosh, "Clustering with Bregman
       Divergences", Journal of Machine Learning Research 6, 2005.
    .. [2] C. H. Li, P. K. S. Tam, "An iterative algorithm for minimum cross entropy
       thresholding", Pattern Recognition Letters 19 (8), 1998.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_cdul.labels import find_thresholds
    >>> scores = np.array([[0.01, 0.9], [0.02, 0.8], [0.20, 0.1], [0.30, 0.9]])
    >>> find_thresholds(scores, shrinkage=0).round(2)  # by default four photos count little
    array([0.09, 0.47])
    """
    from scipy.special import expit, logit

    table = check_scores(scores)
    if not shrinkage >= 0:
        raise ValueError(f"shrinkage must be at least 0, got {shrinkage!r}.")
    common = _split(_some_values(table))
    common = 0.5 if np.isnan(common) else common
    own = np.array([_split(column) for column in table.T])
    if not shrinkage:
        return np.where(np.isnan(own), common, own)
    count = (~np.isnan(table)).sum(axis=0)
    weight = np.where(np.isnan(own), 0, count / (count + shrinkage))
    own_logit, common_logit = (logit(np.minimum(t, 1 - EPS)) for t in (own, common))
    logits = np.where(weight, weight * own_logit, 0) + (1 - weight) * common_logit
    # The way to a logit and back costs a digit; where both agree there is nothing to draw.
    return np.where(own == common, own, expit(logits))


def _some_values(table: np.ndarray) -> np.ndarray:
    """All values, or of very many every m-th, spread evenly over rows and columns."""
    step = -(-table.size // _MOST_VALUES)
    while step > 1 and math.gcd(step, table.shape[1]) > 1:
        step += 1
    return table.ravel()[::step] if step > 1 else table.ravel()


def _split(scores: np.ndarray) -> float:
    """The threshold of one class by itself; NaN if its scores are all equal."""
    from scipy.special import entr

    ordered = np.sort(scores[~np.isnan(scores)].astype(np.float64).clip(0, 1))
    if len(ordered) == 0 or ordered[0] == ordered[-1]:
        return np.nan

    # The summed divergence to the mean is the entropy of the mean, minus a sum that no split
    # changes. Sums of x and of 1 - x are kept apart: 1 - sum(x) has no digits left near 1.
    both = np.stack([ordered, 1 - ordered])
    size = np.arange(1, len(ordered))
    low = both.cumsum(axis=1)[:, :-1] / size
    high = both[:, ::-1].cumsum(axis=1)[:, -2::-1] / size[::-1]
    cost = size * entr(low).sum(axis=0) + size[::-1] * entr(high).sum(axis=0)
    cost[ordered[1:] == ordered[:-1]] = np.inf
    split = np.argmin(cost)

    below, above = ordered[split], ordered[split + 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        gain_1, gain_0 = np.abs(np.log(high[:, split] / low[:, split]))
        threshold = gain_0 / (gain_0 + gain_1)
    # A mean of exactly 0 or 1 is infinitely far from everything else: take the middle instead.
    if not (below < threshold <= above and threshold < 1):
        threshold = (below + above) / 2
    # The middle of two neighbouring numbers can be rounded to the lower one.
    return float(threshold if threshold > below else above)


def fit_thresholds(
    scores: ArrayLike, labels: ArrayLike, start: ArrayLike, *, shrinkage: float = 5
) -> np.ndarray:
    r"""Move given thresholds by the labels of some photos, "no" as well as "yes".

    The scores are calibrated: logistic regressions of the labels on the logits [1]_, one for all
    classes and, drawn toward it, one for each. At the start a photo at the threshold is assumed to
    show the class with a probability of 0.25. If a class has positives, its threshold moves halfway
    from the start to the score that now has this probability, in logits, and then to the threshold
    of the best F1 on the labelled photos, which has the weight :math:`p / (p + s)`, with :math:`p`
    positives and the shrinkage :math:`s`. If a class has :math:`n` negatives alone, it moves all
    the way, then to the highest of their scores if it is above, and to the probability 0.35, each
    with the weight :math:`n / (n + s)`, but never to a lower score than at the start. Last, a
    threshold is raised above negatives that it would include without including a positive of a
    lower score: by 0.5 at most, in logits, or above all of them if the class has negatives alone.

    Parameters
    ----------
    scores : array-like of shape (n, k)
        Probabilities in [0, 1], one row per photo. NaN entries are ignored.
    labels : array-like of shape (n, k)
        1, 0, or NaN where unknown. The photos may be chosen by their scores, for instance near the
        thresholds.
    start : array-like of shape (k,)
        Thresholds found without labels, in [0, 1].
    shrinkage : float, default=5
        Number of labels of the kind above at which they and the start count the same; at least 0.

    Returns
    -------
    thresholds : ndarray of shape (k,), dtype float64
        In [0, 1]. Those of classes without labels follow what the labels of the others say of all.
        Without any label, the start.

    Raises
    ------
    ValueError
        If the shapes do not match, `scores` or `start` leave [0, 1], `labels` are not 0, 1 or NaN,
        or `shrinkage` is negative.

    See Also
    --------
    find_thresholds : Finds the start.

    References
    ----------
    .. [1] J. Platt, "Probabilistic Outputs for Support Vector Machines", Advances in Large Margin
       Classifiers, MIT Press, 1999.

    Examples
    --------
    >>> from sklearn_cdul.labels import fit_thresholds
    >>> scores, labels = [[0.1], [0.2], [0.6], [0.7]], [[0], [0], [1], [1]]
    >>> fit_thresholds(scores, labels, [0.8], shrinkage=0).round(2)
    array([0.54])
    >>> bool(fit_thresholds(scores, [[0], [0], [0], [0]], [0.15])[0] > 0.7)
    True
    """
    from scipy.special import expit, logit

    table = check_scores(np.asarray(scores, dtype=np.float64)).clip(0, 1)
    for axis in ("index", "columns"):
        own: Any
        own, other = (getattr(values, axis, None) for values in (labels, scores))
        is_named = hasattr(own, "equals") and any(isinstance(name, str) for name in own)
        if is_named and (axis == "index" or hasattr(other, "equals")) and not own.equals(other):
            raise ValueError(
                f"labels have names as their {axis}, and scores not the same. If both have the "
                "same order, give labels.to_numpy()."
            )
    truths, begin = (np.asarray(values, dtype=np.float64) for values in (labels, start))
    if truths.shape != table.shape or begin.shape != table.shape[1:] or not shrinkage >= 0:
        raise ValueError(
            "scores and labels must have one shape (n, k), start k values, and shrinkage be at "
            f"least 0; got {table.shape}, {truths.shape}, {begin.shape} and {shrinkage!r}."
        )
    check_thresholds(begin, len(begin))
    if not (np.isin(truths, (0, 1)) | np.isnan(truths)).all():
        raise ValueError("labels must hold only 0 and 1, and NaN for labels that are not known.")
    known = ~np.isnan(table) & ~np.isnan(truths)
    if not known.any():
        return begin
    logits, first = (logit(values.clip(EPS, 1 - EPS)) for values in (table, begin))
    # A start beyond all scores says nothing of how far these are off.
    low, high = np.fmin.reduce(logits, axis=0), np.fmax.reduce(logits, axis=0)
    before = no_calibration(len(begin))
    before[:, 1] = OFFSET - np.where(np.isnan(low), first, first.clip(low, high))
    begin = first + before[:, 1]
    after, found = learn_decisions(before, begin, truths, logits, logits, shrinkage)
    thresholds = expit((found - after[:, 1]) / after[:, 0])
    return np.where(thresholds <= EPS, 0, thresholds)  # scores of 0 count as EPS


def learn_decisions(
    calibration: np.ndarray,
    start: np.ndarray,
    labels: np.ndarray,
    logits: np.ndarray,
    seen: np.ndarray,
    shrinkage: float = 5,
) -> tuple[np.ndarray, np.ndarray]:
    """Calibration and thresholds (k,) that labels (n, k) teach, see :func:`fit_thresholds`.

    Thresholds, before and after, are calibrated logits. The calibration learns from ``logits``, and
    ``seen`` are those by which a class is found; they differ where labels shaped the latter.
    """
    after = learn_from_labels(calibration, logits, labels)
    kept = calibrate((start - calibration[:, 1]) / calibration[:, 0], after)
    return after, place_thresholds(calibrate(seen, after), labels, start, kept, shrinkage)


def place_thresholds(
    logits: np.ndarray,
    labels: np.ndarray,
    start: np.ndarray,
    kept: np.ndarray,
    shrinkage: float = 5,
) -> np.ndarray:
    """Thresholds (k,) for calibrated logits (n, k) with labels, see :func:`fit_thresholds`.

    ``start`` has the probability of the start, and ``kept`` its score; they and what is returned
    are calibrated logits, too. Classes without labels keep the probability.
    """
    thresholds = np.array(start, dtype=np.float64)
    known = ~np.isnan(logits) & ~np.isnan(labels)
    for j in np.flatnonzero(known.any(axis=0)):
        x, truth = logits[known[:, j], j].astype(np.float64), labels[known[:, j], j] == 1
        # The start of a class that seems absent is above all scores: it would outweigh any label.
        at = min(thresholds[j], x.max())
        if truth.any():
            at = (at + min(kept[j], x.max())) / 2
            weight = truth.sum() / (truth.sum() + shrinkage)
            at = weight * _best_f1(x, truth, at) + (1 - weight) * at
        else:
            weight = len(x) / (len(x) + shrinkage)
            # Few negatives may all have low scores, which says little of the start.
            at = weight * at + (1 - weight) * thresholds[j]
            at = weight * math.log(_LIKELY / (1 - _LIKELY)) + (1 - weight) * at
            at = max(at, kept[j])  # whatever labels say of other classes, "no" finds no more photos
        thresholds[j] = _clear_of_labels(at, x, truth)
    return thresholds


def _best_f1(logits: np.ndarray, truth: np.ndarray, start: float) -> float:
    """The threshold with the highest F1, the one nearest to the start if there are several."""
    order = np.argsort(-logits)
    ordered, hits = logits[order], np.cumsum(truth[order])
    f1 = 2 * hits / (np.arange(1, len(ordered) + 1) + hits[-1])
    # A threshold lies between two different scores, the upper one included, or below all.
    lower = np.append(ordered[1:], -np.inf)
    f1[lower == ordered] = 0
    thresholds = np.clip(start, np.nextafter(lower, np.inf), ordered)
    best = thresholds[np.isclose(f1, f1.max())]
    return float(best[np.argmin(np.abs(best - start))])


def _clear_of_labels(threshold: float, logits: np.ndarray, truth: np.ndarray) -> float:
    """Raise a threshold above negatives that no positive is below; keep off the labels.

    Another batch size or machine, whose rounding differs, must decide the same.
    """
    above = logits >= threshold
    positive = logits[truth & above].min(initial=np.inf)
    most = threshold + _MOST_RAISED if truth.any() else np.inf
    low = logits[~truth & above & (logits < min(positive, most))].max(initial=-np.inf)
    if low > -np.inf:
        return float(low + min(_MARGIN, (positive - low) / 2))
    below = logits[~above].max(initial=-np.inf)
    margin = min(_ROUNDING_LOGITS, (positive - below) / 2)
    return float(np.clip(threshold, below + margin, positive - margin))


def check_scores(scores: ArrayLike) -> np.ndarray:
    """Check probabilities that a user gives."""
    table = np.asarray(scores)
    if table.ndim != 2:
        raise ValueError(f"scores must have the shape (n, k), got {table.shape}.")
    outside = (table < -ROUNDING) | (table > 1 + ROUNDING)
    if outside.any():
        row, column = np.argwhere(outside)[0]
        raise ValueError(
            f"scores must lie in [0, 1], but scores[{row}, {column}] is {table[row, column]}. "
            "Give probabilities (predict_proba), not logits (decision_function)."
        )
    return table


def check_thresholds(threshold: ArrayLike, n_classes: int) -> np.ndarray:
    """Check given thresholds, one number or one per class, and return float64 (n_classes,)."""
    try:
        values = np.asarray(threshold)
    except ValueError:  # a ragged list
        values = np.array(None)
    if values.size and values.dtype.kind not in "fiu":
        raise TypeError(f"threshold must be a number or an array of numbers, got {threshold!r}.")
    if values.shape not in ((), (n_classes,)):
        raise ValueError(
            f"threshold must be one number or have one for each of the {n_classes} classes, "
            f"got shape {values.shape}."
        )
    bad = values[~((values >= 0) & (values <= 1))]
    if bad.size:
        raise ValueError(f"threshold must lie in [0, 1], got {bad.flat[0]}.")
    return np.broadcast_to(values, (n_classes,)).astype(np.float64)


def apply_thresholds(scores: ArrayLike, thresholds: ArrayLike) -> np.ndarray:
    """Return 1 where a score is at least the threshold of its class, else 0.

    Parameters
    ----------
    scores : array-like of shape (n, k)
        Probabilities or soft labels. NaN counts as below any threshold.
    thresholds : array-like of shape (k,)
        One per class, as :func:`find_thresholds` returns them.

    Returns
    -------
    labels : ndarray of shape (n, k), dtype int64
        0 or 1.

    Examples
    --------
    >>> apply_thresholds([[0.2, 0.2], [0.3, float("nan")]], [0.3, 0.1])
    array([[0, 1],
           [1, 0]])
    """
    return (np.asarray(scores) >= np.asarray(thresholds)).astype(np.int64)
