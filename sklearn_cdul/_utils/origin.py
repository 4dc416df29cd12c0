"""What a classifier comes from, in words: encoder, network and training."""

from typing import Any

import numpy as np


def encoder_name(labeler: Any) -> str:
    """The encoder of a labeler, by the names that ``model_name`` and ``pretrained`` have."""
    name, weights = labeler.model_name, labeler.pretrained
    name = name if isinstance(name, str) else type(name).__name__
    return name if weights is None else f"{name}, {weights}"


def origin_of(classifier: Any) -> dict[str, str]:
    """What is known of a fitted classifier, of its ONNX file, or of a labeler."""
    if hasattr(classifier, "model_name"):
        return {"encoder": encoder_name(classifier)}
    if not hasattr(classifier, "network_"):
        return getattr(classifier, "origin_", {})
    labeler, network = classifier.pseudo_labeler_, classifier.network
    is_read = ~np.isnan(classifier.initial_pseudo_labels_).any(axis=1)
    lost = f", {(~is_read).sum()} more could not be read" if not is_read.all() else ""
    grid = int(labeler.grid_size)
    network = network if isinstance(network, str) else getattr(network, "__name__", repr(network))
    of_photos = hasattr(classifier, "image_size_")
    size = f", input of {classifier.image_size_} pixels" if of_photos else " of embeddings"
    training = classifier.training
    return {
        "encoder": encoder_name(labeler),
        "views": f"{labeler.views}, {grid} x {grid}" if grid > 1 else "the whole photo",
        "network": network + size,
        "training": training if isinstance(training, str) else repr(training),
        "trained on": f"{is_read.sum():,} photos{lost}",
    }
