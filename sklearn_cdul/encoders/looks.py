"""What ``views=`` means for an encoder: how an image is cut, and what embeds the pieces."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from sklearn_cdul.images.boxes import view_boxes
from sklearn_cdul.images.views import (
    Preprocessing,
    make_views,
    n_parts,
    n_views,
    required_size,
    split_views,
)


class Look(NamedTuple):
    """One way to look at an image."""

    cut: Callable[[Any], np.ndarray]
    n_pieces: int
    min_size: tuple[int, int]
    start: Callable[[np.ndarray], Callable[[], np.ndarray]]
    shape: tuple[int, ...]
    method: str
    places: Callable[[Any], np.ndarray]


def looks_of(encoder: Any, grid_size: int, views: str) -> list[Look]:
    """Return the ways to look at an image; their vectors one after the other are its embedding."""
    kinds = split_views(views) if grid_size > 1 else ["grid"]
    return [_look(encoder, grid_size, kind, whole=kind == kinds[0]) for kind in kinds]


def _look(encoder: Any, grid_size: int, kind: str, whole: bool) -> Look:
    if kind == "dense":
        # One pass, which gives all vectors.
        start = partial(encoder.start_dense, grid_size=grid_size, whole=whole)
        preprocessing, pieces = encoder.dense_preprocessing, 1
        shape: tuple[int, ...] = (n_parts(grid_size, kind) + whole,)
    else:
        start, preprocessing = encoder.start_views, encoder.preprocessing
        pieces, shape = grid_size, ()
    return Look(
        partial(make_views, grid_size=pieces, preprocessing=preprocessing, views=kind),
        n_views(pieces),
        required_size(pieces, preprocessing),
        start,
        shape,
        "encode_dense" if kind == "dense" else "encode_views",
        partial(_places, grid_size=grid_size, preprocessing=preprocessing, kind=kind, whole=whole),
    )


def _places(
    image: Any, grid_size: int, preprocessing: Preprocessing, kind: str, whole: bool
) -> np.ndarray:
    return view_boxes(image, grid_size, preprocessing, kind)[0 if whole else 1 :]
