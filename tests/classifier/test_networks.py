"""The networks that can be trained, and which of their layers are."""

import functools

import numpy as np
import pytest
import timm
import torch
from numpy.testing import assert_array_equal

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.training.building import build_photo_network
from tests.classifier.common import NAMES, QUICK, gradients


def test_gradients_begin_with_a_ridge_head_or_the_mean_labels(photos):
    def start(head_init):
        still = gradients(learning_rate=1e-12, head_learning_rate=0, head_init=head_init)
        return CDULClassifier(**QUICK, training=still).fit(photos).decision_function(photos)

    ridge, mean = start("ridge"), start("mean")
    assert np.ptp(mean, axis=0).max() < 1e-4
    assert np.ptp(ridge, axis=0).max() > 0.1


def test_a_ridge_head_leaves_the_pretrained_layers_as_they_were(photos):
    trained = CDULClassifier(**QUICK).fit(photos).network_.state_dict()
    fresh = build_photo_network("bundled", len(NAMES)).state_dict()
    changed = {key for key in fresh if not (trained[key] == fresh[key]).all()}
    assert changed == {"backbone.classifier.weight", "backbone.classifier.bias"}


def test_embeddings_train_a_linear_network(embeddings):
    labeler = CLIPPseudoLabeler(NAMES, input="embeddings")
    classifier = CDULClassifier(**QUICK | {"pseudo_labeler": labeler}).fit(embeddings)
    assert classifier.n_features_in_ == 256
    whole = classifier.predict_proba(embeddings[:, 0])
    assert_array_equal(classifier.predict_proba(embeddings), whole)


def test_embeddings_of_unreadable_photos_are_left_out(embeddings):
    labeler = CLIPPseudoLabeler(NAMES, input="embeddings", on_error="nan")
    broken = embeddings.copy()
    broken[2] = np.nan
    classifier = CDULClassifier(**QUICK | {"pseudo_labeler": labeler}).fit(broken)
    unread = np.isnan(classifier.predict_proba(broken)).all(axis=1)
    assert np.flatnonzero(unread).tolist() == [2]
    assert np.isfinite(np.delete(classifier.predict_proba(broken), 2, axis=0)).all()


def test_a_callable_network_trains(photos):
    network = functools.partial(timm.create_model, "resnet18")
    classifier = CDULClassifier(NAMES, **QUICK, network=network).fit(photos[:6])
    proba, labels = classifier.predict_proba(photos[:6]), classifier.pseudo_labels_
    assert np.isfinite(proba).all()
    assert ((proba - proba.mean(axis=0)) * (labels - labels.mean(axis=0))).sum() > 0


def test_training_on_a_cpu_is_in_float32_unless_another_precision_is_named(photos):
    def fit(precision):
        settings = QUICK | {"precision": precision, "device": "cpu", "training": gradients()}
        return CDULClassifier(**settings).fit(photos[:8]).network_.state_dict()

    auto, single, half = (fit(precision) for precision in ("auto", "float32", "bfloat16"))
    assert all((auto[key] == single[key]).all() for key in auto)
    assert any((half[key] != single[key]).any() for key in half)


def test_a_training_that_diverges_says_so(photos):
    diverging = gradients(epochs=2, learning_rate=1e30)
    classifier = CDULClassifier(**QUICK, training=diverging)
    with pytest.raises(FloatingPointError, match=r"loss became nan.*learning_rate"):
        classifier.fit(photos[:8])


class TokenNetwork(torch.nn.Module):
    """Its output layer sees several vectors a photo, and their answers are averaged."""

    def __init__(self, num_classes):
        super().__init__()
        self.patches = torch.nn.Conv2d(3, 8, 16, stride=16)
        self.head = torch.nn.Linear(8, num_classes)

    def get_classifier(self):
        return self.head

    def forward(self, pixels):
        return self.head(self.patches(pixels).flatten(2).transpose(1, 2)).mean(dim=1)


def test_a_network_whose_output_layer_sees_several_vectors_per_photo_trains_by_gradients(photos):
    with pytest.raises(ValueError, match=r'used once per photo. Set training="gradients"'):
        CDULClassifier(**QUICK, network=TokenNetwork).fit(photos[:6])
    training = gradients(head_init="mean")
    classifier = CDULClassifier(**QUICK, network=TokenNetwork, training=training).fit(photos[:6])
    assert np.isfinite(classifier.predict_proba(photos[:3])).all()
    assert classifier.network_.backbone.head.weight.abs().max() > 0  # it began with zeros
