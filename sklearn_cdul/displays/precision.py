"""Average precision of each class, of one model or of several side by side."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_cdul.displays.drawing import GREY, import_pyplot, plain_text
from sklearn_cdul.metrics import average_precision_per_class
from sklearn_cdul.predictions import known_targets, last_step
from sklearn_cdul.targets import check_targets

_CHANCE = "random order"


class AveragePrecisionDisplay:
    """Average precision of each class, with what a random order would reach.

    A dot stands for the average precision of a class, a grey line for the share of photos that show
    it, which photos in random order reach on average. Several models go into one picture: give
    :meth:`plot` of the next the ``ax_`` of the first.

    Make one with :meth:`from_estimator` or :meth:`from_predictions`, which draw it too. The
    parameters become attributes of the same names.

    Parameters
    ----------
    average_precision : ndarray of shape (k,)
        In [0, 1]; NaN for classes that no photo shows, which are not drawn.
    positives : ndarray of shape (k,), dtype int
        How many photos show each class.
    prevalence : ndarray of shape (k,)
        Their share of the photos whose label is known, in [0, 1].
    class_names : list of str, length k
        The classes.
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

    def __init__(
        self,
        *,
        average_precision: np.ndarray,
        positives: np.ndarray,
        prevalence: np.ndarray,
        class_names: Sequence[str],
        name: str | None = None,
    ):
        self.average_precision = average_precision
        self.positives = positives
        self.prevalence = prevalence
        self.class_names = class_names
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        name: str | None = None,
        min_positives: int = 1,
        ax: Any = None,
    ) -> "AveragePrecisionDisplay":
        """Ask a model about labelled photos and draw how well it ranks them.

        Parameters
        ----------
        estimator : CDULClassifier, CLIPPseudoLabeler, or a pipeline or search that ends with one
            Fitted.
        X : sequence of images, or what the estimator takes
            n photos. Those that can't be read are left out (``on_error="nan"``).
        y : array of shape (n, k) or (n,), data frame or list of n lists of names
            True labels as ``score`` takes them.
        name : str or None, default=None
            Of the model, for the legend; None takes the name of its class.
        min_positives, ax
            See :meth:`plot`.

        Returns
        -------
        display : AveragePrecisionDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError, ValueError
            If the estimator has no classes, or y does not fit.
        """
        import_pyplot()
        model = last_step(estimator)
        y = check_targets(y, model.class_names_, X=X)  # fails before the photos are read
        classifies = hasattr(model, "predict_proba")
        scores = estimator.decision_function(X) if classifies else estimator.transform(X)
        return cls.from_predictions(
            y,
            scores,
            class_names=model.class_names_,
            name=type(model).__name__ if name is None else name,
            min_positives=min_positives,
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_score: ArrayLike,
        *,
        class_names: Sequence[str],
        name: str | None = None,
        min_positives: int = 1,
        ax: Any = None,
    ) -> "AveragePrecisionDisplay":
        """Draw how well any scores rank photos.

        Parameters
        ----------
        y_true : array of shape (n, k) or (n,), data frame or list of n lists of names
            True labels.
        y_score : array-like of shape (n, k)
            Scores of any range, higher for a more likely label. Rows with NaN are left out.
        class_names : sequence of str, length k
            The classes.
        name : str or None, default=None
            Of the model, for the legend.
        min_positives, ax
            See :meth:`plot`.

        Returns
        -------
        display : AveragePrecisionDisplay

        Raises
        ------
        ImportError, ValueError
            See :meth:`from_estimator`.
        """
        import_pyplot()
        names = list(class_names)
        scores = np.asarray(y_score)
        if scores.ndim != 2 or scores.shape[1] != len(names):
            raise ValueError(
                "y_score must have one row a photo and one column for each of the "
                f"{len(names)} class_names; got shape {scores.shape}."
            )
        labels = known_targets(y_true, names, None, scores.shape, name="y_true")
        readable = ~np.isnan(scores).any(axis=1)
        labels, scores = labels[readable], scores[readable]
        display = cls(
            average_precision=average_precision_per_class(labels, scores),
            positives=(labels == 1).sum(axis=0),
            prevalence=(labels == 1).sum(axis=0) / np.maximum((labels >= 0).sum(axis=0), 1),
            class_names=names,
            name=name,
        )
        return display.plot(min_positives=min_positives, ax=ax)

    def plot(
        self, *, name: str | None = None, min_positives: int = 1, ax: Any = None
    ) -> "AveragePrecisionDisplay":
        """Draw a row a class, the best class on top.

        Parameters
        ----------
        name : str or None, default=None
            Of the model, for the legend; None takes the attribute.
        min_positives : int, default=1
            Leave out classes that fewer photos show. The legend's mean is over those drawn.
        ax : matplotlib Axes or None, default=None
            Where to draw. The ``ax_`` of a display of the same photos keeps its order of classes.
            None makes a figure.

        Returns
        -------
        display : AveragePrecisionDisplay
            Itself.

        Raises
        ------
        ValueError
            If no class is shown by so many photos.
        """
        plt = import_pyplot()
        name = self.name if name is None else name
        drawn = np.flatnonzero(self.positives >= max(min_positives, 1))
        if len(drawn) == 0:
            raise ValueError(f"No class is shown by {max(min_positives, 1)} or more photos.")
        drawn = drawn[np.argsort(self.average_precision[drawn], kind="stable")]
        if ax is None:
            size = (6.4, 1.2 + 0.24 * len(drawn))
            _, ax = plt.subplots(figsize=size, layout="constrained")
        # matplotlib keeps the places of texts on an axis, so a second display finds its rows.
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
        self.ax_, self.figure_ = ax, ax.get_figure()
        return self
