"""What CLIP saw in a photo, and in which of its parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_cdul.displays.docstrings import fill
from sklearn_cdul.displays.drawing import TEXT, check_options, make_axes, small_photos
from sklearn_cdul.images.items import check_images
from sklearn_cdul.images.views import n_parts, n_views, snippet_boxes, split_views
from sklearn_cdul.labels.aggregation import cosine_similarities, softmax_similarities
from sklearn_cdul.labels.thresholds import ROUNDING
from sklearn_cdul.predictions import find_classes, last_step

_MOST_NUMBERS = 16  # parts of a photo, if each is to bear its value
_PARTS = {"grid": "snippet", "dense": "window", "proposals": "proposal"}
_DARKEST = 0.85  # where a part has a soft label of 0, or none shows anything
_PIXELS = 240  # per side of the shade


@fill
@dataclass(kw_only=True, eq=False, repr=False)
class SimilarityDisplay:
    """A photo under the soft labels of its parts, one panel per class: what CLIP saw, and where.

    {made}

    Parameters
    ----------
    {views}

    Attributes
    ----------
    axes_ : ndarray of shape (n_panels,), dtype object
        The matplotlib Axes: the photo, then one per class; with "grid+dense" all of them twice.
    figure_ : matplotlib Figure
        Of the axes.
    drawn_names_ : list of str
        The class of each panel after the photo.

    See Also
    --------
    sklearn_cdul.CLIPPseudoLabeler : Joins the snippets into the label of the photo.

    Examples
    --------
    >>> from sklearn_cdul import CLIPPseudoLabeler
    >>> from sklearn_cdul.datasets import load_food_photos
    >>> from sklearn_cdul.displays import SimilarityDisplay
    >>> labeler = CLIPPseudoLabeler(["pizza", "cake", "coffee"]).fit()
    >>> photo = load_food_photos().data[0]
    >>> SimilarityDisplay.from_estimator(labeler, photo).view_labels.shape
    (26, 3)
    """

    photo: Any
    view_labels: np.ndarray
    class_names: Sequence[str]
    views: str = "grid"
    boxes: np.ndarray | None = None

    def __post_init__(self) -> None:
        labels = self.view_labels = np.asarray(self.view_labels, dtype=np.float64)
        self.class_names, views = list(self.class_names), self.views
        sizes = (size for size in range(2, 65) if n_views(size, views) == len(labels))
        self._grid_size = next(sizes, 0)
        if labels.ndim != 2 or not self._grid_size or labels.shape[1] != len(self.class_names):
            raise ValueError(
                "view_labels must have a row for the photo and one for each part of a square grid "
                f'with views="{views}", and a column for each of the {len(self.class_names)} '
                f"class_names; got shape {labels.shape}. A labeler with grid_size=1 looks at no "
                "parts."
            )
        edges = _even_boxes(self._grid_size, views) if self.boxes is None else self.boxes
        boxes = self.boxes = np.asarray(edges, dtype=np.float64)
        if boxes.shape != (len(labels), 4):
            raise ValueError(
                f"boxes must have shape {(len(labels), 4)}, four edges for each row of "
                f"view_labels; got {boxes.shape}."
            )
        for what, values in (
            ("view_labels must be soft labels", labels),
            ("boxes must be shares of the photo's width and height", boxes),
        ):
            inside = (values >= -ROUNDING) & (values <= 1 + ROUNDING)
            for row, column in np.argwhere(~inside)[:1]:
                raise ValueError(
                    f"{what} in [0, 1]; got {values[row, column]} in row {row}, column {column}."
                )

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, **options: Any) -> "SimilarityDisplay":
        """Let CLIP look at the parts of a photo and draw what it saw.

        Parameters
        ----------
        estimator : CLIPPseudoLabeler or CDULClassifier
            Fitted, of images. Of a classifier its ``pseudo_labeler_`` is asked, which loads CLIP;
            its network is not.
        X : image or list of one image
            The photo.
        {options, result}
        """
        check_options(cls.plot, options)
        model = last_step(estimator)
        labeler = getattr(model, "pseudo_labeler_", model)
        if labeler.input != "images":
            raise ValueError(
                "SimilarityDisplay draws over a photo, so it needs a labeler with "
                f'input="images"; got input={labeler.input!r}.'
            )
        if isinstance(X, (list, tuple)):
            if len(X) != 1:
                raise ValueError(f"SimilarityDisplay draws one photo; got a list of {len(X)}.")
            X = X[0]
        photos = check_images([X])
        embeddings = labeler.embed(photos)[0]
        texts = np.concatenate([labeler.text_embeddings_, labeler.background_embeddings_])
        labels = softmax_similarities(cosine_similarities(embeddings, texts), labeler.temperature_)
        return cls.from_predictions(
            X,
            labels[:, : len(labeler.class_names_)],
            class_names=labeler.class_names_,
            views=labeler.views_,
            boxes=labeler.view_boxes(photos)[0],
            **options,
        )

    @classmethod
    def from_predictions(
        cls,
        photo: Any,
        view_labels: ArrayLike,
        *,
        class_names: Sequence[str],
        views: str = "grid",
        boxes: ArrayLike | None = None,
        **options: Any,
    ) -> "SimilarityDisplay":
        """Draw soft labels of views that were made beforehand.

        Parameters
        ----------
        {views, options, result}
        """
        given: dict[str, Any] = {"view_labels": view_labels, "boxes": boxes}
        return cls(photo=photo, class_names=class_names, views=views, **given).plot(**options)

    def plot(
        self,
        *,
        classes: str | Sequence[str] | None = None,
        n_classes: int = 3,
        n_columns: int = 4,
        ax: Any = None,
    ) -> "SimilarityDisplay":
        """Draw the photo, and over it the soft labels of its parts for some classes.

        The higher the soft label of a part, the brighter it is, on one scale for all panels. Where
        proposals overlap, the highest counts; the best one has a thick outline.

        Parameters
        ----------
        classes : str, sequence of str or None, default=None
            Which to draw. None takes those with the highest label in the whole photo or a part.
        n_classes : int, default=3
            How many, if `classes` is None.
        {panels, result}
        """
        if n_classes < 1:
            raise ValueError(f"n_classes must be at least 1; got {n_classes!r}.")
        assert self.boxes is not None
        names = list(self.class_names)
        whole, parts = self.view_labels[0], self.view_labels[1:]
        if classes is None:
            columns = np.argsort(-(whole + parts.max(axis=0)), kind="stable")[:n_classes]
        else:
            columns = find_classes(classes, names)
        image = small_photos(check_images([self.photo]), [0])[0]
        shape: dict[str, Any] = {"extent": (0, 1, 1, 0), "aspect": image.height / image.width}
        kinds, per_row = split_views(self.views), 1 + len(columns)
        counts = [n_parts(self._grid_size, kind) for kind in kinds]
        groups = np.split(np.arange(1, 1 + sum(counts)), np.cumsum(counts)[:-1])
        size = (2.7, 2.7 * shape["aspect"] + 0.5)
        self.figure_, self.axes_ = make_axes(ax, len(kinds) * per_row, n_columns, size)
        for axis in self.axes_:
            axis.imshow(image, **shape)
            axis.set(xlim=(0, 1), ylim=(1, 0))
            axis.set_axis_off()
        highest = max(parts[:, columns].max(initial=0), 1e-12)
        for row, (kind, rows) in enumerate(zip(kinds, groups, strict=True)):
            photo_axis, *axes = self.axes_[row * per_row : (row + 1) * per_row]
            photo_axis.set_title(f"{_PARTS[kind]}s" if len(kinds) > 1 else "photo", fontsize=10)
            boxes = self.boxes[rows]
            for axis, column in zip(axes, columns, strict=True):
                values = self.view_labels[rows, column]
                axis.imshow(_shade(boxes, values / highest), interpolation="nearest", **shape)
                best = f"whole {whole[column]:.2f}, best {_PARTS[kind]} {values.max():.2f}"
                axis.set_title(f"{names[column]}\n{best}", fontsize=10, **TEXT)
                if kind == "proposals":
                    _outline(axis, values, boxes)
                elif len(values) <= _MOST_NUMBERS:
                    _write(axis, values, boxes)
        self.drawn_names_ = [names[column] for column in columns]
        return self


def _even_boxes(grid_size: int, views: str) -> np.ndarray:
    """Boxes of snippets and windows that divide the photo, the whole first."""
    boxes = [np.array([[0.0, 0.0, 1.0, 1.0]])]
    for kind in split_views(views):
        if kind == "proposals":
            raise ValueError('views="proposals" needs boxes: proposals may lie anywhere.')
        sides = round(n_parts(grid_size, kind) ** 0.5)
        boxes.append(np.array(snippet_boxes(sides, sides, sides)) / sides)
    return np.concatenate(boxes)


def _shade(boxes: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Black of shape (rows, columns, 4), the clearer the higher the share of what is there."""
    shade = np.zeros((_PIXELS, _PIXELS, 4))
    shade[..., 3] = _DARKEST
    for part in np.argsort(shares, kind="stable"):  # the highest last, over all others
        left, upper, right, lower = np.rint(boxes[part] * _PIXELS).astype(int)
        shade[upper:lower, left:right, 3] = _DARKEST * (1 - shares[part])
    return shade


def _outline(axis: Any, values: np.ndarray, boxes: np.ndarray) -> None:
    """Draw where proposals lie, and write its value into the best one."""
    best = values.argmax()
    for part, box in enumerate(boxes):
        style = {"lw": 2, "alpha": 1} if part == best else {"lw": 0.6, "alpha": 0.5}
        axis.plot(*box[[0, 2, 2, 0, 0, 1, 1, 3, 3, 1]].reshape(2, 5), color="white", **style)
    _write(axis, values[[best]], boxes[[best]])


def _write(axis: Any, values: np.ndarray, boxes: np.ndarray) -> None:
    """Write each value into the middle of its part."""
    behind = {"boxstyle": "round,pad=0.15", "facecolor": "black", "alpha": 0.45, "lw": 0}
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 9, "bbox": behind}
    for value, box in zip(values, boxes, strict=True):
        if (box[2:] > box[:2]).all():  # else a window on nothing but padding
            weight = "bold" if value == values.max() else "normal"
            middle = (box[:2] + box[2:]) / 2
            axis.text(*middle, f"{value:.2f}", color="white", fontweight=weight, **style)
