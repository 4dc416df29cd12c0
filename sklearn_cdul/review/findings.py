"""What is worth a look among the scores of many photos, as plain functions on arrays."""

import numpy as np

from sklearn_cdul.metrics import average_precision_per_class

# A class that is predicted for this share of the photos counts as always predicted.
ALWAYS = 0.9
_N_BINS = 40
# Classes whose logits correlate from here are hard to tell apart.
_ALIKE = 0.8
_MOST_PAIRS = 20
_BLOCK = 512  # classes that are compared with all others at once


def score_histogram(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count the scores of one class in bins of equal width in logits."""
    if len(column) == 0:
        return np.zeros(1, dtype=np.int64), np.array([-1.0, 1.0])
    low, high = column.min(), column.max()
    pad = 0.5 if high - low < 1e-6 else 0.0
    return np.histogram(column, bins=_N_BINS, range=(low - pad, high + pad))


def pick_photos(
    column: np.ndarray, threshold: float, moved: np.ndarray | None, wrong: np.ndarray, n_shown: int
) -> dict[str, np.ndarray]:
    """Choose the photos of one class that a person should see."""

    def highest(values: np.ndarray, among: np.ndarray) -> np.ndarray:
        rows = np.flatnonzero(among)
        return rows[np.argsort(-values[rows], kind="stable")][:n_shown]

    distance, readable = np.abs(column - threshold), ~np.isnan(column)
    kinds = {"wrong": highest(distance, wrong), "surest": highest(column, readable)}
    readable[kinds["surest"]] = False
    kinds["borderline"] = highest(-distance, readable)
    if moved is not None:
        far = np.abs(np.nan_to_num(moved))
        kinds["corrected"] = highest(far, far > 0.01)
    return {kind: rows for kind, rows in kinds.items() if len(rows)}


def alike_classes(
    logits: np.ndarray, predicted: np.ndarray, text_embeddings: np.ndarray | None
) -> list[tuple[int, int, float, float | None, int, int]]:
    """Find pairs of classes whose scores rise and fall together."""
    if len(logits) < 3 or logits.shape[1] < 2:
        return []
    units = (logits - logits.mean(axis=0)).astype(np.float32)
    units /= np.maximum(np.linalg.norm(units, axis=0), 1e-6)
    found: list[tuple[float, int, int]] = []  # with minus the correlation, so that they sort
    for first in range(0, units.shape[1], _BLOCK):
        block = units[:, first : first + _BLOCK].T @ units[:, first:]
        rows, columns = np.nonzero(np.triu(block >= _ALIKE, k=1))
        values = -block[rows, columns]
        best = np.argsort(values, kind="stable")[:_MOST_PAIRS]
        pairs_of_block = zip(values[best], first + rows[best], first + columns[best], strict=True)
        found = sorted([*found, *pairs_of_block])[:_MOST_PAIRS]
    pairs = []
    for minus_r, i, j in found:
        cosine = None if text_embeddings is None else float(text_embeddings[i] @ text_embeddings[j])
        both = int(np.count_nonzero(predicted[:, i] & predicted[:, j]))
        alone = int(np.count_nonzero(predicted[:, i] != predicted[:, j]))
        pairs.append((int(i), int(j), min(float(-minus_r), 1.0), cosine, both, alone))
    return pairs


def class_figures(
    scores: np.ndarray, predicted: np.ndarray, labels: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Figures of each class, as columns of a table."""
    figures = {"predicted": predicted.sum(axis=0), "share": predicted.mean(axis=0)}
    if labels is None:
        return figures
    known, positive = np.isin(labels, (0, 1)), labels == 1
    hits = (predicted & positive).sum(axis=0)
    found, wanted = (predicted & known).sum(axis=0), positive.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return figures | {
            "average_precision": average_precision_per_class(labels, scores),
            "f1": np.where(wanted > 0, 2 * hits / (found + wanted), np.nan),
            "precision": hits / found,
            "recall": hits / wanted,
            "labelled": known.sum(axis=0),
            "positives": wanted,
        }
