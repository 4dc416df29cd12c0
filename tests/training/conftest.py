"""Photos for the tests of training, and the source that serves them."""

import numpy as np
import pytest
import torch

from sklearn_cdul.images.reading import check_images
from sklearn_cdul.training.batches import PhotoSource


def photo_source(images, **changes):
    """A source of small pictures, in float32."""
    settings = {"image_size": 32, "device": torch.device("cpu"), "precision": "float32"}
    return PhotoSource(check_images(images), **(settings | changes))


@pytest.fixture
def grey_images():
    """Ten plain images, told apart by their grey value."""
    return [np.full((40, 50, 3), 20 * i, dtype=np.uint8) for i in range(10)]
