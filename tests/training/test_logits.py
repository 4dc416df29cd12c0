"""Networks answer for every photo, by the fastest way there is."""

import functools

import numpy as np
import pytest
import timm
import torch

from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.training.batches import EmbeddingSource
from sklearn_cdul.training.building import (
    build_photo_network,
    look_at_regions,
    pack_network,
    unpack_network,
)
from sklearn_cdul.training.logits import fastest, predict_logits
from sklearn_cdul.training.network import EmbeddingNetwork
from tests.training.conftest import photo_source

CPU = torch.device("cpu")


def test_unreadable_images_are_an_error_or_nan(grey_images, tmp_path):
    images = [*grey_images[:2], str(tmp_path / "missing.jpg"), grey_images[3]]
    network = build_photo_network("bundled", 2)
    with pytest.raises(ImageError, match=r"missing\.jpg"):
        predict_logits(network, photo_source(images))
    with pytest.warns(UserWarning, match="1 of 4"):
        logits = predict_logits(network, photo_source(images, on_error="nan"))
    assert np.isnan(logits).all(axis=1).tolist() == [False, False, True, False]


def test_embeddings_are_standardised_and_constant_columns_do_no_harm():
    torch.manual_seed(0)
    vectors = torch.randn(50, 3) * 100 + 7
    vectors[:, 1] = 4.0
    network = EmbeddingNetwork(vectors, 2)
    logits = predict_logits(network, EmbeddingSource(vectors.numpy(), device=CPU))
    assert logits.shape == (50, 2)
    assert np.abs(logits).max() < 10


def test_prediction_halves_the_batch_when_memory_runs_out(grey_images):
    class Small(torch.nn.Module):
        def forward(self, pixels):
            if len(pixels) > 2:
                raise torch.cuda.OutOfMemoryError
            return pixels.float().mean(dim=(2, 3))

    logits = predict_logits(Small(), photo_source(grey_images))
    np.testing.assert_allclose(logits[:, 0], 20 * np.arange(10), rtol=1e-5)


@pytest.mark.parametrize("regions", [1, 2])
def test_onnx_runtime_predicts_what_torch_does_and_follows_training(regions):
    network = build_photo_network("bundled", 3).eval()
    look_at_regions(network, regions)
    pixels = torch.randint(0, 256, (7, 3, 96, 96), dtype=torch.uint8)

    def check():
        with torch.inference_mode():
            expected = network(pixels)
            predict = fastest(network, CPU, torch.float32)
            assert predict is not network
            torch.testing.assert_close(predict(pixels), expected, atol=1e-4, rtol=1e-4)
        return expected

    before = check()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    network.train()(pixels).mean().backward()
    optimizer.step()
    network.eval()
    after = check()
    assert (after - before).abs().max() > 1e-3
    with torch.no_grad():  # which leaves every sum as it is
        weight = network.backbone.conv_stem.weight
        weight.copy_(weight.flip(0))
    assert (check() - after).abs().max() > 1e-2
    network.load_state_dict({k: v.clone() for k, v in network.state_dict().items()}, assign=True)
    network.backbone.conv_head.weight.data = 2 * network.backbone.conv_head.weight.data
    assert (check() - after).abs().max() > 1e-2


def test_a_network_loaded_in_inference_mode_predicts_by_onnx_runtime():
    network = build_photo_network("bundled", 3).eval()
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        loaded = unpack_network(pack_network(network, 3))
        predict = fastest(loaded, CPU, torch.float32)
        assert predict is not loaded
        torch.testing.assert_close(predict(pixels), network(pixels), atol=1e-4, rtol=1e-4)


def test_other_arithmetic_and_other_layers_stay_with_torch():
    network = build_photo_network("bundled", 3).eval()
    assert fastest(network, CPU, torch.bfloat16) is network
    assert fastest(network, torch.device("meta"), torch.float32) is network
    hook = network.backbone.conv_head.register_forward_hook(lambda *_: None)
    assert fastest(network, CPU, torch.float32) is network
    hook.remove()
    assert fastest(network, CPU, torch.float32) is not network
    network.backbone.bn2.act = torch.nn.Hardswish()
    assert fastest(network, CPU, torch.float32) is network
    other = build_photo_network(functools.partial(timm.create_model, "resnet10t"), 3).eval()
    assert fastest(other, CPU, torch.float32) is other
