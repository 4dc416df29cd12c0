"""In come photos or embeddings and their soft labels; out goes a trained network."""

from sklearn.base import clone

from sklearn_cdul.training.alignment import BaseTraining
from sklearn_cdul.training.gradients import GradientTraining
from sklearn_cdul.training.linear_probe import linear_probe
from sklearn_cdul.training.ridge import RidgeTraining

__all__ = ["GradientTraining", "RidgeTraining", "linear_probe"]


def resolve_training(training: str | BaseTraining) -> BaseTraining:
    """Return a clone of a training, or a fresh one by its name, with valid parameters."""
    names = {"ridge": RidgeTraining, "gradients": GradientTraining}
    if isinstance(training, BaseTraining):
        resolved = clone(training)
    elif training in names:
        resolved = names[training]()
    else:
        raise ValueError(
            f'training={training!r} is neither "ridge" nor "gradients". To set their parameters, '
            "give RidgeTraining(...) or GradientTraining(...)."
        )
    resolved._validate_params()
    return resolved
