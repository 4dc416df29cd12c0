"""Photos with the names that a model gives them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_cdul.displays.docstrings import fill
from sklearn_cdul.displays.drawing import (
    AMBER,
    GREEN,
    GREY,
    RED,
    check_options,
    draw_photos,
    short,
)
from sklearn_cdul.displays.ranking import rank_photos
from sklearn_cdul.images.items import check_images
from sklearn_cdul.predictions import Predictions, check_photos, find_classes, log_odds

_MOST_LINES = 6  # of a caption
# Of each order the head for all classes, and that for one.
_HEADS = {
    "given": ("As given", "As given"),
    "surest": ("Surest (lowest mean entropy)", "Surest (highest score)"),
    "doubtful": (
        "Most doubtful (highest mean entropy)",
        "Most doubtful (closest to the threshold)",
    ),
    "wrong": ("Most wrong (largest log loss)", "Most wrong (largest log loss)"),
}
_LEGEND = [
    ("✓ found, in the labels", GREEN),
    ("✗ found, not in the labels", RED),
    ("○ missed: in the labels, below the threshold", AMBER),
    ("number: score of the class", GREY),
]


@fill
@dataclass(kw_only=True, eq=False, repr=False)
class PhotosDisplay:
    """Photos with the names and scores that a model gives them, ranked.

    {made}

    Parameters
    ----------
    {photos, scores, found, class_names, targets, axes}
    rows_ : ndarray of shape (n_panels,), dtype int
        Which photo each panel shows, as its position in `photos`.

    See Also
    --------
    ScoreHistogramDisplay : The scores of all photos, class by class.
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

    photos: Any
    scores: np.ndarray
    thresholds: np.ndarray
    class_names: Sequence[str]
    targets: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.photos = check_photos(self.photos, len(self.scores))

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any = None, *, photos: Any = None, **options: Any
    ) -> "PhotosDisplay":
        """Ask a model about photos and draw some of them.

        Parameters
        ----------
        {estimator, X, y}
        photos : sequence of images or None, default=None
            The photos of the rows of X, if X holds something else, for example embeddings.
        {options, result}
        """
        check_options(cls.plot, options)
        shown = check_images(X if photos is None else photos)
        predictions = Predictions.from_estimator(estimator, X, y, photos=photos)
        return cls(photos=shown, **vars(predictions)).plot(**options)

    @classmethod
    def from_predictions(
        cls,
        photos: Any,
        scores: ArrayLike,
        y: Any = None,
        *,
        class_names: Sequence[str],
        thresholds: ArrayLike | None = None,
        **options: Any,
    ) -> "PhotosDisplay":
        """Draw photos with scores that any model gave.

        Parameters
        ----------
        {photos, scores, y, class_names, thresholds}
        {options, result}
        """
        predictions = Predictions.of(scores, y, thresholds, class_names, photos)
        return cls(photos=photos, **vars(predictions)).plot(**options)

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
            "doubtful" go by how far scores are from the thresholds of their classes, in log-odds:
            for one class the highest above and the closest; for all the lowest and the highest mean
            entropy of the classes. "wrong" begins with the largest log loss.
        {n_photos, panels, result}
        """
        column = None if class_name is None else find_classes(class_name, self.class_names)[0]
        orders = [order] if isinstance(order, str) else list(order)
        margins, title, rankings = log_odds(self.scores) - log_odds(self.thresholds), None, {}
        for one in orders:
            ranking = rank_photos(margins, self.targets, one, column)
            rankings[_HEADS[one][column is not None] if len(orders) > 1 else ""] = ranking
        if column is not None:
            scores, threshold = self.scores[:, column], self.thresholds[column]
            title = (
                f"{class_name}: found in {(scores >= threshold).sum()} of "
                f"{(~np.isnan(scores)).sum()} photos, score {short(threshold)} or more"
            )
        given: dict[str, Any] = {"n_photos": n_photos, "n_columns": n_columns, "ax": ax}
        given |= {"title": title, "legend": () if self.targets is None else _LEGEND}
        caption = partial(self._caption, column=column)
        self.figure_, self.axes_, self.rows_ = draw_photos(self.photos, rankings, caption, **given)
        return self

    def _caption(self, row: int, column: int | None) -> list[tuple[str, str]]:
        scores, found = self.scores[row], self.scores[row] >= self.thresholds
        truth = np.full(len(scores), np.nan) if self.targets is None else self.targets[row]

        def line(index: int) -> tuple[str, str]:
            text = f"{self.class_names[index]} {short(scores[index])}"
            if found[index]:
                marks = {1: (f"✓ {text}", GREEN), 0: (f"✗ {text}", RED)}
                return marks.get(truth[index], (text, "black"))
            return (f"○ {text}", AMBER) if truth[index] == 1 else (f"{text}, not found", GREY)

        if column is not None:
            return [line(column)]
        listed = np.flatnonzero(found | (truth == 1)).tolist()
        # Those found come first.
        lines = [line(i) for i in sorted(listed, key=lambda i: (not found[i], -scores[i]))]
        if len(lines) > _MOST_LINES:
            shown = _MOST_LINES - 1
            return [*lines[:shown], (f"and {len(lines) - shown} more", GREY)]
        return lines or [("no class found", GREY)]
