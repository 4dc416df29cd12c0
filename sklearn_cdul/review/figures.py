"""How good predictions are on few photos, with intervals of 95 %."""

from typing import Any

import numpy as np
from scipy.stats import binomtest

_DRAWS = 1000
# With fewer photos an interval says nothing.
FEWEST = 5


def judge(predicted: np.ndarray, labels: np.ndarray) -> dict[str, Any] | None:
    """F1 over all labels and the share of photos all right, of a random sample of photos.

    Predictions are bool (n, k), labels 1, 0, or NaN where unknown. The interval of F1 is the
    bootstrap's over photos, that of the share Wilson's. None for fewer than 5 photos.
    """
    n = len(labels)
    if n < FEWEST:
        return None
    known, positive = ~np.isnan(labels), labels == 1
    wrong = ((predicted != positive) & known).sum(axis=1)
    counts = np.stack([(predicted & positive).sum(axis=1), wrong])  # hits, and misses of two kinds
    weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=_DRAWS)
    drawn = _f1(*(counts @ weights.T))
    right = binomtest(int((wrong == 0).sum()), n)
    return {
        "n": n,
        "f1": float(_f1(*counts.sum(axis=1))),
        "f1_interval": np.quantile(drawn, [0.025, 0.975]).tolist(),
        "right": right.statistic,
        "right_interval": list(right.proportion_ci(method="wilson")),
    }


def _f1(hits: Any, wrong: Any) -> Any:
    """F1; 1 where nothing was to be found and nothing was."""
    return np.where(hits + wrong > 0, 2 * hits / np.maximum(2 * hits + wrong, 1), 1.0)
