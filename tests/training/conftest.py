"""Photos, vectors and a call of training for the tests of this room."""

import numpy as np
import pytest
import torch

from sklearn_cdul.compute.devices import OwnRandomState
from sklearn_cdul.images.items import check_images
from sklearn_cdul.training.batches import EmbeddingSource, PhotoSource

CPU = torch.device("cpu")


def photo_source(images, **changes):
    """A source of small pictures, in float32."""
    settings = {"image_size": 32, "device": CPU, "precision": "float32"}
    return PhotoSource(check_images(images), **(settings | changes))


def vector_problem(n=30, d=4, k=2):
    """A source of vectors and soft labels that depend on them."""
    vectors = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    labels = 1 / (1 + np.exp(-3 * vectors[:, :k])) * 0.5 + 0.25
    return EmbeddingSource(vectors, device=CPU), labels.astype(np.float32)


def train(training, source, labels, *, network="bundled", seed=0, **options):
    """Build a network as the classifier does, train it, and return both."""
    random = OwnRandomState(seed)
    with random:
        built = source.build_network(network, labels.shape[1], regions=options.pop("regions", 2))
    training.check(built)
    return built, training.train(built, source, labels, random=random, **options)


@pytest.fixture
def grey_images():
    """Ten plain images, told apart by their grey value."""
    return [np.full((40, 50, 3), 20 * i, dtype=np.uint8) for i in range(10)]


@pytest.fixture(scope="session")
def food_labels(food_photos):
    """Soft labels of the bundled photos and three classes."""
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, size=(len(food_photos.data), 3))
    return (food_photos.target[:, :3] * 0.6 + 0.2 + noise).astype(np.float32)
