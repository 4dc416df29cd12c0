"""Look at what a model believes, and say where labels of a person pay most."""

from sklearn_cdul.review.report import LabelReport

__all__ = ["LabelReport"]
