"""A fitted classifier on a dozen photos, and figures that are closed after each test."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler

NAMES = ["pizza", "coffee", "cake"]


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="package")
def few(food_photos):
    """Paths and labels of twelve photos, four of each class."""
    shown = food_photos.target[:, [food_photos.target_names.index(name) for name in NAMES]]
    rows = np.concatenate([np.flatnonzero(column)[:4] for column in shown.T])
    return [food_photos.data[row] for row in rows], shown[rows]


@pytest.fixture(scope="package")
def labeler(few):
    """A labeler with four snippets a photo."""
    return CLIPPseudoLabeler(NAMES, grid_size=2).fit()


@pytest.fixture(scope="package")
def model(few, labeler):
    """A classifier trained on the twelve photos."""
    return CDULClassifier(pseudo_labeler=labeler, image_size=64).fit(few[0])


def texts(axis):
    """What is written beneath a panel, line by line."""
    return [text.get_text() for text in axis.texts]
