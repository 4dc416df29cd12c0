"""Look at what a model believes, and say where labels of a person pay most."""

from sklearn_cdul.review.report import LabelReport
from sklearn_cdul.review.suggestions import suggest_photos

__all__ = ["LabelReport", "suggest_photos"]
