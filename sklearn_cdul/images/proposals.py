"""Find boxes in an image that may hold an object of any kind, by selective search."""

from typing import Any

import numpy as np
from PIL import Image

# Stored embeddings carry this number. Raise it with any change here that gives some image other
# boxes.
PROPOSALS_VERSION = 1
# Pixels of the longer side at which boxes are searched. The search merges regions of at least 100
# pixels: at this size they are parts of objects, at a larger one they are details.
_SEARCH_SIZE = 100
_SMALLEST, _LARGEST = 0.02, 0.8  # shares of the image's area
_MOST_OVERLAP = 0.5  # of two boxes: area in both over area in either


def import_opencv() -> Any:
    """Import the OpenCV that has selective search."""
    try:
        import cv2

        _ = cv2.ximgproc.segmentation  # OpenCV without its contrib modules has none
    except (ImportError, AttributeError) as error:
        raise ImportError(
            'views="proposals" needs OpenCV with its contrib modules: pip install '
            '"sklearn-cdul[proposals]". Other packages of OpenCV (opencv-python, '
            "opencv-python-headless) bring a cv2 without them and must be uninstalled first."
        ) from error
    return cv2


def proposal_boxes(image: Image.Image, n_boxes: int) -> list[tuple[int, int, int, int]]:
    """Boxes that may hold an object, the largest first, none of which overlaps much with another.

    The same pixels give the same boxes, whatever was called before and in whatever thread.
    """
    scale = _SEARCH_SIZE / max(image.size)
    width, height = (max(round(side * scale), 1) for side in image.size)
    small = image.resize((width, height), Image.Resampling.BILINEAR)
    boxes = _search(np.asarray(small))
    areas = _areas(boxes) / (width * height)
    boxes = boxes[(areas >= _SMALLEST) & (areas <= _LARGEST)]
    # Back to the pixels of the image, outwards: a box is at least one pixel wide.
    return [
        (
            left * image.width // width,
            upper * image.height // height,
            -(-right * image.width // width),
            -(-lower * image.height // height),
        )
        for left, upper, right, lower in boxes[_largest_apart(boxes, n_boxes)].tolist()
    ]


def _search(pixels: np.ndarray) -> np.ndarray:
    """Boxes (n, 4) of selective search: left, upper, right and lower edges."""
    search = import_opencv().ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(np.ascontiguousarray(pixels[:, :, ::-1]))
    search.switchToSelectiveSearchFast()
    # The set of boxes is always the same, their order is random.
    boxes = np.unique(search.process(), axis=0)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def _largest_apart(boxes: np.ndarray, n_boxes: int) -> list[int]:
    """Indices of the largest boxes that overlap little; among equal areas the first."""
    chosen: list[int] = []
    for index in np.argsort(-_areas(boxes), kind="stable"):
        if len(chosen) == n_boxes:
            break
        if not chosen or _overlaps(boxes[index], boxes[chosen]).max() < _MOST_OVERLAP:
            chosen.append(int(index))
    return chosen


def _overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of one box with each of the others."""
    upper_left = np.maximum(box[:2], others[:, :2])
    sides = np.minimum(box[2:], others[:, 2:]) - upper_left
    intersections = sides.clip(0).prod(axis=1)
    return intersections / (_areas(box) + _areas(others) - intersections)


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
