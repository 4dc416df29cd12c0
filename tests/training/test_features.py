"""Features of frozen layers are kept under the content of the photos and what the network is."""

import functools
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from numpy.testing import assert_allclose

from sklearn_cdul.images.digests import read_contents
from sklearn_cdul.images.items import check_images
from sklearn_cdul.memory.store import Store
from sklearn_cdul.training import GradientTraining, RidgeTraining
from sklearn_cdul.training.building import build_photo_network
from sklearn_cdul.training.features import ridge_layer
from sklearn_cdul.training.network import PhotoNetwork
from tests.training.conftest import photo_source, train, vector_problem


class OwnNetwork(torch.nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.linear = torch.nn.Linear(3, num_classes)

    def get_classifier(self):
        return self.linear

    def forward(self, pixels):
        return self.linear(pixels.mean(dim=(2, 3)))


def digested(photos, **changes):
    """A source that knows the content of its photos, as in a fit with a folder as memory."""
    return photo_source(photos, contents=read_contents(check_images(photos)), **changes)


@pytest.fixture
def seen(monkeypatch):
    """How many pictures went through a network."""
    counts, forward = [], PhotoNetwork.forward

    def counted(self, pixels, *args, **options):
        # Those by which a network is checked are grey.
        counts.extend(float(p.float().std()) > 0 for p in pixels)
        return forward(self, pixels, *args, **options)

    monkeypatch.setattr(PhotoNetwork, "forward", counted)

    def take():
        total = sum(counts)
        counts.clear()
        return total

    return take


def test_photos_are_seen_once_whatever_is_trained(food_photos, food_labels, seen, tmp_path):
    paths, labels = food_photos.data[:24], food_labels[:24]
    options = {"memory": tmp_path}
    _, first = train(RidgeTraining(), digested(paths), labels, **options)
    assert seen() == 24
    _, again = train(RidgeTraining(), digested(paths), labels, **options)
    train(RidgeTraining(sigma=0.5), digested(paths[5:]), labels[5:, :2], **options)  # other classes
    assert seen() == 0
    assert_allclose(again.logits, first.logits, atol=1e-5)
    assert_allclose(again.labels, first.labels, atol=1e-5)
    train(GradientTraining(1), digested(paths[:8]), labels[:8], **options)
    assert seen() == 16  # in the steps and for the scores, not for the start
    others = [Path(path).read_bytes() for path in paths[::-1]] + food_photos.data[24:26]
    train(RidgeTraining(), digested(others), food_labels[:26], **options)
    assert seen() == 2  # the others are the same photos by other names


def test_other_pictures_networks_and_weights_are_seen_anew(
    food_photos, food_labels, seen, tmp_path
):
    paths, labels = food_photos.data[:6], food_labels[:6]

    def passes(network="bundled", regions=2, **changes):
        options = {"network": network, "regions": regions, "memory": tmp_path}
        train(RidgeTraining(), digested(paths, **changes), labels, **options)
        return seen()

    def changed(num_classes, change=None):
        backbone = build_photo_network("bundled", num_classes).backbone
        with torch.no_grad():
            if change == "weights":
                backbone.conv_head.weight.copy_(backbone.conv_head.weight.flip(0))
            if change == "layers":
                backbone.bn2.eps = 0.1
        return backbone

    size = {"image_size": 64}
    assert [passes(**size), passes(**size), passes(regions=1, **size)] == [6, 0, 6]
    assert passes(image_size=96) == 6
    for change in ("weights", "layers"):
        network = functools.partial(changed, change=change)
        assert [passes(network, **size), passes(network, **size)] == [6, 0]
    weights = functools.partial(timm.create_model, "resnet10t")
    assert [passes(weights, **size), passes(weights, **size)] == [6, 0]  # the seed's weights


def with_a_method_of_its_own(num_classes):
    backbone = build_photo_network("bundled", num_classes).backbone
    features = backbone.forward_features
    backbone.forward_features = lambda pixels: features(pixels.flip(3))
    return backbone


@pytest.mark.parametrize("network", [OwnNetwork, with_a_method_of_its_own])
def test_of_layers_that_nobody_knows_and_of_vectors_nothing_is_kept(
    network, food_photos, food_labels, seen, tmp_path
):
    options = {"network": network, "memory": tmp_path}
    for _ in range(2):
        train(RidgeTraining(), digested(food_photos.data[:6]), food_labels[:6], **options)
        assert seen() == 6
    train(RidgeTraining(), *vector_problem(), memory=tmp_path)
    with Store(tmp_path) as store:
        assert list(store) == []


def test_unreadable_photos_get_the_mean_and_are_not_kept(food_photos, food_labels, tmp_path):
    lost = tmp_path / "lost.jpg"
    lost.write_bytes(Path(food_photos.data[8]).read_bytes())
    source = digested([*food_photos.data[:8], lost], on_error="nan", image_size=64)
    lost.unlink()
    with pytest.warns(UserWarning, match="1 of 9"):
        _, trained = train(RidgeTraining(), source, food_labels[:9], memory=tmp_path)
    assert np.isfinite(trained.logits).all()
    with Store(tmp_path) as store:
        assert len(list(store)) == 8


def test_what_is_counted_are_all_images_whatever_is_read_of_them(
    food_photos, food_labels, tmp_path
):
    photos = [tmp_path / f"{number}.jpg" for number in range(9)]
    for path, photo in zip(photos, food_photos.data, strict=False):
        path.write_bytes(Path(photo).read_bytes())
    settings = {"on_error": "nan", "image_size": 64}
    source = digested(photos, **settings)
    train(RidgeTraining(), source.select(range(8)), food_labels[:8], memory=tmp_path)
    photos[8].unlink()  # the only one that is not in the store yet
    for memory in (tmp_path, None):
        with pytest.warns(UserWarning, match=r"1 of 9 images can't be used.* X\[8\]"):
            train(RidgeTraining(), source, food_labels[:9], memory=memory)


def test_a_file_that_was_replaced_meanwhile_is_not_kept_under_its_old_content(
    food_photos, food_labels, seen, tmp_path
):
    paths = [tmp_path / f"{number}.jpg" for number in range(9)]
    for path, photo in zip(paths, food_photos.data, strict=False):
        path.write_bytes(Path(photo).read_bytes())
    source, memory = digested(paths), tmp_path / "memory"
    paths[0].write_bytes(Path(food_photos.data[20]).read_bytes())
    train(RidgeTraining(), source, food_labels[:9], memory=memory)
    assert seen() == 9
    train(RidgeTraining(), digested(food_photos.data[:9]), food_labels[:9], memory=memory)
    assert seen() == 1


def test_photos_beyond_the_sample_are_kept_too(
    food_photos, food_labels, seen, tmp_path, monkeypatch
):
    monkeypatch.setattr("sklearn_cdul.training.features.PROBE_PHOTOS", 10)
    validation = photo_source(food_photos.data[30:33]), food_photos.target[30:33, :3]
    results = []
    for passes in (24 + 3, 3):
        source = digested(food_photos.data[:24])
        options = {"memory": tmp_path, "validation": validation}
        results.append(train(RidgeTraining(), source, food_labels[:24], **options)[1])
        assert seen() == passes
    assert_allclose(results[0].labels, results[1].labels, atol=1e-5)
    assert_allclose(results[0].logits, results[1].logits, atol=1e-5)


def test_a_last_layer_that_is_not_used_once_per_photo_has_no_features():
    class Twice(OwnNetwork):
        def forward(self, pixels):
            return self.linear(pixels.flatten(2).transpose(1, 2)).mean(dim=1)

    class NoBias(OwnNetwork):
        def __init__(self, num_classes):
            super().__init__(num_classes)
            self.linear.bias = None

    assert ridge_layer(build_photo_network(OwnNetwork, 2)) is not None
    for network in (Twice, NoBias):
        assert ridge_layer(build_photo_network(network, 2)) is None
