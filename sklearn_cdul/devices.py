"""Choose device and precision, and survive a GPU that is short of memory."""

import contextlib
import platform
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import torch

T = TypeVar("T")

# Of torch's random state, which all threads of a process share. A network made by a callable may
# itself be the result of a fit, hence a lock that its holder can take again.
_RANDOM_STATE_LOCK = threading.RLock()

_CPU = torch.device("cpu")
_PRECISIONS = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
    "fp16": torch.float16,
}


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Return the device to compute on.

    Parameters
    ----------
    device : str or torch.device, default="auto"
        "auto" is the current CUDA device if there is one, else the CPU. Or a device by torch's
        name: "cpu", "cuda", "cuda:1", "mps", "xpu".

    Returns
    -------
    device : torch.device

    Raises
    ------
    TypeError
        If `device` is neither a string nor a torch.device.
    ValueError
        If it names no device, or one that this machine or this build of torch does not have.
    """
    if not isinstance(device, (str, torch.device)):
        raise TypeError(f"device must be a string or a torch.device, got {device!r}.")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        message = f'device={device!r} is no device. Use "auto", "cpu", "cuda" or "cuda:1".'
        raise ValueError(message) from error
    if resolved.type == "cpu":
        return resolved
    count = _count_devices(resolved.type)
    if (resolved.index or 0) >= count:
        raise ValueError(
            f"device={str(device)!r} is not available: torch {torch.__version__} sees {count} "
            f'devices of type "{resolved.type}" here. Use device="auto" or "cpu".'
        )
    return resolved


def _count_devices(kind: str) -> int:
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    backend: Any = getattr(torch, kind, None)
    return backend.device_count() if hasattr(backend, "device_count") else 0


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """Return the type in which a model computes most of its layers.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16", "float16"}
        "auto" is bfloat16 where the hardware computes with it, on CPUs and on CUDA devices;
        float16 on older CUDA devices; float32 elsewhere. "fp32", "bf16" and "fp16" are short
        names.
    device : torch.device
        Where the model runs.

    Returns
    -------
    dtype : torch.dtype
        torch.float32, torch.bfloat16 or torch.float16.

    Raises
    ------
    ValueError
        If `precision` is none of these, or float16 on a CPU, where it is slow.
    """
    if precision == "auto":
        if device.type == "cuda":
            # Emulated bfloat16 is slower than float16.
            native = torch.cuda.get_device_capability(device)[0] >= 8 or bool(torch.version.hip)
            return torch.bfloat16 if native else torch.float16
        return torch.bfloat16 if device.type == "cpu" and _cpu_has_bf16() else torch.float32
    if precision not in _PRECISIONS:
        raise ValueError(
            f'precision must be "auto", "float32", "bfloat16" or "float16", got {precision!r}.'
        )
    dtype = _PRECISIONS[precision]
    if dtype == torch.float16 and device.type == "cpu":
        raise ValueError('precision="float16" is for GPUs. On a CPU use "auto".')
    return dtype


def _cpu_has_bf16() -> bool:
    # torch computes bfloat16 on any CPU, but without these instructions slower than float32.
    # Linux lists them; torch has no public question for them in the versions we support.
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        cpu_info = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    flags = next((line for line in cpu_info.splitlines() if line.startswith("flags")), "").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """Return a context in which layers compute in `dtype`.

    Parameters
    ----------
    device : torch.device
        Where the model runs.
    dtype : torch.dtype
        What `resolve_precision` returns. With float32 the context does nothing.

    Returns
    -------
    context : context manager
        For one ``with`` statement.
    """
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=dtype)


class OwnRandomState:
    """torch's random state for blocks of code, seeded before the first and put back after each.

    A context manager that may be entered several times: each block draws on where the one before
    stopped. Other threads that enter one of their own wait until a block is done, since all threads
    share torch's random state.

    Parameters
    ----------
    seed : int
        For torch's generators, that of the CPU and that of the device.
    device : torch.device, default=torch.device("cpu")
        Where the blocks compute. Generators of other devices are left alone: to touch that of a
        GPU would start CUDA.
    """

    def __init__(self, seed: int, device: torch.device = _CPU):
        self._seed = seed
        self._device = device
        self._own: list[torch.Tensor] | None = None  # where the last block stopped

    def __enter__(self) -> None:
        self._generators = _generators(self._device)
        _RANDOM_STATE_LOCK.acquire()
        self._before = [generator.get_state() for generator in self._generators]
        if self._own is None:
            for generator in self._generators:
                generator.manual_seed(self._seed)
        else:
            _set_states(self._generators, self._own)

    def __exit__(self, *exception: object) -> None:
        self._own = [generator.get_state() for generator in self._generators]
        _set_states(self._generators, self._before)
        _RANDOM_STATE_LOCK.release()


def _generators(device: torch.device) -> list[torch.Generator]:
    generators = [torch.default_generator]
    if device.type in ("cuda", "xpu"):
        backend: Any = getattr(torch, device.type)
        backend.init()
        index = backend.current_device() if device.index is None else device.index
        generators.append(backend.default_generators[index])
    elif device.type == "mps":
        generators.append(torch.mps._get_default_mps_generator())
    return generators


def _set_states(generators: list[torch.Generator], states: list[torch.Tensor]) -> None:
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)


def run_in_batches(
    function: Callable[[Any], T], items: Any, batch_size: int, device: torch.device
) -> tuple[list[T], int]:
    """Call a function on slices of `items`, halving them when the GPU runs out of memory.

    Parameters
    ----------
    function : callable
        Called with ``items[start:stop]``; must leave nothing half done if it runs out of memory.
    items : array, tensor or list of length n
        Anything with a length that can be sliced.
    batch_size : int
        Length of the slices to begin with, at least 1.
    device : torch.device
        Where the function computes, for the message and to free its cache.

    Returns
    -------
    results : list
        What the function returned, slice by slice.
    batch_size : int
        The length that fitted. Start with it the next time.

    Raises
    ------
    torch.cuda.OutOfMemoryError
        If even a slice of one item does not fit, with advice on what to set.
    """
    results: list[T] = []
    start = 0
    while start < len(items):
        try:
            results.append(function(items[start : start + batch_size]))
        except torch.cuda.OutOfMemoryError as error:
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
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return results, batch_size
