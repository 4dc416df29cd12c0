"""Photos, their embeddings and a fitted classifier, made once."""

import pytest

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from tests.classifier.common import NAMES, QUICK


@pytest.fixture(scope="package")
def photos(food_photos):
    return food_photos.data[:20]


@pytest.fixture(scope="package")
def fitted(photos):
    return CDULClassifier(NAMES, **QUICK).fit(photos)


@pytest.fixture(scope="package")
def embeddings(photos):
    return CLIPPseudoLabeler(NAMES, grid_size=2).embed(photos)
