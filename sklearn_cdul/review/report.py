"""A page to look at: what a model believes of many photos, and where a person should check it."""

import html
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_cdul._utils.atomic_write import atomic_write
from sklearn_cdul.images.items import path_of
from sklearn_cdul.images.reading import check_images
from sklearn_cdul.labels.thresholds import apply_thresholds
from sklearn_cdul.predictions import Predictions, last_step, log_odds
from sklearn_cdul.review.findings import ALWAYS, alike_classes, are_training_photos, class_figures
from sklearn_cdul.review.page import render


class LabelReport:
    """A page in one HTML file that shows what a model believes of photos, and takes corrections.

    Of each class it shows a histogram of the scores, the surest photos, those nearest to the cut,
    those whose labels training moved farthest (for the photos of the training) and those that
    contradict labels. It also shows photos of no class, classes that are never or always predicted,
    and names that are hard to tell apart. In the page a person says of a photo whether a class is
    in it, and saves the answers as a CSV file that ``observed=``, ``score`` and ``fit_thresholds``
    take. The file needs no server and loads nothing. It has 1,000 thumbnails at most, however many
    photos there are.

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
        If no photo has scores, there are not as many photos as scores, or `n_shown` is below 1.

    Attributes
    ----------
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
        self.photos = None if photos is None else check_images(photos)
        if self.photos is not None and len(self.photos) != len(scores):
            raise ValueError(
                f"There are {len(self.photos)} photos, but {len(scores)} rows of scores."
            )
        self._paths = [path_of(photo) for photo in self.photos or [None] * len(scores)]
        self._thumbnails: dict[int, str | None] = {}
        self.scores, self.thresholds, self.class_names = scores, thresholds, list(class_names)
        self.labels, self.movement = labels, movement
        self.n_shown, self.n_jobs, self.title = n_shown, n_jobs, title
        self._logits, self._cut_logits = log_odds(scores), log_odds(thresholds)
        self._predicted = apply_thresholds(scores, thresholds).astype(bool)
        seen, predicted = self._readable, self._predicted[self._readable]
        known = None if labels is None else labels[seen]
        figures = class_figures(scores[seen], predicted, known)
        self.per_class: dict[str, list[Any]] = {
            "class": self.class_names,
            "threshold": thresholds.tolist(),
            **{name: column.tolist() for name, column in figures.items()},
        }
        self.without_class = np.flatnonzero(seen & ~self._predicted.any(axis=1))
        shares = list(zip(self.class_names, figures["share"], strict=True))
        self.never = [name for name, share in shares if share == 0]
        self.always = [name for name, share in shares if share >= ALWAYS]
        self._pairs = alike_classes(self._logits[seen], predicted, text_embeddings)
        self.alike = [(self.class_names[i], self.class_names[j], r) for i, j, r, *_ in self._pairs]

    @classmethod
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
        estimator : CDULClassifier, CLIPPseudoLabeler, or a pipeline or search that ends with one
            Fitted. The labels of a labeler are cut at thresholds found on these photos.
        X : sequence of images, or what the estimator takes
            n photos, those of the training or others.
        y : array of shape (n, k), names of each image, data frame, CSV file or None, default=None
            Labels, also of some photos and classes, see
            :func:`~sklearn_cdul.targets.check_targets`.
        photos : sequence of images or None, default=None
            The photos of the rows of X, if X holds something else, for example embeddings. None
            takes X if the model takes images, and else shows no photos.
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
            If `estimator`, `X`, `y` or `photos` can't be used.
        """
        model = last_step(estimator)
        labeler = getattr(model, "pseudo_labeler_", model)
        if photos is None and labeler.input == "images":
            photos = X
        if photos is not None:
            photos = check_images(photos)  # what is wrong with them is said before the work
        answers = Predictions.from_estimator(estimator, X, y)
        movement = None
        if hasattr(model, "pseudo_labels_") and are_training_photos(
            log_odds(answers.scores), model.pseudo_labels_
        ):
            movement = model.initial_pseudo_labels_, model.pseudo_labels_
        return cls(
            photos,
            answers.scores,
            class_names=answers.class_names,
            thresholds=answers.thresholds,
            labels=answers.targets,
            movement=movement,
            text_embeddings=labeler.text_embeddings_,
            n_shown=n_shown,
            title=title,
            n_jobs=model.n_jobs,
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
        answers = Predictions.of(scores, y, thresholds, class_names, photos=photos)
        return cls(
            photos,
            answers.scores,
            class_names=answers.class_names,
            thresholds=answers.thresholds,
            labels=answers.targets,
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
            Of the file.

        Raises
        ------
        OSError
            If it can't be written.
        """
        path = Path(path)
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
        return render(self)

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
            f"<LabelReport of {len(self.scores)} photos and {len(self.class_names)} classes: "
            f"{len(self.without_class)} photos of no class, {len(self.never)} classes never "
            f"predicted. Use save(path).>"
        )
