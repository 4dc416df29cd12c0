"""Find the estimator that does the work inside searches and pipelines."""

from typing import Any


def final_estimator(estimator: Any) -> Any:
    """Return the estimator at the end of searches and pipelines."""
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif hasattr(estimator, "steps"):
            estimator = estimator[-1]
        else:
            return estimator
