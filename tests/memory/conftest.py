"""Some photos, their embeddings, and a labeler with a folder."""

import pytest

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.encoders.clip import CLIPEncoder
from tests.memory.common import N_PHOTOS, SETTINGS


@pytest.fixture(scope="session")
def photos(food_photos):
    return food_photos.data[:N_PHOTOS]


@pytest.fixture(scope="session")
def expected(photos):
    """The embeddings that are right, computed without a folder."""
    return CLIPPseudoLabeler(**SETTINGS).embed(photos)


@pytest.fixture
def labeler(tmp_path):
    return CLIPPseudoLabeler(**SETTINGS, memory=tmp_path / "cache")


@pytest.fixture
def encoded(monkeypatch):
    """How many views each forward pass of the encoder had, in this process."""
    counts = []
    encode_views = CLIPEncoder.encode_views

    def count(self, views):
        counts.append(len(views))
        return encode_views(self, views)

    monkeypatch.setattr(CLIPEncoder, "encode_views", count)
    return counts
