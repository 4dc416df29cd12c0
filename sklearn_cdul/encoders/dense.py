"""Read a photo's whole and its parts off one pass of an image tower (``views="dense"``).

A snippet is what the tower makes of a piece of the photo. A window is what it has made, in the pass
over the whole photo, of the cells of its last map that lie there: less sharp, at a fraction of the
cost. Cells of convolutional towers that average their map are embedded as the tower embeds the
average of all. In other towers the map is joined by attention; there each cell attends to itself
alone, as in MaskCLIP (arXiv 2112.01071) and TagCLIP (arXiv 2312.12828).
"""

from typing import Any

import torch
from torch import Tensor, nn

from sklearn_cdul.images.views import windows_per_side

# More pixels make finer maps. Chosen by benchmarks/dense.py for the embedded encoder.
_ENLARGED = 1.7
_MULTIPLE = 32  # pixels in a cell of most towers


def dense_tower(visual: nn.Module) -> "DenseTower":
    """Return what reads windows of an image tower of open_clip.

    Parameters
    ----------
    visual : Module
        The tower, ``model.visual``.

    Returns
    -------
    tower : DenseTower

    Raises
    ------
    ValueError
        If the tower is of a kind that has no map of cells with an embedding each.
    """
    for kind in (AverageTower, AttentionTower, TokenTower):
        if kind.can_read(visual):
            return kind(visual)
    raise ValueError(
        f'views="dense" can\'t read windows of a {type(visual).__name__} like this one. It reads '
        "convolutional towers that average their map, ModifiedResNet and VisionTransformer of "
        'open_clip. views="grid" works with any.'
    )


def window_means(maps: Tensor, grid_size: int) -> Tensor:
    """Average windows of maps, `windows_per_side` a side, each as large as the map divided so.

    Parameters
    ----------
    maps : Tensor of shape (b, c, h, w)
        Of any float dtype.
    grid_size : int
        Snippets per side, at least 1. Where the map can't be divided, windows overlap by a cell.

    Returns
    -------
    means : Tensor of shape (b, n, c), dtype float32
        Row by row.
    """
    n_windows = windows_per_side(grid_size)
    rows, columns = (_intervals(length, n_windows) for length in maps.shape[2:])
    maps = maps.float()
    means = [maps[:, :, r, c].mean(dim=(2, 3)) for r in rows for c in columns]
    return torch.stack(means, dim=1)


def _intervals(length: int, parts: int) -> list[slice]:
    size = max(-(-length // parts), 1)
    last = length - size
    starts = [round(last * part / max(parts - 1, 1)) for part in range(parts)]
    return [slice(start, start + size) for start in starts]


class DenseTower:
    """An image tower of open_clip that also tells what it saw where."""

    def __init__(self, visual: Any):
        self.visual = visual

    @staticmethod
    def can_read(visual: Any) -> bool:
        """Whether the tower is of this kind."""
        raise NotImplementedError

    def input_size(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Return the (height, width) in pixels of the photo that is read.

        Parameters
        ----------
        image_size : tuple (height, width) of int
            What the tower was trained on.
        """
        return image_size

    def read(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings (b, d) of photos and maps (b, c, h, w), from one pass."""
        raise NotImplementedError

    def embed(self, means: Tensor) -> Tensor:
        """Turn means of windows (m, c) into embeddings (m, d)."""
        return means


class AverageTower(DenseTower):
    """A convolutional network of timm whose map is averaged, then projected."""

    @staticmethod
    def can_read(visual: Any) -> bool:
        trunk = getattr(visual, "trunk", None)
        pools = [getattr(part, "global_pool", None) for part in (trunk, getattr(trunk, "head", 0))]
        return any(
            getattr(pool, "pool_type", None) == "avg"
            and getattr(pool, "input_fmt", "NCHW") in (None, "NCHW")
            for pool in pools
        )

    def input_size(self, image_size: tuple[int, int]) -> tuple[int, int]:
        height, width = (round(_ENLARGED * side / _MULTIPLE) * _MULTIPLE for side in image_size)
        return height, width

    def read(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.visual.trunk.forward_features(pixels)
        return self.pool(maps), maps

    def pool(self, maps: Tensor) -> Tensor:
        """Return embeddings (b, d) of photos from their maps (b, c, h, w)."""
        return self.visual.head(self.visual.trunk.forward_head(maps))

    def embed(self, means: Tensor) -> Tensor:
        return self.pool(means[:, :, None, None])


class AttentionTower(DenseTower):
    """The ResNet of OpenAI's CLIP, whose map is joined by attention ("RN50x64")."""

    @staticmethod
    def can_read(visual: Any) -> bool:
        return hasattr(visual, "attnpool") and hasattr(visual, "forward_intermediates")

    def read(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        output = self.visual.forward_intermediates(pixels, indices=[4])
        maps, pool = output["image_intermediates"][-1], self.visual.attnpool
        places = pool.positional_embedding[1:].to(maps.dtype)
        cells = pool.c_proj(pool.v_proj(maps.flatten(2).transpose(1, 2) + places))
        return output["image_features"], _as_maps(cells, maps.shape[2:])


class TokenTower(DenseTower):
    """The vision transformer of open_clip ("ViT-B-32", "ViT-L-14")."""

    @staticmethod
    def can_read(visual: Any) -> bool:
        blocks = getattr(getattr(visual, "transformer", None), "resblocks", [None])
        return (
            hasattr(visual, "forward_intermediates")
            and isinstance(getattr(blocks[-1], "attn", None), nn.MultiheadAttention)
            and getattr(visual, "attn_pool", None) is None
            and not visual.final_ln_after_pool
        )

    def read(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        visual = self.visual
        *_, block = visual.transformer.resblocks
        before = [len(visual.transformer.resblocks) - 2]
        output = visual.forward_intermediates(pixels, indices=before, output_fmt="NLC")
        x = output["image_intermediates"][-1]
        # The last block, where each token attends to itself alone: to its own value.
        attention, width = block.attn, x.shape[-1]
        values = nn.functional.linear(
            block.ln_1(x), attention.in_proj_weight[-width:], attention.in_proj_bias[-width:]
        )
        x = x + block.ls_1(attention.out_proj(values))
        x = x + block.ls_2(block.mlp(block.ln_2(x)))
        cells = visual.ln_post(x) @ visual.proj
        size = [side // patch for side, patch in zip(pixels.shape[2:], visual.patch_size)]
        return output["image_features"], _as_maps(cells, size)


def _as_maps(cells: Tensor, size: Any) -> Tensor:
    """Cells (b, h * w, d) as maps (b, d, h, w) of unit vectors."""
    return nn.functional.normalize(cells.float(), dim=-1).transpose(1, 2).unflatten(2, tuple(size))
