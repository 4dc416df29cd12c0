"""The first half of a classifier's fit: CLIP's labels, and those that training starts with."""

from typing import Any

import numpy as np
from sklearn.base import clone

from sklearn_cdul._utils.progress import progress
from sklearn_cdul.exceptions import warn
from sklearn_cdul.inputs import check_X
from sklearn_cdul.labeler import CLIPPseudoLabeler
from sklearn_cdul.labels.checking import check_labels
from sklearn_cdul.labels.neighbors import smooth_labels
from sklearn_cdul.labels.observed import observed_on_scale

# Fewer than this many training photos give rise to a warning.
_FEW_PHOTOS = 10


def fit_labeler(classifier: Any, X: Any) -> tuple[CLIPPseudoLabeler, Any]:
    """Fit the labeler of a classifier, or one with the bundled CLIP if it names none."""
    if classifier.pseudo_labeler is None:
        shared = ("device", "precision", "n_jobs")
        labeler = CLIPPseudoLabeler(**{name: getattr(classifier, name) for name in shared})
    else:
        labeler = clone(classifier.pseudo_labeler)
    for name in ("classes", "memory", "on_error"):
        if getattr(classifier, name) is not None:
            labeler.set_params(**{name: getattr(classifier, name)})
    labeler.set_params(verbose=classifier.verbose or labeler.verbose)
    if labeler.input == "images":
        X = check_X(labeler, X, kind="images", on_error=labeler.on_error)
    return labeler.fit(X), X


def label_photos(
    classifier: Any,
    labeler: CLIPPseudoLabeler,
    X: Any,
    shape: tuple[int, int],
    observed: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Label photos with CLIP, and make the labels that training starts with."""
    # Held here, embeddings are not made again by transform.
    embeddings = labeler.embed(X) if classifier.n_neighbors else None
    labels = np.asarray(labeler.transform(X), dtype=np.float32)  # from a data frame, too
    check_labels(labels, shape, may_be_nan=labeler.on_error == "nan")
    if embeddings is not None:
        labels = np.where(np.isnan(embeddings[:, :1, 0]), np.float32(np.nan), labels)
    readable = np.flatnonzero(~np.isnan(labels).any(axis=1))
    if len(readable) == 0:
        raise ValueError("None of the images in X can be used; the warning above says why.")
    if len(readable) < _FEW_PHOTOS:
        warn(
            f"{len(readable)} photos are too few to learn from: the network learns what photos "
            "of a class have in common, and thresholds are found from how scores are spread "
            "over the photos. Give more, or take CLIPPseudoLabeler alone, which does not train."
        )
    start, targets = labels[readable], None
    if observed is not None:
        targets = observed_on_scale(start, observed[readable])
        start = np.where(np.isnan(targets), start, targets)
        labels = np.where(np.isnan(observed) | np.isnan(labels), labels, observed)
    if embeddings is not None:
        with progress("Comparing photos", verbose=classifier.verbose):
            start = smooth_labels(
                start,
                embeddings[readable, 0],
                n_neighbors=classifier.n_neighbors,
                weight=classifier.neighbor_weight,
            )
    return labels, readable, start, targets


def place_labels(
    refined: np.ndarray, readable: np.ndarray, labels: np.ndarray, observed: np.ndarray | None
) -> np.ndarray:
    """Put the labels that training ends with among those of all photos."""
    placed = np.full_like(labels, np.nan)
    placed[readable] = refined
    if observed is not None:
        known = ~np.isnan(observed) & ~np.isnan(labels)
        placed[known] = observed[known]
    return placed
