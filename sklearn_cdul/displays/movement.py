"""How training moved the pseudo labels, and what it thereby corrected."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_cdul.displays.docstrings import fill
from sklearn_cdul.displays.drawing import (
    GREEN,
    GREY,
    RED,
    by_truth,
    check_options,
    draw_photos,
    explain,
    make_axes,
    short,
)
from sklearn_cdul.displays.ranking import take_in_turn
from sklearn_cdul.images.sequences import check_images
from sklearn_cdul.labels.thresholds import find_thresholds
from sklearn_cdul.predictions import Predictions, find_class, last_step, log_odds

_MOST_LINES = 4  # of a caption
_MOST_POINTS = 20_000


@fill
@dataclass(kw_only=True, eq=False, repr=False)
class LabelMovementDisplay:
    """Labels of the training photos, first as CLIP made them, then as training left them.

    Labels have no scale of their own, so each is compared with the threshold of its class that
    :func:`~sklearn_cdul.labels.find_thresholds` finds in the labels of all photos, before and
    after. A label that crosses it is a name that a photo gains or loses.

    {made}

    Parameters
    ----------
    initial_labels, labels : ndarrays of shape (n, k)
        Before and after, in [0, 1]. Rows with NaN are ignored.
    class_names : list of str, length k
        The classes.
    photos : sequence of images or None, default=None
        The n photos; without them only ``kind="scatter"`` can be drawn.
    {targets, axes}
    rows_ : ndarray of shape (n_panels,), dtype int
        Which photo each panel shows. Only with ``kind="photos"``.
    margins_ : ndarray of shape (2, n, k)
        Log-odds of the labels minus those of their thresholds, before and after.

    See Also
    --------
    PhotosDisplay : What the trained network says of photos.

    Examples
    --------
    >>> from sklearn_cdul.displays import LabelMovementDisplay
    >>> before, after = [[0.9], [0.2], [0.1]], [[0.9], [0.7], [0.1]]
    >>> display = LabelMovementDisplay.from_predictions(before, after, class_names=["cake"])
    >>> (display.margins_ >= 0).sum(axis=1).ravel()  # photos with the name, before and after
    array([1, 2])
    """

    initial_labels: np.ndarray
    labels: np.ndarray
    class_names: Sequence[str]
    photos: Any = None
    targets: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.photos = None if self.photos is None else check_images(self.photos)
        counts = {"initial_labels": len(self.initial_labels), "labels": len(self.labels)}
        if self.photos is not None:
            counts["photos"] = len(self.photos)
        if len(set(counts.values())) > 1:
            raise ValueError(f"There must be as many rows of each; got {counts}.")

    @classmethod
    @fill
    def from_estimator(
        cls, estimator: Any, X: Any = None, y: Any = None, **options: Any
    ) -> "LabelMovementDisplay":
        """Draw how the labels of a classifier moved in ``fit``.

        Parameters
        ----------
        estimator : CDULClassifier, or a pipeline or search that ends with one
            Fitted. Its ``initial_pseudo_labels_`` and ``pseudo_labels_`` are compared.
        X : sequence of images or None, default=None
            The photos it was fitted on, in the same order.
        {y}
        **options : kind, class_name, n_photos, n_columns, ax
            See :meth:`plot`.
        {result}
        """
        check_options(cls.plot, options)
        model = last_step(estimator)
        if not hasattr(model, "initial_pseudo_labels_"):
            raise TypeError(
                "LabelMovementDisplay needs a fitted CDULClassifier, whose labels move; got "
                f"{type(model).__name__}."
            )
        return cls.from_predictions(
            model.initial_pseudo_labels_,
            model.pseudo_labels_,
            y,
            class_names=model.class_names_,
            photos=X,
            **options,
        )

    @classmethod
    @fill
    def from_predictions(
        cls,
        initial_labels: ArrayLike,
        labels: ArrayLike,
        y: Any = None,
        *,
        class_names: Sequence[str],
        photos: Any = None,
        **options: Any,
    ) -> "LabelMovementDisplay":
        """Draw how any labels moved.

        Parameters
        ----------
        initial_labels, labels : array-likes of shape (n, k)
            Before and after, in [0, 1].
        {y, class_names}
        photos : sequence of images or None, default=None
            The n photos.
        **options : kind, class_name, n_photos, n_columns, ax
            See :meth:`plot`.
        {result}
        """
        check_options(cls.plot, options)
        before = Predictions.of(initial_labels, y, None, class_names, photos=photos)
        after = Predictions.of(labels, None, None, class_names)
        display = cls(
            initial_labels=before.scores,
            labels=after.scores,
            class_names=before.class_names,
            photos=photos,
            targets=before.targets,
        )
        return display.plot(**options)

    @fill
    def plot(
        self,
        *,
        kind: str | None = None,
        class_name: str | None = None,
        n_photos: int = 4,
        n_columns: int = 4,
        ax: Any = None,
    ) -> "LabelMovementDisplay":
        """Draw photos whose names changed, or all labels as points.

        Parameters
        ----------
        kind : {"photos", "scatter"} or None, default=None
            "photos" shows those whose labels crossed their thresholds by the most: with true labels
            first the corrected, then the spoilt; without, those that gained names, then those that
            lost some. "scatter" has one point per label, before to the right and after upward, both
            as log-odds above the threshold. None takes "photos" if there are photos.
        class_name : str or None, default=None
            Look at this class alone.
        {n_photos, panels, result}
        """
        if kind is None:
            kind = "scatter" if self.photos is None else "photos"
        if kind not in ("photos", "scatter"):
            raise ValueError(f'kind must be "photos" or "scatter"; got {kind!r}.')
        if kind == "photos" and self.photos is None:
            raise ValueError('kind="photos" needs the photos.')
        tables = (self.initial_labels, self.labels)
        self.margins_ = np.stack([log_odds(one) - log_odds(find_thresholds(one)) for one in tables])
        columns = np.arange(len(self.class_names))
        if class_name is not None:
            columns = columns[[find_class(class_name, self.class_names)]]
        if kind == "scatter":
            return self._scatter(columns, ax)
        return self._photos(columns, n_photos, n_columns, ax)

    def _scatter(self, columns: np.ndarray, ax: Any) -> "LabelMovementDisplay":
        self.figure_, self.axes_ = make_axes(ax, 1, 1, (5.6, 5.2))
        axis = self.axes_[0]
        before, after = self.margins_[:, :, columns].reshape(2, -1)
        there = ~(np.isnan(before) | np.isnan(after))
        truth = None if self.targets is None else self.targets[:, columns].ravel()[there]
        before, after = before[there], after[there]
        # Every m-th of very many; the counts are of all.
        step = -(-len(before) // _MOST_POINTS)
        for group, color, label in by_truth(truth, None):
            points = before[group][::step], after[group][::step]
            axis.scatter(*points, s=9, color=color, label=label, alpha=0.7, linewidth=0)
        axis.axhline(0, color="black", linewidth=0.8)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.axline((0, 0), slope=1, color=GREY, linewidth=0.8, linestyle=":")
        was, is_now = before >= 0, after >= 0
        corners = {
            "gained": (~was & is_now, 0.02, 0.98, "left", "top"),
            "kept": (was & is_now, 0.98, 0.98, "right", "top"),
            "lost": (was & ~is_now, 0.98, 0.02, "right", "bottom"),
            "never": (~was & ~is_now, 0.02, 0.02, "left", "bottom"),
        }
        for word, (there, x, y, across, up) in corners.items():
            text = f"{word} {there.sum()}"
            if truth is not None and np.isfinite(truth[there]).any():
                text += f"\n{np.nanmean(truth[there]):.0%} in the labels"
            behind = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 2}
            style = {"ha": across, "va": up, "fontsize": 9, "bbox": behind}
            axis.text(x, y, text, transform=axis.transAxes, **style)
        axis.margins(0.12)
        above = "log-odds above the threshold"
        axis.set(xlabel=f"first label: {above}", ylabel=f"after training: {above}")
        if truth is not None:
            place = {"loc": "lower left", "bbox_to_anchor": (0, 1)}
            axis.legend(ncols=3, frameon=False, markerscale=2, **place)
        return self

    def _photos(
        self, columns: np.ndarray, n_photos: int, n_columns: int, ax: Any
    ) -> "LabelMovementDisplay":
        assert self.photos is not None
        before, after = self.margins_
        moved = np.where((before >= 0) != (after >= 0), after - before, 0)
        moved[np.isnan(moved)] = 0
        moved[:, np.setdiff1d(np.arange(moved.shape[1]), columns)] = 0
        if self.targets is None:
            heads, signed = ["Gained a name", "Lost a name"], moved
        else:
            toward = np.nan_to_num(2 * self.targets - 1)  # 0 where nobody knows
            heads, signed = ["Corrected", "Spoilt"], toward * moved
        rankings = []
        for sign in (1, -1):
            most = (sign * signed).max(axis=1)
            rankings.append(np.argsort(-most, kind="stable")[: (most > 0).sum()])
        blocks = take_in_turn(rankings, n_photos)
        caption = partial(self._caption, moved=moved)
        self.figure_, self.axes_ = draw_photos(
            self.photos, heads, blocks, caption, n_columns=n_columns, ax=ax
        )
        self.rows_ = np.concatenate(blocks)
        if ax is None and self.targets is not None:
            entries = [("toward the labels", GREEN), ("away from them", RED)]
            explain(self.figure_, [*entries, ("+ name gained, - lost; label before → after", GREY)])
        return self

    def _caption(self, row: int, moved: np.ndarray) -> list[tuple[str, str]]:
        lines = []
        for column in np.argsort(-np.abs(moved[row]), kind="stable")[:_MOST_LINES]:
            if not moved[row, column]:
                break
            gained, color = moved[row, column] > 0, "black"
            if self.targets is not None and not np.isnan(self.targets[row, column]):
                color = GREEN if (self.targets[row, column] == 1) == gained else RED
            before, after = short(self.initial_labels[row, column]), short(self.labels[row, column])
            sign = "+" if gained else "-"
            lines.append((f"{sign} {self.class_names[column]} {before} → {after}", color))
        return lines
