"""Labels as people have them, put in the order of the classes and of the images."""

from sklearn_cdul.targets.checking import check_targets  # gone once callers moved
from sklearn_cdul.targets.reading import read_targets

__all__ = ["check_targets", "read_targets"]
