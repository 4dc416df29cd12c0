"""How the scores of each class spread, and where they are cut."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_cdul.displays.drawing import BLUE, GREY, TEXT, import_pyplot, make_axes
from sklearn_cdul.predictions import Predictions, find_classes

_MOST_CLASSES = 20  # unless classes are named


class ScoreHistogramDisplay:
    """Histograms of the scores, a panel a class, with the cut between no and yes.

    Two hills with the cut between them promise a class that can be told; one hill with the cut at
    its side, a class whose yes is a guess.

    Make one with :meth:`from_estimator` or :meth:`from_predictions`, which draw it too. The
    parameters become attributes of the same names.

    Parameters
    ----------
    scores : ndarray of shape (n, k)
        Probabilities or soft labels in [0, 1]. NaN is left out.
    thresholds : ndarray of shape (k,)
        The cuts.
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
    drawn_names_ : list of str
        The class of each panel.

    See Also
    --------
    PhotosDisplay : Photos of a class, the surest and the most doubtful.
    sklearn_cdul.labels.find_thresholds : Finds the cuts without labels.

    Examples
    --------
    >>> from sklearn_cdul.displays import ScoreHistogramDisplay
    >>> scores = [[0.9, 0.1], [0.8, 0.2], [0.1, 0.6]]
    >>> display = ScoreHistogramDisplay.from_predictions(scores, class_names=["cake", "cup"])
    >>> display.drawn_names_
    ['cake', 'cup']
    """

    def __init__(
        self,
        *,
        scores: np.ndarray,
        thresholds: np.ndarray,
        class_names: Sequence[str],
        targets: np.ndarray | None = None,
    ):
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
        classes: str | Sequence[str] | None = None,
        bins: int = 20,
        n_columns: int = 4,
        ax: Any = None,
    ) -> "ScoreHistogramDisplay":
        """Ask a model about photos and draw the spread of its scores.

        Parameters
        ----------
        estimator : CDULClassifier, CLIPPseudoLabeler, or a pipeline or search that ends with one
            Fitted. The scores of a classifier are its probabilities and the cuts its
            ``thresholds_``. Those of a labeler are its soft labels, cut where
            :func:`~sklearn_cdul.labels.find_thresholds` would cut those of X.
        X : sequence of images, or what the estimator takes
            n photos.
        y : array of shape (n, k) or (n,), data frame, list of n lists of names or None
            True labels as ``score`` takes them, to tell the two kinds of photos apart.
        classes, bins, n_columns, ax
            See :meth:`plot`.

        Returns
        -------
        display : ScoreHistogramDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError, ValueError
            If the estimator has no classes, or arguments do not fit each other.
        """
        import_pyplot()
        display = cls(**vars(Predictions.from_estimator(estimator, X, y)))
        return display.plot(classes=classes, bins=bins, n_columns=n_columns, ax=ax)

    @classmethod
    def from_predictions(
        cls,
        scores: ArrayLike,
        y: Any = None,
        *,
        class_names: Sequence[str],
        thresholds: ArrayLike | None = None,
        classes: str | Sequence[str] | None = None,
        bins: int = 20,
        n_columns: int = 4,
        ax: Any = None,
    ) -> "ScoreHistogramDisplay":
        """Draw the spread of scores that any model gave.

        Parameters
        ----------
        scores : array-like of shape (n, k)
            In [0, 1].
        y : array of shape (n, k) or (n,), data frame, list of n lists of names or None
            True labels, see :meth:`from_estimator`.
        class_names : sequence of str, length k
            The classes.
        thresholds : float or array-like of shape (k,) or None, default=None
            The cuts. None finds them in the scores, see
            :func:`~sklearn_cdul.labels.find_thresholds`.
        classes, bins, n_columns, ax
            See :meth:`plot`.

        Returns
        -------
        display : ScoreHistogramDisplay

        Raises
        ------
        ImportError, TypeError, ValueError
            See :meth:`from_estimator`.
        """
        import_pyplot()
        display = cls(**vars(Predictions.of(scores, y, thresholds, class_names)))
        return display.plot(classes=classes, bins=bins, n_columns=n_columns, ax=ax)

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
        n_columns : int, default=4
            Panels in a row.
        ax : matplotlib Axes, sequence of them or None, default=None
            Where to draw. None makes a figure. One Axes is divided into panels.

        Returns
        -------
        display : ScoreHistogramDisplay
            Itself.

        Raises
        ------
        ValueError
            If there is no such class, or `n_columns` is below 1.
        """
        answers = Predictions(self.scores, self.thresholds, list(self.class_names), self.targets)
        found = (answers.scores >= answers.thresholds).sum(axis=0)
        if classes is None:
            columns = np.sort(np.argsort(-found, kind="stable")[:_MOST_CLASSES])
        else:
            columns = find_classes(classes, answers.class_names)
        self.figure_, self.axes_ = make_axes(ax, len(columns), n_columns, (2.6, 1.9))
        for axis, column in zip(self.axes_, columns, strict=True):
            scores = answers.scores[:, column]
            there = ~np.isnan(scores)
            groups, colors, labels = [scores[there]], [BLUE], ["photos"]
            if answers.targets is not None:
                truth = answers.targets[there, column]
                groups = [scores[there][truth == 0], scores[there][truth == 1]]
                colors, labels = ["0.75", BLUE], ["not in the labels", "in the labels"]
                if np.isnan(answers.targets).any():
                    groups.append(scores[there][np.isnan(truth)])
                    colors, labels = [*colors, "0.9"], [*labels, "label not known"]
            axis.hist(groups, bins=bins, stacked=True, color=colors, label=labels)
            axis.axvline(answers.thresholds[column], color="black", linewidth=1.2, label="cut")
            axis.set_title(answers.class_names[column], loc="left", fontsize=10, **TEXT)
            axis.set_title(f"{found[column]} of {there.sum()}", loc="right", fontsize=9, color=GREY)
            axis.tick_params(labelsize=8)
            axis.yaxis.get_major_locator().set_params(integer=True, nbins=4)
            axis.xaxis.get_major_locator().set_params(nbins=4)
            axis.spines[["top", "right"]].set_visible(False)
        if ax is None:
            self.figure_.supxlabel("score", fontsize=10)
            self.figure_.supylabel("photos", fontsize=10)
            handles, names = self.axes_[0].get_legend_handles_labels()
            self.figure_.legend(
                handles, names, loc="outside upper left", ncols=3, frameon=False, fontsize=9
            )
        self.drawn_names_ = [answers.class_names[column] for column in columns]
        return self
