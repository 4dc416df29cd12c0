"""Pictures that tests of several files write and read."""

import io

import numpy as np
from PIL import Image

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
PICTURE = Image.fromarray(PIXELS)


def save(path, image, **options):
    image.save(path, **options)
    return path


def encoded(kind, picture=PICTURE, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def saved_photo(path, size, orientation=None):
    """A smooth JPEG, reddish on the left, with an EXIF orientation if wanted."""
    x = np.linspace(255, 0, size[0]).astype(np.uint8)
    image = Image.fromarray(np.repeat(x[None, :, None], size[1], 0).repeat(3, 2))
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    return save(path, image, quality=95, exif=exif)


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
        "empty.jpg": "is an empty file",
        "cut.jpg": "can't be read: .*truncated",
        "cut.png": "can't be read",
    }
