"""Turns a report into its page: JSON for the script in it, and the file around both."""

import base64
import hashlib
import io
import json
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from sklearn_cdul.images.reading import map_images
from sklearn_cdul.review.findings import ALWAYS, pick_photos, score_histogram

if TYPE_CHECKING:
    from sklearn_cdul.review.report import LabelReport

# So many thumbnails make a page of about eight megabytes; those of no class among them.
_MOST_THUMBNAILS = 1000
_MOST_OF_NO_CLASS = 40
_MOST_OF_CLASSES = _MOST_THUMBNAILS - _MOST_OF_NO_CLASS
_THUMBNAIL = 200  # pixels of the longer side
_QUALITY = 70
# Classes that the view of one photo lists.
_LIKELY = 12
_TITLES = {
    "wrong": "Against the labels",
    "surest": "Surest",
    "borderline": "Borderline",
    "corrected": "Labels that training moved farthest",
}


def render(report: "LabelReport") -> str:
    """Return the page of a report."""
    page, css, js = (
        Path(__file__).with_name(f"page.{kind}").read_text(encoding="utf-8")
        for kind in ("html", "css", "js")
    )
    # In a script element nothing but "</script" and "<!--" has a meaning to HTML.
    data = json.dumps(_data(report), allow_nan=False).replace("<", "\\u003c")
    return Template(page).substitute(css=css, js=js, data=data)


def _data(report: "LabelReport") -> dict[str, Any]:
    """What the page shows, as JSON can hold it."""
    per_class = [_class(report, j) for j in range(len(report.class_names))]
    none = report.without_class[: min(2 * report.n_shown, _MOST_OF_NO_CLASS)].tolist()
    shown = {row for one in per_class for _, rows in one.get("lists", []) for row, *_ in rows}
    photos = _photo_data(report, sorted(shown | set(none)))
    n_photos = int(report._readable.sum())
    lost = len(report._readable) - n_photos
    per_photo = report._predicted[report._readable].sum() / n_photos
    summary = [
        [f"{n_photos:,}", "photos" + (f", {lost} more can't be read" if lost else "")],
        [f"{per_photo:.1f}", "classes a photo"],
        [f"{len(report.without_class):,}", "photos of no class"],
        [len(report.never), f"of {len(report.class_names)} classes never predicted"],
    ]
    for figure, text in (("average_precision", "mAP"), ("f1", "macro-F1")):
        values = np.array(report.per_class.get(figure, []), dtype=float)
        if np.isfinite(values).any():
            summary.append([f"{100 * np.nanmean(values):.1f}", f"{text} in percent, on the labels"])
    sentences = [
        f"{text}: {', '.join(names[:30])}{' and more' if len(names) > 30 else ''}."
        for text, names in (
            ("Never predicted", report.never),
            (f"Predicted for {ALWAYS:.0%} of the photos or more", report.always),
        )
        if names
    ]
    return {
        "title": report.title,
        "subtitle": f"{n_photos:,} photos, {len(report.class_names):,} classes",
        "key": _key(report),
        "n_photos": n_photos,
        "has_paths": all(path is not None for path in report._paths),
        "summary": summary,
        "none": none,
        "none_text": f"{len(report.without_class):,} photos reach no cut"
        + (f"; {len(none)} of them:" if len(none) < len(report.without_class) else ":"),
        "pairs": report._pairs,
        "classes_text": " ".join(sentences),
        "classes": per_class,
        "photos": photos,
    }


def _class(report: "LabelReport", j: int) -> dict[str, Any]:
    """What the page shows of one class."""
    column = report._logits[:, j]
    counts, edges = score_histogram(column[report._readable])
    result = {
        "name": report.class_names[j],
        "count": report.per_class["predicted"][j],
        "share": report.per_class["share"][j],
        "cut": float(report.thresholds[j]),
        "counts": counts.tolist(),
        "edges": edges.round(4).tolist(),
    }
    for short, figure in (
        ("ap", "average_precision"),
        ("f1", "f1"),
        ("precision", "precision"),
        ("recall", "recall"),
        ("positives", "positives"),
    ):
        if figure in report.per_class:
            value = report.per_class[figure][j]
            result[short] = value if np.isfinite(value) else None
    # A page of very many classes shows one photo of each kind, and of some classes none.
    n_lists = len(_TITLES) * len(report.class_names)
    if j < _MOST_OF_CLASSES // len(_TITLES):
        n_shown = min(report.n_shown, max(_MOST_OF_CLASSES // n_lists, 1))
        result["lists"] = _lists(report, j, n_shown)
    return result


def _lists(report: "LabelReport", j: int, n_shown: int) -> list[list[Any]]:
    column = np.where(report._readable, report._logits[:, j], np.nan)
    predicted = report._predicted[:, j]
    truth = None if report.labels is None else report.labels[:, j]
    wrong = np.zeros(len(column), dtype=bool)
    if truth is not None:
        wrong = report._readable & np.isin(truth, (0, 1)) & (predicted != (truth == 1))
    moved = None
    if report.movement is not None:
        before, after = report.movement
        moved = np.where(report._readable, after[:, j] - before[:, j], np.nan)
    kinds = pick_photos(column, report._cut_logits[j], moved, wrong, n_shown)
    lists = []
    for kind, rows in kinds.items():
        entries = []
        for row in rows.tolist():
            notes = ["predicted" if predicted[row] else "not predicted"]
            if kind == "corrected":
                notes = [f"label {before[row, j]:.0%} → {after[row, j]:.0%}"]
            if truth is not None and truth[row] in (0, 1):
                notes.append("label: yes" if truth[row] else "label: no")
            entries.append([row, float(report.scores[row, j]), ", ".join(notes)])
        lists.append([_TITLES[kind], entries])
    return lists


def _photo_data(report: "LabelReport", rows: list[int]) -> dict[str, dict[str, Any]]:
    """Path, thumbnail and most likely classes of photos."""
    images = _thumbnails(report, rows)
    result = {}
    for row, image in zip(rows, images, strict=True):
        likely = np.argsort(-report._logits[row], kind="stable")[:_LIKELY].tolist()
        top = [[j, float(report.scores[row, j])] for j in likely]
        result[str(row)] = {"path": report._paths[row], "image": image, "top": top}
    return result


def _key(report: "LabelReport") -> str:
    """What tells this report from others, for the answers that a browser keeps."""
    key = hashlib.sha1(json.dumps([report.title, report.class_names, report._paths]).encode())
    key.update(np.ascontiguousarray(report.scores).data)
    return key.hexdigest()


def _thumbnails(report: "LabelReport", rows: list[int]) -> list[str | None]:
    """Small pictures as base64 text; each is made once and kept. None where there is none."""
    made = report._thumbnails
    if report.photos is None:
        return [None] * len(rows)
    missing = [row for row in rows if row not in made]
    images = map_images(
        _thumbnail,
        report.photos,
        indices=missing,
        n_jobs=report.n_jobs,
        min_size=(_THUMBNAIL, _THUMBNAIL),
        on_error="nan",
    )
    made.update(zip(missing, images, strict=True))
    return [made[row] for row in rows]


def _thumbnail(image: Image.Image) -> str:
    """A small JPEG file as base64 text."""
    small = image.copy()
    small.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BICUBIC, reducing_gap=3)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=_QUALITY)
    return base64.b64encode(file.getvalue()).decode("ascii")
