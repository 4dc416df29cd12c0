"""Draw panels of photos with captions; matplotlib is imported when something is drawn."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from sklearn_cdul.images.photos import Photos

Caption = Sequence[tuple[str, str]]  # lines, each a text and its colour

# Told apart by people who see few colours, too, and each goes with a mark of its own.
GREEN, RED, AMBER, BLUE, GREY = "#00755a", "#c43c00", "#8f6500", "#0b62a4", "#6b6b6b"
TEXT = {"parse_math": False}  # a "$" in a class name starts no formula
_LINE = 11.5  # points from one line of a caption to the next
_SMALL = 9  # points, size of captions
_PIXELS = 480  # longer side of photos as they are drawn
_WIDTH = 2.6  # inches of a panel with a photo


def import_pyplot() -> Any:
    """Return ``matplotlib.pyplot``."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            'Displays draw with matplotlib. Install it with pip install "sklearn-cdul[plot]".'
        ) from error
    return plt


def make_axes(
    ax: Any, n_panels: int, n_columns: int, panel_size: tuple[float, float]
) -> tuple[Any, np.ndarray]:
    """Return a figure and the axes of its panels, row by row."""
    plt = import_pyplot()
    _check_columns(n_columns)
    n_columns = min(n_columns, n_panels)
    shape = (-(-n_panels // n_columns), n_columns)
    if ax is None:
        size = (n_columns * panel_size[0], shape[0] * panel_size[1])
        figure = plt.figure(figsize=size, layout="constrained")
        axes = figure.subplots(*shape, squeeze=False).ravel()
    elif not hasattr(ax, "get_figure"):
        axes = np.asarray(ax, dtype=object).ravel()
        if len(axes) < n_panels:
            raise ValueError(f"ax has {len(axes)} Axes, but {n_panels} panels are to be drawn.")
        figure = axes[0].get_figure()
    elif n_panels == 1:
        return ax.get_figure(), np.array([ax], dtype=object)
    else:
        spec, figure = ax.get_subplotspec(), ax.get_figure()
        if spec is None:
            raise ValueError(
                f"ax can't be divided into {n_panels} panels: it is no subplot. Make it with "
                "plt.subplots, or give None."
            )
        ax.set_axis_off()
        axes = np.array([figure.add_subplot(part) for part in spec.subgridspec(*shape)])
    for spare in axes[n_panels:]:
        spare.set_axis_off()
    return figure, axes[:n_panels]


def draw_photos(
    heads: Sequence[str],
    blocks: Sequence[Sequence[Image.Image]],
    captions: Sequence[Sequence[Caption]],
    *,
    n_columns: int,
    ax: Any,
) -> tuple[Any, np.ndarray]:
    """Draw photos whole, each with its caption beneath, in blocks that begin a row each."""
    _check_columns(n_columns)
    n_columns = max(min(n_columns, max(map(len, blocks), default=1)), 1)
    places: list[int] = []
    head_at, first = {}, 0
    for text, block in zip(heads, blocks, strict=True):
        head_at[first] = text if block else f"{text}: no photo".removeprefix(": ")
        places += range(first, first + len(block))
        first += max(-(-len(block) // n_columns), 1) * n_columns
    images = [image for block in blocks for image in block]
    lines = [caption for block in captions for caption in block]
    # All panels have the shape of the photo in the middle, so that captions stand side by side.
    shapes = [image.height / image.width for image in images] or [0.7]
    panel = float(np.clip(np.median(shapes), 0.5, 1.5))
    below = (_LINE * max(map(len, lines), default=0) + 6) / 72
    above = 0.3 if any(heads) else 0.06
    figure, axes = make_axes(ax, first, n_columns, (_WIDTH, _WIDTH * panel + below + above))
    for place, axis in enumerate(axes):
        axis.set_axis_off()
        if place in head_at:
            axis.set_title(head_at[place], loc="left", fontsize=11, fontweight="bold", **TEXT)
    for axis, image, caption in zip(axes[places], images, lines, strict=True):
        width = max(image.width, image.height / panel)
        axis.imshow(image, extent=(0, image.width, 0, image.height))
        axis.set(xlim=(0, width), ylim=(0, width * panel), anchor="SW")
        points = 72 * (_WIDTH if ax is None else axis.get_window_extent().width / figure.dpi)
        draw_caption(axis, caption, points)
    return figure, axes[places]


def _check_columns(n_columns: int) -> None:
    if n_columns < 1:
        raise ValueError(f"n_columns must be at least 1; got {n_columns!r}.")


def small_photos(photos: Photos, rows: Iterable[int]) -> list[Image.Image]:
    """Load photos with no more pixels than are drawn."""
    images = [photos.load(int(row), (_PIXELS, _PIXELS)) for row in rows]
    return [
        ImageOps.contain(image, (_PIXELS, _PIXELS)) if max(image.size) > _PIXELS else image
        for image in images
    ]


def draw_caption(axis: Any, lines: Caption, width: float) -> None:
    """Write lines beneath a panel, cut off where they would run into the next one."""
    longest = max(int(width / (0.58 * _SMALL)), 12)
    for index, (text, color) in enumerate(lines):
        axis.annotate(
            text if len(text) <= longest else text[: longest - 1] + "…",
            xy=(0, 0),
            xycoords="axes fraction",
            xytext=(0, -3 - _LINE * index),
            textcoords="offset points",
            va="top",
            color=color,
            fontsize=_SMALL,
            annotation_clip=False,
            **TEXT,
        )


def explain(figure: Any, entries: Sequence[tuple[str, str]]) -> None:
    """Say at the foot of a figure what the colours of its captions mean."""
    from matplotlib.lines import Line2D

    legend = figure.legend(
        handles=[Line2D([], [], linestyle="none", label=text) for text, _ in entries],
        loc="outside lower left",
        ncols=len(entries),
        frameon=False,
        handlelength=0,
        handletextpad=0,
        fontsize=_SMALL,
    )
    for text, (_, color) in zip(legend.get_texts(), entries, strict=True):
        text.set_color(color)


def short(score: float) -> str:
    """Write a score with as many digits as tell small ones apart."""
    return f"{score:.2f}" if score >= 0.1 else f"{score:.3f}"


def plain_text(texts: Sequence[Any]) -> None:
    """Let texts that matplotlib has made itself start no formula at a "$"."""
    for text in texts:
        text.set_parse_math(False)
