"""How the scores of each class spread, and where their threshold lies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_cdul.displays.docstrings import fill
from sklearn_cdul.displays.drawing import GREY, TEXT, by_truth, check_options, make_axes
from sklearn_cdul.predictions import Predictions, find_classes

_MOST_CLASSES = 20  # unless classes are named


@fill
@dataclass(kw_only=True, eq=False, repr=False)
class ScoreHistogramDisplay:
    """Histograms of the scores, one panel per class, with the threshold between no and yes.

    Two peaks with the threshold between them mean that the class is told apart; a single peak with
    the threshold on its slope means that its positives are guesses.

    {made}

    Parameters
    ----------
    {scores, found, class_names, targets, axes}
    drawn_names_ : list of str
        The class of each panel.

    See Also
    --------
    PhotosDisplay : Photos of a class, the surest and the most doubtful.
    sklearn_cdul.labels.find_thresholds : Finds the thresholds without labels.

    Examples
    --------
    >>> from sklearn_cdul.displays import ScoreHistogramDisplay
    >>> scores = [[0.9, 0.1], [0.8, 0.2], [0.1, 0.6]]
    >>> display = ScoreHistogramDisplay.from_predictions(scores, class_names=["cake", "cup"])
    >>> display.drawn_names_
    ['cake', 'cup']
    """

    scores: np.ndarray
    thresholds: np.ndarray
    class_names: Sequence[str]
    targets: np.ndarray | None = None

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any = None, **options: Any
    ) -> "ScoreHistogramDisplay":
        """Ask a model about photos and draw the spread of its scores.

        Parameters
        ----------
        {estimator, X, y}
        {options, result}
        """
        check_options(cls.plot, options)
        return cls(**vars(Predictions.from_estimator(estimator, X, y))).plot(**options)

    @classmethod
    def from_predictions(
        cls,
        scores: ArrayLike,
        y: Any = None,
        *,
        class_names: Sequence[str],
        thresholds: ArrayLike | None = None,
        **options: Any,
    ) -> "ScoreHistogramDisplay":
        """Draw the spread of scores that any model gave.

        Parameters
        ----------
        {scores, y, class_names, thresholds}
        {options, result}
        """
        return cls(**vars(Predictions.of(scores, y, thresholds, class_names))).plot(**options)

    def plot(
        self,
        *,
        classes: str | Sequence[str] | None = None,
        bins: int = 20,
        n_columns: int = 4,
        ax: Any = None,
    ) -> "ScoreHistogramDisplay":
        """Draw a histogram for each class.

        Parameters
        ----------
        classes : str, sequence of str or None, default=None
            Which to draw. None draws all, but of more than 20 those that most photos get.
        bins : int, default=20
            Bars from the lowest to the highest score of a class.
        {panels, result}
        """
        found = (self.scores >= self.thresholds).sum(axis=0)
        if classes is None:
            columns = np.sort(np.argsort(-found, kind="stable")[:_MOST_CLASSES])
        else:
            columns = find_classes(classes, self.class_names)
        self.figure_, self.axes_ = make_axes(ax, len(columns), n_columns, (2.6, 1.9))
        for axis, column in zip(self.axes_, columns, strict=True):
            there = ~np.isnan(self.scores[:, column])
            scores = self.scores[there, column]
            truth = None if self.targets is None else self.targets[there, column]
            masks, colors, labels = zip(*by_truth(truth, "photos"), strict=True)
            groups = [scores[mask] for mask in masks]
            axis.hist(groups, bins=bins, stacked=True, color=list(colors), label=labels)
            axis.axvline(self.thresholds[column], color="black", linewidth=1.2, label="threshold")
            axis.set_title(self.class_names[column], loc="left", fontsize=10, **TEXT)
            axis.set_title(f"{found[column]} of {len(scores)}", loc="right", fontsize=9, color=GREY)
            axis.tick_params(labelsize=8)
            axis.yaxis.get_major_locator().set_params(integer=True, nbins=4)
            axis.xaxis.get_major_locator().set_params(nbins=4)
            axis.spines[["top", "right"]].set_visible(False)
        if ax is None:
            self.figure_.supxlabel("score", fontsize=10)
            self.figure_.supylabel("photos", fontsize=10)
            # Not every class has labels that are not known.
            entries = [axis.get_legend_handles_labels() for axis in self.axes_]
            style = {"loc": "outside upper left", "ncols": 4, "frameon": False, "fontsize": 9}
            self.figure_.legend(*max(entries, key=lambda entry: len(entry[1])), **style)
        self.drawn_names_ = [self.class_names[column] for column in columns]
        return self
