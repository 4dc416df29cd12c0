"""A ridge head on frozen features: fits, updates of the labels, and more photos than it sees."""

import functools

import numpy as np
import pytest
import timm
import torch
from numpy.testing import assert_allclose
from scipy.special import expit, logit
from sklearn.base import clone

from sklearn_cdul.compute.devices import OwnRandomState
from sklearn_cdul.metrics import mean_average_precision
from sklearn_cdul.training import RidgeTraining, linear_probe, resolve_training
from sklearn_cdul.training.alignment import update_speed
from sklearn_cdul.training.building import build_photo_network
from sklearn_cdul.training.logits import predict_logits
from sklearn_cdul.training.network import output_layer
from tests.training.conftest import photo_source, train, vector_problem


class UnusedLastLayer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 2)

    def get_classifier(self):
        return self.linear

    def forward(self, pixels):
        return pixels.mean(dim=(2, 3))[:, :2]


def standardised(source):
    vectors = source.embeddings.numpy()
    return (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)


def moved(labels, logits, rate=0.5):
    """What an update in the paper's way makes of labels."""
    speed = update_speed(torch.from_numpy(labels), 1.0).numpy()
    return expit(logit(labels) + rate * speed * (logits - logit(labels)))


def test_one_epoch_is_the_linear_probe_of_the_labels():
    source, labels = vector_problem()
    network, trained = train(RidgeTraining(epochs=1), source, labels)
    weight, bias, leave_one_out = linear_probe(standardised(source), labels)
    layer = output_layer(network)
    assert_allclose(layer.weight.detach(), weight, atol=1e-5)
    assert_allclose(layer.bias.detach(), bias, atol=1e-5)
    assert_allclose(trained.labels, labels, atol=1e-6)
    seen = standardised(source) @ weight.T + bias
    assert_allclose(trained.logits, (leave_one_out + seen) / 2, atol=1e-5)
    assert [record["label_movement"] for record in trained.history] == [0]
    assert 0 < trained.history[0]["loss"] < 0.1


def test_labels_follow_the_leave_one_out_logits_up_to_the_last_fit():
    source, labels = vector_problem()
    network, trained = train(RidgeTraining(epochs=2), source, labels)
    *_, leave_one_out = linear_probe(standardised(source), labels)
    expected = moved(labels, leave_one_out)
    assert_allclose(trained.labels, expected, atol=1e-5)
    weight, *_ = linear_probe(standardised(source), expected)
    assert_allclose(output_layer(network).weight.detach(), weight, atol=1e-4)
    assert [record["label_movement"] > 0 for record in trained.history] == [True, False]


def test_observed_labels_stay_and_validation_photos_are_scored():
    source, labels = vector_problem()
    observed = np.full(labels.shape, np.nan)
    observed[:5, 0] = 1
    y = (source.embeddings[:10, :2].numpy() > 0).astype(int)
    validation = source.select(range(10)), y
    network, trained = train(
        RidgeTraining(), source, labels, observed=observed, validation=validation
    )
    assert (trained.labels[:5, 0] == 1).all()
    assert 0 < np.abs(trained.labels[5:] - labels[5:]).max() < 0.5
    assert [record["epoch"] for record in trained.history] == [1, 2, 3]
    score = mean_average_precision(y, predict_logits(network, validation[0]))
    assert trained.history[-1]["validation_map"] == pytest.approx(score)


@pytest.mark.parametrize("cumulative", [False, True])
def test_photos_beyond_the_sample_follow_the_network_that_has_not_seen_them(
    cumulative, monkeypatch, food_photos, food_labels
):
    n = 30
    monkeypatch.setattr("sklearn_cdul.training.features.PROBE_PHOTOS", 18)
    training = RidgeTraining(cumulative_updates=cumulative)
    whole = photo_source(food_photos.data[:n], image_size=64)
    observed = np.full((n, 3), np.nan)
    observed[::4, 1] = 1
    _, trained = train(training, whole, food_labels[:n], observed=observed)
    random = OwnRandomState(0)
    with random:  # as above
        whole.build_network("bundled", 3)
    with random:
        some = torch.randperm(n)[:18].sort().values.numpy()
    rest = np.setdiff1d(np.arange(n), some)
    options = {"observed": observed[some]}
    same, alone = train(training, whole.select(some.tolist()), food_labels[some], **options)
    assert_allclose(trained.labels[some], alone.labels, atol=1e-5)
    assert_allclose(trained.logits[some], alone.logits, atol=1e-4)
    unseen = whole.select(rest.tolist())
    assert_allclose(trained.logits[rest], predict_logits(same, unseen), atol=1e-4)

    # After one epoch and after two the network is what it was when the labels moved.
    labels = first = food_labels[rest]
    for epochs in (1, 2):
        earlier = clone(training).set_params(epochs=epochs)
        then, _ = train(earlier, whole.select(some.tolist()), food_labels[some], **options)
        labels = moved(labels if cumulative else first, predict_logits(then, unseen))
    labels = np.where(np.isnan(observed[rest]), labels, observed[rest])
    assert_allclose(trained.labels[rest], labels, atol=1e-4)


@pytest.mark.parametrize(
    "network",
    [
        lambda num_classes: torch.nn.Conv2d(3, num_classes, 1),
        lambda num_classes: UnusedLastLayer(),
    ],
    ids=["no linear layer", "not used"],
)
def test_a_network_without_a_layer_to_fit_is_refused_before_training(network):
    built = build_photo_network(network, 2)
    with pytest.raises(ValueError, match=r'training="ridge".*Set training="gradients"'):
        RidgeTraining().check(built)


def test_frozen_networks_of_callables_keep_their_batch_statistics(grey_images):
    network, _ = train(
        RidgeTraining(),
        photo_source(grey_images),
        np.linspace(0.1, 0.9, 20).reshape(10, 2),
        network=functools.partial(timm.create_model, "resnet10t"),
    )
    assert (network.backbone.bn1.running_mean == 0).all()


def test_a_training_is_named_or_given_with_its_parameters():
    given = RidgeTraining(sigma=0.5)
    resolved = resolve_training(given)
    assert resolved is not given and resolved.get_params() == given.get_params()
    assert resolve_training("ridge").get_params() == RidgeTraining().get_params()
    assert type(resolve_training("gradients")).__name__ == "GradientTraining"
    with pytest.raises(ValueError, match="'paper' is neither"):
        resolve_training("paper")
    with pytest.raises(ValueError, match="'epochs' parameter of RidgeTraining"):
        resolve_training(RidgeTraining(epochs=0))
