"""Find class names that an encoder will not understand as they are meant, and say so."""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from sklearn_cdul.exceptions import warn

# Cosine from which two classes are one to the encoder. Spellings of one name lie below.
_SAME = 0.9995
_BLOCK = 1024  # classes compared at a time with all others
_MOST_SHOWN = 8

_CODE = re.compile(
    r"\d+|[a-z]|[nvars]\d{8}|(class|label|category|cls|cat|type|id|nr|no)[\s._-]*\d+", re.IGNORECASE
)
# Humps of three letters or more: AnnualCrop, not iPhone or McDonald.
_CAMEL_CASE = re.compile(r"[A-Za-z][a-z]{2,}(?:[A-Z][a-z]{2,})+")


def as_words(name: str) -> str:
    """Return the wording of a name that is written as an identifier: underscores become spaces."""
    return " ".join(name.replace("_", " ").split()) or name


def warn_about_classes(
    names: Sequence[str],
    prompts: Sequence[Sequence[str]],
    embeddings: np.ndarray,
    *,
    identifiers: Sequence[str],
    are_cut: np.ndarray,
    english_only: bool,
) -> None:
    """Give every warning of this module that applies."""
    warn_about_identifiers(identifiers)
    if english_only:
        warn_about_scripts(names, prompts)
    warn_about_cut(names, prompts, are_cut)
    warn_about_equal_classes(names, embeddings)


def warn_about_identifiers(names: Sequence[str]) -> None:
    """Warn about names that are no words: numbers, codes, CamelCase, lists of synonyms."""
    codes = [name for name in names if _CODE.fullmatch(name)]
    camels = [name for name in names if _CAMEL_CASE.fullmatch(name)]
    lists = [name for name in names if "," in name]
    hints = []
    if codes:
        hints.append(f"{_shown(codes)} say nothing about photos: {{{codes[0]!r}: 'its wording'}}")
    if camels:
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", camels[0]).lower()
        hints.append(f"{_shown(camels)} are no words: {{{camels[0]!r}: {words!r}}}")
    if lists:
        parts = [part.strip() for part in lists[0].split(",") if part.strip()]
        hints.append(
            f"{_shown(lists)} hold commas; synonyms are averaged: {{{lists[0]!r}: {parts}}}"
        )
    if hints:
        warn(
            "The encoder reads class names as they stand. Give wordings for some, as a mapping: "
            + "; ".join(hints)
            + ". The columns keep the names.",
        )


def warn_about_scripts(names: Sequence[str], prompts: Sequence[Sequence[str]]) -> None:
    """Warn about prompts in a script that a text tower for English cannot read."""
    foreign = [
        name
        for name, texts in zip(names, prompts, strict=True)
        if any(map(_is_foreign, {letter for text in texts for letter in text}))
    ]
    if foreign:
        warn(
            f"The text tower reads English only: {_shown(foreign)} mean nothing to it. Give "
            f"English wordings as a mapping, for instance {{{foreign[0]!r}: 'cat'}} (the column "
            "keeps the name), or take a multilingual model, such as "
            'model_name="xlm-roberta-base-ViT-B-32", pretrained="laion5b_s13b_b90k".',
        )


def _is_foreign(letter: str) -> bool:
    if ord(letter) < 0x250 or unicodedata.category(letter) == "Lm":  # Latin; marks
        return False
    if letter.isalpha():
        return "LATIN" not in unicodedata.name(letter, "")
    return unicodedata.category(letter) == "So"  # emoji


def warn_about_cut(
    names: Sequence[str], prompts: Sequence[Sequence[str]], are_cut: np.ndarray
) -> None:
    """Warn about prompts whose end the encoder does not read."""
    ends = np.cumsum([len(texts) for texts in prompts])[:-1]
    cut = [name for name, part in zip(names, np.split(are_cut, ends), strict=True) if part.any()]
    if cut:
        warn(
            f"Prompts of {len(cut)} of {len(names)} classes are longer than the encoder reads, and "
            f"are cut: {_shown(cut)}. Put what tells a class from others first, and shorten them.",
        )


def warn_about_equal_classes(names: Sequence[str], embeddings: np.ndarray) -> None:
    """Warn about classes that have the same place, between which the encoder can't choose.

    A single one, which has nothing to be compared with, is pointed out, too.
    """
    if len(names) == 1:
        warn(
            f"{names[0]!r} is the only class. The softmax compares classes with each other, so "
            "every image gets the label 1. Name what else the images may show as "
            'background_classes, or take background_classes="general".',
        )
    pairs: list[str] = []
    n_pairs = 0
    for start in range(0, len(names), _BLOCK):
        cosines = embeddings[start : start + _BLOCK] @ embeddings[start:].T
        rows, columns = np.nonzero(np.triu(cosines > _SAME, k=1))
        n_pairs += len(rows)
        for row, column in zip(rows[: _MOST_SHOWN - len(pairs)], columns, strict=False):
            pairs.append(f"{names[start + int(row)]!r} and {names[start + int(column)]!r}")
    if pairs:
        shown = ", ".join(pairs)
        more = f" and {n_pairs - _MOST_SHOWN} more pairs" if n_pairs > _MOST_SHOWN else ""
        warn(
            f"To the encoder these classes are the same: {shown}{more}. Their labels will be equal "
            "and share what one of them would get. Leave one out, or give wordings that differ, as "
            "a mapping {name: wording}.",
        )


def _shown(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:60]) for name in names[:_MOST_SHOWN])
    more = len(names) - _MOST_SHOWN
    return shown + (f" and {more} more" if more > 0 else "")
