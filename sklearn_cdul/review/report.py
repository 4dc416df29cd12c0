"""A page that shows what a model predicts for many photos, and where a person should check it."""

import hashlib
import html
import json
import os
import re
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_cdul._utils.atomic_write import atomic_write
from sklearn_cdul._utils.docstrings import filled_with
from sklearn_cdul._utils.origin import origin_of
from sklearn_cdul._utils.text_files import file_path
from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.digests import digest_of_X
from sklearn_cdul.images.items import check_images, path_of
from sklearn_cdul.images.reading import map_images
from sklearn_cdul.labels.thresholds import apply_thresholds
from sklearn_cdul.predictions import (
    TEXTS,
    Predictions,
    check_photos,
    known_targets,
    last_step,
    log_odds,
    pass_steps,
)
from sklearn_cdul.review import findings
from sklearn_cdul.review.page import THUMBNAIL, fill_page, make_thumbnail
from sklearn_cdul.targets.csv_files import PATHS
from sklearn_cdul.targets.tables import ROWS

# So many thumbnails make a page of about eight megabytes; those of no class among them.
_MOST_THUMBNAILS = 1000
_MOST_OF_NO_CLASS = 40
_MOST_OF_CLASSES = _MOST_THUMBNAILS - _MOST_OF_NO_CLASS
_LIKELY = 12  # classes that the view of one photo lists
_TITLES = {
    "wrong": "Against the labels",
    "surest": "Surest",
    "borderline": "Borderline",
    "corrected": "Labels that training moved farthest",
}
_OPTIONS = """\
n_shown : int, default=8
    Photos of each kind and class, at least 1; fewer if there would be too many in all.
title : str, default="Label report"
    Heading of the page."""
_RESULT = """
Returns
-------
report : LabelReport

Raises
------
ValueError, TypeError, ImageError
    If shapes do not fit each other, or what is given can't be used."""
_fill = filled_with({**TEXTS, "options": _OPTIONS, "result": _RESULT})


@_fill
@dataclass(eq=False, repr=False)
class LabelReport:
    """A page in one HTML file that shows what a model predicts for photos, and takes corrections.

    Of each class it shows a histogram of the scores, the surest photos, those nearest to the
    threshold, those whose labels training moved farthest (if they are the photos of the training)
    and those that contradict labels. It also shows photos of no class, classes that are never or
    always predicted, and names that are hard to tell apart. In the page a person says of a photo
    whether a class is in it, and saves that as a CSV file, which ``observed=`` takes. The page
    needs no server and loads nothing. It has 1,000 thumbnails at most, however many photos there
    are.

    Use :meth:`from_estimator` or :meth:`from_predictions`, then :meth:`save`. The parameters become
    attributes of the same names.

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
    targets : array of shape (n, k) or None, default=None
        True labels: 1, 0, or NaN where a label is not known.
    movement : tuple of two arrays of shape (n, k) or None, default=None
        Labels before and after training.
    text_embeddings : array of shape (k, d) or None, default=None
        Unit vectors of the class names.
    {options}
    n_jobs : int or None, default=None
        Threads that make thumbnails.
    made_by : str, default=""
        What gave the scores, for the head of the page.

    Raises
    ------
    ValueError
        If no photo has scores, there are not as many photos as scores, or `n_shown` is below 1.

    Attributes
    ----------
    per_class : dict of str to list
        One entry per class: "class", "threshold", "predicted" (photos), "share" and, with labels,
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

    photos: Any
    scores: np.ndarray
    _: KW_ONLY
    class_names: Sequence[str]
    thresholds: np.ndarray
    targets: np.ndarray | None = None
    movement: tuple[np.ndarray, np.ndarray] | None = None
    text_embeddings: np.ndarray | None = None
    n_shown: int = 8
    title: str = "Label report"
    n_jobs: int | None = None
    made_by: str = ""

    def __post_init__(self) -> None:
        if self.n_shown < 1:
            raise ValueError(f"n_shown must be at least 1, got {self.n_shown!r}.")
        seen = self._readable = ~np.isnan(self.scores).any(axis=1)
        if not seen.any():
            raise ValueError("There is no photo with scores: none could be read.")
        self.photos = None if self.photos is None else check_photos(self.photos, len(seen))
        self.class_names = list(self.class_names)
        self._paths = [path_of(photo) for photo in self.photos or [None] * len(seen)]
        self._thumbnails: dict[int, str | None] = {}
        self._logits = np.where(seen[:, np.newaxis], log_odds(self.scores), np.nan)
        self._predicted = apply_thresholds(self.scores, self.thresholds).astype(bool)
        predicted = self._predicted[seen]
        known = None if self.targets is None else self.targets[seen]
        figures = findings.class_figures(self.scores[seen], predicted, known)
        self.per_class: dict[str, list[Any]] = {
            "class": self.class_names,
            "threshold": self.thresholds.tolist(),
            **{name: column.tolist() for name, column in figures.items()},
        }
        self.without_class = np.flatnonzero(seen & ~self._predicted.any(axis=1))
        shares = list(zip(self.class_names, figures["share"], strict=True))
        self.never = [name for name, share in shares if share == 0]
        self.always = [name for name, share in shares if share >= findings.ALWAYS]
        self._pairs = findings.alike_classes(self._logits[seen], predicted, self.text_embeddings)
        self.alike = [(self.class_names[i], self.class_names[j], r) for i, j, r, *_ in self._pairs]

    @classmethod
    @_fill
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        photos: Any = None,
        n_shown: int = 8,
        title: str = "Label report",
    ) -> "LabelReport":
        """Make the report of a fitted model and photos.

        Parameters
        ----------
        {estimator, X, y}
        photos : sequence of images or None, default=None
            The photos of the rows of X, if X holds something else, for example embeddings. None
            takes X if the model takes images, and else shows no photos.
        {options, result}
        """
        model = last_step(estimator)
        labeler = getattr(model, "pseudo_labeler_", model)
        # What is wrong with photos and labels is said before the work.
        photos = None if photos is None else check_images(photos)
        y = None if y is None else known_targets(y, model.class_names_, X, photos)
        given = pass_steps(estimator, X)
        if photos is None and labeler.input == "images":
            photos = check_images(given)
        predictions = Predictions.from_estimator(model, given, y)
        movement, digest, origin = None, getattr(model, "X_digest_", None), origin_of(model)
        if digest is not None and digest == digest_of_X(given):
            movement = model.initial_pseudo_labels_, model.pseudo_labels_
        return cls(
            photos,
            **vars(predictions),
            movement=movement,
            text_embeddings=getattr(labeler, "text_embeddings_", None),
            n_shown=n_shown,
            title=title,
            n_jobs=model.n_jobs,
            made_by=", ".join(f"{k} {v}" for k, v in origin.items() if k in ("encoder", "network")),
        )

    @classmethod
    @_fill
    def from_predictions(
        cls,
        photos: Any,
        scores: ArrayLike,
        y: Any = None,
        *,
        class_names: Sequence[str],
        thresholds: ArrayLike | None = None,
        n_shown: int = 8,
        title: str = "Label report",
    ) -> "LabelReport":
        """Make the report of scores that any model gave.

        Parameters
        ----------
        photos : sequence of images of length n, or None
            None shows numbers without photos.
        {scores, y, class_names, thresholds}
        {options, result}
        """
        predictions = Predictions.of(scores, y, thresholds, class_names, photos)
        return cls(photos, **vars(predictions), n_shown=n_shown, title=title)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to a file, to be opened in a browser.

        Parameters
        ----------
        path : str or os.PathLike
            For instance "report.html". A file of that name is replaced.

        Returns
        -------
        path : Path
            Of the file.

        Raises
        ------
        OSError
            If it can't be written.
        """
        path = file_path(path)
        page = self.to_html()
        with atomic_write(path) as part:
            part.write_text(page, encoding="utf-8")
        return path

    def to_html(self) -> str:
        """Return the page as text, with all that it needs in it.

        Returns
        -------
        page : str
        """
        return fill_page(self._data())

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
            f"<LabelReport of {self._readable.sum()} photos and {len(self.class_names)} classes: "
            f"{len(self.without_class)} photos of no class, {len(self.never)} classes never "
            f"predicted. Use save(path).>"
        )

    def _data(self) -> dict[str, Any]:
        """What the page shows, as JSON can hold it."""
        per_class = [self._class(j) for j in range(len(self.class_names))]
        none = self.without_class[: min(2 * self.n_shown, _MOST_OF_NO_CLASS)].tolist()
        shown = {row for one in per_class for _, rows in one.get("lists", []) for row, *_ in rows}
        n_photos = int(self._readable.sum())
        lost = len(self._readable) - n_photos
        per_photo = self._predicted[self._readable].sum() / n_photos
        summary = [
            [f"{n_photos:,}", "photos" + (f", {lost} more can't be read" if lost else "")],
            [f"{per_photo:.1f}", "classes per photo"],
            [f"{len(self.without_class):,}", "photos of no class"],
            [len(self.never), f"of {len(self.class_names)} classes never predicted"],
        ]
        for figure, text in (("average_precision", "mAP"), ("f1", "macro-F1")):
            values = np.array(self.per_class.get(figure, []), dtype=float)
            if np.isfinite(values).any():
                mean = f"{100 * np.nanmean(values):.1f}"
                summary.append([mean, f"{text} in percent, on the labels"])
        named = {
            "Never predicted": self.never,
            f"Predicted for {findings.ALWAYS:.0%} of the photos or more": self.always,
        }
        sentences = [
            f"{text}: {', '.join(names[:30])}{' and more' if len(names) > 30 else ''}."
            for text, names in named.items()
            if names
        ]
        # Browsers write UTF-8, which not all paths are.
        readable = [
            path is not None and not re.search("[\ud800-\udfff\0]", path) for path in self._paths
        ]
        columns = PATHS if all(readable) else ROWS
        by = f"; {self.made_by}" if self.made_by else ""
        # What tells this report from others, for the answers that a browser keeps.
        key = hashlib.sha1(json.dumps([self.title, self.class_names, self._paths]).encode())
        key.update(np.ascontiguousarray(self.scores).data)
        return {
            "title": self.title,
            "subtitle": f"{n_photos:,} photos, {len(self.class_names):,} classes{by}",
            "key": key.hexdigest(),
            "n_photos": n_photos,
            "has_paths": columns == PATHS,
            "column": next((name for name in columns if name not in self.class_names), columns[0]),
            "summary": summary,
            "none": none,
            "none_text": f"{len(self.without_class):,} photos reach no threshold"
            + (f"; {len(none)} of them:" if len(none) < len(self.without_class) else ":"),
            "pairs": self._pairs,
            "classes_text": " ".join(sentences),
            "classes": per_class,
            "photos": self._photo_data(sorted(shown | set(none))),
        }

    def _class(self, j: int) -> dict[str, Any]:
        """What the page shows of one class."""
        counts, edges = findings.score_histogram(self._logits[self._readable, j])
        figures = {name: column[j] for name, column in self.per_class.items()}
        result = {name: x if x == x else None for name, x in figures.items()}  # JSON has no NaN
        result |= {"counts": counts.tolist(), "edges": edges.round(4).tolist()}
        # A page of very many classes shows one photo of each kind, and of some classes none.
        if j < _MOST_OF_CLASSES // len(_TITLES):
            most = _MOST_OF_CLASSES // (len(_TITLES) * len(self.class_names))
            result["lists"] = self._lists(j, min(self.n_shown, max(most, 1)))
        return result

    def _lists(self, j: int, n_shown: int) -> list[list[Any]]:
        """Of each kind the photos of one class, each with its score and a note."""
        column, predicted, moved = self._logits[:, j], self._predicted[:, j], None
        truth = np.full(len(column), np.nan) if self.targets is None else self.targets[:, j]
        wrong = self._readable & ~np.isnan(truth) & (predicted != (truth == 1))
        if self.movement is not None:
            before, after = (labels[:, j] for labels in self.movement)
            moved = np.where(self._readable, after - before, np.nan)

        def entry(row: int, kind: str) -> list[Any]:
            note = "predicted" if predicted[row] else "not predicted"
            if kind == "corrected":
                note = f"label {before[row]:.0%} → {after[row]:.0%}"
            if not np.isnan(truth[row]):
                note += ", label: yes" if truth[row] else ", label: no"
            return [row, float(self.scores[row, j]), note]

        kinds = findings.pick_photos(
            column, float(log_odds(self.thresholds[j])), moved, wrong, n_shown
        )
        return [
            [_TITLES[kind], [entry(row, kind) for row in rows.tolist()]]
            for kind, rows in kinds.items()
        ]

    def _photo_data(self, rows: list[int]) -> dict[str, dict[str, Any]]:
        """Path, thumbnail and most likely classes of photos; a thumbnail is made once."""
        missing = [row for row in rows if row not in self._thumbnails]
        if self.photos is not None:
            size, photos = (THUMBNAIL, THUMBNAIL), self.photos
            made = map_images(
                make_thumbnail, photos, indices=missing, n_jobs=self.n_jobs, min_size=size
            )
            for row, thumbnail in zip(missing, made, strict=True):
                self._thumbnails[row] = None if isinstance(thumbnail, ImageError) else thumbnail
        result = {}
        for row in rows:
            likely = np.argsort(-self._logits[row], kind="stable")[:_LIKELY].tolist()
            result[str(row)] = {
                "path": self._paths[row],
                "image": self._thumbnails.get(row),
                "top": [[j, float(self.scores[row, j])] for j in likely],
            }
        return result
