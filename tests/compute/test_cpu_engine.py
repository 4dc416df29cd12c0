"""The engine for the CPU gives what torch gives, wherever it runs."""

import copy
import os
import pickle
import runpy
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_cdul.compute import cpu_engine
from sklearn_cdul.compute.cpu_engine import CPUEngine, can_run
from sklearn_cdul.training.building import build_photo_network

LITE2 = "tf_efficientnet_lite2"
SCRIPT = Path(__file__).parents[2] / "tools/build_cpu_graph.py"


@pytest.fixture(scope="module")
def network():
    """The bundled network, with an output layer that the engine leaves alone."""
    return build_photo_network("bundled", 5).backbone.eval()


@pytest.fixture
def engine(network):
    return CPUEngine(LITE2, network.state_dict())


@pytest.fixture(scope="module")
def pixels():
    """Normalised pictures; noise is harder than photos."""
    return np.random.default_rng(0).standard_normal((3, 3, 64, 97), dtype=np.float32)


@torch.inference_mode()
def by_torch(network, pixels):
    return network.forward_features(torch.from_numpy(pixels)).numpy()


@pytest.mark.parametrize("shape", [(1, 3, 260, 260), (2, 3, 97, 130), (1, 3, 31, 20)])
def test_maps_are_those_of_torch_at_any_size(network, engine, shape):
    pixels = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    maps = engine.run(pixels)
    assert maps.dtype == np.float32
    # Of numbers from 0 to 6.
    assert_allclose(maps, by_torch(network, pixels), atol=1e-4)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_a_picture_gives_the_same_alone_and_among_others(engine, pixels, monkeypatch, n_threads):
    monkeypatch.setattr(torch, "get_num_threads", lambda: n_threads)
    together = engine.run(pixels)
    assert len(together) == 3
    for index in range(3):
        assert_allclose(engine.run(pixels[index : index + 1])[0], together[index], atol=1e-5)


def test_weights_are_those_that_the_network_had_when_the_engine_was_made(network, engine, pixels):
    other = copy.deepcopy(network)
    with torch.no_grad():
        other.conv_stem.weight[0] += 0.1
    others = CPUEngine(LITE2, other.state_dict())
    assert_allclose(others.run(pixels), by_torch(other, pixels), atol=1e-4)
    assert np.abs(others.run(pixels) - engine.run(pixels)).max() > 0.01
    expected = others.run(pixels)
    with torch.no_grad():
        other.conv_stem.weight.zero_()
    assert_array_equal(pickle.loads(pickle.dumps(others)).run(pixels), expected)


@pytest.mark.parametrize("name, words", [("conv_stem.weight", "dimensions"), ("more", "name more")])
def test_weights_of_another_architecture_are_refused(network, pixels, name, words):
    weights = {**network.state_dict(), name: torch.zeros(2)}
    with pytest.raises(Exception, match=words):
        CPUEngine(LITE2, weights).run(pixels)


@pytest.mark.parametrize("name", ["conv_stem.weight", "blocks.3.1.bn3.bias", "conv_head.weight"])
def test_nan_among_the_weights_stays_nan(network, pixels, name):
    weights = {key: value.clone() for key, value in network.state_dict().items()}
    weights[name].view(-1)[0] = torch.nan
    assert np.isnan(CPUEngine(LITE2, weights).run(pixels)).any(axis=1).all()


def test_it_runs_for_known_networks_in_float32_on_the_cpu():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert can_run(LITE2, cpu, torch.float32)
    assert not can_run(LITE2, cpu, torch.bfloat16)
    assert not can_run(LITE2, cuda, torch.float32)
    assert not can_run("resnet18", cpu, torch.float32)
    assert not can_run(None, cpu, torch.float32)


def test_threads_share_it(engine, pixels):
    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(engine.run, [pixels] * 8)
    for maps in others:
        assert_allclose(maps, first, atol=1e-5)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_torchs_number_of_threads_run_images_of_their_own(engine, pixels, monkeypatch, n_threads):
    monkeypatch.setattr(torch, "get_num_threads", lambda: n_threads)
    all_there = threading.Barrier(n_threads, timeout=60)
    seen = set()

    def prepare(image):
        all_there.wait()
        seen.add(threading.get_ident())
        return image

    engine.run(pixels, prepare)
    assert len(seen) == n_threads


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads as Linux does")
def test_an_image_that_comes_alone_gets_all_threads(engine, pixels, monkeypatch):
    added = {}
    for n_threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda n=n_threads: n)
        before = len(os.listdir("/proc/self/task"))
        engine.run(pixels[:1])
        added[n_threads] = len(os.listdir("/proc/self/task")) - before
    assert added == {1: 0, 3: 2}  # one is the caller's


@pytest.mark.parametrize("n_pictures", [1, 3])
def test_pictures_are_prepared_one_at_a_time(engine, pixels, n_pictures):
    shapes = []

    def prepare(pictures):
        shapes.append(pictures.shape)
        return pictures.transpose(0, 3, 1, 2) * np.float32(2)

    views = pixels[:n_pictures].transpose(0, 2, 3, 1) / 2
    assert_allclose(engine.run(views, prepare), engine.run(pixels[:n_pictures]), atol=1e-5)
    assert shapes == [(1, 64, 97, 3)] * n_pictures


def test_an_error_in_a_thread_reaches_the_caller(engine, pixels):
    with pytest.raises(Exception, match="invalid dimensions"):
        engine.run(pixels[:, :2])


def test_copies_start_anew(engine, pixels):
    expected = engine.run(pixels)
    for copied in (copy.copy(engine), copy.deepcopy(engine), pickle.loads(pickle.dumps(engine))):
        assert_array_equal(copied.run(pixels), expected)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_can_use_it_and_throw_it_away(network, pixels, monkeypatch, in_a_fork):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    engines = [CPUEngine(LITE2, network.state_dict()) for _ in range(2)]
    expected = [engine.run(pixels) for engine in engines]

    def child():
        del engines[1]
        assert_allclose(engines[0].run(pixels), expected[0], atol=1e-5)

    assert in_a_fork(child) == 0
    assert_allclose(engines[1].run(pixels), expected[1], atol=1e-5)


@pytest.mark.parametrize("choice", [None, "1"])
def test_onnx_runtime_keeps_no_record_and_the_environment_stays_as_it_is(tmp_path, choice):
    """Versions that send events of use keep them in a folder first."""
    name = "ORT_DISABLE_TELEMETRY"
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    environment.pop(name)
    if choice is not None:
        environment[name] = choice
    code = f"""
import os
import numpy as np
from sklearn_cdul.compute.cpu_engine import INT8_GRAPH, CPUEngine
CPUEngine(INT8_GRAPH, {{}}).run(np.zeros((1, 3, 32, 32), np.float32))
assert os.environ.get({name!r}) == {choice!r}
"""
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name]


@pytest.mark.skipif(not SCRIPT.exists(), reason="tools are only in the source")
def test_the_graph_is_what_its_script_makes():
    import onnx

    script = runpy.run_path(str(SCRIPT))
    assert onnx.load(script["PATH"], load_external_data=False) == script["build"]()
    assert script["PATH"] == cpu_engine._GRAPHS[LITE2]
