"""Former names of what reads labels."""

# gone once callers moved
from collections.abc import Sequence
from typing import Any

import numpy as np

from sklearn_cdul.targets.reading import read_targets, warn_about_scores

__all__ = ["check_observed", "check_targets", "warn_about_scores"]

check_targets = read_targets


def check_observed(observed: Any, X: Any, class_names: Sequence[str]) -> np.ndarray | None:
    """Read observed labels; None stays None."""
    return None if observed is None else read_targets(observed, class_names, X, name="observed")
