"""The zero-shot part: the encoder's own labels, joined with the logits of the output layer."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.special import logit, softmax

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.encoders.loading import load_encoder
from sklearn_cdul.labels import soft_labels
from sklearn_cdul.training.building import build_photo_network, look_at_regions
from sklearn_cdul.training.features import output_layer
from sklearn_cdul.training.zero_shot import (
    ZeroShot,
    find_joint_thresholds,
    join,
    read_labels,
)

RANDOM = np.random.default_rng(0)


@pytest.fixture
def case():
    """Texts of two classes and of a user's background class, others, features and logits."""
    texts, others = (RANDOM.standard_normal((n, 8)) for n in (3, 40))
    texts, others = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (texts, others))
    return texts, others, RANDOM.standard_normal((6, 5, 8)), RANDOM.standard_normal((6, 2))


def run(part, logits, features):
    features = torch.tensor(features)
    return part(torch.tensor(logits), features).numpy(), part.labels(features).numpy()


def part_of(texts, others, sources=(), owners=(), gains=None, n_classes=2, **options):
    gains = np.ones(n_classes + len(sources)) if gains is None else gains
    return ZeroShot(np.eye(8), texts, others, list(sources), list(owners), gains, **options)


def test_logits_are_mixed_with_those_of_the_label_in_which_others_compete(case):
    texts, others, features, logits = case
    part = part_of(texts, others, scale=4.0, weight=0.4)
    joined, opened = run(part, logits, features)
    all_others = np.concatenate([texts[2:], others])
    expected = soft_labels(features, texts[:2], all_others, temperature=1 / 4)
    assert_allclose(opened, expected, rtol=0.02)
    known = logit(opened) - logit(0.01)
    assert_allclose(joined, 0.6 * logits + 0.4 * known, atol=1e-4)


def shares_of(texts, others, features):
    vectors = features[:, 0] / np.linalg.norm(features[:, 0], axis=1, keepdims=True)
    return softmax(4 * vectors @ np.concatenate([texts, others]).T, axis=1)


def test_the_largest_of_a_class_and_its_kinds_counts(case):
    texts, others, features, logits = case
    part = part_of(texts, others, [40, 41, 42], [1, 0, 1], scale=4.0, weight=0.25)
    opened = run(part, logits, features[:, :1])[1]
    shares = shares_of(texts, others, features)
    expected = [shares[:, [0, -2]].max(axis=1), shares[:, [1, -3, -1]].max(axis=1)]
    assert_allclose(opened, np.transpose(expected), rtol=0.02)
    alone = run(part_of(texts, others, scale=4.0), logits, features[:, :1])[1]
    assert (opened >= alone - 1e-6).all() and (opened > 1.1 * alone).any()


def test_a_kind_may_be_another_class_or_a_kind_of_two_and_competes_once(case):
    texts, others, features, logits = case
    part = part_of(texts, others, [0, 5, 5], [1, 0, 1], scale=4.0, weight=0.25)
    opened = run(part, logits, features[:, :1])[1]
    shares = shares_of(texts, others, features)
    expected = [shares[:, [0, 5]].max(axis=1), shares[:, [1, 0, 5]].max(axis=1)]
    assert_allclose(opened, np.transpose(expected), rtol=0.02)


def test_a_gain_raises_the_label_of_its_own_class_where_the_photo_is_like_it(case):
    texts, others, features, logits = case
    same = run(part_of(texts, others, scale=4.0), logits, features[:, :1])[1]
    more = part_of(texts, others, gains=np.array([1, 2]), scale=4.0)
    opened = run(more, logits, features[:, :1])[1]
    all_others = np.concatenate([texts[2:], others])
    options = {"temperature": 1 / 4, "gains": [1, 2]}
    expected = soft_labels(features[:, :1], texts[:2], all_others, **options)
    assert_allclose(opened, expected, rtol=0.02)
    assert_allclose(opened[:, 0], same[:, 0], rtol=1e-3)
    vectors = features[:, 0] / np.linalg.norm(features[:, 0], axis=1, keepdims=True)
    assert ((opened[:, 1] > same[:, 1]) == (vectors @ texts[1] > 0)).all()


def test_thresholds_are_found_where_the_output_layer_decides(case):
    rng = np.random.default_rng(0)
    own = np.where(rng.random((400, 2)) < 0.3, 1.0, -3.0) + rng.normal(0, 0.4, (400, 2))
    opened = np.full((400, 2), 0.01)
    part = part_of(*case[:2], weight=0.4)
    joined = part.join(torch.tensor(own), torch.tensor(opened)).numpy()
    found = find_joint_thresholds(part, joined, opened)
    assert_allclose(joined, 0.6 * own, atol=1e-5)
    # Between both groups, and lower where the encoder says more of all photos than of none.
    assert ((found > 0.6 * -2) & (found < 0)).all()
    only = part_of(*case[:2], weight=1.0)
    assert (find_joint_thresholds(only, joined, opened) == 0).all()


def test_names_that_nothing_shows_move_the_thresholds_of_others_little(case):
    rng = np.random.default_rng(0)
    own = np.where(rng.random((400, 5)) < 0.3, 1.0, -3.0) + rng.normal(0, 0.4, (400, 5))
    opened = np.full((400, 5), 0.01)
    own[:, 2:], opened[:, 2:] = rng.normal(-6, 0.4, (400, 3)), 1e-5
    part = part_of(*case[:2], weight=0.4)
    joined = part.join(torch.tensor(own), torch.tensor(opened)).numpy()
    alone = find_joint_thresholds(part, joined[:, :2], opened[:, :2])
    assert_allclose(find_joint_thresholds(part, joined, opened)[:2], alone, atol=0.1)


def test_a_single_class_competes_with_the_background(case):
    texts, others, features, logits = case
    part = part_of(texts[:1], others, n_classes=1, scale=4.0, weight=1.0)
    joined, opened = run(part, logits[:, :1], features)
    assert_allclose(joined, logit(opened) - logit(0.01), atol=1e-4)


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
            projection, texts, texts[:1], [2, 0], [1, 1], [1, 2, 1, 1], scale=12.0, weight=0.5
        )
        joined = join(network, alone, read_labels(network, features))
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
