"""Images of every kind come out as upright RGB; bad ones are named; decoding stays in order."""

import os
import pickle
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image

from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.decoding import load_image
from sklearn_cdul.images.reading import (
    check_images,
    map_images,
    read_pictures,
    warn_about_failures,
)

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
PICTURE = Image.fromarray(PIXELS)


def save(path, image, **options):
    image.save(path, **options)
    return path


def saved_photo(path, size, orientation=None):
    """A smooth JPEG, reddish on the left, with an EXIF orientation if wanted."""
    x = np.linspace(255, 0, size[0]).astype(np.uint8)
    image = Image.fromarray(np.repeat(x[None, :, None], size[1], 0).repeat(3, 2))
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    return save(path, image, quality=95, exif=exif)


# check_images


@pytest.mark.parametrize(
    "X",
    [
        ["a.jpg", "b.jpg"],
        ("a.jpg", Path("b.jpg")),
        [PICTURE, "b.jpg"],
        [PIXELS, PICTURE],
        [PIXELS[:, :, 0], np.zeros((3, 4, 4), np.uint8)],
        np.stack([PIXELS, PIXELS]),
        np.array(["a.jpg", "b.jpg"]),
        np.array([["a.jpg"], ["b.jpg"]]),
        np.array([[Path("a.jpg")], ["b.jpg"]], dtype=object),
        pd.Series(["a.jpg", "b.jpg"], index=[7, 3]),
        pd.Series([PICTURE, PIXELS]),
        pd.DataFrame({"photo": ["a.jpg", "b.jpg"]}),
        pl.Series(["a.jpg", "b.jpg"]),
        pl.Series([PICTURE, PICTURE], dtype=pl.Object),
        pl.DataFrame({"photo": ["a.jpg", "b.jpg"]}),
    ],
)
def test_every_kind_of_sequence_becomes_a_list_of_its_items(X):
    images = check_images(X)
    assert isinstance(images, list)
    assert len(images) == 2
    assert not any(isinstance(image, list) for image in images)


def test_items_are_passed_on_untouched():
    X = ["a.jpg", Path("b.jpg"), PICTURE, PIXELS]
    assert all(image is item for image, item in zip(check_images(X), X, strict=True))


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ([], ValueError, "X is empty"),
        (np.empty((0, 4, 4, 3), np.uint8), ValueError, "X is empty"),
        ("photo.jpg", TypeError, r"single str. For one image write \[X\]"),
        (Path("photo.jpg"), TypeError, "single PosixPath|single WindowsPath"),
        (PICTURE, TypeError, "single Image"),
        (PIXELS, ValueError, r"For one image write \[X\]"),
        (np.zeros((2, 6, 8, 3)), ValueError, "must be uint8"),
        (np.zeros((5, 256)), ValueError, 'input="embeddings"'),
        (np.arange(3), ValueError, "can't be read as a sequence of images"),
        ({"a": "a.jpg"}, TypeError, "dict"),
        ({"a.jpg"}, TypeError, "set"),
        ((p for p in ["a.jpg"]), TypeError, "generator"),
        (None, TypeError, "NoneType"),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), ValueError, "2 columns"),
        (["a.jpg", None], ValueError, r"X\[1\] is missing"),
        (pd.Series(["a.jpg", pd.NA]), ValueError, r"X\[1\] is missing"),
        (pd.Series(["a.jpg", np.nan], dtype=object), ValueError, r"X\[1\] is missing"),
        (["a.jpg", 3], TypeError, r"X\[1\] is of type int"),
        ([b"a.jpg"], TypeError, r"X\[0\] is of type bytes"),
        ([["a.jpg"]], TypeError, r"X\[0\] is of type list"),
        ([PIXELS, PIXELS / 255], ValueError, r"X\[1\] is an array of dtype float64"),
        ([PIXELS.astype(np.uint16)], ValueError, "uint16"),
        ([PIXELS.transpose(2, 0, 1)], ValueError, r"shape \(3, 6, 8\)"),
        ([np.zeros(5, np.uint8)], ValueError, r"shape \(5,\)"),
    ],
)
def test_what_is_no_sequence_of_images_is_refused(X, error, message):
    with pytest.raises(error, match=message):
        check_images(X)


# load_image


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


def test_pixels_of_unknown_range_are_refused():
    with pytest.raises(ImageError, match=r"X\[2\].*floats of unknown range"):
        load_image(Image.new("F", (2, 2)), 2)
    with pytest.raises(ImageError, match="beyond 0 to 65535"):
        load_image(Image.new("I", (2, 2), 70000), 0)


def test_grey_arrays_with_and_without_a_channel_axis():
    grey = PIXELS[:, :, 0]
    for item in (grey, grey[:, :, None]):
        np.testing.assert_array_equal(np.asarray(load_image(item, 0))[:, :, 2], grey)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "photo.png", PICTURE, exif=exif)
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
        7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
        8: lambda a: a.transpose(1, 0, 2)[::-1],
    }[orientation]
    for item in (path, Image.open(path)):
        np.testing.assert_array_equal(np.asarray(load_image(item, 0)), undo(PIXELS))


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


def test_the_users_own_picture_is_left_as_it_was(tmp_path):
    path = saved_photo(tmp_path / "photo.jpg", (800, 600), orientation=6)
    picture = Image.open(path)
    load_image(picture, 0, min_size=(10, 10))
    assert picture.size == (800, 600)
    assert picture.getexif()[0x0112] == 6


def bad_files(folder):
    photo = saved_photo(folder / "photo.jpg", (200, 100))
    png = save(folder / "photo.png", Image.fromarray(RNG.integers(0, 256, (64, 64, 3), np.uint8)))
    (folder / "cut.jpg").write_bytes(photo.read_bytes()[:700])
    (folder / "cut.png").write_bytes(png.read_bytes()[:300])
    (folder / "text.jpg").write_text("not a photo")
    (folder / "empty.jpg").touch()
    (folder / "folder.jpg").mkdir()
    return {
        "missing.jpg": "no such file",
        "folder.jpg": "is a directory",
        "text.jpg": "not an image file",
        "empty.jpg": "not an image file",
        "cut.jpg": "can't be read: .*truncated",
        "cut.png": "can't be read",
    }


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


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    path = save(tmp_path / "bomb.png", Image.new("1", (300, 300)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300 * 300 // 2 - 1)
    with pytest.raises(ImageError, match=r"too large.*MAX_IMAGE_PIXELS"):
        load_image(path, 0)


def test_between_the_limits_pillow_warns_and_the_image_is_read(tmp_path, monkeypatch):
    path = save(tmp_path / "large.png", Image.new("1", (300, 300)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300 * 200)
    with pytest.warns(Image.DecompressionBombWarning):
        assert load_image(path, 0).size == (300, 300)


def test_image_error_survives_pickling():
    error = pickle.loads(pickle.dumps(ImageError("X[3] (a.jpg): no.", 3, "a.jpg")))
    assert (str(error), error.index, error.path) == ("X[3] (a.jpg): no.", 3, "a.jpg")


# map_images


def levels(n):
    return [np.full((4, 4, 3), i, np.uint8) for i in range(n)]


def first_pixel(image):
    return image.getpixel((0, 0))[0]


@pytest.mark.parametrize("n_jobs", [None, 1, 3, -1])
def test_results_come_in_order(n_jobs):
    def slow_first(image):
        level = first_pixel(image)
        time.sleep(0.002 * (level % 3 == 0))
        return level

    assert list(map_images(slow_first, levels(40), n_jobs=n_jobs)) == list(range(40))


def test_any_order_and_repetition_of_indices():
    indices = np.array([5, 1, 1, 9])
    assert list(map_images(first_pixel, levels(10), indices=indices)) == [5, 1, 1, 9]
    assert list(map_images(first_pixel, levels(3), indices=[])) == []


def test_the_same_picture_twice_is_safe_to_decode_at_once(food_photos):
    expected = np.asarray(Image.open(food_photos.data[0]).convert("RGB"))
    for _ in range(5):
        picture = Image.open(food_photos.data[0])
        for pixels in map_images(np.asarray, [picture] * 8, n_jobs=4):
            np.testing.assert_array_equal(pixels, expected)


def test_look_ahead_is_bounded():
    started = []

    def note(image):
        started.append(image)

    results = map_images(note, levels(100), n_jobs=2, look_ahead=5)
    next(results)
    time.sleep(0.1)
    assert len(started) <= 5
    results.close()


def test_nothing_is_decoded_before_the_first_result_is_asked_for():
    before = threading.active_count()
    map_images(first_pixel, ["missing.jpg"])
    assert threading.active_count() == before


def test_closing_stops_the_threads():
    started = []

    def note(image):
        started.append(image)
        time.sleep(0.01)

    results = map_images(note, levels(200), n_jobs=2, look_ahead=50)
    next(results)
    results.close()
    at_close = len(started)
    assert at_close < 50
    assert not any("map_images" in thread.name for thread in threading.enumerate())
    time.sleep(0.05)
    assert len(started) == at_close


def test_a_bad_image_raises_in_its_turn(tmp_path):
    results = map_images(first_pixel, [*levels(2), tmp_path / "missing.jpg", *levels(2)])
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ImageError, match=r"X\[2\]"):
        next(results)


def test_a_bad_image_gives_none_when_asked_for(tmp_path):
    bad_files(tmp_path)
    failures = []
    X = [PIXELS, tmp_path / "missing.jpg", PIXELS, tmp_path / "cut.jpg"]
    results = list(map_images(np.asarray, X, on_error="nan", failures=failures))
    assert [result is None for result in results] == [False, True, False, True]
    assert [failure.index for failure in failures] == [1, 3]
    with pytest.warns(UserWarning, match=r"2 of 4 images can't be used.*X\[1\]") as caught:
        warn_about_failures(failures, len(X))
    assert len(caught) == 1


def test_no_failures_no_warning(recwarn):
    warn_about_failures([], 3)
    assert not recwarn


def test_errors_of_the_function_pass_through():
    def broken(image):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(map_images(broken, levels(1), on_error="nan"))


@pytest.mark.parametrize("options", [{"on_error": "skip"}, {"n_jobs": 0}])
def test_wrong_options_are_refused_at_once(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        map_images(first_pixel, levels(1), **options)


def test_an_error_that_stops_a_run_says_how_to_go_on(tmp_path):
    with pytest.raises(ImageError, match=r'no such file\. With on_error="nan" its row') as caught:
        list(map_images(first_pixel, [PIXELS, tmp_path / "missing.jpg"]))
    assert caught.value.index == 1
    assert caught.value.path == str(tmp_path / "missing.jpg")
    failures = []
    list(map_images(first_pixel, [tmp_path / "a.jpg"], on_error="nan", failures=failures))
    assert "on_error" not in str(failures[0])


@pytest.mark.parametrize("look_ahead", [None, 1, 2])
def test_an_interrupt_while_the_threads_stop_is_not_lost(monkeypatch, look_ahead):
    # A consumer takes as many results as there are and lets go of the generator. What happens
    # while Python closes that can't be raised any more, so nothing may be left to do by then.
    def interrupted(self, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("concurrent.futures.ThreadPoolExecutor.shutdown", interrupted)
    photos = check_images(levels(3))
    for results in (
        map_images(first_pixel, photos, look_ahead=look_ahead),
        read_pictures(photos, 8, indices=range(3)),
    ):
        with pytest.raises(KeyboardInterrupt):
            for _ in range(3):
                next(results)
