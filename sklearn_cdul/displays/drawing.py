"""Draw panels of photos with captions; matplotlib is imported when something is drawn."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from sklearn_cdul.displays.ranking import take_in_turn
from sklearn_cdul.images.decoding import load_image
from sklearn_cdul.images.items import Photos

Caption = Sequence[tuple[str, str]]  # lines, each a text and its colour

# Told apart by people who see few colours, too, and each goes with a mark of its own.
GREEN, RED, AMBER, BLUE, GREY = "#00755a", "#c43c00", "#8f6500", "#0b62a4", "#6b6b6b"
TEXT = {"parse_math": False}  # a "$" in a class name starts no formula
_LINE = 11.5  # points from one line of a caption to the next
_SMALL = 9  # points, size of captions
_PIXELS = 480  # longer side of photos as they are drawn
_WIDTH = 2.6  # inches of a panel with a photo
_PAD = 0.08  # inches around each panel


def check_options(plot: Callable[..., Any], options: dict[str, Any]) -> None:
    """Say before the work that matplotlib is missing, or what a display's ``plot`` won't take."""
    _pyplot()
    inspect.signature(plot).bind(None, **options)


def _pyplot(n_columns: int = 1) -> Any:
    """Return ``matplotlib.pyplot``, to draw so many panels per row."""
    if n_columns < 1:
        raise ValueError(f"n_columns must be at least 1; got {n_columns!r}.")
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
    plt = _pyplot(n_columns)
    n_columns = min(n_columns, n_panels)
    shape = (-(-n_panels // n_columns), n_columns)
    if ax is None:
        width, height = (side + 2 * _PAD for side in panel_size)
        size = (n_columns * width, shape[0] * height)
        figure = plt.figure(figsize=size, layout="constrained")
        figure.get_layout_engine().set(w_pad=_PAD, h_pad=_PAD)
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
    photos: Photos,
    rankings: dict[str, np.ndarray],
    caption: Callable[[int], Caption],
    *,
    n_photos: int,
    n_columns: int,
    ax: Any,
    title: str | None = None,
    legend: Caption = (),
) -> tuple[Any, np.ndarray, np.ndarray]:
    """Draw the first photos of each ranking, each above its caption; a head begins a row.

    A figure of its own gets a title and a legend. Returns it, and the axes and row of each photo.
    """
    _pyplot(n_columns)
    blocks = take_in_turn(list(rankings.values()), n_photos)
    n_columns = min(n_columns, max([1, *map(len, blocks)]))
    panels: list[int] = []
    head_at, first = {}, 0
    for text, block in zip(rankings, blocks, strict=True):
        head_at[first] = text if len(block) else f"{text}: no photo".removeprefix(": ")
        panels += range(first, first + len(block))
        first += max(-(-len(block) // n_columns), 1) * n_columns
    rows = np.concatenate(blocks)
    images, captions = small_photos(photos, rows), [caption(row) for row in rows]
    # All panels have the shape of the photo in the middle, so that captions stand side by side.
    shapes = [image.height / image.width for image in images] or [0.7]
    shape = float(np.clip(np.median(shapes), 0.5, 1.5))
    lines = np.zeros(first, dtype=int)  # below each panel, in each row as many as its longest
    lines[panels] = [len(caption) for caption in captions]
    below = (_LINE * lines.reshape(-1, n_columns).max(axis=1).mean() + 6) / 72
    above = 0.28 * any(rankings) * len(head_at) / (first // n_columns)
    figure, axes = make_axes(ax, first, n_columns, (_WIDTH, _WIDTH * shape + below + above))
    for panel, axis in enumerate(axes):
        axis.set_axis_off()
        if panel in head_at:
            axis.set_title(head_at[panel], loc="left", fontsize=11, fontweight="bold", **TEXT)
    for axis, image, below_it in zip(axes[panels], images, captions, strict=True):
        width = max(image.width, image.height / shape)
        axis.imshow(image, extent=(0, image.width, 0, image.height))
        axis.set(xlim=(0, width), ylim=(0, width * shape), anchor="SW")
        points = 72 * (_WIDTH if ax is None else axis.get_window_extent().width / figure.dpi)
        _draw_caption(axis, below_it, points)
    if ax is None and title is not None:
        figure.set_figheight(figure.get_figheight() + 0.35)
        figure.suptitle(title, **TEXT)
    if ax is None and legend:
        _draw_legend(figure, legend)
    if ax is None:
        # The layout begins with small panels, which captions overhang, and needs rounds to settle.
        for _ in range(2):
            figure.get_layout_engine().execute(figure)
    return figure, axes[panels], rows


def small_photos(photos: Photos, rows: Iterable[int]) -> list[Image.Image]:
    """Load photos with no more pixels than are drawn."""
    size = _PIXELS, _PIXELS
    images = [load_image(photos[row], row, min_size=size) for row in map(int, rows)]
    return [ImageOps.contain(i, size) if max(i.size) > _PIXELS else i for i in images]


def _draw_caption(axis: Any, lines: Caption, width: float) -> None:
    """Write lines beneath a panel, shortened where they would run into the next one."""
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


def by_truth(truth: np.ndarray | None, alone: str | None) -> list[tuple[Any, str, str | None]]:
    """Split what is drawn by its labels: a mask, a colour and the name in the legend of each."""
    if truth is None:
        return [(slice(None), BLUE, alone)]
    unknown = [(np.isnan(truth), "0.88", "label not known")] if np.isnan(truth).any() else []
    known = [(truth == 0, "0.7", "not in the labels"), (truth == 1, BLUE, "in the labels")]
    return [*unknown, *known]


def _draw_legend(figure: Any, entries: Caption) -> None:
    """Say at the foot of a figure what the colours of its captions mean."""
    from matplotlib.lines import Line2D

    figure.set_figheight(figure.get_figheight() + 0.3)
    figure.legend(
        handles=[Line2D([], [], linestyle="none", label=text) for text, _ in entries],
        labelcolor=[color for _, color in entries],
        loc="outside lower left",
        ncols=len(entries),
        frameon=False,
        handlelength=0,
        handletextpad=0,
        fontsize=_SMALL,
    )


def short(score: float) -> str:
    """Write a score with as many digits as tell small ones apart."""
    return f"{score:.2f}" if score >= 0.1 else f"{score:.3f}"


def plain_text(texts: Sequence[Any]) -> None:
    """Let texts that matplotlib has made itself start no formula at a "$"."""
    for text in texts:
        text.set_parse_math(False)
