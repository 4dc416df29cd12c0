"""Files are what they are, whatever their names: foreign, hostile and huge ones too."""

import gc
import io
import os
import socket
import struct
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.checking import check_files
from sklearn_cdul.images.decoding import _Room, load_image, memory_for, open_picture
from sklearn_cdul.images.digests import content_digest
from sklearn_cdul.images.reading import check_images, map_images

ORIENTATION = 0x0112
# Red above, green on the left: no two orientations look alike.
PIXELS = np.zeros((60, 80, 3), np.uint8)
PIXELS[:30, :, 0] = 255
PIXELS[:, :40, 1] = 255
PICTURE = Image.fromarray(PIXELS)


def encoded(kind, picture=PICTURE, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


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
    data = encoded(kind, exif=exif, **options)
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
    data = encoded("TIFF", exif=exif, save_all=True, append_images=[Image.new("RGB", (9, 5))])
    assert load_image(data, 0).size == (60, 80)


def test_a_portrait_heic_photo_is_upright():
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    portrait = Image.open(io.BytesIO(encoded("PNG", exif=exif)))
    image = load_image(encoded("HEIF", portrait, quality=95), 0)
    assert image.size == (60, 80)
    expected = np.asarray(ImageOps.exif_transpose(portrait), int)
    assert np.abs(np.asarray(image, int) - expected).mean() < 2


# PIL images that are not decoded yet


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP"])
def test_an_image_that_was_opened_stays_as_it_is(kind, tmp_path):
    path = tmp_path / "photo"
    path.write_bytes(encoded(kind))
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
    with Image.open(io.BytesIO(encoded("PNG"))) as picture:
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
        (b"", "not an image file"),
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


# Size


def test_the_pixels_of_a_jpeg_count_after_it_was_scaled_down(monkeypatch, recwarn):
    data = encoded("JPEG", Image.new("RGB", (800, 600)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100 * 75)
    assert load_image(data, 0, min_size=(90, 70)).size == (100, 75)
    assert not [w for w in recwarn if w.category is Image.DecompressionBombWarning]
    with pytest.raises(ImageError, match=r"480000 pixels.*MAX_IMAGE_PIXELS"):
        load_image(data, 0)


def test_a_giant_of_another_format_is_scaled_down_or_refused(monkeypatch):
    data = encoded("PNG", Image.new("RGBA", (800, 1601), (255, 0, 0, 128)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 800 * 1000)
    with pytest.warns(Image.DecompressionBombWarning):
        image = load_image(data, 0, min_size=(100, 100))
    assert image.size == (100, 201)
    assert image.getpixel((50, 200)) == (255, 127, 127)
    with pytest.warns(Image.DecompressionBombWarning):
        assert load_image(data, 0).size == (800, 1601)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 800 * 800)
    with pytest.raises(ImageError, match="decompression bomb"):
        load_image(data, 0, min_size=(100, 100))


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_giant_is_scaled_down_as_it_will_stand(monkeypatch, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encoded("PNG", Image.new("RGB", (800, 400)), exif=exif)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 800 * 300)
    with pytest.warns(Image.DecompressionBombWarning):
        image = load_image(data, 0, min_size=(200, 100))
    assert image.size == ((200, 100) if orientation == 1 else (200, 400))


def test_one_warning_about_large_images_in_all(monkeypatch):
    sizes = [(300, 300), (301, 300), (302, 300), (303, 300)]
    photos = check_images([encoded("PNG", Image.new("L", size)) for size in sizes])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300 * 299)
    with pytest.warns(Image.DecompressionBombWarning) as caught:
        for _ in range(2):
            assert len(list(map_images(np.asarray, photos))) == 4
    assert [w.category for w in caught].count(Image.DecompressionBombWarning) == 1


def png_header(width, height, depth, color):
    """A PNG file that ends where its pixels would begin."""
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", b""), (b"IEND", b"")]
    parts = [(name + data, struct.pack(">I", len(data))) for name, data in chunks]
    ends = [size + part + struct.pack(">I", zlib.crc32(part)) for part, size in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(ends)


def jpeg_header(width, height, *, n_first=3, **options):
    """A JPEG file that says it is larger than it is, with some of its colours in the first scan."""
    data = bytearray(encoded("JPEG", subsampling=0, **options))
    frame = data.index(b"\xff\xc2" if options else b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    data[data.index(b"\xff\xda") + 4] = n_first
    return bytes(data)


def webp_header(width, height):
    data = bytearray(encoded("WEBP", lossless=True))
    data[21:25] = struct.pack("<I", (height - 1) << 14 | (width - 1))
    return bytes(data)


def tiff_with_tile(width, height):
    """A TIFF file of 8 x 8 pixels in one tile, whose size is what the file says."""
    data = zlib.compress(bytes(256))
    tags = {256: 8, 257: 8, 258: 8, 259: 8, 262: 1, 322: width, 323: height, 325: len(data)}
    tags = sorted({**tags, 277: 1, 324: 8 + 2 + 12 * 10 + 4}.items())
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data


@pytest.mark.parametrize(
    "data",
    [
        png_header(88_000_000, 1, 8, 6),
        png_header(34_000_000, 1, 16, 6),
        png_header(1, 178_000_000, 8, 0),
        png_header(50_000, 50_000, 8, 2),
        jpeg_header(20_000, 15_000, progressive=True),
        jpeg_header(20_000, 15_000, n_first=1),
        webp_header(16_383, 10_000),
        tiff_with_tile(65_520, 32_000),
    ],
)
def test_what_would_take_too_much_memory_is_refused_by_its_header(data):
    for refuse in (lambda: load_image(data, 3, min_size=(9, 9)), lambda: check_files([data])):
        with pytest.raises(ImageError, match=r"is too large|too little memory"):
            refuse()
    assert list(map_images(np.asarray, [data], on_error="nan")) == [None]


def test_a_tile_may_be_larger_than_its_image():
    assert load_image(tiff_with_tile(16, 16), 0).size == (8, 8)


def test_a_large_jpeg_in_one_scan_is_not_refused():
    for size in [(20_000, 15_000), (60_000, 60_000)]:
        picture = open_picture(io.BytesIO(jpeg_header(*size)))
        assert memory_for(picture, (100, 100)) < 600e6


def memory_status(name):
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[name].split()[0]) * 1024


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux")
@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("PNG", "LA", {}),
        ("TIFF", "RGBA", {"compression": "tiff_lzw"}),
        ("TIFF", "RGB", {"compression": "jpeg"}),
        ("WEBP", "RGBA", {"method": 0}),
        ("AVIF", "RGBA", {"speed": 10, "subsampling": "4:4:4"}),
        ("JPEG2000", "RGBA", {}),
        ("JPEG", "RGB", {"progressive": True, "subsampling": 0}),
    ],
)
def test_decoding_takes_no_more_memory_than_is_counted(kind, mode, options):
    if kind not in Image.registered_extensions().values():
        pytest.skip(f"this Pillow has no {kind}")
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    picture = Image.radial_gradient("L").resize((1800, 1800)).convert(mode)
    data = encoded(kind, picture, exif=exif, **options)
    counted = memory_for(open_picture(io.BytesIO(data)), None)
    del picture
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # forgets the highest memory so far
    before = memory_status("VmRSS")
    load_image(data, 0)
    assert memory_status("VmHWM") - before < counted + len(data) + 32e6


def test_large_images_wait_for_each_other():
    room, inside, most = _Room(100), [], []

    def decode(amount):
        with room.hold(amount):
            inside.append(amount)
            most.append(sum(inside))
            time.sleep(0.01)
            inside.remove(amount)

    threads = [threading.Thread(target=decode, args=[amount]) for amount in [40, 60, 30, 250] * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 12
    assert all(amount <= 100 or amount == 250 for amount in most)


def test_an_image_that_fails_leaves_the_room():
    room = _Room(100)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), room.hold(90):
            raise ZeroDivisionError
    with room.hold(90):
        pass
