"""Average precision of each class, of one model or of several side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_cdul.displays.docstrings import fill
from sklearn_cdul.displays.drawing import GREY, check_options, make_axes, plain_text
from sklearn_cdul.metrics import average_precision_per_class
from sklearn_cdul.predictions import check_table, known_targets, last_step

_CHANCE = "random order"


@fill
@dataclass(kw_only=True, eq=False, repr=False)
class AveragePrecisionDisplay:
    """Average precision of each class, with what a random order would reach.

    A dot marks the average precision of a class, a grey line the share of photos that show it,
    which a random order reaches on average. Several models go into one plot: give :meth:`plot`
    of the next the ``ax_`` of the first.

    {made}

    Parameters
    ----------
    average_precision : ndarray of shape (k,)
        In [0, 1]; NaN for classes that no photo shows, which are not drawn.
    positives : ndarray of shape (k,), dtype int
        How many photos show each class.
    prevalence : ndarray of shape (k,)
        Their share of the photos whose label is known, in [0, 1].
    {class_names}
    name : str or None, default=None
        Of the model, for the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it is drawn.
    figure_ : matplotlib Figure
        Of the axes.

    See Also
    --------
    sklearn_cdul.metrics.average_precision_per_class : The figures.

    Examples
    --------
    >>> from sklearn_cdul.displays import AveragePrecisionDisplay
    >>> y = [[1, 0], [0, 1], [1, 1]]
    >>> scores = [[0.9, 0.2], [0.3, 0.1], [0.8, 0.7]]
    >>> display = AveragePrecisionDisplay.from_predictions(y, scores, class_names=["cake", "cup"])
    >>> display.average_precision.round(2)
    array([1.  , 0.83])
    """

    average_precision: np.ndarray
    positives: np.ndarray
    prevalence: np.ndarray
    class_names: Sequence[str]
    name: str | None = None

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, name: str | None = None, **options: Any
    ) -> "AveragePrecisionDisplay":
        """Ask a model about labelled photos and draw how well it ranks them.

        Parameters
        ----------
        estimator : CDULClassifier, CLIPPseudoLabeler, or a pipeline or search that ends with one
            Fitted.
        {X, y}
        name : str or None, default=None
            Of the model, for the legend; None takes the name of its class.
        {options, result}
        """
        check_options(cls.plot, options)
        model = last_step(estimator)
        y = known_targets(y, model.class_names_, X)  # fails before the photos are read
        classifies = hasattr(model, "predict_proba")
        scores = estimator.decision_function(X) if classifies else estimator.transform(X)
        name = type(model).__name__ if name is None else name
        return cls.from_predictions(y, scores, class_names=model.class_names_, name=name, **options)

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_score: ArrayLike,
        *,
        class_names: Sequence[str],
        name: str | None = None,
        **options: Any,
    ) -> "AveragePrecisionDisplay":
        """Draw how well any scores rank photos.

        Parameters
        ----------
        y_true : array of shape (n, k) or (n,), names of each photo, or data frame
            True labels in the order of the scores. Those that name their photos by path are
            refused, unless `y_score` is a pandas frame with the paths as its index.
        y_score : array-like of shape (n, k)
            Scores of any range, higher for a more likely label. Rows with NaN are ignored.
        {class_names}
        name : str or None, default=None
            Of the model, for the legend.
        {options, result}
        """
        names = list(class_names)
        scores = check_table(y_score, names, name="y_score")
        labels = known_targets(y_true, names, y_score, name="y_true")
        readable = ~np.isnan(scores).any(axis=1)
        labels, scores = labels[readable], scores[readable]
        return cls(
            average_precision=average_precision_per_class(labels, scores),
            positives=(labels == 1).sum(axis=0),
            prevalence=(labels == 1).sum(axis=0) / np.maximum((labels >= 0).sum(axis=0), 1),
            class_names=names,
            name=name,
        ).plot(**options)

    def plot(
        self, *, name: str | None = None, min_positives: int = 1, ax: Any = None
    ) -> "AveragePrecisionDisplay":
        """Draw one row per class, the best class on top.

        Parameters
        ----------
        name : str or None, default=None
            Of the model, for the legend; None takes the attribute.
        min_positives : int, default=1
            Leave out classes that fewer photos show. The legend's mean is over those drawn.
        ax : matplotlib Axes or None, default=None
            Where to draw. The ``ax_`` of a display of the same photos keeps its order of classes.
            None makes a figure.
        {result}
        """
        name = self.name if name is None else name
        least = max(min_positives, 1)
        drawn = np.flatnonzero(self.positives >= least)
        if len(drawn) == 0:
            raise ValueError(f"No class is shown by {least} or more photos.")
        drawn = drawn[np.argsort(self.average_precision[drawn], kind="stable")]
        self.figure_, (ax,) = make_axes(ax, 1, 1, (6.4, 1.2 + 0.24 * len(drawn)))
        # matplotlib keeps the positions of texts on an axis, so a second display finds its rows.
        rows = [f"{self.class_names[index]} ({self.positives[index]})" for index in drawn.tolist()]
        if _CHANCE not in ax.get_legend_handles_labels()[1]:
            ax.scatter(self.prevalence[drawn], rows, marker="|", s=90, color=GREY, label=_CHANCE)
        values = self.average_precision[drawn]
        mean = f"mean {values.mean():.3f}"
        ax.scatter(values, rows, s=34, label=mean if name is None else f"{name}, {mean}", zorder=3)
        ax.set(xlim=(0, 1.02), xlabel="average precision", ylabel="class (photos that show it)")
        ax.grid(axis="both", color="0.9")
        ax.set_axisbelow(True)
        ax.margins(y=0.5 / len(drawn))
        plain_text(ax.get_yticklabels())
        above = {"loc": "lower left", "bbox_to_anchor": (0, 1), "frameon": False}
        plain_text(ax.legend(fontsize="small", **above).get_texts())
        self.ax_ = ax
        return self
