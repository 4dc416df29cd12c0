"""Where the views of an image lie in it."""

import numpy as np
from PIL import Image

from sklearn_cdul.images.views import Preprocessing, part_boxes, snippet_boxes, windows_per_side


def view_places(
    image: Image.Image, grid_size: int, preprocessing: Preprocessing, views: str = "grid"
) -> np.ndarray:
    """Return the part of an image that each of its views shows.

    Parameters
    ----------
    image : PIL image of mode "RGB"
        Of any size; of the size that `make_views` is given proposals are those that it takes.
    grid_size : int
        Snippets per side, at least 1.
    preprocessing : Preprocessing
        Of the model. One that crops the centre sees the middle of the image and of each snippet.
    views : {"grid", "dense", "proposals"}, default="grid"
        See `split_views`.

    Returns
    -------
    places : ndarray of shape (n_views, 4), float
        Left, upper, right and lower edge as shares of the image's width and height, in [0, 1]. The
        whole image comes first, as in its embedding. Windows are taken to be of one size; where the
        model's map can't be divided so, they overlap by a cell.
    """
    width, height = image.size
    parts = part_boxes(image, grid_size, views) if grid_size > 1 and views != "dense" else []
    boxes = np.array([(0, 0, width, height), *parts], dtype=np.float64)
    places = np.array([_seen(box, preprocessing) for box in boxes])
    if views == "dense" and grid_size > 1:
        sides = windows_per_side(grid_size)
        left, upper, right, lower = places[0]
        shares = np.array(snippet_boxes(sides, sides, sides)) / sides
        windows = [left, upper] * 2 + shares * ([right - left, lower - upper] * 2)
        places, boxes = np.concatenate([places, windows]), boxes[:1]
    # Where the model pads, nothing is shown.
    places = np.clip(places, boxes[:, [0, 1, 0, 1]], boxes[:, [2, 3, 2, 3]])
    return places / (width, height, width, height)


def _seen(box: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """What a model sees of a box: its middle, or with the padding around it more."""
    if preprocessing.resize_mode == "squash":
        return box
    left, upper, right, lower = box
    height, width = preprocessing.image_size
    choose = min if preprocessing.resize_mode == "shortest" else max
    ratio = choose((right - left) / width, (lower - upper) / height)
    across, down = ratio * width / 2, ratio * height / 2
    x, y = (left + right) / 2, (upper + lower) / 2
    return np.array([x - across, y - down, x + across, y + down])
