"""Networks normalise their input, and keep statistics that small batches would spoil."""

import functools

import timm
import torch
from torch.testing import assert_close

from sklearn_cdul.training.building import build_photo_network


def test_network_takes_pixels_and_normalises_them_itself():
    network = build_photo_network("bundled", 2).eval()
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        expected = network.backbone((pixels.float() / 255 - 0.5) / 0.5)
        assert_close(network(pixels), expected, atol=1e-4, rtol=1e-3)


def test_named_networks_keep_their_batch_statistics_and_callables_do_not():
    pixels = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    for network, frozen in [
        ("bundled", True),
        (functools.partial(timm.create_model, "resnet18"), False),
    ]:
        model = build_photo_network(network, 2).train()
        before = [b.clone() for name, b in model.named_buffers() if "running_mean" in name]
        model(pixels)
        after = [b for name, b in model.named_buffers() if "running_mean" in name]
        assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True)) is frozen
