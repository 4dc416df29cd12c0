"""Data sets with several labels an image, returned as scikit-learn bunches."""

from sklearn_cdul.datasets._food import load_food_photos

__all__ = ["load_food_photos"]
