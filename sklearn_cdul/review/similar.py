"""Find photos by words, and photos that are nearly the same, with the embeddings of a labeler."""

from typing import Any

import numpy as np
from scipy.sparse.csgraph import connected_components
from sklearn.base import clone
from sklearn.neighbors import NearestNeighbors

from sklearn_cdul._utils.docstrings import filled_with
from sklearn_cdul._utils.estimators import final_estimator

# Copies of a photo are found through one another if there are more.
_MOST_NEIGHBORS = 20

documented = filled_with(
    {
        "labeler": """\
labeler : CLIPPseudoLabeler or fitted CDULClassifier
    Whose encoder, views and ``memory`` are used; photos that the folder has are not encoded again.
    Its classes do not matter."""
    }
)


@documented
def search_photos(labeler: Any, X: Any, words: str, n: int = 25) -> tuple[np.ndarray, np.ndarray]:
    """Find the photos that fit some words best.

    Parameters
    ----------
    {labeler}
    X : sequence of images, or array of embeddings
        Photos to search in.
    words : str
        What to look for, such as "red car". It is put into ``prompt_template``.
    n : int, default=25
        How many photos to return, at least 1.

    Returns
    -------
    rows : ndarray of int
        Positions in X, the best first. Fewer than `n` if there are not so many photos that can be
        read.
    similarities : ndarray of float32
        Of each the mean of two cosines: of the whole photo, and of its part that fits best. They
        rank photos; no value of them means "found".

    Raises
    ------
    ValueError
        If `n` is below 1 or `words` is no text, or empty.

    Examples
    --------
    >>> from sklearn_cdul import CLIPPseudoLabeler
    >>> from sklearn_cdul.datasets import load_food_photos
    >>> from sklearn_cdul.review import search_photos
    >>> photos = load_food_photos(subset="test").data[:20]
    >>> rows, _ = search_photos(CLIPPseudoLabeler(grid_size=1), photos, "coffee in a cup", n=3)
    >>> len(rows)
    3
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}.")
    if not isinstance(words, str) or not words.strip():
        raise ValueError(f'words must be text, such as "red car", got {words!r}.')
    # One class alone is warned of; here nothing else is compared.
    seeker = clone(_labeler(labeler)).set_params(classes=[words], background_classes="general")
    seeker.fit()
    cosines = seeker.embed(X) @ seeker.text_embeddings_[0]
    parts = cosines[:, 1:] if cosines.shape[1] > 1 else cosines
    similarities = (cosines[:, 0] + parts.max(axis=1)) / 2
    rows = np.argsort(-similarities, kind="stable")  # NaN come last
    rows = rows[~np.isnan(similarities[rows])][:n]
    return rows, similarities[rows]


@documented
def find_duplicates(labeler: Any, X: Any, similarity: float = 0.7) -> list[np.ndarray]:
    """Find photos that are nearly the same, such as copies in other sizes and series of shots.

    Parameters
    ----------
    {labeler}
    X : sequence of images, or array of embeddings
        The photos.
    similarity : float, default=0.7
        Cosine similarity in (0, 1] from which two photos are nearly the same: the mean over their
        views, each compared with the one in the same place. The default is for the bundled encoder
        with its default views. With ``grid_size=1`` different photos come closer to each other, and
        with most other encoders, too: try 0.9.

    Returns
    -------
    groups : list of ndarray of int
        Positions in X of photos that are alike, two or more per group, in ascending order.

    Raises
    ------
    ValueError
        If `similarity` is not in (0, 1].

    Notes
    -----
    Copies that were scaled, compressed or cropped a little are found; mirrored ones and those
    without colours often are not. Of those that are alike through a third photo all are in one
    group. All photos are compared with all others, in time O(n^2); the embeddings of all of them
    are in memory, ``4 * views * d`` bytes per photo.

    Examples
    --------
    >>> from sklearn_cdul import CLIPPseudoLabeler
    >>> from sklearn_cdul.datasets import load_food_photos
    >>> from sklearn_cdul.review import find_duplicates
    >>> photos = load_food_photos().data[:3]
    >>> find_duplicates(CLIPPseudoLabeler(grid_size=1), [*photos, photos[1]], 0.9)
    [array([1, 3])]
    """
    if not 0 < similarity <= 1:
        raise ValueError(f"similarity must be in (0, 1], got {similarity}.")
    embeddings = _labeler(labeler).embed(X)
    rows = np.flatnonzero(~np.isnan(embeddings).any(axis=(1, 2)))
    if len(rows) < 2:
        return []
    # Unit vectors per view, so that of the whole the cosine is the mean of theirs.
    table = embeddings[rows].reshape(len(rows), -1) / np.sqrt(embeddings.shape[1])
    n_neighbors = min(_MOST_NEIGHBORS, len(rows) - 1)
    # Of unit vectors |a - b|^2 = 2 - 2 cos.
    graph = NearestNeighbors(n_neighbors=n_neighbors).fit(table).kneighbors_graph(mode="distance")
    graph.data = (graph.data**2 <= 2 - 2 * similarity + 1e-5).astype(np.float32)
    graph.eliminate_zeros()
    _, group = connected_components(graph, directed=False)
    members = np.split(rows[np.argsort(group, kind="stable")], np.cumsum(np.bincount(group))[:-1])
    return sorted((one for one in members if len(one) > 1), key=lambda one: one[0])


def _labeler(model: Any) -> Any:
    model = final_estimator(model)
    return getattr(model, "pseudo_labeler_", model)
