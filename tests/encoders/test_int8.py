"""The bundled encoder in int8 stays near float32, and apart from it in memory."""

import pickle
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.encoders import loading
from sklearn_cdul.encoders.embedding import embed_photos
from sklearn_cdul.encoders.loading import load_encoder

NAMES = ["bread", "cup"]
TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="module")
def paths(food_photos):
    return food_photos.data[:60:20]


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(device="cpu", precision="int8")


@pytest.mark.parametrize("views", ["grid", "dense"])
def test_embeddings_are_near_those_of_float32(views, paths, encoder):
    exact = load_encoder(device="cpu", precision="float32")
    settings = {"grid_size": 2, "views": views}
    ours, others = (embed_photos(e, paths, **settings) for e in (encoder, exact))
    assert ours.dtype == np.float32
    assert_allclose(np.linalg.norm(ours, axis=-1), 1, atol=1e-5)
    cosines = (ours * others).sum(axis=-1)
    assert cosines.mean() > 0.97 and cosines.min() > 0.8
    assert cosines.max() < 0.9999  # it is another arithmetic


def test_a_pickled_encoder_gives_the_same(paths, encoder):
    copied = pickle.loads(pickle.dumps(encoder))
    assert_array_equal(embed_photos(copied, paths[:1]), embed_photos(encoder, paths[:1]))
    assert copied.fingerprint == encoder.fingerprint


def test_embeddings_in_memory_are_its_own(paths, tmp_path):
    settings = {"grid_size": 1, "memory": tmp_path, "device": "cpu"}
    labelers = [CLIPPseudoLabeler(NAMES, precision=p, **settings) for p in ("float32", "int8")]
    exact, ours = (labeler.fit().embed(paths[:1]) for labeler in labelers)
    assert np.abs(exact - ours).max() > 1e-3


def test_other_encoders_and_devices_have_no_int8(monkeypatch):
    with pytest.raises(ValueError, match="ViT-B-32"):
        load_encoder("ViT-B-32", "openai", device="cpu", precision="int8")
    monkeypatch.setattr(loading, "resolve_device", torch.device)
    with pytest.raises(ValueError, match='"cuda"'):
        load_encoder(device="cuda", precision="int8")


def test_the_network_has_no_int8(paths):
    with pytest.raises(ValueError, match="CLIPPseudoLabeler"):
        CDULClassifier(NAMES, precision="int8").fit(paths)


@pytest.mark.skipif(not TOOLS.exists(), reason="tools are only in the source")
def test_weights_are_those_of_the_encoder_in_seven_bits(monkeypatch):
    import onnx

    monkeypatch.syspath_prepend(TOOLS)
    script = runpy.run_path(str(TOOLS / "build_int8_graph.py"))
    graph = onnx.load(script["PATH"]).graph
    stored = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    _, values = script["folded"]()
    layers = {name for name, array in values.items() if array.ndim == 4} - {"conv_stem.weight"}
    for name in layers:
        assert np.abs(stored[name]).max() <= 63
        scales = stored[f"{name}/scale"][:, None, None, None]
        assert (np.abs(stored[name] * scales - values[name]) <= 0.501 * scales).all()
