"""Some photos, their embeddings, a labeler with a folder, and a folder without permission."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

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


@pytest.fixture
def as_nobody():
    """A folder in which the user may write, and a context in which the user may not."""
    if not hasattr(os, "geteuid"):
        pytest.skip("needs the permissions of POSIX")
    # The folders of pytest can't be entered by others.
    folder = Path(tempfile.mkdtemp())
    user = os.geteuid()

    @contextlib.contextmanager
    def context(mode=0o555):
        folder.chmod(mode)
        if user == 0:  # permissions don't hold for root
            os.seteuid(65534)
        try:
            yield
        finally:
            if user == 0:
                os.seteuid(0)
            folder.chmod(0o755)

    yield folder, context
    shutil.rmtree(folder)
