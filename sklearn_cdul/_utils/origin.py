"""What a classifier comes from, in words: encoder, network and training."""

import os
import re
from typing import Any

import numpy as np


def encoder_name(labeler: Any) -> str:
    """The encoder of a labeler, without folders of this machine."""
    names = labeler.model_name, labeler.pretrained
    return ", ".join(_name(name) for name in names if name is not None)


def _name(value: Any) -> str:
    """The name of a file, an encoder, a network or a training."""
    if isinstance(value, str | os.PathLike):
        text = os.fspath(value)
        is_repository = text.startswith("hf-hub:")
        return text if is_repository else re.split(r"[\\/]", text.rstrip("\\/"))[-1]
    return getattr(value, "__name__", type(value).__name__)


def origin_of(classifier: Any) -> dict[str, str]:
    """What is known of a fitted classifier, of its ONNX file, or of a labeler."""
    if hasattr(classifier, "model_name"):
        return {"encoder": encoder_name(classifier)}
    if not hasattr(classifier, "network_"):
        return getattr(classifier, "origin_", {})
    labeler = classifier.pseudo_labeler_
    is_read = ~np.isnan(classifier.initial_pseudo_labels_).any(axis=1)
    lost = f", {(~is_read).sum()} more could not be read" if not is_read.all() else ""
    grid = int(labeler.grid_size)
    of_photos = hasattr(classifier, "image_size_")
    size = f", input of {classifier.image_size_} pixels" if of_photos else " of embeddings"
    return {
        "encoder": encoder_name(labeler),
        "views": f"{labeler.views_}, grid_size {grid}" if grid > 1 else "the whole photo",
        "network": _name(classifier.network) + size,
        "training": _name(classifier.training),
        "trained on": f"{is_read.sum():,} photos{lost}",
    }


def describe(estimator: Any) -> str:
    """What ``print`` shows: the parameters, and of what is fitted a line on its origin."""
    if not hasattr(estimator, "class_names_"):
        return repr(estimator)
    origin = "; ".join(f"{what}: {value}" for what, value in origin_of(estimator).items())
    return f"{estimator!r}\n{origin}"
