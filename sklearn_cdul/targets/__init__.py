"""Labels as people have them, put in the order of the classes and of the photos."""

from sklearn_cdul.targets.checking import check_targets

def read_targets(y, names, X=None, *, name="y"):
    return check_targets(y, names, X=X, name=name)

__all__ = ["check_targets"]
