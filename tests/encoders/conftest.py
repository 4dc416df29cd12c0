"""A very small CLIP with random weights."""

import json

import pytest
import torch

from sklearn_cdul.encoders.loading import load_encoder

TINY_MODEL = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="session")
def tiny_model():
    """Its parameters, as open_clip's configs have them."""
    return TINY_MODEL


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A folder with a very small CLIP of fixed random weights, as open_clip saves it."""
    import open_clip

    folder = tmp_path_factory.mktemp("tiny")
    preprocess = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4], "resize_mode": "shortest"}
    config = {"model_cfg": TINY_MODEL, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.CLIP(**TINY_MODEL)
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder):
    return load_encoder(f"local-dir:{tiny_folder}", device="cpu", precision="float32")
