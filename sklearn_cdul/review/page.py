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
    page, css, js = (
        Path(__file__).with_name(f"page.{kind}").read_text(encoding="utf-8")
        for kind in ("html", "css", "js")
    )
    # In a script element nothing but "</script" and "<!--" has a meaning to HTML.
    text = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    return Template(page).substitute(css=css, js=js, data=text)


def make_thumbnail(image: Image.Image) -> str:
    """Return a small JPEG file as base64 text."""
    small = image.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BICUBIC, reducing_gap=3)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=_QUALITY)
    return base64.b64encode(file.getvalue()).decode("ascii")
