"""Turn what goes wrong while an image is read into an error that names it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image

from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.encoded import path_of
from sklearn_cdul.images.items import folder_line, shorten


@contextmanager
def named_errors(item: Any, index: int) -> Iterator[None]:
    """Turn what goes wrong inside into an `ImageError` that names the image."""
    path = path_of(item)
    where = f"X[{index}]" if path is None else f"X[{index}] ({shorten(path)})"
    try:
        yield
    except MemoryError:
        raise
    except FileNotFoundError as error:
        raise ImageError(f"{where}: there is no such file.", index, path) from error
    except IsADirectoryError as error:
        message = f"{where} is a directory, not an image file. Leave it out, or list its photos: "
        raise ImageError(f"{message}{folder_line(path or '')}.", index, path) from error
    except PermissionError as error:
        raise ImageError(f"{where} can't be opened: permission denied.", index, path) from error
    except Image.UnidentifiedImageError as error:
        raise ImageError(f"{where} {shorten(str(error))}.", index, path) from error
    except Image.DecompressionBombError as error:
        message = (
            f"{where} is too large. {error} If the file is trusted, raise "
            "PIL.Image.MAX_IMAGE_PIXELS."
        )
        raise ImageError(message, index, path) from error
    # On damaged files Pillow's readers raise nearly any type: OSError, SyntaxError, struct.error...
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        message = f"{where} can't be read: {shorten(reason).rstrip('.')}."
        raise ImageError(message, index, path) from error
