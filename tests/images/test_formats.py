"""Files are what they are, whatever their names: foreign, hostile and huge ones too."""

import io
import os
import socket

import numpy as np
import pytest
from PIL import Image, ImageOps

from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.decoding import load_image
from sklearn_cdul.images.digests import content_digest
from sklearn_cdul.images.reading import map_images
from tests.images.pictures import encoded

ORIENTATION = 0x0112
# Red above, green on the left: no two orientations look alike.
PIXELS = np.zeros((60, 80, 3), np.uint8)
PIXELS[:30, :, 0] = 255
PIXELS[:, :40, 1] = 255
PICTURE = Image.fromarray(PIXELS)


def is_decoded(picture):
    return vars(picture).get("_im", vars(picture).get("im")) is not None


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "jpeg"}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("JPEG", {"quality": 95}),
        ("AVIF", {"quality": 95}),
    ],
)
def test_the_orientation_is_applied_once_in_every_format(kind, options, orientation):
    if kind not in Image.registered_extensions().values():
        pytest.skip(f"this Pillow has no {kind}")
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encoded(kind, PICTURE, exif=exif, **options)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert expected.size == ((60, 80) if orientation >= 5 else (80, 60))
    loaded = Image.open(io.BytesIO(data))
    loaded.load()
    for item in (data, Image.open(io.BytesIO(data)), loaded):
        image = np.asarray(load_image(item, 0), int)
        assert image.shape == np.asarray(expected).shape
        assert np.abs(image - np.asarray(expected, int)).max() <= 1


def test_the_first_page_of_a_tiff_is_turned_by_its_own_orientation():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    data = encoded(
        "TIFF", PICTURE, exif=exif, save_all=True, append_images=[Image.new("RGB", (9, 5))]
    )
    assert load_image(data, 0).size == (60, 80)


def test_a_portrait_heic_photo_is_upright():
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    portrait = Image.open(io.BytesIO(encoded("PNG", PICTURE, exif=exif)))
    image = load_image(encoded("HEIF", portrait, quality=95), 0)
    assert image.size == (60, 80)
    expected = np.asarray(ImageOps.exif_transpose(portrait), int)
    assert np.abs(np.asarray(image, int) - expected).mean() < 2


# PIL images that are not decoded yet


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP"])
def test_an_image_that_was_opened_stays_as_it_is(kind, tmp_path):
    path = tmp_path / "photo"
    path.write_bytes(encoded(kind, PICTURE))
    expected = np.asarray(load_image(path, 0))
    for picture in (Image.open(path), Image.open(io.BytesIO(path.read_bytes()))):
        for pixels in map_images(np.asarray, [picture] * 6, n_jobs=3):
            np.testing.assert_array_equal(pixels, expected)
        assert not is_decoded(picture)
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), expected)


def test_an_image_whose_file_was_closed_is_read_by_its_path(tmp_path):
    PICTURE.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        pass
    np.testing.assert_array_equal(np.asarray(load_image(picture, 0)), PIXELS)
    with Image.open(io.BytesIO(encoded("PNG", PICTURE))) as picture:
        pass
    with pytest.raises(ImageError, match=r"X\[3\] can't be read: its file was closed"):
        load_image(picture, 3)


def test_an_open_image_shows_its_own_file_not_what_its_path_is_now(tmp_path):
    PICTURE.save(tmp_path / "a.png")
    picture = Image.open(tmp_path / "a.png")
    Image.new("RGB", (80, 60)).save(tmp_path / "b.png")
    os.replace(tmp_path / "b.png", tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(load_image(picture, 0)), PIXELS)


def test_what_was_done_to_an_opened_image_is_kept(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    PICTURE.save(tmp_path / "a.jpg", exif=exif)
    PICTURE.save(tmp_path / "a.tiff", save_all=True, append_images=[Image.new("RGB", (9, 5))])
    drafted = Image.open(tmp_path / "a.jpg")
    drafted.draft("L", (20, 20))
    assert load_image(drafted, 0).size == (30, 40)
    second_page = Image.open(tmp_path / "a.tiff")
    second_page.seek(1)
    assert load_image(second_page, 0).size == (9, 5)
    not_turned = Image.open(tmp_path / "a.jpg")
    not_turned.getexif()[ORIENTATION] = 1
    assert load_image(not_turned, 0).size == (80, 60)
    part = Image.open(tmp_path / "a.tiff").crop((0, 0, 7, 3))
    assert load_image(part, 0).size == (7, 3)


# What is no photo


def ftyp(brand, *compatible):
    return b"\0\0\0\x20ftyp" + brand + bytes(4) + b"".join(compatible).ljust(16, b"\0") + bytes(99)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "EPS"),
        (b"\xc5\xd0\xd3\xc6" + bytes(60), "EPS"),
        (ftyp(b"crx "), "raw photo"),
        (ftyp(b"isom"), "video"),
        (b"\xff\x0a" + bytes(60), "JPEG XL.*pillow-jxl-plugin"),
        (b"\0\x05\x16\x07\0\x02\0\0Mac OS X        " + bytes(60), "names that begin with a dot"),
        (b"\0\0\0\x01Bud1" + bytes(60), "file of macOS"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"<!DOCTYPE html>\n<html></html>", "web page"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "a drawing"),
        (b"%PDF-1.7\n", "PDF"),
        (b"not a\nphoto", "not an image file"),
        (b"", "is an empty file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(60), "damaged PNG"),
    ],
)
def test_a_foreign_file_is_called_by_its_name(data, message, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    for item in (path, io.BytesIO(data)):
        with pytest.raises(ImageError, match=rf"X\[2\].*{message}"):
            load_image(item, 2)


@pytest.mark.parametrize(
    ("data", "plugin"),
    [
        (ftyp(b"heic", b"mif1", b"heic"), "pillow_heif.register_heif_opener"),
        (ftyp(b"mif1", b"mif1", b"heic"), "pillow_heif.register_heif_opener"),
        (ftyp(b"avif", b"mif1", b"avif"), "pillow-avif-plugin"),
    ],
)
def test_photos_that_need_a_plug_in_name_it_under_any_name(data, plugin, tmp_path, monkeypatch):
    for name in ("HEIF", "AVIF"):
        monkeypatch.setattr(Image, "ID", [known for known in Image.ID if known != name])
    for name in ("a.jpg", "a.png", "a.heic"):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ImageError, match=plugin):
            load_image(tmp_path / name, 0)


def iptc(record, data_set, data):
    return bytes([0x1C, record, data_set]) + len(data).to_bytes(2, "big") + data


def test_no_program_is_run_on_a_file(monkeypatch, tmp_path):
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    size = (9).to_bytes(2, "big")
    nested = iptc(3, 20, size) + iptc(3, 30, size) + iptc(3, 60, b"\x01\x01") + iptc(3, 65, b"\x01")
    nested += iptc(3, 120, b"\x01") + iptc(8, 10, eps)
    path = tmp_path / "drawing.eps"
    path.write_bytes(eps)
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *args, **kwargs: 1 / 0)
    for item in (path, eps, nested, Image.open(path)):
        with pytest.raises(ImageError) as caught:
            load_image(item, 0)
        assert "division" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "pipe.jpg")
    kinds = {tmp_path / "pipe.jpg": "named pipe", tmp_path / "link.jpg": "named pipe"}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.bind(os.path.relpath(tmp_path / "socket"))
        kinds |= {tmp_path / "socket": "socket", "/dev/zero": "device", "/dev/null": "device"}
        for path, kind in kinds.items():
            for read in (load_image, content_digest):
                with pytest.raises(ImageError, match=f"it is a {kind}, not a regular file"):
                    read(path, 0)


def test_a_folder_is_called_a_directory_where_opening_it_is_forbidden(tmp_path, monkeypatch):
    def forbidden(*args, **kwargs):  # as on Windows
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", forbidden)
    with pytest.raises(ImageError, match="is a directory"):
        load_image(tmp_path, 0)
