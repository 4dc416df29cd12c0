"""Decode the bytes of one image to upright RGB, within a bound of memory."""

import ctypes
import math
import os
import re
import struct
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
from PIL import Image, ImageFile

from sklearn_cdul._utils.forks import in_child
from sklearn_cdul.images.items import lock_of, shorten
from sklearn_cdul.images.opening import NEVER_OPENED, open_item

_UNKNOWN = "is not an image file, or is of a format that Pillow can't read"
_HEIC = "is a HEIC photo. Install pillow-heif and call pillow_heif.register_heif_opener() first"
_AVIF = (
    "is an AVIF photo. Update Pillow to 11.3 or newer, or install pillow-avif-plugin and import "
    "pillow_avif first"
)
_JPEG_XL = "is a JPEG XL photo. Install pillow-jxl-plugin and import pillow_jxl first"
# How files begin that are no photos or need a plug-in, and what to say of them.
_KINDS = {
    rb"....ftyp(avif|avis|mif1.{0,99}avif)": _AVIF,
    rb"....ftyp(hei|hev|mif1|msf1)": _HEIC,
    rb"\xff\x0a|\0\0\0\x0cJXL ": _JPEG_XL,
    rb"....ftypcrx ": "is a raw photo of a camera. Convert it to JPEG",
    rb"....(ftyp|moov|mdat)|\x1aE\xdf\xa3|RIFF....AVI ": "is a video, not a photo",
    rb"%!PS|\xc5\xd0\xd3\xc6": "is an EPS or PostScript file, which is not opened. Save it as PNG",
    rb"%PDF": "is a PDF file, not a photo. Save its pages as images first",
    rb"\0\x05\x16[\0\x07]": "is a companion file of macOS, not a photo. Leave out names that begin "
    "with a dot",
    rb"\0\0\0\x01Bud1": "is a file of macOS, not a photo. Leave it out",
    rb"version https://git-lfs": "is a pointer of Git LFS in place of the photo. Run git lfs pull",
    rb"\s*<": "is a web page, a drawing or other text, not a photo",
}

_JPEG = ("JPEG", "MPO")
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
_SCALES = (8, 4, 2)  # of Pillow's draft mode, which giants of other formats get too
_PIECE = 2048  # pixels; a multiple of all scales
_BITS = (8, 10, 12, 14, 16)  # of grey values, in scanners, microscopes and thermal cameras

# Bytes a pixel takes while it is decoded and made RGB: 8, for most decoders write into Pillow's
# image. Not so these, and the few decoders that Pillow has in Python.
_OTHER_BYTES = {"WEBP": 16, "AVIF": 16, "HEIF": 16, "JPEG2000": 28}
# Bytes of one image beyond those of its pixels, and bytes of the images of all threads.
_MARGIN = 64_000_000
_AT_ONCE = 1_500_000_000
_LARGE = 200_000_000
# Scans of a progressive JPEG file; encoders write 3 to 64.
_SCANS = 200


class _Room:
    """Lets threads go on as long as what they hold together stays below a bound."""

    def __init__(self, size: int):
        self._size = size
        self.empty()

    def empty(self) -> None:
        """Forget who is in: no thread of a parent process ever leaves in its child."""
        self._held = 0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, amount: int) -> Iterator[None]:
        """Wait until there is room for an amount, or nobody else is in."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._held + amount <= self._size)
            self._held += amount
        if amount > _LARGE and sys.platform == "linux":
            # Its allocator keeps some memory for each thread: eight that decode large images one
            # after the other would in the end hold eight of them.
            getattr(ctypes.CDLL(None), "malloc_trim", int)(0)
        try:
            yield
        finally:
            with self._changed:
                self._held -= amount
                self._changed.notify_all()


_room = _Room(_AT_ONCE)
in_child(_room.empty)


def load_image(item: Any, index: int, *, min_size: tuple[int, int] | None = None) -> Image.Image:
    """Decode one image, of several frames the first, to upright RGB; transparent becomes white."""
    return decode(item, index, min_size)[0]


def decode(
    item: Any,
    index: int,
    min_size: tuple[int, int] | None,
    warn: Callable[[str], None] | None = None,
) -> tuple[Image.Image, Callable[[tuple[int, int]], bool]]:
    """Decode one image as `load_image` does, and tell which other sizes the pixels serve."""
    warn = warn or warn_of_size
    with open_item(item, index) as (item, file):
        if isinstance(item, np.ndarray):
            item = Image.fromarray(item[:, :, 0] if item.shape[2:] == (1,) else item)
        if isinstance(item, Image.Image):
            return _decode_opened(item, file, warn), lambda size: True
        return _decode_file(file, min_size, warn)


def warn_of_size(message: str) -> None:
    """Warn as Pillow does."""
    warnings.warn(message, Image.DecompressionBombWarning, stacklevel=2)


def open_picture(file: IO[bytes]) -> ImageFile.ImageFile:
    """Open an image as ``PIL.Image.open`` does, but run no program, and name what can't be opened.

    The number of pixels is not looked at: a JPEG file may yet be decoded at a fraction of its size.
    """
    file.seek(0)
    head = file.read(128)
    damage = ""
    Image.init()
    for name in [name for name in Image.ID if name not in NEVER_OPENED]:
        factory, accept = Image.OPEN[name]
        file.seek(0)
        accepted: bool | str = False
        try:
            accepted = accept is None or accept(head[:16])
            if accepted and not isinstance(accepted, str):  # a str says what is missing in Pillow
                return factory(file, "")
        except (SyntaxError, IndexError, TypeError, struct.error) as error:
            if accepted is True and accept is not None and not damage:
                damage = f"is a damaged {name} file: {shorten(str(error)) or type(error).__name__}"
    matches = (says for start, says in _KINDS.items() if re.match(start, head, re.DOTALL | re.I))
    is_a = next(matches, _UNKNOWN) if head else "is an empty file"
    if is_a == _HEIC and "AVIF" in damage:  # for which Pillow takes some HEIC files
        damage = ""
    if damage and is_a in (_UNKNOWN, _HEIC, _AVIF, _JPEG_XL):
        is_a = damage
    raise Image.UnidentifiedImageError(is_a)


def memory_for(image: ImageFile.ImageFile, min_size: tuple[int, int] | None) -> int:
    """The bytes that an image takes while it is decoded, by its header; too many are refused.

    A JPEG file is set to be decoded at a fraction of its size.
    """
    memory = 0
    if image.format in _JPEG:
        if _has_several_scans(image):
            _check_scans(image)
            # libjpeg keeps all coefficients, at any scale.
            memory = 2 * getattr(image, "layers", 4) * math.prod(image.size)
        if min_size is not None:
            image.draft(None, _turned(min_size, _orientation(image)))
    elif image.format == "TIFF" and image.tile and image.tile[0][0] == "libtiff":
        memory = _largest_part(image)
    in_python = image.tile and image.tile[0][0] in Image.DECODERS
    per_pixel = 16 if in_python else _OTHER_BYTES.get(image.format or "", 8)
    (width, height), pixels = image.size, math.prod(image.size)
    # Pillow keeps a pointer to each line of an image; decoders keep some lines.
    memory += (per_pixel * width + 16) * (height + 2)
    limit = Image.MAX_IMAGE_PIXELS or math.inf
    most = 16 * limit + _MARGIN
    if pixels > 2 * limit:
        raise Image.DecompressionBombError(
            f"It has {pixels} pixels, more than twice the limit of {limit}, and may be a "
            "decompression bomb."
        )
    if memory > most:
        raise Image.DecompressionBombError(
            f"To decode it takes {memory / 1e9:.1f} GB of memory, more than the limit of "
            f"{most / 1e9:.1f} GB, and it may be a decompression bomb."
        )
    return memory


def _has_several_scans(image: Any) -> bool:
    """Whether a JPEG file is progressive, or has its colours one after the other."""
    if image.info.get("progressive"):
        return True
    image.fp.seek(2)
    while len(head := image.fp.read(5)) == 5 and head[0] == 0xFF:
        if head[1] == 0xDA:  # a scan, and how many of the colours it has
            return head[4] < image.layers
        image.fp.seek(int.from_bytes(head[2:4], "big") - 3, os.SEEK_CUR)
    return True


def _check_scans(image: Any) -> None:
    """Refuse a JPEG file of so many scans that it is made to take long."""
    image.fp.seek(0)
    count = sum(part.count(b"\xff\xda") for part in iter(lambda: image.fp.read(1 << 20), b""))
    if count > _SCANS:
        raise ValueError(
            f"it has {count} scans, more than the limit of {_SCANS}, and each takes as long as an "
            "image; save it anew"
        )


def _largest_part(image: Any) -> int:
    """Bytes of a tile or strip of a TIFF file, which is decoded as a whole, whatever its size."""
    tags = image.tag_v2
    width, rows = tags.get(322, tags[256]), tags.get(323, min(tags.get(278, tags[257]), tags[257]))
    size = width * rows * tags.get(277, 1) * max(tags.get(258, (1,))) // 8
    # Of a part that is a JPEG file of its own, libjpeg may keep coefficients of two bytes.
    return size * 3 if image.info.get("compression") in ("jpeg", "webp") else size


def _decode_file(
    file: IO[bytes], min_size: tuple[int, int] | None, warn: Callable[[str], None]
) -> tuple[Image.Image, Callable[[tuple[int, int]], bool]]:
    image = open_picture(file)
    full, is_jpeg = image.size, image.format in _JPEG
    memory, pixels = memory_for(image, min_size), math.prod(image.size)
    is_giant = pixels > (Image.MAX_IMAGE_PIXELS or math.inf)
    if is_giant and image.format != "TIFF":  # of which Pillow warns itself
        warn(
            f"An image has {pixels} pixels, more than PIL.Image.MAX_IMAGE_PIXELS. It is read; "
            "there is no other warning about large images."
        )
    with _room.hold(memory):
        image.load()
        # Not before: TIFF files are turned while they are loaded, and then say so.
        orientation = _orientation(image)
        if not is_jpeg:
            full = image.size

        def scale_for(size: tuple[int, int] | None) -> int:
            return _scale(full, size, orientation) if is_jpeg or is_giant else 1

        scale = scale_for(min_size)
        rgb = _to_rgb(image, 1 if is_jpeg else scale)
        del image  # before there is yet another one of its size
        return _upright(rgb, orientation), lambda size: scale_for(size) == scale


def _decode_opened(image: Any, file: IO[bytes] | None, warn: Callable[[str], None]) -> Image.Image:
    """Decode a PIL image of the user's, and leave it as it is if its file can be opened again."""
    if file is not None and _is_same(image, open_picture(file)):
        return _decode_file(file, None, warn)[0]
    with lock_of(image):
        try:
            if file is not None:
                memory_for(image, None)
            image.load()
        except (AssertionError, AttributeError) as error:  # its file is None
            raise ValueError("its file was closed before it was loaded") from error
        orientation = _orientation(image)
    return _upright(_to_rgb(image, 1), orientation)


def _is_same(image: ImageFile.ImageFile, fresh: ImageFile.ImageFile) -> bool:
    """Whether an image shows what its file does: not so after seek, draft or a turn."""
    exif = vars(image).get("_exif")  # of its own only if somebody looked at it
    changed = exif is not None and exif.get(_ORIENTATION, 1) != _orientation(fresh)
    looks = [(it.format, it.size, it.mode, it.tell()) for it in (image, fresh)]
    return looks[0] == looks[1] and not changed


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


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF data must not cost the photo
        return 1
    return orientation if orientation in _TRANSPOSE else 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_TRANSPOSE[orientation]) if orientation > 1 else image


def _to_rgb(image: Image.Image, scale: int) -> Image.Image:
    """Make an image RGB and smaller, piece by piece: there is never a third one of its size."""
    width, height = image.size
    if not (width and height):
        raise ValueError(f"its size is {width} x {height} pixels")
    if image.mode == "F":
        raise ValueError("its pixels are floats of unknown range; scale them to uint8 first")
    if image.mode == "RGB" and not image.has_transparency_data:
        return image.reduce(scale) if scale > 1 else image
    levels = _levels(image) if image.mode.startswith("I") else 0
    if scale == 1 and max(image.size) <= _PIECE:
        return _piece_to_rgb(image, levels)
    result = Image.new("RGB", (-(-width // scale), -(-height // scale)))
    for left, upper, piece in _pieces(image):
        piece = _piece_to_rgb(piece, levels)
        result.paste(piece.reduce(scale), (left // scale, upper // scale))
    return result


def _pieces(image: Image.Image) -> Iterator[tuple[int, int, Image.Image]]:
    for upper in range(0, image.height, _PIECE):
        for left in range(0, image.width, _PIECE):
            right, lower = min(left + _PIECE, image.width), min(upper + _PIECE, image.height)
            yield left, upper, image.crop((left, upper, right, lower))


def _piece_to_rgb(image: Image.Image, levels: int) -> Image.Image:
    if levels:
        # Pillow's own conversion clips instead of scaling in some versions.
        scaled = np.multiply(np.asarray(image), 255 / levels, dtype=np.float32)  # never near a half
        image = Image.fromarray(np.rint(scaled, out=scaled).astype(np.uint8))
    if image.has_transparency_data:
        if image.mode != "RGBA":  # convert() would copy
            image = image.convert("RGBA")
        background = Image.new("RGB", image.size, "white")
        background.paste(image, mask=image)
        return background
    return image.convert("RGB")


def _levels(image: Image.Image) -> int:
    """The largest value of the bits that grey values use, of which a file does not tell."""
    pieces = (np.asarray(piece) for _, _, piece in _pieces(image))
    lowest, highest = np.array([(piece.min(), piece.max()) for piece in pieces]).T
    if lowest.min() < 0 or highest.max() > 65535:
        raise ValueError("its 32-bit pixels lie beyond 0 to 65535; scale them to uint8 first")
    return next(2**bits - 1 for bits in _BITS if highest.max() < 2**bits)
