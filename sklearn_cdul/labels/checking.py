"""Check the labels of a labeler, which training begins with."""

import numpy as np

from sklearn_cdul.labels.thresholds import ROUNDING


def check_labels(labels: np.ndarray, shape: tuple[int, int], *, may_be_nan: bool) -> None:
    """Refuse what a labeler gave if it can't be labels; those of the package are always fine."""
    if labels.shape != shape:
        raise ValueError(
            f"The labeler's transform must give one row an image and one column a class, shape "
            f"{shape}; it gave {labels.shape}."
        )
    sound = (labels >= -ROUNDING) & (labels <= 1 + ROUNDING)
    if may_be_nan:
        sound |= np.isnan(labels).all(axis=1, keepdims=True)
    if not sound.all():
        row, column = np.argwhere(~sound)[0]
        raise ValueError(
            f"The labeler's transform must give labels in [0, 1]; it gave {labels[row, column]} "
            f"for X[{row}], column {column}."
        )
