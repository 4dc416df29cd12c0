"""Say which photos a person should label first."""

from typing import Any

import numpy as np
from scipy.special import entr, expit
from sklearn.metrics import pairwise_distances_argmin_min
from sklearn.metrics.pairwise import euclidean_distances

from sklearn_cdul.predictions import Predictions, known_targets, last_step

# The usual distance between photos is that of so many of them.
_MOST_ASKED = 500


def suggest_photos(estimator: Any, X: Any, n: int = 25, *, observed: Any = None) -> np.ndarray:
    r"""Choose the photos whose labels teach most: doubtful ones, of rare classes, no copies.

    How doubtful class j is in photo i is the entropy of :math:`q_{ij} = \sigma(2 d_{ij})`, where
    :math:`d_{ij}` is the distance of its logit from the threshold of the class, in standard
    deviations of the class. A photo's worth is the sum over the classes, each divided by how many
    photos are expected to show it, :math:`\sum_i q_{ij}`, so that rare classes get their share. The
    photos of the highest worth are taken one by one. What is nearer to a photo that was taken, or
    is labelled already, than photos usually are to the one nearest to them (median, in the space of
    logits) loses worth with the square of the distance: copies of a photo teach nothing new.

    Parameters
    ----------
    estimator : CDULClassifier, CLIPPseudoLabeler, or a pipeline or search that ends with one
        Fitted. For a labeler the thresholds are found on these photos.
    X : sequence of images, or array of embeddings
        Photos to choose from, best those of the training: their labels go into ``observed=``.
    n : int, default=25
        How many.
    observed : array of shape (n_photos, k), names, data frame, CSV file or None, default=None
        Labels that are there already, see :func:`~sklearn_cdul.targets.read_targets`. Photos with
        a label are not suggested.

    Returns
    -------
    rows : ndarray of int
        Positions in X, the first is the most urgent. Fewer than `n` if there are not so many photos
        that can be read and have no label.

    Raises
    ------
    ValueError
        If `n` is below 1, or `observed` can't be used.
    TypeError
        If the estimator has no classes.

    See Also
    --------
    LabelReport : A page to label photos on.

    Notes
    -----
    A photo with labels of all its classes helps most, but labels of some will do. Give them to
    ``fit`` as ``observed=``. To score a model, or for ``fit_thresholds`` alone, take photos drawn
    at random: these are no fair sample.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
    >>> from sklearn_cdul.review import suggest_photos
    >>> X = np.random.default_rng(0).normal(size=(40, 256))
    >>> labeler = CLIPPseudoLabeler(["cat", "dog"], input="embeddings")
    >>> model = CDULClassifier(pseudo_labeler=labeler).fit(X)
    >>> suggest_photos(model, X, 5).shape
    (5,)
    """
    model = last_step(estimator)
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}.")
    labelled = None
    if observed is not None:
        labels = known_targets(observed, model.class_names_, X, name="observed")
        labelled = ~np.isnan(labels).all(axis=1)
    return rank_by_worth(Predictions.from_estimator(estimator, X).margins, n, labelled)


def rank_by_worth(margins: np.ndarray, n: int, labelled: np.ndarray | None = None) -> np.ndarray:
    """What :func:`suggest_photos` does with the scores."""
    readable = np.flatnonzero(~np.isnan(margins).any(axis=1))
    table = margins[readable]
    spread = table.std(axis=0) if len(table) else np.ones(table.shape[1])
    tells = spread > 1e-9
    table = table[:, tells] / spread[tells]
    expected = expit(2 * table)
    doubt = entr(expected) + entr(1 - expected)
    worth = (doubt / np.maximum(expected.sum(axis=0), 1)).sum(axis=1)
    free = np.ones(len(table), dtype=bool)
    usual = _usual_distance(table)
    novelty = np.ones(len(table))
    if labelled is not None:
        free = ~labelled[readable]
        if table.shape[1] and not free.all():
            _, distance = pairwise_distances_argmin_min(table, table[~free], metric="sqeuclidean")
            novelty = np.minimum(novelty, distance / usual)
    taken: list[int] = []
    while len(taken) < n and free.any():
        row = int(np.argmax(np.where(free, worth * novelty, -1)))
        novelty = np.minimum(novelty, _squared_distance(table, row) / usual)
        free[row] = False
        taken.append(row)
    return readable[np.array(taken, dtype=np.intp)]


def _usual_distance(table: np.ndarray) -> float:
    """Median squared distance to the nearest other photo, of at most some hundred photos."""
    if len(table) < 2 or not table.shape[1]:
        return 1e-12
    nearest = []
    for rows in np.array_split(table[:: -(-len(table) // _MOST_ASKED)], 10):
        if len(rows):
            distances = euclidean_distances(rows, table, squared=True)
            nearest.append(np.partition(distances, 1, axis=1)[:, 1])
    return max(float(np.median(np.concatenate(nearest))), 1e-12)


def _squared_distance(table: np.ndarray, row: int) -> np.ndarray:
    return ((table - table[row]) ** 2).sum(axis=1)
