"""Read parts of a photo off the map of an image tower (``views="dense"``).

A snippet is what the tower makes of a piece of the photo. A window is what it has made, in the pass
over the whole photo, of the cells of its last map that lie there: less sharp, at a fraction of the
cost. Cells of convolutional towers that average their map are embedded as the tower embeds the
average of all. In other towers the map is joined by attention; there each cell attends to itself
alone, as in MaskCLIP (arXiv 2112.01071) and TagCLIP (arXiv 2312.12828).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sklearn_cdul.compute.transfers import to_device
from sklearn_cdul.images.views import windows_per_side

# More pixels make finer maps. benchmarks/views.py measures what this gives the bundled encoder.
_ENLARGED = 1.5
# Share of the whole map in each window. Where the tower sees little, cells are short vectors that
# point anywhere, and the whole map prevails.
_CONTEXT = 1 / 4
_MULTIPLE = 32  # pixels in a cell of most towers


class DenseTower(NamedTuple):
    """How an image tower of open_clip tells what it saw where."""

    input_size: tuple[int, int]  # (height, width) in pixels of the photos that are read
    # Pixels to embeddings of whole photos (None with whole=False, if they cost more) and maps.
    read: Callable[..., tuple[Tensor | None, Tensor]]
    embed: Callable[[Tensor], Tensor]  # means (m, c) of windows to embeddings (m, d)


def dense_tower(
    visual: Any,
    image_size: tuple[int, int],
    features: Callable[[Tensor], Tensor] | None = None,
) -> DenseTower:
    """Return what reads windows of an image tower; ``features`` compute its map, if not torch."""
    if _averages(visual):
        return _average_tower(visual, image_size, features or visual.trunk.forward_features)
    for can_read, read in ((_pools, _read_pooled), (_has_tokens, _read_tokens)):
        if can_read(visual):
            return DenseTower(image_size, partial(read, visual), lambda means: means)
    raise ValueError(
        f'views="dense" can\'t read windows of a {type(visual).__name__} like this one. It reads '
        "convolutional towers that average their map, ModifiedResNet and VisionTransformer of "
        'open_clip. views="grid" works with any.'
    )


def window_means(maps: Tensor, grid_size: int) -> Tensor:
    """Average windows of maps, `windows_per_side` per side, each with a share of the whole map."""
    n_windows = windows_per_side(grid_size)
    rows, columns = (_shares(length, n_windows) for length in maps.shape[2:])
    shares = (1 - _CONTEXT) * torch.kron(rows, columns) + _CONTEXT / (len(rows) * len(columns))
    shares = to_device(shares, maps.device)
    # One product is ten times faster on a CPU than the mean of each window.
    return (maps.float().flatten(2) @ shares).transpose(1, 2)


def _shares(length: int, parts: int) -> Tensor:
    """What each of ``length`` cells counts in the mean of each part, (length, parts)."""
    size = -(-length // parts)
    shares = torch.zeros(length, parts, dtype=torch.float32)
    for part in range(parts):
        start = round((length - size) * part / max(parts - 1, 1))
        shares[start : start + size, part] = 1 / size
    return shares


def _averages(visual: Any) -> bool:
    """Whether a tower is a convolutional network of timm whose map is averaged, then projected."""
    trunk = getattr(visual, "trunk", None)
    pools = [getattr(part, "global_pool", None) for part in (trunk, getattr(trunk, "head", 0))]
    is_average = any(getattr(pool, "pool_type", None) == "avg" for pool in pools)
    return is_average and getattr(trunk, "output_fmt", "NCHW") == "NCHW"


def _average_tower(
    visual: Any, image_size: tuple[int, int], features: Callable[[Tensor], Tensor]
) -> DenseTower:
    def join(maps: Tensor) -> Tensor:
        return visual.head(visual.trunk.forward_head(maps))

    def read(pixels: Tensor, *, whole: bool = True) -> tuple[Tensor | None, Tensor]:
        maps = features(pixels)
        if not whole:
            return None, maps
        # As a whole at the size that the tower was trained on.
        small = nn.functional.interpolate(
            pixels, image_size, mode="bicubic", align_corners=False, antialias=True
        )
        return join(features(small)), maps

    height, width = (round(_ENLARGED * side / _MULTIPLE) * _MULTIPLE for side in image_size)
    return DenseTower((height, width), read, lambda means: join(means[:, :, None, None]))


def _pools(visual: Any) -> bool:
    """Whether a tower is the ResNet of OpenAI's CLIP, whose map is joined by attention."""
    return hasattr(visual, "attnpool") and hasattr(visual, "forward_intermediates")


def _read_pooled(visual: Any, pixels: Tensor, *, whole: bool = True) -> tuple[Tensor, Tensor]:
    """Look at photos; cells are embedded by the values of the attention."""
    output = visual.forward_intermediates(pixels, indices=[4])
    maps, pool = output["image_intermediates"][-1], visual.attnpool
    places = pool.positional_embedding[1:].to(maps.dtype)
    cells = pool.c_proj(pool.v_proj(maps.flatten(2).transpose(1, 2) + places))
    return output["image_features"], _as_maps(cells, maps.shape[2:])


def _has_tokens(visual: Any) -> bool:
    """Whether a tower is the vision transformer of open_clip ("ViT-B-32", "ViT-L-14")."""
    blocks = getattr(getattr(visual, "transformer", None), "resblocks", [None])
    return (
        hasattr(visual, "forward_intermediates")
        and len(blocks) > 1
        and isinstance(getattr(blocks[-1], "attn", None), nn.MultiheadAttention)
        and getattr(visual, "attn_pool", None) is None
        and not visual.final_ln_after_pool
    )


def _read_tokens(visual: Any, pixels: Tensor, *, whole: bool = True) -> tuple[Tensor, Tensor]:
    """Look at photos; in the last block each patch attends to itself alone."""
    blocks = visual.transformer.resblocks
    before, last = len(blocks) - 2, blocks[-1]
    output = visual.forward_intermediates(pixels, indices=[before], output_fmt="NLC")
    x = output["image_intermediates"][-1]
    attention, width = last.attn, x.shape[-1]
    values = nn.functional.linear(
        last.ln_1(x), attention.in_proj_weight[-width:], attention.in_proj_bias[-width:]
    )
    x = x + last.ls_1(attention.out_proj(values))
    x = x + last.ls_2(last.mlp(last.ln_2(x)))
    rows, columns = (s // p for s, p in zip(pixels.shape[2:], visual.patch_size, strict=True))
    return output["image_features"], _as_maps(visual.ln_post(x) @ visual.proj, (rows, columns))


def _as_maps(cells: Tensor, size: tuple[int, ...]) -> Tensor:
    """Cells (b, h * w, d) as maps (b, d, h, w) of unit vectors."""
    cells = nn.functional.normalize(cells.float(), dim=-1)
    return cells.transpose(1, 2).unflatten(2, tuple(size))
