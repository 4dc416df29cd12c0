"""Gradient steps on all layers: where they start, when labels move, and what may change."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from sklearn_cdul.metrics import mean_average_precision
from sklearn_cdul.training import GradientTraining, linear_probe
from sklearn_cdul.training.alignment import kl_divergence, latents_from_labels, update_latents
from sklearn_cdul.training.building import build_photo_network
from sklearn_cdul.training.gradients import parameter_groups
from sklearn_cdul.training.logits import predict_logits
from tests.training.conftest import photo_source, train, vector_problem

# The last layer, which is all there is for vectors, stays at the mean label.
STILL = {"head_init": "mean", "head_learning_rate": 0, "weight_decay": 0}


def no_linear_layer(num_classes):
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(num_classes))
    flat(torch.zeros(1, 3, 32, 32))
    return flat


@pytest.mark.parametrize(
    ("warmup", "interval", "updates_after"),
    [(2, 1, [2, 3, 4, 5]), (1, 2, [1, 3, 5]), (3, 2, [3, 5]), (9, 1, []), (1, 0, [])],
)
def test_updates_come_on_schedule_and_never_after_the_last_epoch(warmup, interval, updates_after):
    training = GradientTraining(
        6, warmup_epochs=warmup, update_interval=interval, head_learning_rate=0.1
    )
    _, trained = train(training, *vector_problem())
    moved = [record["epoch"] for record in trained.history if record["label_movement"] > 0]
    assert moved == updates_after


@pytest.mark.parametrize("cumulative", [True, False])
def test_updates_start_from_the_first_labels_unless_they_are_cumulative(cumulative):
    source, labels = vector_problem()
    training = GradientTraining(3, cumulative_updates=cumulative, update_rate=1.0, **STILL)
    network, trained = train(training, source, labels)
    logits = torch.from_numpy(predict_logits(network, source))
    first = latents_from_labels(torch.from_numpy(labels))
    once = update_latents(first, logits, 1.0)
    expected = update_latents(once, logits, 1.0) if cumulative else once
    assert_allclose(trained.labels, torch.sigmoid(expected), atol=1e-5)


def test_the_first_update_takes_the_predictions_of_its_epoch():
    source, labels = vector_problem()
    # With one batch per epoch these are the predictions of the network as it started.
    training = GradientTraining(2, batch_size=len(labels), update_rate=1.0, head_learning_rate=0.1)
    _, trained = train(training, source, labels)
    weight, bias, _ = linear_probe(standard(source), labels)
    logits = torch.from_numpy(standard(source) @ weight.T + bias)
    first = latents_from_labels(torch.from_numpy(labels))
    assert_allclose(trained.labels, torch.sigmoid(update_latents(first, logits, 1.0)), atol=1e-5)


def standard(source):
    vectors = source.embeddings.numpy()
    return (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)


def test_history_reports_the_mean_divergence_and_training_lowers_it():
    source, labels = vector_problem()
    network, trained = train(GradientTraining(1, **STILL), source, labels)
    logits = torch.from_numpy(predict_logits(network, source))
    expected = kl_divergence(torch.from_numpy(labels), logits).mean().item()
    assert trained.history[0]["loss"] == pytest.approx(expected, rel=1e-5)
    learning = {"head_init": "mean", "head_learning_rate": 0.1, "update_interval": 0}
    _, trained = train(GradientTraining(20, **learning), source, labels)
    assert trained.history[-1]["loss"] < 0.5 * trained.history[0]["loss"]


def test_observed_labels_stay_and_validation_photos_are_scored():
    source, labels = vector_problem()
    observed = np.full(labels.shape, np.nan)
    observed[:5, 0] = 1
    y = (source.embeddings[:10, :2].numpy() > 0).astype(int)
    validation = source.select(range(10)), y
    training = GradientTraining(head_learning_rate=0.1)
    network, trained = train(training, source, labels, observed=observed, validation=validation)
    assert (trained.labels[:5, 0] == 1).all()
    assert 0 < np.abs(trained.labels[5:] - labels[5:]).max() < 0.5
    score = mean_average_precision(y, predict_logits(network, validation[0]))
    assert trained.history[-1]["validation_map"] == pytest.approx(score)


def test_the_last_layer_starts_at_the_mean_label_or_as_the_ridge_head():
    source, labels = vector_problem()
    network, trained = train(GradientTraining(1, **STILL), source, labels)
    logits = predict_logits(network, source)
    expected = np.broadcast_to(labels.mean(axis=0), labels.shape)
    assert_allclose(1 / (1 + np.exp(-logits)), expected, atol=1e-5)
    assert_allclose(trained.logits, logits, atol=1e-6)
    network, trained = train(
        GradientTraining(1, **(STILL | {"head_init": "ridge"})), source, labels
    )
    weight, bias, leave_one_out = linear_probe(standard(source), labels)
    logits = predict_logits(network, source)
    assert_allclose(logits, standard(source) @ weight.T + bias, atol=1e-5)
    assert_allclose(trained.logits, (leave_one_out + logits) / 2, atol=1e-5)


def test_of_many_photos_a_sample_is_fitted_to_and_gives_the_scores(monkeypatch):
    monkeypatch.setattr("sklearn_cdul.training.features.PROBE_PHOTOS", 20)
    _, trained = train(GradientTraining(1), *vector_problem())
    assert trained.labels.shape == (30, 2)
    assert trained.logits.shape == (20, 2)


def test_a_network_without_a_known_last_layer_is_trained_as_it_is(grey_images):
    source = photo_source(grey_images)
    labels = np.linspace(0.1, 0.9, 20).reshape(10, 2)
    network, trained = train(
        GradientTraining(learning_rate=1e-4), source, labels, network=no_linear_layer
    )
    assert_allclose(trained.logits, predict_logits(network, source), atol=1e-5)
    (group,) = parameter_groups(network, 1e-4, 1e-2)
    assert group["lr"] == 1e-4


def test_the_last_layer_has_its_own_learning_rate():
    network = build_photo_network("bundled", 2)
    body, head = parameter_groups(network, 1e-4, 1e-2)
    assert (body["lr"], head["lr"]) == (1e-4, 1e-2)
    assert {id(p) for p in head["params"]} == {
        id(p) for p in network.backbone.classifier.parameters()
    }
    assert len(body["params"]) + len(head["params"]) == len(list(network.parameters()))


def test_all_layers_of_a_network_learn(food_photos, food_labels):
    source = photo_source(food_photos.data[:8], image_size=64)
    training = GradientTraining(1, learning_rate=1e-3, batch_size=4)
    network, _ = train(training, source, food_labels[:8])
    fresh = build_photo_network("bundled", 3)
    assert not torch.equal(network.backbone.conv_stem.weight, fresh.backbone.conv_stem.weight)
    assert torch.equal(network.backbone.bn1.running_mean, fresh.backbone.bn1.running_mean)


def test_out_of_memory_says_what_to_set(monkeypatch):
    def no_room(*args, **options):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("sklearn_cdul.training.gradients.forward", no_room)
    with pytest.raises(torch.cuda.OutOfMemoryError, match=r"batch_size=16.*image_size lower"):
        train(GradientTraining(), *vector_problem())


def test_a_training_that_diverges_says_what_to_set():
    training = GradientTraining(head_learning_rate=2e37, batch_size=4)
    with pytest.raises(FloatingPointError, match=r"loss became .* head_learning_rate lower"):
        train(training, *vector_problem())
