"""What the tests of the classifier fit."""

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.encoders.clip import CLIPEncoder
from sklearn_cdul.training import GradientTraining

NAMES = ["pizza", "cake", "coffee"]
# No snippets, small pictures: these tests are about manners, not accuracy.
QUICK = {
    "pseudo_labeler": CLIPPseudoLabeler(NAMES, grid_size=1),
    "image_size": 64,
    "random_state": 0,
}


def gradients(**settings):
    """A short training by gradients."""
    return GradientTraining(**{"epochs": 1, "batch_size": 8} | settings)


def forbid_encoding(monkeypatch):
    """Make it an error to encode a photo from now on."""

    def encode(*args):
        raise AssertionError("a photo was encoded")

    monkeypatch.setattr(CLIPEncoder, "encode_views", encode)
