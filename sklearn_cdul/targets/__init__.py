"""Labels as people have them, put in the order of the classes and of the images."""

from sklearn_cdul.targets.reading import read_targets

__all__ = ["read_targets"]
