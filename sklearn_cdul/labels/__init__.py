"""In come class names and embeddings; out go soft labels, and the thresholds of scores.

Everything here is NumPy and can be read beside the equations of the paper.
"""

from sklearn_cdul.labels.aggregation import (
    aggregate_snippets,
    combine_labels,
    cosine_similarities,
    soft_labels,
    softmax_similarities,
)
from sklearn_cdul.labels.neighbors import smooth_labels
from sklearn_cdul.labels.thresholds import (
    apply_thresholds,
    find_thresholds,
    fit_thresholds,
)

__all__ = [
    "aggregate_snippets",
    "apply_thresholds",
    "combine_labels",
    "cosine_similarities",
    "find_thresholds",
    "fit_thresholds",
    "smooth_labels",
    "soft_labels",
    "softmax_similarities",
]
