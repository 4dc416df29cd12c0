"""Networks are built with fresh outputs, and take the input that they were made for."""

import functools
import os

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from sklearn_cdul.exceptions import WeightsUnavailableError
from sklearn_cdul.training.building import BUNDLED_WEIGHTS, build_photo_network, resolve_image_size


def test_bundled_network_starts_from_the_imagenet_weights_in_the_package():
    network = build_photo_network("bundled", 7)
    weights = load_file(BUNDLED_WEIGHTS)
    assert_close(
        network.backbone.conv_stem.weight, weights["visual.trunk.conv_stem.weight"].float()
    )
    assert_close(network.backbone.bn2.running_var, weights["visual.trunk.bn2.running_var"].float())
    loaded = {k.removeprefix("visual.trunk.") for k in weights if "trunk" in k}
    missing = set(network.backbone.state_dict()) - loaded
    assert missing == {"classifier.weight", "classifier.bias"}


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
    with pytest.raises(WeightsUnavailableError, match="bundled"):
        build_photo_network("resnet101", 3)


@pytest.mark.parametrize(
    ("network", "size"),
    [
        ("bundled", 320),
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
