"""Decode one image of any kind to upright RGB."""

import io
import math
import warnings
from collections.abc import Callable
from typing import IO, Any

import numpy as np
from PIL import Image, ImageFile

from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.encoded import (
    LazyItem,
    lock_of,
    open_encoded,
    read_from_start,
)
from sklearn_cdul.images.errors import named_errors
from sklearn_cdul.images.formats import may_be_opened, open_picture
from sklearn_cdul.images.items import check_item
from sklearn_cdul.images.room import room_for

_ORIENTATION = 0x0112  # EXIF tag
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_JPEG = ("JPEG", "MPO")
# Scales of Pillow's draft mode, which giants of other formats get too.
_SCALES = (8, 4, 2)
_STRIP = 512  # rows; a multiple of all scales


def load_image(item: Any, index: int, *, min_size: tuple[int, int] | None = None) -> Image.Image:
    """Decode one image to upright RGB.

    The orientation in the EXIF data is applied. Transparent pixels become white. 16-bit grey
    keeps its full range: 65535 becomes 255. Of several frames or pages the first is read.
    """
    return decode(item, index, min_size)[0]


def decode(
    item: Any,
    index: int,
    min_size: tuple[int, int] | None,
    warn: Callable[[str], None] | None = None,
) -> tuple[Image.Image, Callable[[tuple[int, int]], bool]]:
    """Decode one image as `load_image` does, and tell whom else the pixels serve."""
    if isinstance(item, LazyItem):
        item = read_lazy(item, index)
    with named_errors(item, index):
        if isinstance(item, np.ndarray):
            item = Image.fromarray(item[:, :, 0] if item.shape[2:] == (1,) else item)
        if isinstance(item, Image.Image):
            return _decode_opened(item, warn or warn_of_size), lambda size: True
        file = open_encoded(item)
        assert file is not None
        with file:
            return _decode_picture(open_picture(file), min_size, warn or warn_of_size)


def read_lazy(item: LazyItem, index: int) -> Any:
    """Return what a lazy sequence gives for an item, checked as `check_images` does."""
    with named_errors(None, index):
        item = item.read()
    try:
        check_item(item, f"X[{index}]")
    except (TypeError, ValueError) as error:
        raise ImageError(str(error), index, None) from error
    return item


def warn_of_size(message: str) -> None:
    """Warn as Pillow does."""
    warnings.warn(message, Image.DecompressionBombWarning, stacklevel=2)


def _decode_opened(image: Image.Image, warn: Callable[[str], None]) -> Image.Image:
    """Decode a PIL image of the user's, and leave it as it is if it can be opened once more."""
    file = _file_of(image)
    if file is not None:
        assert isinstance(image, ImageFile.ImageFile)
        if not may_be_opened(image):
            raise ValueError("a program would have to run on it; save it as PNG first")
        with file:
            fresh = open_picture(file)
            if _same(image, fresh):
                return _decode_picture(fresh, None, warn)[0]
    with lock_of(image):
        try:
            image.load()
        except (AssertionError, AttributeError) as error:  # its file is None
            raise ValueError("its file was closed before it was loaded") from error
        orientation = _orientation(image)
    return _to_rgb(image, orientation)


def _file_of(image: Image.Image) -> IO[bytes] | None:
    """A file of its own for an image that was opened and not decoded; None if there is none."""
    core = vars(image).get("_im", vars(image).get("im"))  # Pillow from 11 on, and before
    if core is not None or not isinstance(image, ImageFile.ImageFile):
        return None
    with lock_of(image):
        file = image.fp
        if file is not None and not getattr(file, "closed", False):
            return io.BytesIO(read_from_start(file))
    # Opened in a with statement that is over.
    return open_encoded(image.filename) if image.filename else None


def _same(image: ImageFile.ImageFile, fresh: ImageFile.ImageFile) -> bool:
    """Whether an image that was opened again shows what the user's object does.

    Not so after ``seek``, ``draft`` or a change of the orientation.
    """
    for name in ("format", "size", "mode"):
        if getattr(image, name) != getattr(fresh, name):
            return False
    exif = vars(image).get("_exif")  # of its own only if somebody looked at it
    changed = exif is not None and exif.get(_ORIENTATION, 1) != _orientation(fresh)
    return image.tell() == fresh.tell() and not changed


def _decode_picture(
    image: ImageFile.ImageFile, min_size: tuple[int, int] | None, warn: Callable[[str], None]
) -> tuple[Image.Image, Callable[[tuple[int, int]], bool]]:
    """Decode an image that nobody else uses."""
    full, is_jpeg = image.size, image.format in _JPEG
    if is_jpeg and min_size is not None:
        image.draft(None, _turned(min_size, _orientation(image)))
    limit = Image.MAX_IMAGE_PIXELS or math.inf
    pixels = held = math.prod(image.size)
    if image.info.get("progressive"):
        # libjpeg keeps all coefficients of such a file, up to 6 bytes a pixel at any scale.
        held += math.prod(full)
        pixels = max(pixels, math.prod(full) // 2)
    if pixels > 2 * limit:
        raise Image.DecompressionBombError(
            f"It has {pixels} pixels, more than twice the limit of {limit}, and may be a "
            "decompression bomb."
        )
    if pixels > limit and image.format != "TIFF":  # of which Pillow warns itself
        warn(
            f"An image has {pixels} pixels, more than PIL.Image.MAX_IMAGE_PIXELS. It is read; "
            "there is no other warning about large images."
        )
    with room_for(held):
        image.load()
        # Not before: TIFF files are turned while they are loaded, and then say so.
        orientation = _orientation(image)
        if is_jpeg:
            drafted = _scaled_size(full, min_size, orientation)
            return _to_rgb(
                image, orientation
            ), lambda size: _scaled_size(full, size, orientation) == drafted
        if pixels <= limit:
            return _to_rgb(image, orientation), lambda size: True
        full = image.size
        scale = _scale(full, min_size, orientation)
        return _reduce(
            image, scale, orientation
        ), lambda size: _scale(full, size, orientation) == scale


def _turned(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    # Orientations from 5 on swap width and height.
    return size[::-1] if orientation >= 5 else size


def _scale(full: tuple[int, int], min_size: tuple[int, int] | None, orientation: int) -> int:
    """The divisor of both sides that leaves at least a size: 1, 2, 4 or 8."""
    if min_size is None:
        return 1
    wanted = _turned(min_size, orientation)
    most = min(side // least for side, least in zip(full, wanted, strict=True))
    return next((scale for scale in _SCALES if scale <= most), 1)


def _scaled_size(
    full: tuple[int, int], min_size: tuple[int, int] | None, orientation: int
) -> tuple[int, int]:
    """The size at which Pillow's draft mode decodes a JPEG file."""
    scale = _scale(full, min_size, orientation)
    return -(-full[0] // scale), -(-full[1] // scale)


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF data must not cost the photo
        return 1
    return orientation if orientation in _TRANSPOSE else 1


def _reduce(image: Image.Image, scale: int, orientation: int) -> Image.Image:
    """Scale down in strips, so that there is no second image of the full size."""
    if scale == 1:
        return _to_rgb(image, orientation)
    width, height = image.size
    reduced = Image.new("RGB", (-(-width // scale), -(-height // scale)))
    for top in range(0, height, _STRIP):
        strip = _to_rgb(image.crop((0, top, width, min(top + _STRIP, height))), 1)
        reduced.paste(strip.reduce(scale), (0, top // scale))
    return _upright(reduced, orientation)


def _to_rgb(image: Image.Image, orientation: int) -> Image.Image:
    if not (image.width and image.height):
        raise ValueError(f"its size is {image.width} x {image.height} pixels")
    if image.mode.startswith("I"):
        image = _to_8_bit(image)
    elif image.mode == "F":
        raise ValueError("its pixels are floats of unknown range; scale them to uint8 first")
    if image.has_transparency_data:
        if image.mode != "RGBA":  # convert() would copy
            image = image.convert("RGBA")
        background = Image.new("RGB", image.size, "white")
        background.paste(image, mask=image)
        image = background
    if image.mode != "RGB":
        image = image.convert("RGB")
    return _upright(image, orientation)


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_TRANSPOSE[orientation]) if orientation > 1 else image


def _to_8_bit(image: Image.Image) -> Image.Image:
    # Pillow's own conversion clips instead of scaling in some versions.
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("its 32-bit pixels lie beyond 0 to 65535; scale them to uint8 first")
    scaled = np.divide(values, 257, dtype=np.float32)  # never near a half
    return Image.fromarray(np.rint(scaled, out=scaled).astype(np.uint8))
