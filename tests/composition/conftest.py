"""Photos, their labels, and labels that a person gave for some."""

import numpy as np
import pytest
import sklearn
from sklearn.base import clone

from sklearn_cdul import CLIPPseudoLabeler
from tests.composition.common import LABELER, NAMES


@pytest.fixture(scope="package")
def paths(food_photos):
    return food_photos.data[:8]


@pytest.fixture(scope="package")
def labels(paths):
    return clone(LABELER).fit_transform(paths)


@pytest.fixture(scope="package")
def X(food_photos):
    """Embeddings of 30 photos, whole and in 2 x 2 snippets."""
    return CLIPPseudoLabeler(NAMES, grid_size=2).embed(food_photos.data[:30])


@pytest.fixture(scope="package")
def y(food_photos):
    return food_photos.target[:30, [food_photos.target_names.index(name) for name in NAMES]]


@pytest.fixture(scope="package")
def observed(y):
    """One label in five; NaN elsewhere."""
    given = np.random.default_rng(0).random(y.shape) < 0.2
    return np.where(given, y, np.nan)


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield
