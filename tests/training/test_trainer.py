"""Training starts near the labels and changes only what may change."""

import functools
import os

import numpy as np
import pytest
import timm
import torch
from torch.testing import assert_close

from sklearn_cdul import CDULClassifier
from sklearn_cdul.training.alignment import LabelState, latents_from_labels
from sklearn_cdul.training.batches import EmbeddingSource
from sklearn_cdul.training.building import build_photo_network
from sklearn_cdul.training.closed_form import ClosedForm
from sklearn_cdul.training.features import read_features
from sklearn_cdul.training.logits import predict_logits
from sklearn_cdul.training.network import EmbeddingNetwork, output_layer
from sklearn_cdul.training.trainer import (
    Trainer,
    TrainingSettings,
    check_memory,
    parameter_groups,
    start_from_priors,
)
from tests.training.conftest import photo_source

CPU = torch.device("cpu")


class UnusedOutputLayer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 2)

    def get_classifier(self):
        return self.linear

    def forward(self, pixels):
        return pixels.mean(dim=(2, 3))[:, :2]


def test_a_fresh_network_predicts_the_mean_label_of_each_class():
    network = build_photo_network("bundled", 2).eval()
    start_from_priors(network, torch.tensor([[0.1, 0.9], [0.3, 0.7]]))
    pixels = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        assert_close(torch.sigmoid(network(pixels)), torch.tensor([[0.2, 0.8]]).expand(3, 2))


@pytest.mark.parametrize("name", ["bundled", "linear"])
def test_a_probed_network_predicts_the_labels_from_the_first(name, food_photos):
    images = food_photos.data[:12]
    labels = torch.tensor(food_photos.target[:12, :4], dtype=torch.float32) * 0.8 + 0.1
    if name == "linear":
        # With as few photos as these, labels can be found again only if they are in the features.
        torch.manual_seed(0)
        vectors = torch.cat([labels + 0.05 * torch.randn(12, 4), torch.randn(12, 3)], dim=1)
        network = EmbeddingNetwork(vectors, 4)
        source = EmbeddingSource(vectors.numpy(), device=CPU)
    else:
        network = build_photo_network("bundled", 4)
        source = photo_source(images, image_size=96)
    start_from_priors(network, labels)
    before = predict_logits(network, source, torch.float32)
    layer = output_layer(network)
    probe = ClosedForm(layer, read_features(network, layer, source))
    probe(LabelState(latents_from_labels(labels)))
    after = predict_logits(network, source, torch.float32)
    assert torch.isfinite(torch.from_numpy(after)).all()

    def loss(logits):
        return float(
            torch.nn.functional.binary_cross_entropy_with_logits(torch.from_numpy(logits), labels)
        )

    assert loss(after) < loss(before)
    if name == "linear":
        assert (np.sign(after) == np.sign(labels.numpy() - 0.5)).mean() > 0.9


def test_without_a_known_output_layer_there_is_no_probe(grey_images):
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(2))
    flat(torch.zeros(1, 3, 32, 32))
    network = build_photo_network(lambda num_classes: flat, 2)
    labels = np.linspace(0.1, 0.9, 20).reshape(10, 2)
    settings = TrainingSettings.of(CDULClassifier(learning_rate=1e-4))
    source = photo_source(grey_images)
    _, _, scores = Trainer(network, settings).train(source, labels, None)
    np.testing.assert_allclose(scores, predict_logits(network, source, torch.float32), atol=1e-6)


def test_an_output_layer_that_is_not_used_has_no_features(grey_images):
    network = build_photo_network(lambda num_classes: UnusedOutputLayer(), 2)
    assert read_features(network, output_layer(network), photo_source(grey_images)) is None


def test_with_a_learning_rate_of_zero_only_the_output_layer_has_gradients():
    network = build_photo_network("bundled", 2)
    (head,) = parameter_groups(network, 0.0, 1e-2)
    assert [p.shape for p in head["params"]] == [(2, 1280), (2,)]
    network(torch.zeros(2, 3, 64, 64)).sum().backward()
    assert network.backbone.conv_stem.weight.grad is None
    assert head["params"][0].grad is not None


def test_frozen_networks_of_callables_keep_their_batch_statistics():
    network = build_photo_network(functools.partial(timm.create_model, "resnet18"), 2)
    parameter_groups(network, 0.0, 1e-2)
    before = network.backbone.bn1.running_mean.clone()
    network.train()(torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8))
    assert torch.equal(network.backbone.bn1.running_mean, before)


def test_a_learning_rate_of_zero_needs_an_output_layer():
    network = build_photo_network(lambda num_classes: torch.nn.Conv2d(3, num_classes, 1), 2)
    with pytest.raises(ValueError, match="learning_rate=0"):
        parameter_groups(network, 0.0, 1e-2)


def test_the_output_layer_has_its_own_learning_rate():
    network = build_photo_network("bundled", 2)
    body, head = parameter_groups(network, 1e-4, 1e-2)
    assert (body["lr"], head["lr"]) == (1e-4, 1e-2)
    assert {id(p) for p in head["params"]} == {
        id(p) for p in network.backbone.classifier.parameters()
    }
    assert len(body["params"]) + len(head["params"]) == len(list(network.parameters()))


def test_a_network_without_a_known_output_layer_has_one_group():
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(2))
    flat(torch.zeros(1, 3, 4, 4))
    network = build_photo_network(lambda num_classes: flat, 2)
    (group,) = parameter_groups(network, 1e-4, 1e-2)
    assert group["lr"] == 1e-4


def test_what_cannot_learn_is_refused_before_training(grey_images):
    settings = TrainingSettings.of(CDULClassifier(learning_rate=0))
    network = build_photo_network(lambda num_classes: torch.nn.Conv2d(3, num_classes, 1), 2)
    with pytest.raises(ValueError, match="learning_rate=0"):
        Trainer(network, settings)


@pytest.mark.parametrize("linear_probe", [True, False], ids=["closed form", "gradient steps"])
def test_training_moves_labels_toward_the_network_but_not_those_observed(linear_probe):
    torch.manual_seed(0)
    vectors = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    labels = 1 / (1 + np.exp(-3 * vectors[:, :2])) * 0.5 + 0.25
    observed = np.full((30, 2), np.nan, dtype=np.float32)
    observed[:5, 0] = 1
    source = EmbeddingSource(vectors, device=CPU)
    settings = TrainingSettings.of(
        CDULClassifier(epochs=3, linear_probe=linear_probe, head_learning_rate=0.1)
    )
    trainer = Trainer(source.build_network("any", 2), settings)
    y = (vectors[:, :2] > 0).astype(int)
    history, moved, scores = trainer.train(source, labels, observed, (source, y))
    seen = predict_logits(trainer.network, source, torch.float32)
    assert np.allclose(scores, seen, atol=1e-5) == (not linear_probe)
    assert [record["epoch"] for record in history] == [1, 2, 3]
    assert all(record["validation_map"] > 0.9 for record in history)
    assert (moved[:5, 0] == 1).all()
    assert 0 < np.abs(moved[5:] - labels[5:]).max() < 0.5


def test_out_of_memory_says_what_to_set(monkeypatch):
    def no_room(*args, **options):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("sklearn_cdul.training.trainer.align", no_room)
    source = EmbeddingSource(np.eye(4, dtype=np.float32), device=CPU)
    trainer = Trainer(source.build_network("any", 2), TrainingSettings.of(CDULClassifier()))
    with pytest.raises(torch.cuda.OutOfMemoryError, match=r"batch_size=16.*image_size lower"):
        trainer.train(source, np.full((4, 2), 0.5), np.full((4, 2), np.nan))


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="the system does not tell its memory")
def test_labels_without_room_are_refused_early(monkeypatch):
    pages = {"SC_PHYS_PAGES": 1_000_000, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    check_memory(100_000, 1000)
    with pytest.raises(MemoryError, match=r"20000 photos and 20000 classes.*13 GB.*has 4 GB"):
        check_memory(20_000, 20_000)
