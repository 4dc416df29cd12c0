"""What was made of an image is not made twice, and is the same as if it were."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.decoding import decode, load_image
from sklearn_cdul.images.items import check_images
from sklearn_cdul.images.pictures import PictureCache, make_picture
from sklearn_cdul.images.reading import map_images, read_pictures


@pytest.fixture
def large(tmp_path, food_photos):
    """A JPEG file of 1200 x 900 pixels."""
    path = tmp_path / "large.jpg"
    with Image.open(food_photos.data[0]) as photo:
        photo.resize((1200, 900)).save(path, quality=95)
    return path


def offer(cache, photos, index, min_size=None):
    """Decode a photo for something else; return its size."""
    image, serves = decode(photos[index], index, min_size)
    cache.offer(index, image, serves)
    return image.size


def test_images_that_were_checked_are_not_checked_again(food_photos):
    photos = check_images(food_photos.data[:3])
    assert photos == food_photos.data[:3]
    assert check_images(photos) is photos


def test_pictures_are_kept_when_an_image_is_decoded_for_something_else(food_photos):
    photos, cache = check_images(food_photos.data[:3]), PictureCache(3, [200])
    assert cache.get(1, 200) is None
    assert len(list(map_images(lambda image: None, photos, indices=[1, 2], cache=cache))) == 2
    assert cache.get(0, 200) is None
    expected = make_picture(load_image(photos[1], 1, min_size=(200, 200)), 200)
    assert cache.get(1, 200).shape == (3, 200, 200)
    assert_array_equal(cache.get(1, 200), expected)
    assert cache.get(1, 100) is None


def test_kept_and_new_pictures_come_in_the_order_asked_for(food_photos):
    photos, cache = check_images(food_photos.data[:4]), PictureCache(4, [24])
    offer(cache, photos, 2)
    order = [3, 2, 0, 2]
    expected = [make_picture(load_image(photos[i], i, min_size=(24, 24)), 24) for i in order]
    for _ in range(2):
        found = read_pictures(photos, 24, indices=order, cache=cache, n_jobs=1)
        for a, b in zip(found, expected, strict=True):
            assert_array_equal(a, b)


def test_sizes_for_which_there_is_no_room_are_not_kept(monkeypatch, food_photos):
    monkeypatch.setattr("sklearn_cdul.images.pictures._KEPT_BYTES", 3 * 3 * 24**2)
    photos, cache = check_images(food_photos.data[:3]), PictureCache(3, [24, 8])
    offer(cache, photos, 0, (24, 24))
    assert cache.get(0, 24) is not None
    assert cache.get(0, 8) is None


@pytest.mark.parametrize("orientation", [1, 6])
def test_pixels_decoded_at_another_scale_make_no_picture(large, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(large) as image:
        image.save(large, quality=95, exif=exif)
    cache = PictureCache(1, [200])  # from a quarter of the file's size
    assert min(offer(cache, [large], 0, (600, 600))) == 900
    assert cache.get(0, 200) is None
    assert min(offer(cache, [large], 0, (210, 210))) == 225
    expected = make_picture(load_image(large, 0, min_size=(200, 200)), 200)
    assert_array_equal(cache.get(0, 200), expected)


@pytest.mark.parametrize("size", [(1200, 900), (901, 1203), (64, 48), (17, 9)])
@pytest.mark.parametrize("orientation", [1, 8])
def test_decoding_knows_for_which_sizes_it_serves(tmp_path, size, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo.jpg"
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, exif=exif)
    wanted = [(8, 8), (50, 90), (120, 100), (300, 300), (450, 600), (2000, 10)]
    images = [np.asarray(load_image(path, 0, min_size=other)) for other in wanted]
    for min_size, own in zip(wanted, images, strict=True):
        _, serves = decode(path, 0, min_size)
        for other, pixels in zip(wanted, images, strict=True):
            assert serves(other) == np.array_equal(own, pixels)
    _, serves = decode(path, 0, None)
    full = np.asarray(load_image(path, 0))
    assert [serves(other) for other in wanted] == [np.array_equal(full, i) for i in images]


def test_an_image_that_cannot_be_read_makes_no_picture(tmp_path):
    photos, cache = check_images([str(tmp_path / "missing.jpg")]), PictureCache(1, [16])
    for _ in range(2):
        (found,) = read_pictures(photos, 16, indices=[0], cache=cache)
        assert isinstance(found, ImageError) and found.index == 0
    assert cache.get(0, 16) is None
