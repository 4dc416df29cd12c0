"""Large images are read or refused within a bound of memory, which their headers tell."""

import gc
import io
import os
import struct
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.checking import check_files
from sklearn_cdul.images.decoding import _Room, load_image, memory_for, open_picture
from sklearn_cdul.images.items import check_images
from sklearn_cdul.images.reading import map_images
from tests.images.pictures import encoded

ORIENTATION = 0x0112


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
    (outcome,) = map_images(np.asarray, [data])
    assert isinstance(outcome, ImageError)


def test_a_tile_may_be_larger_than_its_image():
    assert load_image(tiff_with_tile(16, 16), 0).size == (8, 8)


def test_a_large_jpeg_in_one_scan_is_not_refused():
    for size in [(20_000, 15_000), (60_000, 60_000)]:
        picture = open_picture(io.BytesIO(jpeg_header(*size)))
        assert memory_for(picture, (100, 100)) < 600e6


def test_a_jpeg_of_scans_without_end_is_refused():
    data = encoded("JPEG", Image.radial_gradient("L"), progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    assert load_image(data[:-2] + last * 90 + b"\xff\xd9", 0).size == (256, 256)
    for refuse in (load_image, lambda item, index: check_files([item])):
        with pytest.raises(ImageError, match=r"it has 1\d\d\d scans, more than the limit of 200"):
            refuse(data[:-2] + last * 1000 + b"\xff\xd9", 0)


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
