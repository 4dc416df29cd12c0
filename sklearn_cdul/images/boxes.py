"""Where the views of an image lie in it."""

import numpy as np
from PIL import Image

from sklearn_cdul.images.views import Preprocessing, part_boxes, snippet_boxes, windows_per_side


def view_boxes(
    image: Image.Image, grid_size: int, preprocessing: Preprocessing, views: str = "grid"
) -> np.ndarray:
    """Return the part of an image that each of its views shows."""
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
