"""Bad photos are found in the first seconds, all at once, and good ones are never refused."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.checking import check_files
from sklearn_cdul.images.decoding import load_image
from sklearn_cdul.images.items import check_images
from tests.images.pictures import encoded

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
PICTURE = Image.fromarray(PIXELS)


def with_thumbnail():
    """A JPEG file that has a whole other one in its header, as those of cameras."""
    exif = Image.Exif()
    exif[0x010E] = encoded("JPEG", PICTURE).decode("latin-1")
    return encoded("JPEG", PICTURE, exif=exif.tobytes())


FILES = {
    "JPEG": encoded("JPEG", PICTURE),
    "progressive JPEG": encoded("JPEG", PICTURE, progressive=True),
    "JPEG with thumbnail": with_thumbnail(),
    "PNG": encoded("PNG", PICTURE),
    "GIF": encoded("GIF", PICTURE),
    "WEBP": encoded("WEBP", PICTURE),
    "BMP": encoded("BMP", PICTURE),
    "PPM": encoded("PPM", PICTURE),
    "TIFF": encoded("TIFF", PICTURE),
    "TIFF, LZW": encoded("TIFF", PICTURE, compression="tiff_lzw"),
    "JPEG 2000": encoded("JPEG2000", PICTURE),
    "TGA": encoded("TGA", PICTURE),
    "PCX": encoded("PCX", PICTURE),
    "SGI": encoded("SGI", PICTURE),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
@pytest.mark.filterwarnings("ignore")  # Pillow's own about damaged headers
def test_files_that_were_cut_off_are_found(name, share):
    data = FILES[name][: int(share * len(FILES[name]))]
    with pytest.raises(ImageError):
        load_image(data, 0)
    with pytest.raises(ImageError):
        check_files([data])


@pytest.mark.parametrize("name", FILES)
def test_complete_files_pass_whatever_follows_them(name):
    check_files([FILES[name], FILES[name] + bytes(1000), FILES[name] + b"MotionPhoto" * 9000])


def test_a_file_without_its_end_passes_if_it_can_be_read():
    data = FILES["PNG"][:-12]
    assert load_image(data, 0).size == (80, 60)
    check_files([data])


def test_a_download_filled_up_with_zeros_is_found(food_photos):
    for whole in (FILES["PNG"], Path(food_photos.data[1]).read_bytes()):
        data = whole[: len(whole) // 2].ljust(len(whole), b"\0")
        with pytest.raises(ImageError, match=r"X\[0\]"):
            check_files([data])


def test_one_error_counts_all_bad_photos_and_names_the_first(tmp_path, food_photos):
    photos = check_images([*food_photos.data[:100], *(tmp_path / f"{i}.jpg" for i in range(5))])
    with pytest.raises(ImageError, match=r"5 of 105 images can't be used: X\[100\]") as caught:
        check_files(photos, n_jobs=2)
    message = str(caught.value)
    assert [f"X[{index}]" in message for index in (100, 101, 102, 103)] == [True] * 3 + [False]
    assert 'on_error="nan"' in message
    assert caught.value.index == 100
    assert caught.value.path == str(tmp_path / "0.jpg")


def test_a_single_bad_photo_is_named_as_when_it_is_read(tmp_path):
    with pytest.raises(ImageError, match=r"^X\[1\] \(.*b.jpg\): there is no such file\. With on_e"):
        check_files([FILES["PNG"], str(tmp_path / "b.jpg")])


def test_pixels_that_can_not_be_used_are_found():
    for values in (np.ones((4, 4), np.float32), np.full((4, 4), 70_000, np.int32)):
        file = io.BytesIO()
        Image.fromarray(values).save(file, "TIFF")
        with pytest.raises(ImageError, match="scale them to uint8"):
            check_files([file.getvalue()])


def test_photos_pass_and_other_items_are_not_read(food_photos):
    class CloudPath:
        def read_bytes(self):
            raise AssertionError

    check_files([*food_photos.data[:20], PIXELS, Image.fromarray(PIXELS), CloudPath()])
