"""Say of one item of X whether it is an image by its type, and if not, which line makes it one."""

import io
import math
import os
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
from PIL import Image

from sklearn_cdul.images.encoded import is_open_file

_KINDS = "An image must be a path, a PIL image, a uint8 array, or the bytes of an image file."
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
# Path("https://a.b/c.jpg") has lost a slash. A folder may end with a colon, so not any word.
_URL_AS_PATH = re.compile(r"(https?|s3|gs|gcs|hf|ftp|az|abfs|file):/", re.IGNORECASE)
# How the signatures of JPEG, PNG, GIF and WebP files begin in base64.
_BASE64 = re.compile(r"(/9j/|iVBORw0KGgo|R0lGOD|UklGR)[A-Za-z0-9+/=\s]*")


def shorten(text: str) -> str:
    """Return a text for a message, cut in its middle if it is long."""
    text = text if len(text) <= 200 else f"{text[:120]}...{text[-70:]}"
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def folder_line(path: str) -> str:
    """Return the line that lists the photos of a folder."""
    return f"sklearn_cdul.datasets.list_photos({shorten(path)!r})"


def check_item(item: Any, where: str, whole: str = "X") -> None:
    """Refuse what is no image by its type. No file is opened."""
    if isinstance(item, Image.Image):
        return
    if isinstance(item, str):
        _check_text(item, where, whole)
    elif isinstance(item, np.ndarray):
        _check_array(item, where)
    elif isinstance(item, (bytes, bytearray, memoryview)):
        _check_bytes(bytes(item[:4096]), where, whole)
    elif isinstance(item, PurePath) and not hasattr(item, "protocol"):  # universal_pathlib's have
        if found := _URL_AS_PATH.match(item.as_posix()):
            raise ValueError(_url_message(where, str(item), found[1], whole))
    elif isinstance(item, os.PathLike) or hasattr(item, "read_bytes") or is_open_file(item):
        return
    elif isinstance(item, Mapping) and {"bytes", "path"} & set(item):
        given = item.get("path") if item.get("bytes") is None else item["bytes"]
        check_item(given, where, whole)
    elif hasattr(item, "read"):
        _check_file(item, where)
    # pandas writes a missing value as None, NaN or pd.NA.
    elif item is None or (isinstance(item, float) and math.isnan(item)) or _is_na(item):
        raise ValueError(f"{where} is missing ({item!r}). Leave such rows out of X.")
    else:
        kind = shorten(type(item).__name__)
        raise TypeError(f"{where} is of type {kind}. {hint_for(item, whole) or _KINDS}")


def hint_for(item: Any, whole: str) -> str:
    """Return the line that makes images of a sequence of such items; "" if none is known."""
    if type(item).__module__.split(".")[0] == "torch" and hasattr(item, "permute"):
        return _tensor_hint(item, whole)
    if isinstance(item, Mapping):
        key = next((key for key, value in item.items() if is_image(value)), "image")
        keys, key = shorten(", ".join(map(repr, item))), shorten(repr(key))
        return f"It has the keys {keys}. Give the photos alone: [x[{key}] for x in {whole}]."
    if isinstance(item, (tuple, list)) and item and is_image(item[0]):
        return f"Give the photos alone: [x[0] for x in {whole}]."
    return ""


def is_image(item: Any) -> bool:
    """Whether an item looks like an image, or nearly."""
    tensor = hasattr(item, "permute") and getattr(item, "ndim", 0) == 3
    return tensor or isinstance(item, (str, bytes, os.PathLike, Image.Image, np.ndarray, dict))


def _tensor_hint(tensor: Any, whole: str) -> str:
    if tensor.ndim != 3:
        return 'For embeddings set input="embeddings".' if tensor.ndim == 1 else ""
    if str(tensor.dtype) != "torch.uint8":
        return (
            "Give the photos as they were before they became float tensors, or, if the values lie "
            f"in [0, 1]: [(x * 255).byte().permute(1, 2, 0).cpu().numpy() for x in {whole}]."
        )
    channels_last = tensor.shape[2] in (1, 3, 4) and tensor.shape[0] not in (1, 3, 4)
    order = "" if channels_last else ".permute(1, 2, 0)"
    return f"Give arrays (height, width, 3): [x{order}.cpu().numpy() for x in {whole}]."


def _check_text(text: str, where: str, whole: str) -> None:
    if found := _URL.match(text):
        raise ValueError(_url_message(where, text, found[0][:-3], whole))
    if text[:5].lower() == "data:":
        line = f'[base64.b64decode(x.partition(",")[2]) for x in {whole}]'
    elif len(text) > 100 and _BASE64.fullmatch(text):
        line = f"[base64.b64decode(x) for x in {whole}]"
    else:
        return
    raise ValueError(f"{where} is an image as text, not a path. Give the bytes: {line}.")


def _url_message(where: str, url: str, scheme: str, whole: str) -> str:
    text = f"{where} is a URL, {shorten(url)!r}, not the path of a file."
    if scheme.lower() == "file":
        return f'{text} Give the path alone, without "file://".'
    return (
        f"{text} Download the files first, or let universal_pathlib read them: "
        f"[upath.UPath(x) for x in {whole}]."
    )


def _check_bytes(head: bytes, where: str, whole: str) -> None:
    # Image files are not printable text of one line; paths and base64 are.
    if head and head.isascii() and head.decode("ascii").isprintable():
        raise TypeError(
            f"{where} is of type bytes and holds text. If these are paths: [os.fsdecode(x) for x "
            f"in {whole}]; if it is base64: [base64.b64decode(x) for x in {whole}]."
        )


def _check_file(file: Any, where: str) -> None:
    if isinstance(file, io.TextIOBase):
        raise TypeError(f'{where} is a file that was opened as text. Open it with mode "rb".')
    if getattr(file, "closed", False) is True:
        raise ValueError(f"{where} is a closed file. Give its path or its bytes.")
    if not hasattr(file, "seek") or not getattr(file, "seekable", lambda: True)():
        raise TypeError(
            f"{where} is of type {shorten(type(file).__name__)}, which can be read only once. Give "
            "what its read() returns."
        )


def _check_array(array: np.ndarray, where: str) -> None:
    if array.dtype != np.uint8:
        embedding = ' For embeddings set input="embeddings".' if array.ndim == 1 else ""
        raise ValueError(
            f"{where} is an array of dtype {array.dtype}. Pixels must be uint8 values from 0 to "
            f"255: convert the array first.{embedding}"
        )
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (1, 3, 4)):
        raise ValueError(
            f"{where} is an array of shape {array.shape}. An image must have shape (height, "
            "width), (height, width, 3) or (height, width, 4)."
        )


def _is_na(item: Any) -> bool:
    return type(item).__name__ in ("NAType", "NaTType")
