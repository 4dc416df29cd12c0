"""What the tests of the folder of embeddings share."""

from sklearn_cdul.memory.store import Store

NAMES = ["pizza", "cake", "coffee"]
# One view an image, and no rounding that depends on what else is in a batch.
SETTINGS = {"classes": NAMES, "grid_size": 1, "precision": "float32", "device": "cpu"}
N_PHOTOS = 12


def rows_in(folder):
    """How many embeddings of images there are; keys of prompts are longer."""
    return sum(len(key) == 16 for key in Store(folder))
