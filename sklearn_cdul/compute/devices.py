"""Choose device and precision, and survive a GPU that is short of memory."""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import torch
from threadpoolctl import threadpool_limits

from sklearn_cdul._utils.cpu import cpu_flags
from sklearn_cdul._utils.forks import in_child
from sklearn_cdul.exceptions import warn

T = TypeVar("T")

# Of torch's random state, which all threads of a process share. A network made by a callable may
# itself be the result of a fit, hence a lock that its holder can take again.
_RANDOM_STATE_LOCK = threading.RLock()


@in_child
def _renew_lock() -> None:
    # The thread that held it is not in the child of a fork.
    global _RANDOM_STATE_LOCK
    _RANDOM_STATE_LOCK = threading.RLock()


@in_child
def _take_one_thread() -> None:
    # torch and scikit-learn would wait for ever for the others, which are not in the child.
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="openmp")


_CPU = torch.device("cpu")
_PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
# Words of the errors of MPS, of the CPU, of CUDA's libraries and of older drivers.
_OUT_OF_MEMORY = re.compile(
    "out of memory|not enough memory|can't allocate memory|alloc_failed|"
    "out_of_device_memory|out_of_host_memory|out_of_resources",
    re.IGNORECASE,
)


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Return the device to compute on."""
    if not isinstance(device, (str, torch.device)):
        raise TypeError(f"device must be a string or a torch.device, got {device!r}.")
    if device == "auto":
        if not torch.cuda.is_available():
            return _CPU
        if not torch.cuda._is_in_bad_fork():  # no driver survives a fork; torch marks the child
            return torch.device("cuda")
        warn(
            'device="auto" is the CPU here: this process was forked from one that had used CUDA, '
            'and cannot use it itself. Start processes by "spawn", or let joblib do it (loky).',
        )
        return _CPU
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        message = f'device={device!r} is not a device. Use "auto", "cpu", "cuda" or "cuda:1".'
        raise ValueError(message) from error
    if resolved.type == "cpu":
        return resolved
    backend: Any = getattr(torch, resolved.type, None)
    count = backend.device_count() if hasattr(backend, "device_count") else 0
    if (resolved.index or 0) >= count:
        raise ValueError(
            f"device={str(device)!r} is not available: torch {torch.__version__} sees {count} "
            f'devices of type "{resolved.type}" here. Use device="auto" or "cpu".'
        )
    if getattr(backend, "_is_in_bad_fork", bool)():
        raise ValueError(
            f"device={str(device)!r} can't be used here: this process was forked from one that had "
            'used it. Start processes by "spawn", let joblib do it (loky), or use device="cpu".'
        )
    return resolved


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """Return the type in which a model computes most of its layers."""
    if precision == "auto":
        if device.type == "cuda":
            # Emulated bfloat16 is slower than float16.
            native = torch.cuda.get_device_capability(device)[0] >= 8 or bool(torch.version.hip)
            return torch.bfloat16 if native else torch.float16
        # On CPUs without instructions for it bfloat16 is slower than float32.
        native = device.type == "cpu" and bool(cpu_flags() & {"avx512_bf16", "amx_bf16"})
        return torch.bfloat16 if native else torch.float32
    if precision not in _PRECISIONS:
        raise ValueError(
            f'precision must be "auto", "float32", "bfloat16" or "float16", got {precision!r}. '
            '"int8" is for the bundled encoder on a CPU: CLIPPseudoLabeler(precision="int8").'
        )
    dtype = _PRECISIONS[precision]
    if dtype == torch.float16 and device.type == "cpu":
        raise ValueError('precision="float16" is for GPUs. On a CPU use "auto".')
    return dtype


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """Return a context in which torch's layers compute in `dtype`."""
    if dtype in (torch.float32, torch.int8):
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=dtype)


@contextlib.contextmanager
def gradients_on() -> Iterator[None]:
    """Let tensors have gradients, whatever the caller has switched off around; also a decorator."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def memory_format(device: torch.device) -> torch.memory_format:
    """Return the order of numbers in memory that convolutions are fastest with."""
    return torch.channels_last if device.type in ("cpu", "cuda") else torch.contiguous_format


class RandomStates:
    """torch's random state, of the CPU and of a device, saved and loaded like a module's."""

    def __init__(self, device: torch.device):
        self._generators = [torch.default_generator]
        if device.type in ("cuda", "xpu"):
            backend: Any = getattr(torch, device.type)
            backend.init()
            index = backend.current_device() if device.index is None else device.index
            self._generators.append(backend.default_generators[index])
        elif device.type == "mps":
            self._generators.append(torch.mps._get_default_mps_generator())

    def seed(self, seed: int) -> None:
        """Start anew from a seed."""
        for generator in self._generators:
            generator.manual_seed(seed)

    def state_dict(self) -> list[torch.Tensor]:
        """Return where the generators stand."""
        return [generator.get_state() for generator in self._generators]

    def load_state_dict(self, state: list[torch.Tensor]) -> None:
        """Go on from there."""
        for generator, each in zip(self._generators, state, strict=True):
            generator.set_state(each)


class OwnRandomState:
    """torch's random state for blocks of code, seeded before the first and put back after each.

    Each block draws on where the one before stopped. Other threads wait until it is done.
    """

    def __init__(self, seed: int, device: torch.device = _CPU):
        self._seed = seed
        self._device = device
        self._own: list[torch.Tensor] | None = None  # where the last block stopped

    def __enter__(self) -> None:
        self._lock = _RANDOM_STATE_LOCK  # a fork inside the block makes another one
        self._lock.acquire()
        try:
            self._shared = RandomStates(self._device)
            self._before = self._shared.state_dict()
            if self._own is None:
                self._shared.seed(self._seed)
            else:
                self._shared.load_state_dict(self._own)
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *exception: object) -> None:
        try:
            self._own = self._shared.state_dict()
            self._shared.load_state_dict(self._before)
        finally:
            self._lock.release()


def run_in_batches(
    function: Callable[[Any], T], items: Any, batch_size: int, device: torch.device
) -> tuple[list[T], int]:
    """Call a function on slices of `items`, halving them when memory runs out."""
    results: list[T] = []
    start = 0
    while start < len(items):
        try:
            results.append(function(items[start : start + batch_size]))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            tried = min(batch_size, len(items) - start)
            if tried == 1:
                raise torch.cuda.OutOfMemoryError(
                    f"{device} has too little memory for a batch of 1. Free memory that other "
                    'models or processes hold, choose a smaller model, or set device="cpu". '
                    f"({error})"
                ) from error
            batch_size = max(tried // 2, 1)
        else:
            start += batch_size
            continue
        # Only here, past the except clause, has the failed call let go of its tensors.
        free_cache(device)
    return results, batch_size


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device or the machine has too little memory left."""
    if isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and bool(_OUT_OF_MEMORY.search(str(error)))


def free_cache(device: torch.device) -> None:
    """Give the memory that torch keeps for later back to a GPU; with the CPU nothing happens."""
    if device.type != "cpu":
        backend: Any = getattr(torch, device.type, None)
        if hasattr(backend, "empty_cache"):
            backend.empty_cache()
