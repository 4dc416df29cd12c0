"""A network looks at its feature map as a whole and in regions."""

import functools

import numpy as np
import pytest
import timm
import torch
from torch.testing import assert_close

from sklearn_cdul.training.building import (
    build_photo_network,
    look_at_regions,
    pack_network,
    unpack_network,
)
from sklearn_cdul.training.network import output_layer
from sklearn_cdul.training.regions import WHOLE_WEIGHT, has_regions, mix_views, region_features

# Features: maps (b, c, h, w), maps (b, h, w, c), tokens of patches with others and alone.
CONVNET, WINDOWS = "resnet10t", "swin_tiny_patch4_window7_224"
TOKENS, TOKENS_ALONE = "vit_tiny_patch16_224", "vit_base_patch16_siglip_gap_224"
SIZES = {CONVNET: 64, WINDOWS: 224, TOKENS: 224, TOKENS_ALONE: 224}


def build(name):
    torch.manual_seed(0)
    changes = {"global_pool": "avg"} if name == TOKENS else {}
    return timm.create_model(name, num_classes=3, **changes).eval()


class FixedHead(torch.nn.Module):
    num_features = 3

    def __init__(self, num_classes):
        super().__init__()
        self.fc = torch.nn.Linear(3 * 4 * 4, num_classes)

    def get_classifier(self):
        return self.fc

    def forward_features(self, pixels):
        return torch.nn.functional.adaptive_avg_pool2d(pixels, 4)

    def forward_head(self, features):
        return self.fc(features.flatten(1))

    def forward(self, pixels):
        return self.forward_head(self.forward_features(pixels))


def cells_of(name, features):
    """The features as a map (b, h, w, c)."""
    if name == CONVNET:
        return features.permute(0, 2, 3, 1)
    if name == WINDOWS:
        return features
    return features[:, -196:].unflatten(1, (14, 14))


@pytest.mark.parametrize("name", SIZES)
def test_a_region_is_what_the_head_says_of_its_average(name):
    backbone = build(name)
    pixels = torch.randn(2, 3, SIZES[name], SIZES[name])
    assert has_regions(backbone, pixels[:1])
    with torch.inference_mode():
        features = backbone.forward_features(pixels)
        cells = cells_of(name, features)
        half = cells.shape[1] // 2, -(-cells.shape[1] // 2)
        corner = cells[:, half[0] :, : half[1]].mean(dim=(1, 2))  # lower left
        parts = region_features(backbone, features, 2)
        logits = backbone.forward_head(parts).unflatten(0, (2, 4))
        # The same through a picture-wide map that shows the corner's average everywhere.
        if name == CONVNET:
            everywhere = corner[:, :, None, None].expand(-1, -1, *features.shape[2:])
        elif name == WINDOWS:
            everywhere = corner[:, None, None].expand_as(features)
        else:
            everywhere = corner[:, None].expand_as(features)
        assert_close(logits[:, 2], backbone.forward_head(everywhere), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("network", "why"),
    [
        (functools.partial(timm.create_model, "mixer_s32_224"), "its features are no map"),
        (functools.partial(timm.create_model, "deit_tiny_distilled_patch16_224"), "two layers"),
        (functools.partial(timm.create_model, TOKENS), "a class token is no average of patches"),
        (FixedHead, "its head takes maps of one size"),
        (lambda num_classes: torch.nn.Conv2d(3, num_classes, 3), "it is not timm's"),
    ],
)
def test_other_networks_keep_their_way(network, why):
    photo_network = build_photo_network(network, 2).eval()
    look_at_regions(photo_network, 2)
    assert photo_network.regions == photo_network.n_views == 1, why


def test_a_map_of_one_cell_has_no_regions():
    assert not has_regions(build(CONVNET), torch.randn(1, 3, 32, 32))


def test_views_are_mixed_by_the_largest_region():
    logits = np.random.default_rng(0).normal(size=(6, 5, 3)).astype(np.float32)
    mixed = mix_views(logits)
    for photo in range(6):
        for k in range(3):
            whole, *regions = logits[photo, :, k]
            expected = WHOLE_WEIGHT * whole + (1 - WHOLE_WEIGHT) * max(regions)
            assert mixed[photo, k] == pytest.approx(expected)
    assert_close(mix_views(torch.from_numpy(logits)), torch.from_numpy(mixed))
    assert (mix_views(logits[:, :1]) == logits[:, 0]).all()


@pytest.mark.parametrize("size", [64, 96, 224])  # maps of 2, 3 and 7 rows
def test_the_network_mixes_the_logits_of_its_views(size):
    network = build_photo_network("bundled", 3).eval()
    pixels = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8)
    with torch.inference_mode():
        whole = network(pixels)
        network.image_size = size
        look_at_regions(network, 2)
        assert network.n_views == 5
        features = network.backbone.forward_features(network.normalise(pixels))
        regions = torch.nn.functional.adaptive_avg_pool2d(features, 2).flatten(2).transpose(1, 2)
        views = torch.cat([whole[:, None], output_layer(network)(regions)], dim=1)
        assert_close(network(pixels), mix_views(views), atol=1e-4, rtol=1e-4)


def test_a_saved_network_looks_at_regions_again():
    network = build_photo_network("bundled", 3).eval()
    look_at_regions(network, 3)
    again = unpack_network(pack_network(network, 3))
    pixels = torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8)
    with torch.inference_mode():
        assert_close(again(pixels), network(pixels), atol=1e-4, rtol=1e-4)
    assert again.regions == 3
