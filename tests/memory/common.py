"""What the tests of the folder of embeddings share."""

import contextlib
import sqlite3
from pathlib import Path

NAMES = ["pizza", "cake", "coffee"]
# One view an image, and no rounding that depends on what else is in a batch.
SETTINGS = {"classes": NAMES, "grid_size": 1, "precision": "float32", "device": "cpu"}
N_PHOTOS = 12


def database(folder, number=0):
    return Path(folder, f"embeddings-1-{number:03d}.sqlite")


def rows_in(folder, number=0):
    """How many embeddings of images there are; keys of prompts are longer."""
    with contextlib.closing(sqlite3.connect(database(folder, number))) as connection:
        query = "SELECT count(*) FROM embeddings WHERE length(key) = 16"
        return connection.execute(query).fetchone()[0]
