"""Networks are built with fresh outputs, and answer for every photo."""

import functools
import os

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from sklearn_cdul.exceptions import ImageError, WeightsUnavailableError
from sklearn_cdul.training.batches import (
    EmbeddingSource,
)
from sklearn_cdul.training.building import (
    EMBEDDED_WEIGHTS,
    build_photo_network,
    look_at_regions,
    resolve_image_size,
)
from sklearn_cdul.training.logits import fastest, predict_logits
from sklearn_cdul.training.network import EmbeddingNetwork
from tests.training.conftest import photo_source

CPU = torch.device("cpu")


def test_embedded_network_starts_from_the_imagenet_weights_in_the_package():
    network = build_photo_network("embedded", 7)
    weights = load_file(EMBEDDED_WEIGHTS)
    assert_close(
        network.backbone.conv_stem.weight, weights["visual.trunk.conv_stem.weight"].float()
    )
    assert_close(network.backbone.bn2.running_var, weights["visual.trunk.bn2.running_var"].float())
    loaded = {k.removeprefix("visual.trunk.") for k in weights if "trunk" in k}
    missing = set(network.backbone.state_dict()) - loaded
    assert missing == {"classifier.weight", "classifier.bias"}


def test_network_takes_pixels_and_normalises_them_itself():
    network = build_photo_network("embedded", 2).eval()
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        expected = network.backbone((pixels.float() / 255 - 0.5) / 0.5)
        assert_close(network(pixels), expected, atol=1e-4, rtol=1e-3)


def test_a_callable_builds_the_network():
    network = build_photo_network(functools.partial(timm.create_model, "resnet18"), 3)
    assert network.backbone.fc.out_features == 3
    # ImageNet's statistics, from the model's own configuration.
    assert_close(network.mean.flatten() / 255, torch.tensor([0.485, 0.456, 0.406]))


def test_a_callable_that_returns_no_module_is_refused():
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        build_photo_network(lambda num_classes: num_classes, 3)


def test_unknown_network_names_close_ones():
    with pytest.raises(ValueError, match="resnet101"):
        build_photo_network("resnet10", 3)


def test_weights_out_of_reach_give_advice(monkeypatch, tmp_path):
    if os.environ.get("HF_HUB_OFFLINE") != "1":
        pytest.skip("would download")
    with pytest.raises(WeightsUnavailableError, match="embedded"):
        build_photo_network("resnet101", 3)


def test_named_networks_keep_their_batch_statistics_and_callables_do_not():
    pixels = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    for network, frozen in [
        ("embedded", True),
        (functools.partial(timm.create_model, "resnet18"), False),
    ]:
        model = build_photo_network(network, 2).train()
        before = [b.clone() for name, b in model.named_buffers() if "running_mean" in name]
        model(pixels)
        after = [b for name, b in model.named_buffers() if "running_mean" in name]
        assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True)) is frozen


def test_unreadable_images_are_an_error_or_nan(grey_images, tmp_path):
    images = [*grey_images[:2], str(tmp_path / "missing.jpg"), grey_images[3]]
    network = build_photo_network("embedded", 2)
    with pytest.raises(ImageError, match=r"missing\.jpg"):
        predict_logits(network, photo_source(images), torch.float32)
    with pytest.warns(UserWarning, match="1 of 4"):
        logits = predict_logits(network, photo_source(images, on_error="nan"), torch.float32)
    assert np.isnan(logits).all(axis=1).tolist() == [False, False, True, False]


def test_embeddings_are_standardised_and_constant_columns_do_no_harm():
    torch.manual_seed(0)
    vectors = torch.randn(50, 3) * 100 + 7
    vectors[:, 1] = 4.0
    network = EmbeddingNetwork(vectors, 2)
    logits = predict_logits(network, EmbeddingSource(vectors.numpy(), device=CPU), torch.float32)
    assert logits.shape == (50, 2)
    assert np.abs(logits).max() < 10


def test_prediction_halves_the_batch_when_memory_runs_out(grey_images):
    class Small(torch.nn.Module):
        def forward(self, pixels):
            if len(pixels) > 2:
                raise torch.cuda.OutOfMemoryError
            return pixels.float().mean(dim=(2, 3))

    logits = predict_logits(Small(), photo_source(grey_images), torch.float32)
    np.testing.assert_allclose(logits[:, 0], 20 * np.arange(10), rtol=1e-5)


@pytest.mark.parametrize("regions", [1, 2])
def test_onnx_runtime_predicts_what_torch_does_and_follows_training(regions):
    network = build_photo_network("embedded", 3).eval()
    look_at_regions(network, regions, 96)
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
    network.backbone.conv_stem.weight.data.mul_(2)  # which torch itself does not notice
    assert (check() - after).abs().max() > 1e-2


def test_other_arithmetic_and_other_layers_stay_with_torch():
    network = build_photo_network("embedded", 3).eval()
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


@pytest.mark.parametrize(
    ("network", "size"),
    [
        ("embedded", 320),
        ("resnet18", 320),
        ("vit_tiny_patch16_384", 384),  # takes no other
        ("hf-hub:someone/something", 224),
        (functools.partial(timm.create_model, "resnet18"), 224),
        ("no such network", 320),
    ],
)
def test_the_input_is_as_large_as_pays_and_the_network_takes(network, size):
    assert resolve_image_size("auto", network) == size
    assert resolve_image_size(64, network) == 64
