"""The file around what a report shows: HTML, styles and script, with the thumbnails in it."""

import base64
import io
import json
from pathlib import Path
from string import Template
from typing import Any

from PIL import Image

THUMBNAIL = 200  # pixels of the longer side
_QUALITY = 70


def fill_page(data: dict[str, Any]) -> str:
    """Return a page that shows the data, with all that it needs in it."""
    css, js = (read_part(f"shared.{kind}") + read_part(f"page.{kind}") for kind in ("css", "js"))
    # In a script element nothing but "</script" and "<!--" has a meaning to HTML.
    text = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    return Template(read_part("page.html")).substitute(css=css, js=js, data=text)


def read_part(name: str) -> str:
    """Return one of the files beside this one."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def make_thumbnail(image: Image.Image) -> str:
    """Return a small JPEG file as base64 text."""
    return base64.b64encode(make_jpeg(image, THUMBNAIL, _QUALITY)).decode("ascii")


def make_jpeg(image: Image.Image, side: int, quality: int) -> bytes:
    """Return a JPEG file whose longer side is at most so many pixels; nothing else is in it."""
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=3)
    small.info.clear()
    file = io.BytesIO()
    small.save(file, "JPEG", quality=quality)
    return file.getvalue()
