"""A page to look at: what a model believes of many photos, and where a person should check it."""

import base64
import hashlib
import html
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image
from sklearn.utils.validation import check_is_fitted

from sklearn_cdul.images.encoded import path_of
from sklearn_cdul.images.reading import check_images, map_images
from sklearn_cdul.labels.thresholds import apply_thresholds, check_thresholds, find_thresholds
from sklearn_cdul.metrics import label_columns
from sklearn_cdul.review.findings import (
    alike_classes,
    are_training_photos,
    class_figures,
    logits_of,
    pick_photos,
    score_histogram,
)
from sklearn_cdul.targets import check_targets

# So many thumbnails make a page of about eight megabytes; those of no class among them.
_MOST_THUMBNAILS = 1000
_MOST_OF_NO_CLASS = 40
_MOST_OF_CLASSES = _MOST_THUMBNAILS - _MOST_OF_NO_CLASS
_THUMBNAIL = 200  # pixels of the longer side
_QUALITY = 70
# Classes that the view of one photo lists.
_LIKELY = 12
# A class that is predicted for this share of the photos counts as always predicted.
_ALWAYS = 0.9
_TITLES = {
    "wrong": "Against the labels",
    "surest": "Surest",
    "borderline": "Borderline",
    "corrected": "Labels that training moved farthest",
}


class LabelReport:
    """A page in one HTML file that shows what a model believes of photos, and takes corrections.

    Of each class it shows a histogram of the scores, the surest photos, those nearest to the cut,
    those whose labels training moved farthest (for the photos of the training) and those that
    contradict labels. It also shows photos of no class, classes that are never or always predicted,
    and names that are hard to tell apart. In the page a person says of a photo whether a class is
    in it, and saves the answers as a CSV file that ``observed=``, ``score`` and ``fit_thresholds``
    take. The file needs no server and loads nothing. It has 1,000 thumbnails at most, however many
    photos there are.

    Use :meth:`from_estimator` or :meth:`from_predictions`, then :meth:`save`.

    Parameters
    ----------
    photos : sequence of images of length n
        See :class:`~sklearn_cdul.CLIPPseudoLabeler`; None shows numbers without photos.
    scores : array of shape (n, k)
        In [0, 1]. NaN rows stand for photos that could not be read.
    class_names : sequence of str, length k
        The classes.
    thresholds : array of shape (k,)
        Scores from which a class is predicted.
    labels : array of shape (n, k) or None, default=None
        Known labels: 1, 0, or NaN.
    movement : tuple of two arrays of shape (n, k) or None, default=None
        Labels before and after training.
    text_embeddings : array of shape (k, d) or None, default=None
        Unit vectors of the class names.
    n_shown : int, default=8
        Photos of each kind and class, at least 1; fewer if there would be too many in all.
    title : str, default="Label report"
        Heading of the page.
    n_jobs : int or None, default=None
        Threads that make thumbnails.

    Raises
    ------
    ValueError
        If no photo has scores, or `n_shown` is below 1.

    Attributes
    ----------
    scores : ndarray of shape (n, k)
        As given.
    per_class : dict of str to list
        One entry a class: "class", "threshold", "predicted" (photos), "share" and, with labels,
        "average_precision", "f1", "precision", "recall", "labelled", "positives" (photos).
        ``pandas.DataFrame(report.per_class)`` is a table.
    without_class : ndarray of int
        Positions of the photos of which no class is predicted.
    never, always : list of str
        Classes that are predicted for none, or for 90 % or more, of the photos.
    alike : list of (str, str, float)
        Pairs of names that are hard to tell apart, with the correlation of their scores.

    Examples
    --------
    >>> from sklearn_cdul.review import LabelReport
    >>> scores = [[0.1, 0.8], [0.7, 0.2], [0.2, 0.1]]
    >>> names = ["cat", "dog"]
    >>> report = LabelReport.from_predictions(None, scores, class_names=names, thresholds=0.5)
    >>> report.without_class
    array([2])
    >>> report.per_class["predicted"]
    [1, 1]
    """

    def __init__(
        self,
        photos: Any,
        scores: np.ndarray,
        *,
        class_names: Sequence[str],
        thresholds: np.ndarray,
        labels: np.ndarray | None = None,
        movement: tuple[np.ndarray, np.ndarray] | None = None,
        text_embeddings: np.ndarray | None = None,
        n_shown: int = 8,
        title: str = "Label report",
        n_jobs: int | None = None,
    ):
        if n_shown < 1:
            raise ValueError(f"n_shown must be at least 1, got {n_shown!r}.")
        self._readable = ~np.isnan(scores).any(axis=1)
        if not self._readable.any():
            raise ValueError("There is no photo with scores: none could be read.")
        self._photos = photos
        self.scores, self._cuts, self._names = scores, thresholds, list(class_names)
        self._labels, self._movement = labels, movement
        self._n_shown, self._n_jobs, self.title = n_shown, n_jobs, title
        self._logits, self._cut_logits = logits_of(scores), logits_of(thresholds)
        self._predicted = apply_thresholds(scores, thresholds).astype(bool)
        seen, predicted = self._readable, self._predicted[self._readable]
        known = None if labels is None else labels[seen]
        figures = class_figures(scores[seen], predicted, known)
        self.per_class: dict[str, list[Any]] = {
            "class": self._names,
            "threshold": thresholds.tolist(),
            **{name: column.tolist() for name, column in figures.items()},
        }
        self.without_class = np.flatnonzero(seen & ~self._predicted.any(axis=1))
        shares = list(zip(self._names, figures["share"], strict=True))
        self.never = [name for name, share in shares if share == 0]
        self.always = [name for name, share in shares if share >= _ALWAYS]
        self._pairs = alike_classes(self._logits[seen], predicted, text_embeddings)
        self.alike = [(self._names[i], self._names[j], r) for i, j, r, *_ in self._pairs]

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any = None, *, n_shown: int = 8, title: str = "Label report"
    ) -> "LabelReport":
        """Make the report of a fitted model and photos.

        Parameters
        ----------
        estimator : CDULClassifier or CLIPPseudoLabeler
            Fitted. The labels of a labeler are cut at thresholds found on these photos.
        X : sequence of images, or array of embeddings
            The n photos, those of the training or others. For embeddings there are no
            thumbnails; use :meth:`from_predictions` with paths.
        y : array of shape (n, k), names of each image, data frame, CSV file or None, default=None
            Labels, also of some photos and classes, see
            :func:`~sklearn_cdul.targets.check_targets`.
        n_shown : int, default=8
            Photos of each kind and class.
        title : str, default="Label report"
            Heading of the page.

        Returns
        -------
        report : LabelReport

        Raises
        ------
        ValueError, TypeError, ImageError
            If `y` or `X` can't be used.
        """
        check_is_fitted(estimator)
        names = estimator.class_names_
        labels = _check_labels(y, len(X), names, X)
        if hasattr(estimator, "predict_proba"):
            scores, thresholds = estimator.predict_proba(X), estimator.thresholds_
            labeler = estimator.pseudo_labeler_
        else:
            labeler, scores = estimator, np.asarray(estimator.transform(X))
            thresholds = find_thresholds(scores)
        movement = None
        if hasattr(estimator, "pseudo_labels_"):
            movement = estimator.initial_pseudo_labels_, estimator.pseudo_labels_
            if not are_training_photos(logits_of(scores), movement[1]):
                movement = None
        return cls(
            X if labeler.input == "images" else None,
            np.asarray(scores, dtype=np.float64),
            class_names=names,
            thresholds=np.asarray(thresholds, dtype=np.float64),
            labels=labels,
            movement=movement,
            text_embeddings=labeler.text_embeddings_,
            n_shown=n_shown,
            title=title,
            n_jobs=estimator.n_jobs,
        )

    @classmethod
    def from_predictions(
        cls,
        photos: Any,
        scores: ArrayLike,
        *,
        class_names: Sequence[str],
        thresholds: ArrayLike | None = None,
        y: Any = None,
        n_shown: int = 8,
        title: str = "Label report",
    ) -> "LabelReport":
        """Make the report of scores that any model gave.

        Parameters
        ----------
        photos : sequence of images of length n, or None
            None shows numbers without photos.
        scores : array-like of shape (n, k)
            Probabilities in [0, 1].
        class_names : sequence of str, length k
            The classes.
        thresholds : float, array-like of shape (k,) or None, default=None
            Scores from which a class is predicted. None finds them without labels.
        y : array of shape (n, k), names of each image, data frame, CSV file or None, default=None
            Labels, see :meth:`from_estimator`.
        n_shown : int, default=8
            Photos of each kind and class.
        title : str, default="Label report"
            Heading of the page.

        Returns
        -------
        report : LabelReport

        Raises
        ------
        ValueError, TypeError
            If shapes do not fit each other, or values are wrong.
        """
        table = np.asarray(scores, dtype=np.float64)
        if table.ndim != 2 or table.shape[1] != len(class_names) or not len(table):
            raise ValueError(
                f"scores must have one row a photo and one column for each of the "
                f"{len(class_names)} class_names; got shape {table.shape}."
            )
        if photos is not None and len(photos) != len(table):
            raise ValueError(f"There are {len(photos)} photos, but {len(table)} rows of scores.")
        found = find_thresholds(table)  # refuses scores outside [0, 1], too
        cuts = found if thresholds is None else check_thresholds(thresholds, table.shape[1])
        labels = _check_labels(y, len(table), class_names, photos)
        return cls(
            photos,
            table,
            class_names=class_names,
            thresholds=cuts,
            labels=labels,
            n_shown=n_shown,
            title=title,
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to a file, to be opened in a browser.

        Parameters
        ----------
        path : str or os.PathLike
            For instance "report.html". A file of that name is replaced.

        Returns
        -------
        path : Path
        """
        path = Path(path)
        path.write_text(self.to_html(), encoding="utf-8")
        return path

    def to_html(self) -> str:
        """Return the page as text, with all that it needs in it.

        Returns
        -------
        page : str
        """
        folder = Path(__file__).parent
        page, css, js = (
            (folder / f"page.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
        )
        # In a script element nothing but "</script" and "<!--" has a meaning to HTML.
        data = json.dumps(self._data(), allow_nan=False).replace("<", "\\u003c")
        return Template(page).substitute(css=css, js=js, data=data)

    def _repr_html_(self) -> str:
        """Show the page in a notebook, in a frame of its own."""
        page = html.escape(self.to_html(), quote=True)
        return (
            f'<iframe srcdoc="{page}" sandbox="allow-scripts allow-downloads allow-modals" '
            'style="width: 100%; height: 800px; border: 1px solid #8888"></iframe>'
        )

    def __repr__(self) -> str:
        """One line with what was found."""
        return (
            f"<LabelReport of {len(self.scores)} photos and {len(self._names)} classes: "
            f"{len(self.without_class)} photos of no class, {len(self.never)} classes never "
            f"predicted. Use save(path).>"
        )

    def _data(self) -> dict[str, Any]:
        """What the page shows, as JSON can hold it."""
        per_class = [self._class(j) for j in range(len(self._names))]
        none = self.without_class[: min(2 * self._n_shown, _MOST_OF_NO_CLASS)].tolist()
        shown = {row for one in per_class for _, rows in one.get("lists", []) for row, *_ in rows}
        photos = self._photo_data(sorted(shown | set(none)))
        n_photos = int(self._readable.sum())
        lost = len(self._readable) - n_photos
        per_photo = self._predicted.sum() / max(n_photos, 1)
        summary = [
            [f"{n_photos:,}", "photos" + (f", {lost} more can't be read" if lost else "")],
            [f"{per_photo:.1f}", "classes a photo"],
            [f"{len(self.without_class):,}", "photos of no class"],
            [len(self.never), f"of {len(self._names)} classes never predicted"],
        ]
        for figure, text in (("average_precision", "mAP"), ("f1", "macro-F1")):
            values = np.array(self.per_class.get(figure, []), dtype=float)
            if np.isfinite(values).any():
                summary.append(
                    [f"{100 * np.nanmean(values):.1f}", f"{text} in percent, on the labels"]
                )
        sentences = [
            f"{text}: {', '.join(names[:30])}{' and more' if len(names) > 30 else ''}."
            for text, names in (
                ("Never predicted", self.never),
                (f"Predicted for {_ALWAYS:.0%} of the photos or more", self.always),
            )
            if names
        ]
        return {
            "title": self.title,
            "subtitle": f"{n_photos:,} photos, {len(self._names):,} classes",
            "key": hashlib.sha1(json.dumps([self.title, self._names, photos]).encode()).hexdigest(),
            "n_photos": n_photos,
            "has_paths": self._has_paths(),
            "summary": summary,
            "none": none,
            "none_text": f"{len(self.without_class):,} photos reach no cut"
            + (f"; {len(none)} of them:" if len(none) < len(self.without_class) else ":"),
            "pairs": self._pairs,
            "classes_text": " ".join(sentences),
            "classes": per_class,
            "photos": photos,
        }

    def _class(self, j: int) -> dict[str, Any]:
        """What the page shows of one class."""
        column = self._logits[:, j]
        counts, edges = score_histogram(column[self._readable])
        result = {
            "name": self._names[j],
            "count": self.per_class["predicted"][j],
            "share": self.per_class["share"][j],
            "cut": float(self._cuts[j]),
            "counts": counts.tolist(),
            "edges": edges.round(4).tolist(),
        }
        for short, figure in (
            ("ap", "average_precision"),
            ("f1", "f1"),
            ("precision", "precision"),
            ("recall", "recall"),
            ("positives", "positives"),
        ):
            if figure in self.per_class:
                value = self.per_class[figure][j]
                result[short] = value if np.isfinite(value) else None
        # A page of very many classes shows one photo of each kind, and of some classes none.
        n_lists = len(_TITLES) * len(self._names)
        if j < _MOST_OF_CLASSES // len(_TITLES):
            n_shown = min(self._n_shown, max(_MOST_OF_CLASSES // n_lists, 1))
            result["lists"] = self._lists(j, n_shown)
        return result

    def _lists(self, j: int, n_shown: int) -> list[list[Any]]:
        column = np.where(self._readable, self._logits[:, j], np.nan)
        predicted = self._predicted[:, j]
        truth = None if self._labels is None else self._labels[:, j]
        wrong = np.zeros(len(column), dtype=bool)
        if truth is not None:
            wrong = self._readable & np.isin(truth, (0, 1)) & (predicted != (truth == 1))
        moved = None
        if self._movement is not None:
            before, after = self._movement
            moved = np.where(self._readable, after[:, j] - before[:, j], np.nan)
        kinds = pick_photos(column, self._cut_logits[j], moved, wrong, n_shown)
        lists = []
        for kind, rows in kinds.items():
            entries = []
            for row in rows.tolist():
                notes = ["predicted" if predicted[row] else "not predicted"]
                if kind == "corrected":
                    notes = [f"label {before[row, j]:.0%} → {after[row, j]:.0%}"]
                if truth is not None and truth[row] in (0, 1):
                    notes.append("label: yes" if truth[row] else "label: no")
                entries.append([row, float(self.scores[row, j]), ", ".join(notes)])
            lists.append([_TITLES[kind], entries])
        return lists

    def _photo_data(self, rows: list[int]) -> dict[str, dict[str, Any]]:
        """Path, thumbnail and most likely classes of photos."""
        images: list[Any] = [None] * len(rows)
        paths: list[Any] = [None] * len(rows)
        if self._photos is not None:
            photos = check_images(self._photos)
            paths = [path_of(photos[row]) for row in rows]
            size = (_THUMBNAIL, _THUMBNAIL)
            images = list(
                map_images(
                    _thumbnail,
                    photos,
                    indices=rows,
                    n_jobs=self._n_jobs,
                    min_size=size,
                    on_error="nan",
                )
            )
        result = {}
        for row, path, image in zip(rows, paths, images, strict=True):
            likely = np.argsort(-self._logits[row], kind="stable")[:_LIKELY].tolist()
            top = [[j, float(self.scores[row, j])] for j in likely]
            result[str(row)] = {"path": path, "image": image, "top": top}
        return result

    def _has_paths(self) -> bool:
        photos = None if self._photos is None else check_images(self._photos)
        return photos is not None and all(path_of(photo) for photo in photos)


def _check_labels(y: Any, n_photos: int, names: Sequence[str], X: Any) -> np.ndarray | None:
    if y is None:
        return None
    labels = label_columns(check_targets(y, names, X=X), n_photos, len(names))
    return labels.astype(np.float64)


def _thumbnail(image: Image.Image) -> str:
    """A small JPEG file as base64 text."""
    small = image.copy()
    small.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BICUBIC, reducing_gap=3)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=_QUALITY)
    return base64.b64encode(file.getvalue()).decode("ascii")
