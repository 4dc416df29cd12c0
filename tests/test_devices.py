"""Device and precision are chosen or refused clearly; a full GPU halves the batch."""

import threading
import time

import pytest
import torch

from sklearn_cdul import devices
from sklearn_cdul.devices import (
    OwnRandomState,
    autocast,
    resolve_device,
    resolve_precision,
    run_in_batches,
)

CPU = torch.device("cpu")


def test_auto_takes_a_gpu_if_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == CPU


@pytest.mark.parametrize("device", ["cpu", CPU])
def test_the_cpu_is_always_there(device):
    assert resolve_device(device) == CPU


def test_devices_that_are_not_there_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ValueError, match=r"'cuda' is not available.*sees 0 devices"):
        resolve_device("cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ValueError, match=r"'cuda:2' is not available.*sees 2 devices"):
        resolve_device("cuda:2")
    with pytest.raises(ValueError, match="not available"):
        resolve_device(torch.device("meta"))


@pytest.mark.parametrize("device", ["gpu", "cuda:x", ""])
def test_nonsense_is_no_device(device):
    with pytest.raises(ValueError, match="is no device"):
        resolve_device(device)
    with pytest.raises(TypeError, match="device must be a string"):
        resolve_device(None)


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("float32", torch.float32),
        ("fp32", torch.float32),
        ("bf16", torch.bfloat16),
        ("bfloat16", torch.bfloat16),
    ],
)
def test_precision_by_name(precision, dtype):
    assert resolve_precision(precision, CPU) == dtype


def test_float16_is_for_gpus():
    assert resolve_precision("fp16", torch.device("cuda")) == torch.float16
    with pytest.raises(ValueError, match="is for GPUs"):
        resolve_precision("float16", CPU)
    with pytest.raises(ValueError, match="got 'double'"):
        resolve_precision("double", CPU)


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [("avx2 avx512f", torch.float32), ("avx512_bf16 fma", torch.bfloat16), ("", torch.float32)],
)
def test_auto_is_bf16_only_on_cpus_that_have_it(monkeypatch, flags, dtype):
    monkeypatch.setattr(devices.platform, "machine", lambda: "x86_64")
    text = f"processor: 0\nflags\t\t: fpu {flags}\n"
    monkeypatch.setattr(devices.Path, "read_text", lambda path: text)
    assert resolve_precision("auto", CPU) == dtype


@pytest.mark.parametrize(("major", "dtype"), [(7, torch.float16), (8, torch.bfloat16)])
def test_auto_on_cuda_is_bf16_or_on_older_devices_fp16(monkeypatch, major, dtype):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (major, 0))
    monkeypatch.setattr(torch.version, "hip", None)
    assert resolve_precision("auto", torch.device("cuda")) == dtype


def test_autocast_computes_in_its_type():
    a = torch.ones(2, 2)
    with autocast(CPU, torch.bfloat16):
        assert (a @ a).dtype == torch.bfloat16
    with autocast(CPU, torch.float32):
        assert (a @ a).dtype == torch.float32


def test_batches_are_halved_until_they_fit():
    tried = []

    def needs_small_batches(batch):
        tried.append(len(batch))
        if len(batch) > 3:
            raise torch.cuda.OutOfMemoryError("full")
        return batch.sum().item()

    results, batch_size = run_in_batches(needs_small_batches, torch.arange(10), 8, CPU)
    assert tried == [8, 4, 2, 2, 2, 2, 2]
    assert results == [1, 5, 9, 13, 17]
    assert batch_size == 2


def test_a_last_short_batch_is_halved_from_its_own_length():
    tried = []

    def fails_at_first(batch):
        tried.append(batch)
        if len(tried) == 1:
            raise torch.cuda.OutOfMemoryError("full")
        return len(batch)

    assert run_in_batches(fails_at_first, [1, 2, 3], 100, CPU) == ([1, 1, 1], 1)


def test_batches_that_fit_are_kept():
    assert run_in_batches(list, [1, 2, 3], 2, CPU) == ([[1, 2], [3]], 2)
    assert run_in_batches(list, [], 2, CPU) == ([], 2)


def test_when_one_item_does_not_fit_the_error_says_what_to_do():
    def never_fits(batch):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(torch.cuda.OutOfMemoryError, match=r'smaller model, or set device="cpu"'):
        run_in_batches(never_fits, [1, 2, 3], 2, CPU)


def test_other_errors_pass_through():
    with pytest.raises(ZeroDivisionError):
        run_in_batches(lambda batch: 1 / 0, [1], 1, CPU)


def test_a_random_state_of_ones_own_goes_on_from_block_to_block_and_leaves_the_users_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(5)
    users = torch.rand(3)
    torch.manual_seed(5)
    own = OwnRandomState(3)
    with own:
        first = torch.rand(2)
    before = torch.rand(1)
    with own, OwnRandomState(8):
        torch.rand(7)
    with own:
        second = torch.rand(2)
    assert torch.equal(torch.cat([first, second]), expected)
    assert torch.equal(torch.cat([before, torch.rand(2)]), users)


def test_random_states_of_their_own_are_for_one_thread_at_a_time():
    order = []

    def draw(name, entered=None):
        with OwnRandomState(0):
            order.append(name)
            if entered is not None:
                entered.set()
                time.sleep(0.2)
            order.append(name)

    entered = threading.Event()
    first = threading.Thread(target=draw, args=("first", entered))
    first.start()
    entered.wait()
    draw("second")
    first.join()
    assert order == ["first", "first", "second", "second"]
