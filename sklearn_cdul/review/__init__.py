"""Review what a model predicts, and find the photos that are worth labelling first."""

from sklearn_cdul.review.report import LabelReport
from sklearn_cdul.review.similar import find_duplicates, search_photos
from sklearn_cdul.review.suggestions import suggest_photos

__all__ = ["LabelReport", "find_duplicates", "search_photos", "suggest_photos"]
