"""Open encoded images with Pillow, and say what a file is that Pillow can't open."""

import re
import struct
from typing import IO, NamedTuple

from PIL import Image, ImageFile

# EPS would run Ghostscript on the file. IPTC opens whatever it holds, EPS too.
_NEVER_OPENED = ("EPS", "IPTC")
_HEIC = (
    "is a HEIC photo. Install pillow-heif and call pillow_heif.register_heif_opener() first, or "
    "convert the photo to JPEG"
)
_AVIF = (
    "is an AVIF photo. Update Pillow to 11.3 or newer, or install pillow-avif-plugin and import "
    "pillow_avif first"
)
_JPEG_XL = (
    "is a JPEG XL photo. Install pillow-jxl-plugin and import pillow_jxl first, or convert the "
    "photo to JPEG"
)
_UNKNOWN = "is not an image file, or is of a format that Pillow can't read"
_EPS = "is an EPS or PostScript file, which is not opened. Convert it to PNG"


class _Kind(NamedTuple):
    """How files of a kind begin, and what to say of them."""

    start: bytes  # a regular expression
    is_a: str


_KINDS = (
    _Kind(rb"\Z", "is empty, so it is not an image file"),
    _Kind(rb"....ftyp(heic|heix|heim|heis|hevc|hevx|hevm|hevs)", _HEIC),
    _Kind(rb"....ftyp(avif|avis)", _AVIF),
    _Kind(rb"....ftypmif1.{0,40}avif", _AVIF),
    _Kind(rb"....ftyp(mif1|msf1)", _HEIC),
    _Kind(rb"....ftypcrx ", "is a raw photo of a camera. Convert it to JPEG"),
    _Kind(rb"....(ftyp|moov|mdat)", "is a video, not a photo"),
    _Kind(rb"\x1aE\xdf\xa3|RIFF....AVI ", "is a video, not a photo"),
    _Kind(rb"\xff\x0a|\0\0\0\x0cJXL ", _JPEG_XL),
    _Kind(rb"%!PS|\xc5\xd0\xd3\xc6", _EPS),
    _Kind(
        rb"\0\x05\x16[\0\x07]",
        "is a companion file of macOS, not a photo. Leave out names that begin with a dot",
    ),
    _Kind(rb"\0\0\0\x01Bud1", "is a file of macOS, not a photo. Leave it out"),
    _Kind(rb"\xd0\xcf\x11\xe0", "is a file of Windows or Office, not a photo. Leave it out"),
    _Kind(
        rb"version https://git-lfs",
        "is a pointer of Git LFS in place of the photo. Run git lfs pull in its folder",
    ),
    _Kind(rb"%PDF", "is a PDF file, not a photo. Save its pages as images first"),
    _Kind(rb"PK\x03\x04", "is a ZIP archive, not a photo. Unpack it first"),
    _Kind(rb"\s*<(\?xml[^>]*>\s*<)?(!DOCTYPE )?svg", "is an SVG drawing. Save it as PNG first"),
    _Kind(rb"\s*<", "is a web page or other text, not a photo"),
)
# Bytes from the start that `_KINDS` looks at, and those that Pillow's formats look at.
_HEAD, _PREFIX = 128, 16


def open_picture(file: IO[bytes]) -> ImageFile.ImageFile:
    """Open an encoded image as ``PIL.Image.open`` does, but for three things.

    No format is tried that runs another program on the file. The number of pixels is not looked
    at: a large JPEG file may yet be decoded at a fraction of its size. What can't be opened is
    called by its name.
    """
    file.seek(0)
    head = file.read(_HEAD)
    Image.init()
    damage = ""
    for name in tuple(Image.ID):
        if name in _NEVER_OPENED:
            continue
        factory, accept = Image.OPEN[name]
        file.seek(0)
        accepted: bool | str = False
        try:
            accepted = accept is None or accept(head[:_PREFIX])
            if accepted and not isinstance(accepted, str):  # a str says what is missing in Pillow
                return factory(file, "")
        except (SyntaxError, IndexError, TypeError, struct.error) as error:
            if accepted is True and accept is not None and not damage:
                damage = f"is a damaged {name} file: {error or type(error).__name__}"
    is_a = _describe(head)
    # Pillow takes some HEIC files for AVIF.
    has_reader = damage and not (is_a == _HEIC and damage.startswith("is a damaged AVIF"))
    if has_reader and is_a in (_UNKNOWN, _HEIC, _AVIF, _JPEG_XL):
        is_a = damage
    raise Image.UnidentifiedImageError(is_a)


def may_be_opened(image: ImageFile.ImageFile) -> bool:
    """Whether an image that somebody opened is of a format that runs no other program."""
    return image.format not in _NEVER_OPENED


def _describe(head: bytes) -> str:
    for kind in _KINDS:
        if re.match(kind.start, head, re.DOTALL | re.IGNORECASE):
            return kind.is_a
    return _UNKNOWN
