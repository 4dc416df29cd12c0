"""Move arrays to and from a GPU while it computes."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch

T = TypeVar("T")


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy a tensor to a device. A CUDA device goes on computing meanwhile, and nobody waits."""
    if device.type != "cuda":
        return tensor.to(device)
    index = torch.cuda.current_device() if device.index is None else device.index
    pinned = tensor.pin_memory()  # itself, if it is pinned
    copies, here = _copy_stream(index), torch.cuda.current_stream(index)
    with torch.cuda.stream(copies):
        moved = pinned.to(copies.device, non_blocking=True)
    here.wait_stream(copies)
    moved.record_stream(here)
    return moved


@cache
def _copy_stream(index: int) -> Any:
    return torch.cuda.Stream(index)


def fetch(tensor: torch.Tensor) -> Callable[[], np.ndarray]:
    """Begin to copy a tensor to the CPU."""
    if tensor.device.type != "cuda":
        copied = tensor.cpu()
        return copied.numpy
    with torch.cuda.device(tensor.device):
        copied = tensor.to("cpu", non_blocking=True)  # in pinned memory
        done = torch.cuda.Event(blocking=True)  # who waits for it takes no core
        done.record()

    def finish() -> np.ndarray:
        done.synchronize()
        return copied.numpy()

    return finish


def ahead(items: Iterable[T], device: torch.device) -> Iterator[T]:
    """Yield items, on a GPU each when the next one has been made.

    So the GPU has work to do while the CPU finishes the item and makes the one after the next.
    """
    count = 0 if device.type == "cpu" else 1
    started: deque[T] = deque()
    try:
        for item in items:
            started.append(item)
            if len(started) > count:
                yield started.popleft()
    except Exception:
        yield from started
        raise
    yield from started
