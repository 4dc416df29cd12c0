"""Decode one image of any kind to upright RGB."""

import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from sklearn_cdul.exceptions import ImageError

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
# A PIL image that is not yet decoded shares one open file, and two threads must not read it at
# once (the same object may occur twice in X). A few locks keep different images apart.
_LOCKS = tuple(threading.Lock() for _ in range(16))


def load_image(item: Any, index: int, *, min_size: tuple[int, int] | None = None) -> Image.Image:
    """Decode one image to upright RGB.

    The orientation in the EXIF data is applied. Transparent pixels become white. 16-bit grey
    keeps its full range: 65535 becomes 255. Of several frames or pages the first is read.

    Parameters
    ----------
    item : str, os.PathLike, PIL image or uint8 array
        An item that `check_images` accepts.
    index : int
        Position in X, for the error message.
    min_size : tuple (width, height) of int or None, default=None
        The caller needs no more pixels than this. A JPEG file may then be decoded at 1/2, 1/4 or
        1/8 of its size, which is several times faster, as long as both sides stay at least this
        large.

    Returns
    -------
    image : PIL image of mode "RGB"
        Not to be changed in place: it may be the user's own object.

    Raises
    ------
    ImageError
        If the file is missing, unreadable, damaged, truncated or no image; if the image has no
        pixels, or more than twice ``PIL.Image.MAX_IMAGE_PIXELS`` (some 179 million), which may
        be a decompression bomb; if its pixels are floats or 32-bit integers beyond 0 to 65535.

    Notes
    -----
    From one to two times ``PIL.Image.MAX_IMAGE_PIXELS`` the image is read, with Pillow's own
    warning.
    """
    return decode(item, index, min_size)[0]


def decode(
    item: Any, index: int, min_size: tuple[int, int] | None
) -> tuple[Image.Image, Callable[[tuple[int, int]], bool]]:
    """Decode one image as `load_image` does, and tell whom else the pixels serve.

    Parameters
    ----------
    item, index, min_size
        See `load_image`, whose errors come too.

    Returns
    -------
    image : PIL image of mode "RGB"
        As `load_image` returns it.
    serves : callable
        ``serves(size)`` is whether ``min_size=size`` would have given the same pixels.
    """
    path = _path_of(item)
    where = f"X[{index}]" if path is None else f"X[{index}] ({path})"
    try:
        if isinstance(item, np.ndarray):
            item = Image.fromarray(item[:, :, 0] if item.shape[2:] == (1,) else item)
        if isinstance(item, Image.Image):
            with _LOCKS[id(item) // 64 % len(_LOCKS)]:
                item.load()
                orientation = _orientation(item)
            return _to_rgb(item, orientation), lambda size: True
        with Image.open(item) as image:
            orientation = _orientation(image)
            if image.format not in ("JPEG", "MPO"):
                image.load()
                return _to_rgb(image, orientation), lambda size: True
            # Orientations from 5 on swap width and height.
            turned, full = orientation >= 5, image.size
            if min_size is not None:
                image.draft(None, min_size[::-1] if turned else min_size)
            drafted = image.size
            image.load()
            return _to_rgb(
                image, orientation
            ), lambda size: _drafted_size(full, size[::-1] if turned else size) == drafted
    except MemoryError:
        raise
    except FileNotFoundError as error:
        raise ImageError(f"{where}: there is no such file.", index, path) from error
    except IsADirectoryError as error:
        raise ImageError(f"{where} is a directory, not an image file.", index, path) from error
    except PermissionError as error:
        raise ImageError(f"{where} can't be opened: permission denied.", index, path) from error
    except Image.UnidentifiedImageError as error:
        message = f"{where} is not an image file, or is of a format that Pillow can't read."
        raise ImageError(message, index, path) from error
    except Image.DecompressionBombError as error:
        message = (
            f"{where} is too large. {error} If the file is trusted, raise "
            "PIL.Image.MAX_IMAGE_PIXELS."
        )
        raise ImageError(message, index, path) from error
    # On damaged files Pillow's readers raise nearly any type: OSError, SyntaxError, struct.error...
    except Exception as error:
        message = f"{where} can't be read: {error or type(error).__name__}."
        raise ImageError(message.replace("..", "."), index, path) from error


def _drafted_size(full: tuple[int, int], min_size: tuple[int, int]) -> tuple[int, int]:
    """The size at which Pillow's draft mode decodes a JPEG file."""
    most = min(side // wanted for side, wanted in zip(full, min_size, strict=True))
    scale = next((scale for scale in (8, 4, 2) if scale <= most), 1)
    return -(-full[0] // scale), -(-full[1] // scale)


def _path_of(item: Any) -> str | None:
    if isinstance(item, Image.Image):
        item = getattr(item, "filename", None) or None
    return os.fsdecode(item) if isinstance(item, (str, bytes, os.PathLike)) else None


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF data must not cost the photo
        return 1
    return orientation if orientation in _TRANSPOSE else 1


def _to_rgb(image: Image.Image, orientation: int) -> Image.Image:
    if not (image.width and image.height):
        raise ValueError(f"its size is {image.width} x {image.height} pixels")
    if image.mode.startswith("I"):
        image = _to_8_bit(image)
    elif image.mode == "F":
        raise ValueError("its pixels are floats of unknown range; scale them to uint8 first")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        background = Image.new("RGB", image.size, "white")
        background.paste(image, mask=image)
        image = background
    if image.mode != "RGB":  # convert() would copy
        image = image.convert("RGB")
    return image.transpose(_TRANSPOSE[orientation]) if orientation > 1 else image


def _to_8_bit(image: Image.Image) -> Image.Image:
    # Pillow's own conversion clips instead of scaling in some versions.
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("its 32-bit pixels lie beyond 0 to 65535; scale them to uint8 first")
    return Image.fromarray(np.rint(values / 257).astype(np.uint8))
