"""Crops for training: random boxes, and the same pixels one by one and in a batch."""

import numpy as np
import pytest
import torch
from PIL import Image

from sklearn_cdul.training.crops import Crop, cut, cut_together, draw_crop


@pytest.fixture(scope="module")
def picture(food_photos):
    image = Image.open(food_photos.data[0]).convert("RGB").resize((90, 73))
    return torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())


def test_crops_have_half_to_all_of_the_area_and_every_other_is_mirrored(picture):
    torch.manual_seed(0)
    crops = [draw_crop(picture) for _ in range(400)]
    area = np.array([crop.height * crop.width for crop in crops]) / (73 * 90)
    ratio = np.array([crop.width / crop.height for crop in crops])
    assert area.min() > 0.48 and area.max() <= 1
    assert ratio.min() > 0.73 and ratio.max() < 1.36
    assert 0.4 < np.mean([crop.is_flipped for crop in crops]) < 0.6
    for crop in crops:
        assert 0 <= crop.top <= 73 - crop.height and 0 <= crop.left <= 90 - crop.width


@pytest.mark.parametrize("size", [40, 64, 90])
def test_a_batch_is_cut_as_single_pictures_are(picture, size):
    torch.manual_seed(0)
    crops = [draw_crop(picture) for _ in range(12)] + [Crop(0, 0, 73, 90, True)]
    together = cut_together(torch.stack([picture] * len(crops)), crops, size)
    single = torch.stack([cut(picture, crop, size) for crop in crops])
    assert together.dtype == torch.uint8 and together.shape == (13, 3, size, size)
    difference = (together.int() - single.int()).abs()
    assert difference.max() <= 2
    assert difference.float().mean() < 0.3


def test_single_pictures_is_truncated_as_torchvision_cuts_them(picture):
    from torchvision.transforms import v2

    theirs = v2.Compose(
        [
            v2.RandomResizedCrop(32, scale=(0.5, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
        ]
    )
    for seed in range(6):
        torch.manual_seed(seed)
        expected = theirs(picture)
        torch.manual_seed(seed)
        assert torch.equal(cut(picture, draw_crop(picture), 32), expected)


def test_nothing_shines_in_from_beyond_the_crop():
    picture = torch.full((3, 30, 30), 255, dtype=torch.uint8)
    picture[:, 5:25, 5:25] = 7
    crops = [Crop(5, 5, 20, 20, False), Crop(5, 5, 20, 20, True)]
    for size in (9, 20, 47):
        assert (cut_together(torch.stack([picture] * 2), crops, size) == 7).all()
