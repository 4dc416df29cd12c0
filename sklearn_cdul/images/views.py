"""Cut an image into the views that are encoded: the whole, then a grid of snippets or proposals."""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from PIL import Image

from sklearn_cdul.images.proposals import PROPOSALS_VERSION, import_opencv, proposal_boxes

# Stored embeddings carry this number. Raise it with any change here or in decoding.py that gives
# the views of some image other pixels.
VIEWS_VERSION = 3
# And of views="dense" this one, for any change in how windows are read off a map.
DENSE_VERSION = 3
# What an image may be looked at in, see `split_views`.
VIEWS = ("grid", "dense", "grid+dense", "proposals")


@dataclass(frozen=True)
class Preprocessing:
    """How a model wants its input, in the terms of open_clip.

    Attributes
    ----------
    image_size : tuple (height, width) of int
        Size of the input in pixels.
    resize_mode : {"shortest", "longest", "squash"}
        "shortest" scales the shorter side to the size and crops the centre, "longest" scales the
        longer side and pads, "squash" changes the proportions.
    interpolation : {"bicubic", "bilinear"}
        Filter of the resizing.
    fill_color : int
        Grey value of the padding, 0 to 255.
    mean, std : tuple of 3 floats
        Normalisation of the channels, for pixels from 0 to 1. For the encoder's own use.
    """

    image_size: tuple[int, int]
    resize_mode: str
    interpolation: str = "bicubic"
    fill_color: int = 0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @classmethod
    def from_open_clip(cls, config: Mapping[str, Any]) -> "Preprocessing":
        """Read the dictionary that ``open_clip.get_model_preprocess_cfg`` returns.

        Parameters
        ----------
        config : mapping
            With the keys "size", "mean" and "std"; "resize_mode" (default "shortest"),
            "interpolation" (default "bicubic") and "fill_color" (default 0) may be missing.

        Returns
        -------
        preprocessing : Preprocessing

        Raises
        ------
        ValueError
            If the resize mode is unknown.
        """
        size = config["size"]
        height, width = (size, size) if isinstance(size, Integral) else (size[0], size[-1])
        resize_mode = config.get("resize_mode") or "shortest"
        if resize_mode not in ("shortest", "longest", "squash"):
            raise ValueError(f"The model's preprocessing has an unknown mode, {resize_mode!r}.")
        # "random" is a choice for training, and bicubic is what open_clip takes in its place.
        interpolation = "bilinear" if config.get("interpolation") == "bilinear" else "bicubic"
        return cls(
            (int(height), int(width)),
            resize_mode,
            interpolation,
            int(config.get("fill_color") or 0),
            _three_floats(config["mean"]),
            _three_floats(config["std"]),
        )


def _three_floats(values: Any) -> tuple[float, float, float]:
    red, green, blue = (values,) * 3 if isinstance(values, (int, float)) else values
    return float(red), float(green), float(blue)


def n_views(grid_size: int, views: str = "grid") -> int:
    """Return how many vectors the embedding of an image has."""
    if isinstance(grid_size, bool) or not isinstance(grid_size, Integral) or grid_size < 1:
        raise ValueError(f"grid_size must be an integer of at least 1, got {grid_size!r}.")
    return 1 + sum(n_parts(grid_size, kind) for kind in split_views(views))


def n_parts(grid_size: int, kind: str) -> int:
    """Return how many snippets, boxes or windows of one kind an image has."""
    if grid_size == 1:
        return 0
    return windows_per_side(grid_size) ** 2 if kind == "dense" else grid_size**2


def windows_per_side(grid_size: int) -> int:
    """Return how many windows per side are read off a map: one per cell, and between each two."""
    return 2 * grid_size - 1


def split_views(views: str) -> list[str]:
    """Return the kinds of views that an image is looked at in."""
    if views not in VIEWS:
        known = ", ".join(f'"{known}"' for known in VIEWS)
        raise ValueError(f"views must be one of {known}; got {views!r}.")
    return str(views).split("+")


def views_version(views: str) -> tuple[int | str, ...]:
    """Return what the views of an image depend on besides the image, grid size and encoder."""
    version: tuple[int | str, ...] = (VIEWS_VERSION,)
    kinds = split_views(views)
    if "proposals" in kinds:
        # Versions 4 and 5 of OpenCV find slightly different boxes.
        version += "proposals", PROPOSALS_VERSION, import_opencv().__version__
    if "dense" in kinds:
        version += str(views), DENSE_VERSION
    return version


def snippet_boxes(width: int, height: int, grid_size: int) -> list[tuple[int, int, int, int]]:
    """The boxes of the snippets, row by row, which partition the image.

    Only where a side has fewer pixels than snippets do they overlap, and are one pixel wide.
    """
    return [
        (left, upper, right, lower)
        for upper, lower in _intervals(height, grid_size)
        for left, right in _intervals(width, grid_size)
    ]


def _intervals(length: int, parts: int) -> list[tuple[int, int]]:
    starts = [min(part * length // parts, length - 1) for part in range(parts)]
    stops = [max((part + 1) * length // parts, starts[part] + 1) for part in range(parts)]
    return list(zip(starts, stops, strict=True))


def required_size(grid_size: int, preprocessing: Preprocessing) -> tuple[int, int]:
    """The size (width, height) from which on more pixels hardly change the views."""
    # Each snippet has as many pixels as the model's input, and the whole image twice as many per
    # side; resizing does the rest of the smoothing. Nearly all proposals have sides at least half
    # as long as those of a snippet.
    height, width = preprocessing.image_size
    if preprocessing.resize_mode != "squash":
        # Either side of a snippet may be the one that is scaled to the input.
        height = width = max(height, width)
    return max(grid_size, 2) * width, max(grid_size, 2) * height


def make_views(
    image: Image.Image, grid_size: int, preprocessing: Preprocessing, views: str = "grid"
) -> np.ndarray:
    """Cut an image into its views, each resized as open_clip's own preprocessing does.

    Only with "shortest" may values differ by 1 or 2 of 255: there roundings are others.
    """
    pixels = np.empty((n_views(grid_size), *preprocessing.image_size, 3), dtype=np.uint8)
    pixels[0] = np.asarray(fit_image(image, preprocessing))
    if grid_size > 1:
        for view, box in zip(pixels[1:], part_boxes(image, grid_size, views), strict=True):
            # crop() first: resize(box=...) would let pixels beyond the border shine through.
            view[...] = np.asarray(fit_image(image.crop(box), preprocessing))
    return pixels


def part_boxes(
    image: Image.Image, grid_size: int, views: str = "grid"
) -> list[tuple[int, int, int, int]]:
    """Return the boxes of an image that are cut out and encoded besides the whole."""
    boxes = snippet_boxes(*image.size, grid_size)
    if views == "proposals":
        boxes = (proposal_boxes(image, len(boxes)) + boxes)[: len(boxes)]
    return boxes


def fit_image(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """Resize, crop and pad one image to the input of the model."""
    height, width = preprocessing.image_size
    square = height == width
    bilinear = preprocessing.interpolation == "bilinear"
    resample = Image.Resampling.BILINEAR if bilinear else Image.Resampling.BICUBIC
    if preprocessing.resize_mode == "squash":
        return image.resize((width, height), resample)
    # The roundings, and bicubic for "shortest" with an input that isn't square, are open_clip's.
    if preprocessing.resize_mode == "longest":
        ratio = max(image.height / height, image.width / width)
        # A strip a thousand times longer than wide must keep one pixel of width.
        new_width = max(round(image.width / ratio), 1)
        new_height = max(round(image.height / ratio), 1)
        padded = Image.new("RGB", (width, height), (preprocessing.fill_color,) * 3)
        offset = ((width - new_width) // 2, (height - new_height) // 2)
        padded.paste(image.resize((new_width, new_height), resample), offset)
        return padded
    if square:
        short = min(image.size)
        new_width, new_height = (int(width * side / short) for side in image.size)
    else:
        resample = Image.Resampling.BICUBIC
        ratio = min(image.height / height, image.width / width)
        new_width, new_height = round(image.width / ratio), round(image.height / ratio)
    # Resizing only what the centre crop keeps is the same and costs less.
    left, upper = round((new_width - width) / 2), round((new_height - height) / 2)
    scale_x, scale_y = image.width / new_width, image.height / new_height
    box = (left * scale_x, upper * scale_y, (left + width) * scale_x, (upper + height) * scale_y)
    box = (*box[:2], min(box[2], image.width), min(box[3], image.height))
    return image.resize((width, height), resample, box=box)


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
