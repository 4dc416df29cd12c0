"""What CLIP saw in a photo, and in which of its snippets."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_cdul.answers import find_class, last_step
from sklearn_cdul.displays.drawing import TEXT, import_pyplot, make_axes, small_photos
from sklearn_cdul.images.reading import check_images
from sklearn_cdul.labels.aggregation import cosine_similarities, softmax_similarities

_MOST_NUMBERS = 16  # snippets of a photo, if each is to bear its value


class SimilarityDisplay:
    """A photo under the soft labels of its snippets, a panel a class: what CLIP saw, and where.

    Make one with :meth:`from_estimator` or :meth:`from_predictions`, which draw it too. The
    parameters become attributes of the same names.

    Parameters
    ----------
    photo : image
        Path, PIL image or array, see :class:`~sklearn_cdul.CLIPPseudoLabeler`.
    view_labels : ndarray of shape (1 + rows * columns, k)
        Soft label of each view in [0, 1], that of the whole photo first, then those of the snippets
        row by row; see :func:`~sklearn_cdul.labels.softmax_similarities`.
    class_names : list of str, length k
        The classes.

    Attributes
    ----------
    axes_ : ndarray of shape (n_panels,), dtype object
        The matplotlib Axes: the photo, then a class each.
    figure_ : matplotlib Figure
        Of the axes.
    drawn_names_ : list of str
        The class of each panel after the first.

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
    (10, 3)
    """

    def __init__(self, *, photo: Any, view_labels: np.ndarray, class_names: Sequence[str]):
        self.photo = photo
        self.view_labels = view_labels
        self.class_names = class_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        classes: Sequence[str] | None = None,
        n_classes: int = 3,
        n_columns: int = 4,
        ax: Any = None,
    ) -> "SimilarityDisplay":
        """Let CLIP look at the snippets of a photo and draw what it saw.

        Parameters
        ----------
        estimator : CLIPPseudoLabeler or CDULClassifier
            Fitted, of images, with ``views="grid"`` or "dense", whose windows are drawn as snippets
            are. Of a classifier its ``pseudo_labeler_`` is asked, which loads CLIP; its network is
            not.
        X : image or list of one image
            The photo.
        classes, n_classes, n_columns, ax
            See :meth:`plot`.

        Returns
        -------
        display : SimilarityDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ImageError
            If the photo can't be read.
        TypeError, ValueError
            If the estimator does not look at snippets of photos, or X is not one photo.
        """
        import_pyplot()
        model = last_step(estimator)
        labeler = getattr(model, "pseudo_labeler_", model)
        if labeler.input != "images" or labeler.views not in ("grid", "dense"):
            raise ValueError(
                "SimilarityDisplay draws the snippets of one grid over a photo. It needs a labeler "
                f'with input="images" and views="grid" or "dense"; got input={labeler.input!r} and '
                f"views={labeler.views!r}."
            )
        if isinstance(X, (list, tuple)):
            if len(X) != 1:
                raise ValueError(f"SimilarityDisplay draws one photo; got a list of {len(X)}.")
            X = X[0]
        embeddings = labeler.embed(check_images([X]))[0]
        texts = np.concatenate([labeler.text_embeddings_, labeler.other_embeddings_])
        labels = softmax_similarities(cosine_similarities(embeddings, texts), labeler.temperature_)
        return cls.from_predictions(
            X,
            labels[:, : len(labeler.class_names_)],
            class_names=labeler.class_names_,
            classes=classes,
            n_classes=n_classes,
            n_columns=n_columns,
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
        photo: Any,
        view_labels: ArrayLike,
        *,
        class_names: Sequence[str],
        classes: Sequence[str] | None = None,
        n_classes: int = 3,
        n_columns: int = 4,
        ax: Any = None,
    ) -> "SimilarityDisplay":
        """Draw soft labels of views that were made beforehand.

        Parameters
        ----------
        photo : image
            The photo.
        view_labels : array-like of shape (1 + rows * columns, k)
            See above. As many rows as columns are taken.
        class_names : sequence of str, length k
            The classes.
        classes, n_classes, n_columns, ax
            See :meth:`plot`.

        Returns
        -------
        display : SimilarityDisplay

        Raises
        ------
        ImportError, ImageError, TypeError, ValueError
            See :meth:`from_estimator`.
        """
        import_pyplot()
        labels, names = np.asarray(view_labels, dtype=np.float64), list(class_names)
        side = round(max(len(labels) - 1, 0) ** 0.5)
        if labels.ndim != 2 or labels.shape != (1 + side**2, len(names)) or side == 0:
            raise ValueError(
                "view_labels must have one row for the photo and one for each snippet of a square "
                f"grid, and one column for each of the {len(names)} class_names; got shape "
                f"{labels.shape}. A labeler with grid_size=1 looks at no snippets."
            )
        display = cls(photo=photo, view_labels=labels, class_names=names)
        return display.plot(classes=classes, n_classes=n_classes, n_columns=n_columns, ax=ax)

    def plot(
        self,
        *,
        classes: Sequence[str] | None = None,
        n_classes: int = 3,
        n_columns: int = 4,
        ax: Any = None,
    ) -> "SimilarityDisplay":
        """Draw the photo, and over it the soft labels of its snippets for some classes.

        The higher the soft label of a snippet, the brighter it is, on one scale for all panels.

        Parameters
        ----------
        classes : sequence of str or None, default=None
            Which to draw. None takes those with the highest label in the whole photo or a snippet.
        n_classes : int, default=3
            How many, if `classes` is None.
        n_columns : int, default=4
            Panels in a row.
        ax : matplotlib Axes, sequence of them or None, default=None
            Where to draw. None makes a figure. One Axes is divided into panels.

        Returns
        -------
        display : SimilarityDisplay
            Itself.

        Raises
        ------
        ValueError
            If there is no such class, or `n_classes` or `n_columns` is below 1.
        """
        if n_classes < 1:
            raise ValueError(f"n_classes must be at least 1; got {n_classes!r}.")
        names = list(self.class_names)
        whole, snippets = self.view_labels[0], self.view_labels[1:]
        best = snippets.max(axis=0)
        if classes is None:
            columns = np.argsort(-(whole + best), kind="stable")[:n_classes]
        else:
            columns = np.array([find_class(name, names) for name in classes], dtype=np.intp)
        image = small_photos(check_images([self.photo]), [0])[0]
        width, height = image.size
        side = round(len(snippets) ** 0.5)
        size = (2.7, 2.7 * height / width + 0.45)
        self.figure_, self.axes_ = make_axes(ax, 1 + len(columns), n_columns, size)
        for axis in self.axes_:
            axis.imshow(image, extent=(0, width, height, 0))
            axis.set(xlim=(0, width), ylim=(height, 0))
            axis.set_axis_off()
        self.axes_[0].set_title("photo", fontsize=10)
        highest = max(best[columns].max(initial=0), 1e-12)
        for axis, column in zip(self.axes_[1:], columns, strict=True):
            values = snippets[:, column].reshape(side, side)
            dark = np.zeros((side, side, 4))
            dark[..., 3] = 0.85 * (1 - values / highest)
            axis.imshow(dark, extent=(0, width, height, 0), interpolation="nearest")
            axis.set_title(
                f"{names[column]}\nwhole {whole[column]:.2f}, best snippet {best[column]:.2f}",
                fontsize=10,
                **TEXT,
            )
            if values.size <= _MOST_NUMBERS:
                self._write(axis, values, width, height)
        self.drawn_names_ = [names[column] for column in columns]
        return self

    @staticmethod
    def _write(axis: Any, values: np.ndarray, width: int, height: int) -> None:
        side = len(values)
        for (row, column), value in np.ndenumerate(values):
            axis.text(
                (column + 0.5) * width / side,
                (row + 0.5) * height / side,
                f"{value:.2f}",
                ha="center",
                va="center",
                fontsize=9,
                color="white",
                fontweight="bold" if value == values.max() else "normal",
                bbox={"boxstyle": "round,pad=0.15", "facecolor": "black", "alpha": 0.45, "lw": 0},
            )
