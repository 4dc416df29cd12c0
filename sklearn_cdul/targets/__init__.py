"""Labels as people have them, put in the order of the classes and of the photos."""

from sklearn_cdul.targets.checking import check_targets

__all__ = ["check_targets"]
