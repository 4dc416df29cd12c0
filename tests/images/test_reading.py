"""Sequences of images are listed, and decoded in order by threads."""

import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image

from sklearn_cdul.exceptions import ImageError, warn_about_failures, with_advice
from sklearn_cdul.images.items import check_images
from sklearn_cdul.images.reading import map_images, read_pictures
from tests.images.pictures import PICTURE, PIXELS, bad_files


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


def test_a_bad_image_gives_its_error_in_its_turn(tmp_path):
    bad_files(tmp_path)
    X = [PIXELS, tmp_path / "missing.jpg", PIXELS, tmp_path / "cut.jpg"]
    results = list(map_images(np.asarray, X))
    failures = [result for result in results if isinstance(result, ImageError)]
    assert [isinstance(result, ImageError) for result in results] == [False, True, False, True]
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
        list(map_images(broken, levels(1)))


def test_a_wrong_number_of_threads_is_refused_at_once():
    with pytest.raises(ValueError, match="n_jobs"):
        map_images(first_pixel, levels(1), n_jobs=0)


def test_an_error_that_stops_a_run_says_how_to_go_on(tmp_path):
    (error,) = map_images(first_pixel, [tmp_path / "missing.jpg"])
    assert "on_error" not in str(error)
    advised = with_advice(error)
    assert 'no such file. With on_error="nan" its row becomes NaN.' in str(advised)
    assert (advised.index, advised.path) == (0, str(tmp_path / "missing.jpg"))


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
