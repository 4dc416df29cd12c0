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
    draw_photos,
    make_axes,
    short,
)
from sklearn_cdul.images.digests import digest_of_X
from sklearn_cdul.predictions import Predictions, check_photos, find_classes, last_step, pass_steps

_MOST_LINES = 4  # of a caption
_MOST_POINTS = 20_000
_LEGEND = [
    ("toward the labels", GREEN),
    ("away from them", RED),
    ("+ name gained, - lost; label before → after", GREY),
]


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
    {moved, class_names}
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
        shapes = np.shape(self.initial_labels), np.shape(self.labels)
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"initial_labels and labels must have one shape; got {shapes[0]} and {shapes[1]}."
            )
        if self.photos is not None:
            self.photos = check_photos(self.photos, len(self.labels))

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any = None, y: Any = None, **options: Any
    ) -> "LabelMovementDisplay":
        """Draw how the labels of a classifier moved in ``fit``.

        Parameters
        ----------
        estimator : CDULClassifier, or a pipeline or search that ends with one
            Fitted. Its ``initial_pseudo_labels_`` and ``pseudo_labels_`` are compared.
        X : sequence of images or None, default=None
            The photos it was fitted on, in the same order. Others are refused.
        {y}
        {options, result}
        """
        model = last_step(estimator)
        if not hasattr(model, "initial_pseudo_labels_"):
            raise TypeError(
                "LabelMovementDisplay needs a fitted CDULClassifier, whose labels move; got "
                f"{type(model).__name__}."
            )
        if X is not None and model.pseudo_labeler_.input == "images":
            X, digest = pass_steps(estimator, X), getattr(model, "X_digest_", None)
            if digest is not None and digest_of_X(X) != digest:
                raise ValueError(
                    "X must be the photos that the classifier was fitted on, in the same order and "
                    "with the same paths. PhotosDisplay shows what it says of others."
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
        {moved, y, class_names}
        photos : sequence of images or None, default=None
            The n photos.
        {options, result}
        """
        before = Predictions.of(initial_labels, y, None, class_names, photos)
        rows = initial_labels if photos is None and hasattr(initial_labels, "iloc") else photos
        after = Predictions.of(labels, None, None, class_names, rows)
        return cls(
            initial_labels=before.scores,
            labels=after.scores,
            class_names=before.class_names,
            photos=photos,
            targets=before.targets,
        ).plot(**options)

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
        names, tables = self.class_names, (self.initial_labels, self.labels)
        self.margins_ = np.stack([Predictions.of(one, None, None, names).margins for one in tables])
        columns = find_classes(names if class_name is None else class_name, names)
        if kind == "scatter":
            return self._scatter(columns, ax)
        options = {"n_photos": n_photos, "n_columns": n_columns, "ax": ax}
        return self._photos(columns, options)

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
        # A corner for each: named before training (right) or not, and after it (top) or not.
        for word, x, y in (("gained", 0, 1), ("kept", 1, 1), ("lost", 1, 0), ("never", 0, 0)):
            there = ((before >= 0) == x) & ((after >= 0) == y)
            text = f"{word} {there.sum()}"
            if truth is not None and np.isfinite(truth[there]).any():
                text += f"\n{np.nanmean(truth[there]):.0%} in the labels"
            behind = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 2}
            style: dict[str, Any] = {"transform": axis.transAxes, "fontsize": 9, "bbox": behind}
            style |= {"ha": ("left", "right")[x], "va": ("bottom", "top")[y]}
            axis.text(0.02 + 0.96 * x, 0.02 + 0.96 * y, text, **style)
        axis.margins(0.12)
        above = "log-odds above the threshold"
        axis.set(xlabel=f"first label: {above}", ylabel=f"after training: {above}")
        if truth is not None:
            outside = {"loc": "lower left", "bbox_to_anchor": (0, 1)}
            axis.legend(ncols=3, frameon=False, markerscale=2, **outside)
        return self

    def _photos(self, columns: np.ndarray, options: dict[str, Any]) -> "LabelMovementDisplay":
        before, after = self.margins_
        crossed = ((before >= 0) != (after >= 0)) & ~np.isnan(after - before)
        crossed[:, np.setdiff1d(np.arange(len(self.class_names)), columns)] = False
        moved = np.where(crossed, after - before, 0)
        signed, heads = moved, ("Gained a name", "Lost a name")
        if self.targets is not None:  # toward 1 or 0, and 0 where the label is not known
            signed, heads = moved * np.nan_to_num(2 * self.targets - 1), ("Corrected", "Spoilt")
        rankings = {}
        for head, most in zip(heads, (signed.max(axis=1), -signed.min(axis=1)), strict=True):
            rankings[head] = np.argsort(-most, kind="stable")[: (most > 0).sum()]
        given = {**options, "legend": () if self.targets is None else _LEGEND}
        caption = partial(self._caption, moved=moved)
        self.figure_, self.axes_, self.rows_ = draw_photos(self.photos, rankings, caption, **given)
        return self

    def _caption(self, row: int, moved: np.ndarray) -> list[tuple[str, str]]:
        lines, size = [], np.abs(moved[row])
        for column in np.argsort(-size, kind="stable")[: min((size > 0).sum(), _MOST_LINES)]:
            gained, color = moved[row, column] > 0, "black"
            if self.targets is not None and not np.isnan(self.targets[row, column]):
                color = GREEN if (self.targets[row, column] == 1) == gained else RED
            before, after = short(self.initial_labels[row, column]), short(self.labels[row, column])
            sign = "+" if gained else "-"
            lines.append((f"{sign} {self.class_names[column]} {before} → {after}", color))
        return lines
