"""Photos with the names that a model gives them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_cdul.displays.drawing import (
    AMBER,
    GREEN,
    GREY,
    RED,
    draw_photos,
    explain,
    import_pyplot,
    short,
    small_photos,
)
from sklearn_cdul.displays.ranking import rank_photos, take_in_turn
from sklearn_cdul.images.reading import check_images
from sklearn_cdul.predictions import Predictions

_MOST_LINES = 6  # of a caption
_HEADS = {
    "given": "As given",
    "surest": "Surest",
    "doubtful": "Most doubtful",
    "wrong": "Most wrong",
}
_LEGEND = [
    ("✓ found, in the labels", GREEN),
    ("✗ found, not in the labels", RED),
    ("○ missed: in the labels, below the cut", AMBER),
    ("number: score of the class", GREY),
]


class PhotosDisplay:
    """Photos with the names and scores that a model gives them, ranked.

    Make one with :meth:`from_estimator` or :meth:`from_predictions`, which draw it too. The
    parameters become attributes of the same names.

    Parameters
    ----------
    photos : sequence of images
        n photos, see :class:`~sklearn_cdul.CLIPPseudoLabeler`.
    scores : ndarray of shape (n, k)
        Probabilities or soft labels in [0, 1]. A photo whose row has NaN is not drawn.
    thresholds : ndarray of shape (k,)
        A photo gets the classes whose score is at least this.
    class_names : list of str, length k
        The classes.
    targets : ndarray of shape (n, k) or None, default=None
        True labels: 1, 0, or NaN where nobody knows.

    Attributes
    ----------
    axes_ : ndarray of shape (n_panels,), dtype object
        The matplotlib Axes, row by row.
    figure_ : matplotlib Figure
        Of the axes.
    rows_ : ndarray of shape (n_panels,), dtype int
        Which photo each panel shows, as its position in `photos`.

    See Also
    --------
    ScoreHistogramDisplay : The scores of all photos, a class each.
    LabelMovementDisplay : Photos whose labels training has changed.

    Examples
    --------
    >>> from sklearn_cdul.datasets import load_food_photos
    >>> from sklearn_cdul.displays import PhotosDisplay
    >>> photos = load_food_photos(subset="test").data[:3]
    >>> scores = [[0.9, 0.1], [0.4, 0.2], [0.1, 0.6]]
    >>> display = PhotosDisplay.from_predictions(
    ...     photos, scores, thresholds=0.5, class_names=["cake", "cup"], order="doubtful"
    ... )
    >>> display.rows_
    array([1, 2, 0])
    """

    def __init__(
        self,
        *,
        photos: Any,
        scores: np.ndarray,
        thresholds: np.ndarray,
        class_names: Sequence[str],
        targets: np.ndarray | None = None,
    ):
        self.photos = check_images(photos)
        self.scores = scores
        self.thresholds = thresholds
        self.class_names = class_names
        self.targets = targets

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        photos: Any = None,
        class_name: str | None = None,
        order: str | Sequence[str] = ("surest", "doubtful"),
        n_photos: int = 4,
        n_columns: int = 4,
        ax: Any = None,
    ) -> "PhotosDisplay":
        """Ask a model about photos and draw some of them.

        Parameters
        ----------
        estimator : CDULClassifier, CLIPPseudoLabeler, or a pipeline or search that ends with one
            Fitted. The scores of a classifier are its probabilities and the cuts its
            ``thresholds_``. Those of a labeler are its soft labels, cut where
            :func:`~sklearn_cdul.labels.find_thresholds` would cut those of X.
        X : sequence of images, or what the estimator takes
            n photos.
        y : array of shape (n, k) or (n,), data frame, list of n lists of names or None
            True labels as ``score`` takes them. They colour the names and allow ``order="wrong"``.
        photos : sequence of images or None, default=None
            The photos of the rows of X, if X holds something else, for example embeddings.
        class_name, order, n_photos, n_columns, ax
            See :meth:`plot`.

        Returns
        -------
        display : PhotosDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ImageError
            If a photo can't be read.
        TypeError, ValueError
            If the estimator has no classes, or arguments do not fit each other.
        """
        import_pyplot()
        shown = X if photos is None else photos
        answers = Predictions.from_estimator(estimator, X, y)
        display = cls._of(shown, answers)
        return display.plot(
            class_name=class_name, order=order, n_photos=n_photos, n_columns=n_columns, ax=ax
        )

    @classmethod
    def from_predictions(
        cls,
        photos: Any,
        scores: ArrayLike,
        y: Any = None,
        *,
        class_names: Sequence[str],
        thresholds: ArrayLike | None = None,
        class_name: str | None = None,
        order: str | Sequence[str] = ("surest", "doubtful"),
        n_photos: int = 4,
        n_columns: int = 4,
        ax: Any = None,
    ) -> "PhotosDisplay":
        """Draw photos with scores that any model gave.

        Parameters
        ----------
        photos : sequence of images
            n photos, see :class:`~sklearn_cdul.CLIPPseudoLabeler`.
        scores : array-like of shape (n, k)
            In [0, 1]. Photos whose row has NaN are not drawn.
        y : array of shape (n, k) or (n,), data frame, list of n lists of names or None
            True labels, see :meth:`from_estimator`.
        class_names : sequence of str, length k
            The classes.
        thresholds : float or array-like of shape (k,) or None, default=None
            Scores from which a class counts as found. None finds them in the scores, see
            :func:`~sklearn_cdul.labels.find_thresholds`.
        class_name, order, n_photos, n_columns, ax
            See :meth:`plot`.

        Returns
        -------
        display : PhotosDisplay

        Raises
        ------
        ImportError, ImageError, TypeError, ValueError
            See :meth:`from_estimator`.
        """
        import_pyplot()
        display = cls._of(photos, Predictions.of(scores, y, thresholds, class_names, photos=photos))
        return display.plot(
            class_name=class_name, order=order, n_photos=n_photos, n_columns=n_columns, ax=ax
        )

    @classmethod
    def _of(cls, photos: Any, answers: Predictions) -> "PhotosDisplay":
        display = cls(photos=photos, **vars(answers))
        if len(display.photos) != len(answers.scores):
            raise ValueError(
                f"There are {len(display.photos)} photos, but scores of {len(answers.scores)}."
            )
        return display

    def plot(
        self,
        *,
        class_name: str | None = None,
        order: str | Sequence[str] = ("surest", "doubtful"),
        n_photos: int = 4,
        n_columns: int = 4,
        ax: Any = None,
    ) -> "PhotosDisplay":
        """Draw some of the photos.

        With labels a tick and green mark a name that is found and in the labels, a cross and red
        one that is not in them, a circle and brown one that was missed.

        Parameters
        ----------
        class_name : str or None, default=None
            Rank and caption the photos by this class alone.
        order : str or sequence of str, default=("surest", "doubtful")
            Which photos: "surest", "doubtful", "wrong" (needs labels) or "given". Several follow
            each other, each beginning a row of its own; a photo is drawn once. "surest" and
            "doubtful" go by how far scores are from the cuts of their classes, in log-odds: for
            one class the highest above and the closest; for all the lowest and the highest mean
            entropy of the classes. "wrong" begins with the largest log loss.
        n_photos : int, default=4
            Of each order, at most.
        n_columns : int, default=4
            Photos in a row.
        ax : matplotlib Axes, sequence of them or None, default=None
            Where to draw. None makes a figure. One Axes is divided into panels.

        Returns
        -------
        display : PhotosDisplay
            Itself.

        Raises
        ------
        ValueError
            If there is no such class or order, labels are needed, or a number is below 1.
        """
        answers = Predictions(self.scores, self.thresholds, list(self.class_names), self.targets)
        column = None if class_name is None else answers.column(class_name)
        orders = [order] if isinstance(order, str) else list(order)
        margins = answers.margins
        rankings = [rank_photos(margins, answers.targets, one, column) for one in orders]
        blocks = take_in_turn(rankings, n_photos)
        heads = [_HEADS[one] if len(orders) > 1 else "" for one in orders]
        captions = [[self._caption(answers, row, column) for row in block] for block in blocks]
        images = [small_photos(self.photos, block) for block in blocks]
        self.figure_, self.axes_ = draw_photos(heads, images, captions, n_columns=n_columns, ax=ax)
        self.rows_ = np.concatenate(blocks)
        if ax is None:
            if column is not None:
                found = int((answers.scores[:, column] >= answers.thresholds[column]).sum())
                readable = int((~np.isnan(answers.scores[:, column])).sum())
                self.figure_.suptitle(
                    f"{class_name}: found in {found} of {readable} photos, "
                    f"score {short(answers.thresholds[column])} or more",
                    parse_math=False,
                )
            if answers.targets is not None:
                explain(self.figure_, _LEGEND)
        return self

    @staticmethod
    def _caption(answers: Predictions, row: int, column: int | None) -> list[tuple[str, str]]:
        scores = answers.scores[row]
        found = scores >= answers.thresholds
        truth = np.full(len(scores), np.nan) if answers.targets is None else answers.targets[row]

        def line(index: int) -> tuple[str, str]:
            text = f"{answers.class_names[index]} {short(scores[index])}"
            if found[index]:
                marks = {1: (f"✓ {text}", GREEN), 0: (f"✗ {text}", RED)}
                return marks.get(truth[index], (text, "black"))
            return (f"○ {text}", AMBER) if truth[index] == 1 else (f"{text}, below the cut", GREY)

        if column is not None:
            return [line(column)]
        listed = np.flatnonzero(found | (truth == 1)).tolist()
        # Those found come first.
        names = sorted(listed, key=lambda index: (not found[index], -scores[index]))
        if not names:
            return [("no class found", GREY)]
        if len(names) > _MOST_LINES:
            rest = len(names) - _MOST_LINES + 1
            return [line(index) for index in names[:-rest]] + [(f"and {rest} more", GREY)]
        return [line(index) for index in names]
