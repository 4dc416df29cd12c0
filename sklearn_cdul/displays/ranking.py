"""The order in which photos are worth a look: the surest, the most doubtful, the wrong ones."""

from collections.abc import Sequence

import numpy as np
from scipy.special import entr, expit, log_expit

ORDERS = ("given", "surest", "doubtful", "wrong")


def rank_photos(
    margins: np.ndarray, targets: np.ndarray | None, order: str, column: int | None = None
) -> np.ndarray:
    """Sort photos by how sure or how wrong a model is."""
    if order not in ORDERS:
        raise ValueError(f"order must be among {', '.join(map(repr, ORDERS))}; got {order!r}.")
    if order == "wrong" and targets is None:
        raise ValueError('order="wrong" needs labels: give y.')
    columns = slice(None) if column is None else slice(column, column + 1)
    rows = np.flatnonzero(~np.isnan(margins).any(axis=1))
    margins = margins[rows, columns]
    if order == "given":
        return rows
    if order == "wrong":
        assert targets is not None
        truth = targets[rows, columns]
        right = np.where(truth == 1, margins, -margins)
        is_wrong = (((margins >= 0) != (truth == 1)) & ~np.isnan(truth)).any(axis=1)
        loss = np.where(np.isnan(truth), 0, -log_expit(right)).sum(axis=1)
        key = np.where(is_wrong, -loss, np.inf)
        return rows[np.argsort(key, kind="stable")[: is_wrong.sum()]]
    if column is not None:
        key = -margins[:, 0] if order == "surest" else np.abs(margins[:, 0])
    else:
        entropy = (entr(expit(margins)) + entr(expit(-margins))).mean(axis=1)
        key = entropy if order == "surest" else -entropy
    return rows[np.argsort(key, kind="stable")]


def take_in_turn(rankings: Sequence[np.ndarray], n_photos: int) -> list[np.ndarray]:
    """Take the first photos of each ranking that none before it has taken."""
    if n_photos < 1:
        raise ValueError(f"n_photos must be at least 1; got {n_photos!r}.")
    taken: list[np.ndarray] = []
    for ranking in rankings:
        before = np.concatenate([*taken, np.array([], dtype=np.intp)])
        taken.append(ranking[~np.isin(ranking, before)][:n_photos])
    return taken
