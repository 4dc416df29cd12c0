import functools
import os

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.testing import assert_close

from sklearn_cdul.exceptions import ImageError, WeightsUnavailableError
from sklearn_cdul.training.batches import EmbeddingBatches, PhotoBatches
from sklearn_cdul.training.network import (
    EMBEDDED_WEIGHTS,
    EmbeddingNetwork,
    build_photo_network,
    parameter_groups,
    predict_logits,
    start_from_priors,
    start_from_probe,
)

CPU = torch.device("cpu")


class UnusedOutputLayer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 2)

    def get_classifier(self):
        return self.linear

    def forward(self, pixels):
        return pixels.mean(dim=(2, 3))[:, :2]


def batches(images, **changes):
    settings = {"image_size": 32, "batch_size": 4, "device": CPU}
    return PhotoBatches(images, **(settings | changes))


@pytest.fixture
def grey_images():
    """Ten plain images, told apart by their grey value."""
    return [np.full((40, 50, 3), 20 * i, dtype=np.uint8) for i in range(10)]


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


def test_a_fresh_network_predicts_the_mean_label_of_each_class():
    network = build_photo_network("embedded", 2).eval()
    start_from_priors(network, torch.tensor([[0.1, 0.9], [0.3, 0.7]]))
    pixels = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        assert_close(torch.sigmoid(network(pixels)), torch.tensor([[0.2, 0.8]]).expand(3, 2))


@pytest.mark.parametrize("name", ["embedded", "linear"])
def test_a_probed_network_predicts_the_labels_from_the_first(name, food_photos):
    images = food_photos.data[:12]
    labels = torch.tensor(food_photos.target[:12, :4], dtype=torch.float32) * 0.8 + 0.1
    if name == "linear":
        # With as few photos as these, labels can be found again only if they are in the features.
        torch.manual_seed(0)
        vectors = torch.cat([labels + 0.05 * torch.randn(12, 4), torch.randn(12, 3)], dim=1)
        network = EmbeddingNetwork(vectors, 4)
        source = EmbeddingBatches(vectors.numpy(), batch_size=5, device=CPU)
    else:
        network = build_photo_network("embedded", 4)
        source = batches(images, image_size=96, batch_size=5)
    start_from_priors(network, labels)
    before = predict_logits(network, source, torch.float32)
    start_from_probe(network, source, labels, torch.float32)
    after = predict_logits(network, source, torch.float32)
    assert torch.isfinite(torch.from_numpy(after)).all()

    def loss(logits):
        return float(
            torch.nn.functional.binary_cross_entropy_with_logits(torch.from_numpy(logits), labels)
        )

    assert loss(after) < loss(before)
    if name == "linear":
        assert (np.sign(after) == np.sign(labels.numpy() - 0.5)).mean() > 0.9


@pytest.mark.parametrize(
    "build",
    [
        lambda num_classes: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(2)),
        lambda num_classes: UnusedOutputLayer(),
    ],
    ids=["no output layer", "an output layer that is not used"],
)
def test_a_probe_leaves_alone_what_it_cannot_fit(build, grey_images):
    network = build_photo_network(build, 2)
    labels = torch.linspace(0.1, 0.9, 20).view(10, 2)
    source = batches(grey_images)
    before = predict_logits(network, source, torch.float32)
    start_from_probe(network, source, labels, torch.float32)
    np.testing.assert_array_equal(predict_logits(network, source, torch.float32), before)


def test_with_a_learning_rate_of_zero_only_the_output_layer_has_gradients():
    network = build_photo_network("embedded", 2)
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
    network = build_photo_network("embedded", 2)
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


def test_an_epoch_brings_each_image_once(grey_images):
    torch.manual_seed(0)
    seen = {}
    for indices, pixels in batches(grey_images).training():
        assert pixels.dtype == torch.uint8
        assert pixels.shape[1:] == (3, 32, 32)
        for index, picture in zip(indices.tolist(), pixels, strict=True):
            assert index not in seen
            seen[index] = int(picture.float().mean())
    assert seen == {i: 20 * i for i in range(10)}


def test_epochs_differ_and_a_seed_repeats_them(grey_images):
    def epoch_orders(seed):
        torch.manual_seed(seed)
        source = batches(grey_images)
        return [torch.cat([i for i, _ in source.training()]).tolist() for _ in range(2)]

    first, second = epoch_orders(0)
    assert first != second
    assert epoch_orders(0) == [first, second]


def test_training_pictures_are_cropped_and_flipped(food_photos):
    torch.manual_seed(0)
    source = batches(food_photos.data[:1], image_size=64)
    whole = next(source.prediction([]))
    crops = [next(source.training())[1] for _ in range(6)]
    assert all((crop.float() - whole.float()).abs().mean() > 1 for crop in crops)
    assert len({crop.numpy().tobytes() for crop in crops}) == 6


def test_pictures_that_do_not_fit_in_memory_are_decoded_anew(food_photos, monkeypatch):
    def run():
        torch.manual_seed(0)
        source = batches(food_photos.data[:5], n_jobs=2)
        return [[p for _, p in source.training()] for _ in range(2)], source

    kept, source = run()
    assert source._decoded is not None
    monkeypatch.setattr("sklearn_cdul.training.batches._KEEP_DECODED_BYTES", 0)
    anew, source = run()
    assert source._decoded is None
    for a, b in zip(kept[0] + kept[1], anew[0] + anew[1], strict=True):
        assert torch.equal(a, b)


def test_prediction_keeps_the_order_and_ends_with_a_partial_batch(grey_images):
    means = torch.cat([b.float().mean(dim=(1, 2, 3)) for b in batches(grey_images).prediction([])])
    assert means.tolist() == [20 * i for i in range(10)]


def test_unreadable_images_are_an_error_or_nan(grey_images, tmp_path):
    images = [*grey_images[:2], str(tmp_path / "missing.jpg"), grey_images[3]]
    network = build_photo_network("embedded", 2)
    with pytest.raises(ImageError, match=r"missing\.jpg"):
        predict_logits(network, batches(images), torch.float32)
    with pytest.warns(UserWarning, match="1 of 4"):
        logits = predict_logits(network, batches(images, on_error="nan"), torch.float32)
    assert np.isnan(logits).all(axis=1).tolist() == [False, False, True, False]


def test_pictures_are_stretched_so_that_nothing_is_cut_away():
    image = Image.new("RGB", (90, 30))
    image.paste((255, 0, 0), (0, 0, 30, 30))
    (pixels,) = batches([image]).prediction([])
    assert (pixels[0, 0, :, :10] > 250).all()
    assert (pixels[0, 0, :, 12:] < 5).all()


def test_embeddings_are_standardised_and_constant_columns_do_no_harm():
    torch.manual_seed(0)
    vectors = torch.randn(50, 3) * 100 + 7
    vectors[:, 1] = 4.0
    network = EmbeddingNetwork(vectors, 2)
    logits = predict_logits(
        network, EmbeddingBatches(vectors.numpy(), batch_size=8, device=CPU), torch.float32
    )
    assert logits.shape == (50, 2)
    assert np.abs(logits).max() < 10


@pytest.mark.parametrize(("n", "sizes"), [(8, [4, 4]), (9, [4, 5]), (10, [4, 4, 2]), (1, [1])])
def test_no_training_batch_is_of_one_photo_if_others_are_there(n, sizes, grey_images):
    source = batches(grey_images[:n])
    assert [len(indices) for indices, _ in source.training()] == sizes
    assert source.steps_per_epoch == len(sizes)


def test_embeddings_may_be_read_only_and_reversed():
    vectors = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    vectors.flags.writeable = False
    (batch,) = EmbeddingBatches(vectors[::-1], batch_size=8, device=CPU).prediction([])
    assert_close(batch, torch.tensor(vectors[::-1].astype(np.float64)))


def test_prediction_halves_the_batch_when_memory_runs_out(grey_images):
    class Small(torch.nn.Module):
        def forward(self, pixels):
            if len(pixels) > 2:
                raise torch.cuda.OutOfMemoryError
            return pixels.float().mean(dim=(2, 3))

    logits = predict_logits(Small(), batches(grey_images, batch_size=8), torch.float32)
    np.testing.assert_allclose(logits[:, 0], 20 * np.arange(10), rtol=1e-5)
