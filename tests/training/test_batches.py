"""Sources bring every photo once an epoch, augmented, or once in order as it is."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close
from torchvision.transforms import v2

from sklearn_cdul.images.decoding import decode
from sklearn_cdul.images.pictures import PictureCache
from sklearn_cdul.training import GradientTraining
from sklearn_cdul.training.batches import (
    EmbeddingSource,
    cut,
    draw_crop,
    epoch,
)
from tests.training.conftest import photo_source

CPU = torch.device("cpu")


def test_an_epoch_brings_each_image_once(grey_images):
    torch.manual_seed(0)
    seen = {}
    for indices, pixels in epoch(photo_source(grey_images), 4):
        assert pixels.dtype == torch.uint8
        assert pixels.shape[1:] == (3, 32, 32)
        for index, picture in zip(indices.tolist(), pixels, strict=True):
            assert index not in seen
            seen[index] = int(picture.float().mean())
    assert seen == {i: 20 * i for i in range(10)}


def test_epochs_differ_and_a_seed_repeats_them(grey_images):
    def epoch_orders(seed):
        torch.manual_seed(seed)
        source = photo_source(grey_images)
        return [torch.cat([i for i, _ in epoch(source, 4)]).tolist() for _ in range(2)]

    first, second = epoch_orders(0)
    assert first != second
    assert epoch_orders(0) == [first, second]


def test_training_pictures_are_cropped_and_flipped(food_photos):
    torch.manual_seed(0)
    source = photo_source(food_photos.data[:1], image_size=64)
    whole = next(source.prediction({}))
    crops = [next(epoch(source, 4))[1] for _ in range(6)]
    assert all((crop.float() - whole.float()).abs().mean() > 1 for crop in crops)
    assert len({crop.numpy().tobytes() for crop in crops}) == 6


@pytest.mark.parametrize("sizes, decoded", [([37, 32], 5), ([37], 10), ([], 15)])
def test_pictures_in_the_cache_are_not_decoded_again(sizes, decoded, food_photos, monkeypatch):
    images = [np.asarray(Image.open(path).convert("RGB")) for path in food_photos.data[:5]]

    def run(cache):
        torch.manual_seed(0)
        source = photo_source(images, n_jobs=2, cache=cache)
        pictures = [pixels for _ in range(2) for _, pixels in epoch(source, 4)]
        return pictures + list(source.prediction({}))

    anew, seen = run(None), []
    monkeypatch.setattr(
        "sklearn_cdul.images.reading.decode", lambda *given: seen.append(1) or decode(*given)
    )
    assert GradientTraining().picture_sizes(32) == [37, 32]
    kept = run(PictureCache(5, sizes))
    assert len(seen) == decoded
    assert all(torch.equal(a, b) for a, b in zip(kept, anew, strict=True))


def test_a_part_of_a_source_shares_its_pictures_and_counts_from_zero(grey_images, tmp_path):
    images = [*grey_images[:3], str(tmp_path / "missing.jpg"), *grey_images[3:]]
    source = photo_source(images, on_error="nan", cache=PictureCache(11, [32]))
    part = source.select([5, 3, 0]).select([1, 0])
    failures = {}
    (pixels,) = part.prediction(failures)
    assert len(part) == 2
    assert pixels[1].float().mean() == 80
    assert list(failures) == [0]
    assert failures[0].index == 3
    assert part.photos is source.photos


def test_vectors_are_selected_by_position():
    vectors = np.arange(8, dtype=np.float32).reshape(4, 2)
    part = EmbeddingSource(vectors, device=CPU).select([3, 1])
    (batch,) = part.prediction({})
    assert batch.tolist() == [[6, 7], [2, 3]]
    ((indices, trained),) = epoch(part, 4)
    assert torch.equal(trained, part.embeddings[indices])
    assert len(part.select(range(0))) == 0


def test_prediction_keeps_the_order_and_ends_with_a_partial_batch(grey_images):
    means = torch.cat(
        [b.float().mean(dim=(1, 2, 3)) for b in photo_source(grey_images).prediction({})]
    )
    assert means.tolist() == [20 * i for i in range(10)]


def test_pictures_are_stretched_so_that_nothing_is_cut_away():
    image = Image.new("RGB", (90, 30))
    image.paste((255, 0, 0), (0, 0, 30, 30))
    (pixels,) = photo_source([image]).prediction({})
    assert (pixels[0, 0, :, :10] > 250).all()
    assert (pixels[0, 0, :, 12:] < 5).all()


@pytest.mark.parametrize(("n", "sizes"), [(8, [4, 4]), (9, [4, 5]), (10, [4, 4, 2]), (1, [1])])
def test_no_training_batch_is_of_one_photo_if_others_are_there(n, sizes, grey_images):
    source = photo_source(grey_images[:n])
    assert [len(indices) for indices, _ in epoch(source, 4)] == sizes


def test_embeddings_may_be_read_only_and_reversed():
    vectors = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    vectors.flags.writeable = False
    (batch,) = EmbeddingSource(vectors[::-1], device=CPU).prediction({})
    assert_close(batch, torch.tensor(vectors[::-1].astype(np.float64)))


def test_crops_have_half_to_all_of_the_area_and_every_other_is_mirrored():
    torch.manual_seed(0)
    crops = [draw_crop(80) for _ in range(400)]
    top, left, height, width, is_mirrored = np.array(crops).T
    area, ratio = height * width / 80**2, width / height
    assert area.min() > 0.48 and area.max() <= 1
    assert ratio.min() > 0.73 and ratio.max() < 1.36
    assert 0.4 < is_mirrored.mean() < 0.6
    assert (top >= 0).all() and (top + height <= 80).all()
    assert (left >= 0).all() and (left + width <= 80).all()


def test_pictures_are_cropped_as_torchvision_crops_them(food_photos):
    image = Image.open(food_photos.data[0]).convert("RGB").resize((80, 80))
    picture = torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())
    theirs = v2.Compose(
        [v2.RandomResizedCrop(32, scale=(0.5, 1.0), antialias=True), v2.RandomHorizontalFlip()]
    )
    for seed in range(6):
        torch.manual_seed(seed)
        expected = theirs(picture)
        torch.manual_seed(seed)
        assert torch.equal(cut(picture, draw_crop(80), 32), expected)
