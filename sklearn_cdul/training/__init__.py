"""In come photos or embeddings and their soft labels; out goes a trained network."""

from sklearn_cdul.training.linear_probe import linear_probe

__all__ = ["linear_probe"]
