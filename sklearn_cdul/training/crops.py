"""Random crops of training pictures: one by one on a CPU, a whole batch at once on a GPU."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sklearn_cdul.compute.transfers import to_device

# Smallest share of the picture's area in a training crop: its labels must stay true.
_SMALLEST_CROP = 0.5


class Crop(NamedTuple):
    """What to cut out, in pixels of the picture, and whether to mirror it."""

    top: int
    left: int
    height: int
    width: int
    is_flipped: bool


def draw_crop(picture: Tensor) -> Crop:
    """Draw a random crop of half to all of a picture's area, mirrored every other time."""
    from torchvision.transforms import RandomResizedCrop  # takes seconds; prediction does without

    top, left, height, width = RandomResizedCrop.get_params(
        picture, (_SMALLEST_CROP, 1.0), (3 / 4, 4 / 3)
    )
    return Crop(top, left, height, width, is_flipped=bool(torch.rand(()) < 0.5))


def cut(picture: Tensor, crop: Crop, size: int) -> Tensor:
    """Cut one picture and resize the crop, with a bilinear filter that smooths."""
    from torchvision.transforms.v2 import functional

    resized = functional.resized_crop(picture, *crop[:4], size=[size, size], antialias=True)
    return resized.flip(-1) if crop.is_flipped else resized


def cut_together(pictures: Tensor, crops: Sequence[Crop], size: int) -> Tensor:
    """Do what `cut` does to a batch, as two products of matrices, which suits a GPU."""
    boxes = to_device(torch.tensor(crops), pictures.device)
    tops, lefts, heights, widths, flips = boxes.unbind(1)
    rows = _filter(tops, heights, pictures.shape[2], size)
    columns = _filter(lefts, widths, pictures.shape[3], size)
    columns = torch.where(flips.bool().view(-1, 1, 1), columns.flip(1), columns)
    resized = rows.unsqueeze(1) @ pictures.float() @ columns.unsqueeze(1).mT
    return resized.round_().clamp_(0, 255).to(torch.uint8)


def _filter(starts: Tensor, lengths: Tensor, side: int, size: int) -> Tensor:
    """Weights (b, size, side) of the pixels of a side in those of the crop, resized.

    A triangle around the middle of each new pixel, at least one old pixel wide to both sides.
    """
    starts, lengths = starts.view(-1, 1, 1), lengths.view(-1, 1, 1)
    old = torch.arange(side, device=starts.device) - starts  # counted from the crop's edge
    scale = lengths / size
    middles = (torch.arange(size, device=starts.device).view(-1, 1) + 0.5) * scale
    weights = (1 - (old + 0.5 - middles).abs() / scale.clamp(min=1)).clamp(min=0)
    weights = weights * ((old >= 0) & (old < lengths))  # nothing from beyond the crop's edge
    return weights / weights.sum(dim=2, keepdim=True)
