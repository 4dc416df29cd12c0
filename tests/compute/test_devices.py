"""Device and precision are chosen or refused clearly; a full GPU halves the batch."""

import threading
import time

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from sklearn_cdul import CDULClassifier
from sklearn_cdul.compute import devices
from sklearn_cdul.compute.devices import (
    OwnRandomState,
    autocast,
    free_cache,
    is_out_of_memory,
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


def test_auto_leaves_the_gpu_of_a_mac_alone(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.mps, "device_count", lambda: 1)
    assert resolve_device("auto") == CPU
    assert resolve_device("mps") == torch.device("mps")


def test_a_process_forked_from_one_that_used_cuda_computes_on_the_cpu(monkeypatch):
    """A stand-in: no GPU here. torch marks such a process in this way."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    with pytest.warns(UserWarning, match='device="auto" is the CPU here.*forked.*"spawn"'):
        assert resolve_device("auto") == CPU
    with pytest.raises(ValueError, match=r"'cuda' can't be used here.*forked.*\"spawn\""):
        resolve_device("cuda")
    assert resolve_device("cpu") == CPU


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
def test_nonsense_is_not_a_device(device):
    with pytest.raises(ValueError, match="is not a device"):
        resolve_device(device)
    with pytest.raises(TypeError, match="device must be a string"):
        resolve_device(None)


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("float32", torch.float32),
        ("bfloat16", torch.bfloat16),
    ],
)
def test_precision_by_name(precision, dtype):
    assert resolve_precision(precision, CPU) == dtype


def test_float16_is_for_gpus():
    assert resolve_precision("float16", torch.device("cuda")) == torch.float16
    with pytest.raises(ValueError, match="is for GPUs"):
        resolve_precision("float16", CPU)
    with pytest.raises(ValueError, match="got 'double'"):
        resolve_precision("double", CPU)


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [("avx2 avx512f", torch.float32), ("avx512_bf16 fma", torch.bfloat16), ("", torch.float32)],
)
def test_auto_is_bf16_only_on_cpus_that_have_it(monkeypatch, flags, dtype):
    monkeypatch.setattr(devices, "cpu_flags", lambda: {"fpu", *flags.split()})
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


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("MPS backend out of memory (MPS allocated: 8.5 GB, other allocations: 1 MB)"),
        RuntimeError("XPU out of memory. Tried to allocate 20 MiB"),
        RuntimeError("Native API failed. Native API returns: -5 (PI_ERROR_OUT_OF_RESOURCES)"),
        RuntimeError("level_zero backend failed with error: 39 (UR_RESULT_OUT_OF_DEVICE_MEMORY)"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 GB"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        MemoryError("Unable to allocate 9 GiB for an array"),
        torch.cuda.OutOfMemoryError("full"),
    ],
    ids=lambda error: str(error)[:30],
)
def test_every_device_has_its_own_words_for_being_full(error):
    def needs_small_batches(batch):
        if len(batch) > 2:
            raise error
        return len(batch)

    assert is_out_of_memory(error)
    assert run_in_batches(needs_small_batches, range(8), 8, CPU) == ([2, 2, 2, 2], 2)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("out of memory")],
)
def test_what_is_no_lack_of_memory_passes_through(error):
    def fails(batch):
        raise error

    assert not is_out_of_memory(error)
    with pytest.raises(type(error), match=str(error)):
        run_in_batches(fails, [1, 2], 2, CPU)


def test_each_device_frees_its_own_cache(monkeypatch):
    freed = []
    for kind in ("cuda", "mps", "xpu"):
        monkeypatch.setattr(
            getattr(torch, kind), "empty_cache", lambda kind=kind: freed.append(kind)
        )
    for kind in ("cpu", "cuda", "mps", "xpu", "meta"):
        free_cache(torch.device(kind))
    assert freed == ["cuda", "mps", "xpu"]


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


def test_a_cpu_fit_never_touches_cuda(food_photos, monkeypatch):
    """What a fresh process touches, tests/test_persistence.py shows."""
    for name in ("_lazy_init", "init", "current_device", "get_rng_state", "manual_seed"):
        monkeypatch.setattr(torch.cuda, name, lambda *_, **__: pytest.fail("CUDA was touched"))
    settings = {"device": "cpu", "image_size": 32, "random_state": 0}
    model = CDULClassifier(["pizza", "cake"], **settings).fit(food_photos.data[:3])
    model.predict(food_photos.data[:3])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_process_forked_while_another_thread_trains_does_not_wait_for_it(in_a_fork):
    entered, done = threading.Event(), threading.Event()

    def train():
        with OwnRandomState(0):
            entered.set()
            done.wait()

    def draw():
        with OwnRandomState(0):
            torch.rand(1)

    thread = threading.Thread(target=train)
    thread.start()
    entered.wait()
    try:
        assert in_a_fork(draw) == 0
    finally:
        done.set()
        thread.join()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_inside_a_block_leaves_the_block_in_order(in_a_fork):
    own = OwnRandomState(0)
    with own:
        assert in_a_fork(lambda: own.__exit__()) == 0
    with own:
        pass


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_the_child_of_a_fork_does_not_wait_for_threads_that_it_has_not(in_a_fork):
    points = np.random.default_rng(0).random((3000, 4))

    def compute():
        torch.ones(10**6).exp()
        NearestNeighbors().fit(points).kneighbors(points)
        return torch.get_num_threads()

    n_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with threadpool_limits(2, user_api="openmp"):
            assert compute() == 2
            assert in_a_fork(lambda: compute() == 1 or 1 / 0) == 0
            assert compute() == 2
    finally:
        torch.set_num_threads(n_threads)
