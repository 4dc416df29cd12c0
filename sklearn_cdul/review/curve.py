"""How a model gets better with the answers, on photos from which it does not learn."""

from typing import Any

import numpy as np

from sklearn_cdul.review.figures import judge

_MOST_POINTS = 40
# "More labels help little": F1 rose by less than this over so many answers, on enough photos.
_LITTLE, _LATELY, _ENOUGH = 0.005, 40, 20


class Curve:
    """Models since the start, by what they predicted of photos that are kept apart."""

    def __init__(self) -> None:
        self._models: list[tuple[int, np.ndarray]] = []  # number of answers, bits of predictions

    def add(self, answers: int, predicted: np.ndarray, labels: np.ndarray) -> list[dict[str, Any]]:
        """Add a model by its predictions (m, k); return figures of all, by labels (m, k) of now.

        So what differs between them is the model. Labels are NaN where unknown; either may have
        fewer classes, if some have come meanwhile. Answers that were taken back end the curve.
        """
        models = [model for model in self._models if model[0] < answers]
        models = [*models, (answers, np.packbits(predicted, axis=1))]
        self._models = models if len(models) <= _MOST_POINTS else models[:-1:2] + models[-1:]
        rows = np.flatnonzero(~np.isnan(labels).all(axis=1))
        k, points = min(predicted.shape[1], labels.shape[1]), []
        for n, packed in self._models:
            then = np.unpackbits(packed[rows], axis=1)[:, :k].astype(bool)
            then = np.pad(then, ((0, 0), (0, k - then.shape[1])))
            figures = judge(then, labels[rows, :k])
            if figures is not None:
                points.append({"answers": n, **figures})
        return points


def hint(points: list[dict[str, Any]]) -> str:
    """Whether more labels still help, as far as the curve tells."""
    if not points or points[-1]["n"] < _ENOUGH:
        return ""
    now = points[-1]
    before = [point for point in points if point["answers"] <= now["answers"] - _LATELY]
    if not before:
        return ""
    gain = now["f1"] - before[-1]["f1"]
    n = now["answers"] - before[-1]["answers"]
    text = f"The last {n} answers changed F1 by {100 * gain:+.1f} points on these photos"
    return text + (": more labels help little now." if gain < _LITTLE else ".")
