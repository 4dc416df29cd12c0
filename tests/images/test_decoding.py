"""Images of every kind come out as upright RGB; bad ones are named."""

import os
import pickle

import numpy as np
import pytest
from PIL import Image

from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.decoding import load_image
from tests.images.pictures import PICTURE, PIXELS, bad_files, save, saved_photo


@pytest.mark.parametrize("name", ["photo.png", "photo.bmp", "photo.tiff", "photo.ppm"])
def test_a_lossless_file_gives_its_pixels(tmp_path, name):
    path = save(tmp_path / name, PICTURE)
    for item in (path, str(path), Image.open(path), PIXELS, PICTURE):
        image = load_image(item, 0)
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), PIXELS)


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "YCbCr", "LA", "RGBA", "PA", "HSV"])
def test_opaque_pictures_of_any_mode_become_what_pillow_makes_of_them(mode):
    picture = (PICTURE.convert("P") if mode == "PA" else PICTURE).convert(mode)
    expected = np.asarray(picture.convert("RGB"))
    np.testing.assert_array_equal(np.asarray(load_image(picture, 0)), expected)


def test_cmyk_jpeg_is_read(tmp_path):
    path = save(tmp_path / "print.jpg", Image.new("CMYK", (16, 16), (0, 255, 255, 0)))
    red, green, blue = np.asarray(load_image(path, 0))[8, 8]
    assert red > 240
    assert green < 20
    assert blue < 20


def test_transparent_pixels_become_white(tmp_path):
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0] = 255, 0, 0, 255
    rgba[0, 1] = 255, 0, 0, 0
    rgba[1, 0] = 0, 0, 0, 51  # a fifth of black on white
    expected = [[(255, 0, 0), (255, 255, 255)], [(204, 204, 204), (255, 255, 255)]]
    for item in (rgba, save(tmp_path / "logo.png", Image.fromarray(rgba))):
        np.testing.assert_array_equal(np.asarray(load_image(item, 0)), expected)
    grey = Image.fromarray(rgba).convert("LA")
    np.testing.assert_array_equal(np.asarray(load_image(grey, 0))[0, 1], [255] * 3)


def test_a_transparent_colour_of_a_palette_becomes_white(tmp_path):
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putpixel((1, 0), 1)
    path = save(tmp_path / "icon.png", picture, transparency=1)
    np.testing.assert_array_equal(np.asarray(load_image(path, 0)), [[(255, 0, 0), (255, 255, 255)]])


def test_16_bit_grey_keeps_its_full_range(tmp_path):
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    big_endian = Image.frombytes("I;16B", (4, 1), values.astype(">u2").tobytes())
    for item in (
        save(tmp_path / "scan.png", Image.fromarray(values)),
        save(tmp_path / "scan.tiff", Image.fromarray(values)),
        Image.fromarray(values.astype(np.int32)),
        big_endian,
    ):
        image = load_image(item, 0)
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image)[0, :, 0], [0, 1, 128, 255])


@pytest.mark.parametrize(
    ("highest", "levels"),
    [(0, 255), (200, 255), (256, 1023), (4095, 4095), (9000, 16383), (16384, 65535)],
)
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_16_bit_grey_is_scaled_by_the_bits_in_use(tmp_path, kind, highest, levels):
    values = np.linspace(0, highest, 5000).round().astype(np.uint16).reshape(2, 2500)
    for item in (
        save(tmp_path / f"scan.{kind}", Image.fromarray(values)),
        Image.fromarray(values.astype(np.int32)),
    ):
        pixels = np.asarray(load_image(item, 0), float)[:, :, 0]
        assert np.abs(pixels - values * (255 / levels)).max() < 0.51


def test_pixels_of_unknown_range_are_refused():
    with pytest.raises(ImageError, match=r"X\[2\].*floats of unknown range"):
        load_image(Image.new("F", (2, 2)), 2)
    with pytest.raises(ImageError, match="beyond 0 to 65535"):
        load_image(Image.new("I", (2, 2), 70000), 0)


def test_grey_arrays_with_and_without_a_channel_axis():
    grey = PIXELS[:, :, 0]
    for item in (grey, grey[:, :, None]):
        np.testing.assert_array_equal(np.asarray(load_image(item, 0))[:, :, 2], grey)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_cost_the_photo(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (9, 5)).save(path, exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert load_image(path, 0).size == (9, 5)


def test_first_frame_of_an_animation_and_first_page_of_a_tiff(tmp_path):
    red, blue = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    for name in ("film.gif", "pages.tiff"):
        path = save(tmp_path / name, red, save_all=True, append_images=[blue])
        assert load_image(path, 0).getpixel((1, 1)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("size", "min_size", "expected"),
    [
        ((800, 600), None, (800, 600)),
        ((800, 600), (100, 75), (100, 75)),
        ((800, 600), (100, 76), (200, 150)),
        ((800, 600), (300, 300), (400, 300)),
        ((800, 600), (400, 301), (800, 600)),
        ((100, 100), (300, 300), (100, 100)),
    ],
)
def test_large_jpegs_are_decoded_no_smaller_than_needed(tmp_path, size, min_size, expected):
    path = saved_photo(tmp_path / "photo.jpg", size)
    assert load_image(path, 0, min_size=min_size).size == expected


def test_reduced_decoding_knows_that_a_rotated_photo_swaps_its_sides(tmp_path):
    path = saved_photo(tmp_path / "photo.jpg", (800, 400), orientation=6)
    assert load_image(path, 0, min_size=(100, 200)).size == (100, 200)
    assert load_image(path, 0, min_size=(200, 100)).size == (200, 400)


def test_reduced_decoding_changes_little(food_photos):
    path = food_photos.data[0]
    full = load_image(path, 0)
    half_size = ((full.width + 1) // 2, (full.height + 1) // 2)
    half = load_image(path, 0, min_size=(full.width // 2, full.height // 2))
    assert half.size == half_size
    resized = full.resize(half_size, Image.Resampling.BOX)
    assert np.abs(np.asarray(half, float) - np.asarray(resized, float)).mean() < 3


def test_bad_files_are_named_with_index_and_path(tmp_path):
    for name, message in bad_files(tmp_path).items():
        path = tmp_path / name
        with pytest.raises(ImageError, match=message) as caught:
            load_image(path, 5)
        assert str(caught.value).startswith(f"X[5] ({path})")
        assert caught.value.index == 5
        assert caught.value.path == str(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all files")
def test_a_forbidden_file_is_named(tmp_path):
    path = saved_photo(tmp_path / "photo.jpg", (8, 8))
    path.chmod(0)
    with pytest.raises(ImageError, match="permission denied"):
        load_image(path, 0)


def test_a_picture_without_pixels_is_refused():
    for item in (np.zeros((0, 5, 3), np.uint8), Image.new("RGB", (0, 5)), np.zeros((4, 0), "u1")):
        with pytest.raises(ImageError, match=r"X\[1\]"):
            load_image(item, 1)


def test_image_error_survives_pickling():
    error = pickle.loads(pickle.dumps(ImageError("X[3] (a.jpg): no.", 3, "a.jpg")))
    assert (str(error), error.index, error.path) == ("X[3] (a.jpg): no.", 3, "a.jpg")
