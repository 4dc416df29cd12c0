"""Encoders leave the GPU and the memory when they are told to. No GPU here: stand-ins."""

import contextlib
import copy
import gc
import os
import signal
import threading
import time
import weakref
from collections import OrderedDict

import numpy as np
import pytest
import torch

from sklearn_cdul.encoders import clip, loading, unload_encoders
from sklearn_cdul.encoders.loading import free_gpu, load_encoder


@pytest.fixture
def loaded(monkeypatch):
    """A place for encoders of this test alone."""
    encoders = OrderedDict()
    monkeypatch.setattr(loading, "_loaded", encoders)
    return encoders


def test_unloading_forgets_the_encoders(loaded, tiny_folder):
    first = load_encoder(f"local-dir:{tiny_folder}", device="cpu")
    gone = weakref.ref(first._model)
    expected = first.encode_text(["a cup"])
    del first
    unload_encoders()
    gc.collect()
    assert not loaded
    assert gone() is None
    again = load_encoder(f"local-dir:{tiny_folder}", device="cpu")
    np.testing.assert_array_equal(again.encode_text(["a cup"]), expected)


def test_on_the_cpu_nothing_moves(loaded, tiny_folder):
    encoder = load_encoder(f"local-dir:{tiny_folder}", device="cpu")
    model = encoder._model
    free_gpu()
    assert encoder._model is model
    assert list(loaded.values()) == [encoder]


def test_weights_leave_the_gpu_and_come_back(loaded, tiny, monkeypatch):
    encoder = copy.copy(tiny)
    model = encoder._model
    moves, freed = [], []
    encoder.device = torch.device("cuda")
    loaded["one"] = encoder
    monkeypatch.setattr(clip, "_moved", lambda model, device: moves.append(device.type) or model)
    monkeypatch.setattr(clip, "free_cache", lambda device: freed.append(device.type))
    free_gpu()
    assert moves == ["cpu"]
    assert set(freed) == {"cuda"}
    assert encoder._model_on_device() is model
    assert moves == ["cpu", "cuda"]
    unload_encoders()  # also off the GPU if somebody holds it
    assert moves == ["cpu", "cuda", "cpu"]


def test_a_moved_model_is_a_copy_and_the_old_one_still_works(tiny):
    model = tiny._model
    moved = clip._moved(model, torch.device("meta"))
    for name, tensor in model.state_dict().items():
        other = moved.state_dict()[name]
        assert (other.device.type, other.dtype, other.shape, other.stride()) == (
            "meta",
            tensor.dtype,
            tensor.shape,
            tensor.stride(),
        )
    assert not any(parameter.requires_grad for parameter in moved.parameters())
    same = clip._moved(model, torch.device("cpu"))
    tokens = tiny._tokenizer(["a cup"])
    with torch.inference_mode():
        assert torch.equal(same.encode_text(tokens), model.encode_text(tokens))


def test_text_and_image_towers_have_fingerprints_of_their_own(tiny):
    other = copy.copy(tiny)
    for name in ("fingerprint", "text_fingerprint"):
        vars(other).pop(name, None)
    other._model = copy.deepcopy(tiny._model)
    assert other.text_fingerprint == tiny.text_fingerprint
    with torch.no_grad():
        other._model.token_embedding.weight[5, 0] += 1
    vars(other).pop("text_fingerprint")
    assert other.text_fingerprint != tiny.text_fingerprint
    assert other.fingerprint == tiny.fingerprint


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_process_forked_while_another_thread_loads_does_not_wait_for_it(
    loaded, tiny_folder, monkeypatch
):
    entered, done = threading.Event(), threading.Event()
    load_open_clip = loading._load_open_clip

    def slow(*args):
        entered.set()
        done.wait()
        return load_open_clip(*args)

    name = f"local-dir:{tiny_folder}"
    monkeypatch.setattr(loading, "_load_open_clip", slow)
    thread = threading.Thread(target=load_encoder, args=(name,), kwargs={"device": "cpu"})
    thread.start()
    entered.wait()
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)  # the other threads of torch's own pool are not here
        loading._load_open_clip = load_open_clip
        os._exit(load_encoder(name, device="cpu").embedding_dim)
    try:
        deadline = time.monotonic() + 60
        while (status := os.waitpid(child, os.WNOHANG)) == (0, 0):
            assert time.monotonic() < deadline, "the child waits for ever"
            time.sleep(0.02)
        assert os.waitstatus_to_exitcode(status[1]) == 24
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        done.set()
        thread.join()
