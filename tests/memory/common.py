"""What the tests of the folder of embeddings share."""

NAMES = ["pizza", "cake", "coffee"]
# One view an image, and no rounding that depends on what else is in a batch.
SETTINGS = {"classes": NAMES, "grid_size": 1, "precision": "float32", "device": "cpu"}
N_PHOTOS = 12
