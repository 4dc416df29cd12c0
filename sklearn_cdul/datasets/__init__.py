"""Data sets with several labels an image, returned as scikit-learn bunches."""

from sklearn_cdul.datasets._coco import load_coco
from sklearn_cdul.datasets._food import load_food_photos
from sklearn_cdul.datasets._nus_wide import load_nus_wide
from sklearn_cdul.datasets._voc import load_voc

__all__ = ["load_coco", "load_food_photos", "load_nus_wide", "load_voc"]
