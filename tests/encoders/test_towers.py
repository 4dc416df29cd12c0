"""A network that is an encoder's image tower is known by what it computes."""

import numpy as np
import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.class_names.checking import known_names
from sklearn_cdul.encoders.clip import CLIPEncoder
from sklearn_cdul.training.building import build_photo_network, is_image_tower
from tests.classifier.common import gradients

NAMES = ["bread", "cake", "pizza"]


def tower_of(encoder, num_classes=3):
    """The image tower of the very small CLIP as a network of timm, with its weights."""
    network = VisionTransformer(
        img_size=32,
        patch_size=8,
        embed_dim=64,
        depth=1,
        num_heads=2,
        pre_norm=True,
        num_classes=num_classes,
    )
    preprocessing = encoder.preprocessing
    network.pretrained_cfg = {"mean": preprocessing.mean, "std": preprocessing.std}
    weights = checkpoint_filter_fn(encoder._model.state_dict(), network)
    weights = {name: value for name, value in weights.items() if not name.startswith("head.")}
    network.load_state_dict(weights, strict=False)
    return network


def is_tower(network, encoder):
    return is_image_tower(build_photo_network(lambda num_classes: network, 3), encoder)


def test_a_network_with_the_weights_of_the_encoder_is_its_tower(tiny):
    network = tower_of(tiny)
    assert is_tower(network, tiny)
    with torch.no_grad():
        network.blocks[0].mlp.fc1.weight.normal_()
    assert not is_tower(network, tiny)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_networks_of_other_kinds_and_sizes_are_not(name, tiny):
    assert not is_tower(timm.create_model(name, num_classes=3), tiny)


@pytest.mark.filterwarnings("ignore:No training photo seems to show")
def test_the_network_keeps_what_another_encoder_says(tiny, tiny_folder, food_photos, tmp_path):
    labeler = CLIPPseudoLabeler(NAMES, model_name=f"local-dir:{tiny_folder}", grid_size=1)
    settings = {"pseudo_labeler": labeler, "image_size": 32, "random_state": 0}
    settings |= {"network": lambda num_classes: tower_of(tiny, num_classes), "memory": tmp_path}
    photos = food_photos.data[:20]
    fitted = CDULClassifier(**settings).fit(photos)
    part = fitted.network_.zero_shot
    assert part.projection.shape == (24, 64)
    assert 2000 < len(part.background) < len(known_names()[0])
    assert np.isfinite(fitted.predict_proba(photos)).all()
    for other in ({"zero_shot_weight": 0}, {"training": gradients()}):
        assert CDULClassifier(**settings | other).fit(photos).network_.zero_shot is None


def test_names_of_the_background_are_encoded_once(tiny_folder, tiny, tmp_path, monkeypatch):
    labeler = CLIPPseudoLabeler(NAMES, model_name=f"local-dir:{tiny_folder}", memory=tmp_path)
    labeler.fit()
    first = labeler._other_names(tiny)
    tiny._classes = {}  # as in another process
    encode, n_prompts = CLIPEncoder.encode_text, []
    monkeypatch.setattr(
        CLIPEncoder, "encode_text", lambda self, x: n_prompts.append(len(x)) or encode(self, x)
    )
    for again, before in zip(labeler._other_names(tiny), first, strict=True):
        np.testing.assert_array_equal(again, before)
    assert n_prompts == []
