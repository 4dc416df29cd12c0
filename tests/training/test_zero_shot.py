"""The zero-shot part: the encoder's own labels, joined with the logits of the output layer."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.special import expit, logit, softmax

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.encoders.loading import load_encoder
from sklearn_cdul.labels import soft_labels
from sklearn_cdul.training.building import build_photo_network, look_at_regions
from sklearn_cdul.training.features import output_layer
from sklearn_cdul.training.zero_shot import ZeroShot, join, read_labels

RANDOM = np.random.default_rng(0)


@pytest.fixture
def case():
    """Texts of two classes and of a user's background class, others, features and logits."""
    texts, others = (RANDOM.standard_normal((n, 8)) for n in (3, 40))
    texts, others = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (texts, others))
    return texts, others, RANDOM.standard_normal((6, 5, 8)), RANDOM.standard_normal((6, 2))


def run(part, logits, features):
    joined, opened = part(torch.tensor(logits), torch.tensor(features))
    return joined.numpy(), opened.numpy()


def test_logits_are_mixed_with_those_of_the_label_in_which_the_classes_compete(case):
    texts, others, features, logits = case
    part = ZeroShot(np.eye(8), texts, others, [], [], 2, scale=4.0, weight=0.4)
    joined, opened = run(part, logits, features)
    closed = soft_labels(features, texts[:2], texts[2:], temperature=1 / 4)
    assert_allclose(joined, 0.6 * logits + 0.1 * logit(closed) + 0.3 * logit(opened), atol=0.01)
    all_others = np.concatenate([texts[2:], others])
    expected = soft_labels(features, texts[:2], all_others, temperature=1 / 4)
    assert_allclose(opened, expected, rtol=0.02)


def test_in_the_open_label_the_largest_of_a_class_and_its_kinds_counts(case):
    texts, others, features, logits = case
    part = ZeroShot(np.eye(8), texts, others, [40, 41, 42], [1, 0, 1], 2, scale=4.0, weight=0.25)
    opened = run(part, logits, features[:, :1])[1]
    vectors = features[:, 0] / np.linalg.norm(features[:, 0], axis=1, keepdims=True)
    shares = softmax(4 * vectors @ np.concatenate([texts, others]).T, axis=1)
    expected = [shares[:, [0, -2]].max(axis=1), shares[:, [1, -3, -1]].max(axis=1)]
    assert_allclose(opened, np.transpose(expected), rtol=0.02)
    alone = run(ZeroShot(np.eye(8), texts, others, [], [], 2, scale=4.0), logits, features[:, :1])[
        1
    ]
    assert (opened >= alone - 1e-6).all() and (opened > 1.1 * alone).any()


def test_a_kind_may_be_another_class_or_a_kind_of_two_and_competes_once(case):
    texts, others, features, logits = case
    part = ZeroShot(np.eye(8), texts, others, [0, 5, 5], [1, 0, 1], 2, scale=4.0, weight=0.25)
    opened = run(part, logits, features[:, :1])[1]
    vectors = features[:, 0] / np.linalg.norm(features[:, 0], axis=1, keepdims=True)
    shares = softmax(4 * vectors @ np.concatenate([texts, others]).T, axis=1)
    expected = [shares[:, [0, 5]].max(axis=1), shares[:, [1, 0, 5]].max(axis=1)]
    assert_allclose(opened, np.transpose(expected), rtol=0.02)


def test_a_class_is_found_only_where_its_open_label_reaches_the_gate(case):
    texts, others, features, logits = case
    part = ZeroShot(np.eye(8), texts, others, [], [], 2, scale=9.0, weight=0.25)
    before, opened = run(part, logits, features)
    thresholds = expit([-0.5, -0.2])
    part.close_gate(thresholds)
    after, _ = run(part, logits, features)
    passes = opened >= 0.004
    assert passes.any() and not passes.all()
    found = after >= logit(thresholds)
    assert (found == (before >= logit(thresholds)) & passes).all()
    assert (after <= before + 1e-6).all()


def test_a_single_class_competes_with_the_background(case):
    texts, others, features, logits = case
    part = ZeroShot(np.eye(8), texts[:1], others, [], [], 1, scale=4.0, weight=1.0)
    joined, opened = run(part, logits[:, :1], features)
    assert_allclose(joined, logit(opened), atol=1e-4)


def test_the_network_gives_what_training_joins_and_the_whole_is_the_encoders_view():
    labeler = CLIPPseudoLabeler(["pizza", "cup"]).fit()
    network = build_photo_network("bundled", 2).eval()
    network.image_size = 96
    look_at_regions(network, 2)
    pixels = torch.randint(0, 256, (3, 3, 96, 96), dtype=torch.uint8)
    received = []
    layer = output_layer(network)
    hook = layer.register_forward_pre_hook(lambda _, given: received.append(given[0]))
    with torch.inference_mode():
        alone = network(pixels)
        features = torch.cat([v.unflatten(0, (3, -1)) for v in received], dim=1).numpy()
        texts = labeler.text_embeddings_
        projection = load_encoder(device="cpu")._projection
        network.zero_shot = ZeroShot(
            projection, texts, texts[:1], [2, 0], [1, 1], 2, scale=12.0, weight=0.5
        )
        joined, _ = join(network, alone, read_labels(network, features))
        assert_allclose(network(pixels).numpy(), joined, atol=1e-4)
        hook.remove()
        part = network.zero_shot
        vectors = torch.nn.functional.normalize(
            torch.tensor(features[:, 0]) @ part.projection.float().T, dim=1
        )
        views = pixels.permute(0, 2, 3, 1).numpy()
    # Another size than the encoder's own, the same tower.
    encoder = load_encoder("bundled", None, device="cpu")
    assert_allclose(vectors.numpy(), np.asarray(encoder.encode_views(views)), atol=0.01)
