"""What every test needs: no window, no network, and the bundled photos."""

import os

# Before anything imports matplotlib or huggingface_hub, which read these once.
os.environ["MPLBACKEND"] = "Agg"
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest


@pytest.fixture(scope="session")
def food_photos():
    """The bundled photos as load_food_photos returns them; treat them as read-only."""
    from sklearn_cdul.datasets import load_food_photos

    return load_food_photos()
