"""Review what a model predicts, and find the photos that are worth labelling first."""

from typing import Any

from sklearn_cdul.review.report import LabelReport
from sklearn_cdul.review.similar import find_duplicates, search_photos
from sklearn_cdul.review.suggestions import suggest_photos

__all__ = [
    "LabelReport",
    "Review",
    "find_duplicates",
    "review",
    "search_photos",
    "suggest_photos",
]


def __getattr__(name: str) -> Any:
    """Import what trains a classifier, and torch with it, only for a review."""
    if name in ("review", "Review"):
        from sklearn_cdul.review import live

        return getattr(live, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
