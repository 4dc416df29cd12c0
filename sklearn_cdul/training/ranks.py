"""Share a training among the processes that torchrun has started; alone, nothing is shared."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T")


class Ranks:
    """The processes of this training, if the user has called ``init_process_group``.

    All do the same steps at the same time, each on its share; what comes out is added up.
    """

    def __init__(self):
        self.number, self.count = 0, 1
        if dist.is_available() and dist.is_initialized():
            self.number, self.count = dist.get_rank(), dist.get_world_size()

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes, in its place."""
        if self.count > 1:
            dist.all_reduce(tensor)
        return tensor

    def agree(self, value: T) -> T:
        """Return what process 0 gives; the others wait for it."""
        values = [value]
        if self.count > 1:
            dist.broadcast_object_list(values, 0)
        return values[0]

    def total(self, number: int, device: torch.device) -> Tensor | int:
        """Return the sum of a number over all processes."""
        return number if self.count == 1 else self.sum(torch.tensor(number, device=device))

    def places(self, n: int) -> list[int]:
        """Places in a batch of `n` photos that this process has, some or none."""
        return list(range(self.number, n, self.count))

    def in_shares(
        self, function: Callable[[range], np.ndarray], n: int, device: torch.device
    ) -> np.ndarray:
        """Call a function of positions on this process's share of `n`; return what all got."""
        if self.count == 1 or n < self.count:
            return function(range(n))
        own = range(self.number * n // self.count, (self.number + 1) * n // self.count)
        rows = torch.from_numpy(function(own))
        whole = rows.new_zeros(n, *rows.shape[1:], device=device)
        whole[own.start : own.stop] = rows.to(device)
        return self.sum(whole).cpu().numpy()

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return a network whose gradients are the means over all processes."""
        return nn.parallel.DistributedDataParallel(network) if self.count > 1 else network
