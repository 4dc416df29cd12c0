"""Warnings about class names that an encoder does not understand as they are meant."""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from sklearn_cdul.exceptions import warn

# Cosine from which two classes are one to the encoder. Spellings of one name lie below.
_SAME = 0.9995
_BLOCK = 1024  # classes compared at a time with all others
# The bundled encoder guesses below this cosine with the nearest name that it was fitted to.
# bundled/README.md says how often that is right.
_NEAR = 0.65
_FITTED_TO = Path(__file__).parents[1] / "encoders/bundled/names.npz"
_MOST_SHOWN = 5

_CODE = re.compile(
    r"\d+|[a-z]|[nvars]\d{8}|(class|label|category|cls|cat|type|id|nr|no)[\s._-]*\d+", re.IGNORECASE
)
# Humps of three letters or more: AnnualCrop, not iPhone or McDonald.
_CAMEL_CASE = re.compile(r"[A-Za-z][a-z]{2,}(?:[A-Z][a-z]{2,})+")


def warn_about_classes(
    names: Sequence[str],
    prompts: Sequence[Sequence[str]],
    embeddings: np.ndarray,
    *,
    identifiers: Sequence[str],
    is_truncated: np.ndarray,
    english_only: bool,
) -> None:
    """Give every warning that applies to any encoder."""
    _warn_about_identifiers(identifiers)
    pairs = list(zip(names, prompts, strict=True))
    foreign = [name for name, texts in pairs if any(map(_is_foreign, set("".join(texts))))]
    if foreign and english_only:
        warn(
            f"The text tower reads English only, not {_some(foreign)}. Give English wordings as a "
            f"mapping, such as {{{foreign[0]!r}: 'cat'}}, or take a multilingual model, such as "
            'model_name="xlm-roberta-base-ViT-B-32", pretrained="laion5b_s13b_b90k".',
        )
    ends = np.cumsum([len(texts) for texts in prompts])[:-1]
    parts = zip(names, np.split(is_truncated, ends), strict=True)
    if long := [name for name, part in parts if part.any()]:
        warn(
            f"Prompts of {len(long)} of {len(names)} classes are longer than the encoder reads, "
            f"and are truncated: {_some(long)}. Shorten them, or put first what sets a class "
            "apart.",
        )
    if len(names) == 1:
        warn(
            f"{names[0]!r} is the only class. The softmax compares classes with each other, so "
            "every image gets the label 1. Name what else the images may show as "
            'background_classes, or take background_classes="general".',
        )
    _warn_about_equal_classes(names, embeddings)


def _warn_about_identifiers(names: Sequence[str]) -> None:
    hints = []
    if codes := [name for name in names if _CODE.fullmatch(name)]:
        hints.append(f"{{{codes[0]!r}: 'its wording'}} for codes ({_some(codes)})")
    if camels := [name for name in names if _CAMEL_CASE.fullmatch(name)]:
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", camels[0]).lower()
        hints.append(f"{{{camels[0]!r}: {words!r}}} for CamelCase ({_some(camels)})")
    if lists := [name for name in names if "," in name]:
        parts = [part.strip() for part in lists[0].split(",") if part.strip()]
        hints.append(f"{{{lists[0]!r}: {parts}}} for synonyms ({_some(lists)})")
    if hints:
        warn(
            "The encoder reads class names as they stand. Give wordings for some, as a mapping: "
            + "; ".join(hints),
        )


def _is_foreign(letter: str) -> bool:
    if ord(letter) < 0x250 or unicodedata.category(letter) == "Lm":  # Latin; marks
        return False
    if letter.isalpha():
        return "LATIN" not in unicodedata.name(letter, "")
    return unicodedata.category(letter) == "So"  # emoji


def _warn_about_equal_classes(names: Sequence[str], embeddings: np.ndarray) -> None:
    """Warn about classes with the same embedding, between which the encoder can't choose."""
    pairs: list[str] = []
    n_pairs = 0
    for start in range(0, len(names), _BLOCK):
        cosines = embeddings[start : start + _BLOCK] @ embeddings[start:].T
        rows, columns = np.nonzero(np.triu(cosines > _SAME, k=1))
        n_pairs += len(rows)
        for row, column in zip(rows[: _MOST_SHOWN - len(pairs)], columns, strict=False):
            one, other = names[start + int(row)], names[start + int(column)]
            pairs.append(f"{one[:60]!r} and {other[:60]!r}")
    if pairs:
        more = f" and {n_pairs - len(pairs)} more pairs" if n_pairs > len(pairs) else ""
        warn(
            f"To the encoder these classes are the same: {', '.join(pairs)}{more}. Their labels "
            "will be equal. Leave one out, or give wordings that differ, as a mapping "
            "{name: wording}.",
        )


def warn_about_guesses(names: Sequence[str], embeddings: np.ndarray) -> None:
    """Warn about classes far from all names that the bundled text tower was fitted to."""
    known, known_embeddings = known_names()
    similarities = np.asarray(embeddings) @ known_embeddings.T
    guessed = np.flatnonzero(similarities.max(axis=1) < _NEAR)
    shown = []
    for index in guessed[:_MOST_SHOWN].tolist():
        nearest = np.argsort(-similarities[index], kind="stable")[:3]
        words = ", ".join(known[column] for column in nearest)
        shown.append(f"{names[index][:60]!r} (nearest names that it knows: {words})")
    if shown:
        more = f" and {len(guessed) - len(shown)} more" if len(guessed) > len(shown) else ""
        warn(
            f"The bundled encoder can only guess what {'; '.join(shown)}{more} looks like. Give "
            'wordings that it knows, as a mapping such as {"hoodie": ["sweatshirt", "jacket"]}, or '
            "take a larger encoder.",
        )


def warn_about_absent_classes(absent: Sequence[str], n_classes: int) -> None:
    """Warn about classes that no training photo seems to show."""
    if absent:
        warn(
            f"No training photo seems to show {_some(absent)}, {len(absent)} of {n_classes} "
            "classes. They are predicted for no photo. If some photos show one, give it a wording "
            "that the encoder knows, annotate one of these photos, or set its threshold."
        )


@cache
def known_names() -> tuple[list[str], np.ndarray]:
    """Names that the bundled encoder was fitted to, and their embeddings (n, d) of length 1."""
    with np.load(_FITTED_TO) as stored:
        names = str(stored["names"]).split("\n")
        embeddings = stored["places"].astype(np.float32)
    return names, embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


def _some(names: Sequence[str]) -> str:
    """List the first names, and count the others."""
    more = len(names) - _MOST_SHOWN
    shown = ", ".join(repr(name[:60]) for name in names[:_MOST_SHOWN])
    return shown + (f" and {more} more" if more > 0 else "")
