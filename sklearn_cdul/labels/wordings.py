"""Find class names that an encoder will not understand as they are meant, and say so."""

import re
import unicodedata
import warnings
from collections.abc import Sequence

import numpy as np

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
    """Return the wording of a name that is written as an identifier: underscores become spaces.

    Parameters
    ----------
    name : str
        A class name.

    Returns
    -------
    wording : str
        The name itself if it has none.

    Examples
    --------
    >>> as_words("hot_dog")
    'hot dog'
    """
    return " ".join(name.replace("_", " ").split()) or name


def warn_about_identifiers(names: Sequence[str]) -> None:
    """Warn about names that are no words: numbers, codes, CamelCase, lists of synonyms.

    Parameters
    ----------
    names : sequence of str
        Names that are their own wording.
    """
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
        warnings.warn(
            "The encoder reads class names as they stand. Give wordings for some, as a mapping: "
            + "; ".join(hints)
            + ". The columns keep the names.",
            UserWarning,
            stacklevel=3,
        )


def warn_about_scripts(wordings: Sequence[str]) -> None:
    """Warn about wordings in a script that a text tower for English cannot read.

    Parameters
    ----------
    wordings : sequence of str
        Words that stand for classes.
    """
    foreign = [
        text
        for text in wordings
        if any(not _is_latin(letter) for letter in text if letter.isalpha())
        or not any(letter.isalnum() for letter in text)
    ]
    if foreign:
        warnings.warn(
            f"The text tower reads English only: {_shown(foreign)} mean nothing to it. Give "
            f"English wordings as a mapping, for instance {{{foreign[0]!r}: 'cat'}} (the column "
            "keeps the name), or take a multilingual model, such as "
            'model_name="xlm-roberta-base-ViT-B-32", pretrained="laion5b_s13b_b90k".',
            UserWarning,
            stacklevel=3,
        )


def _is_latin(letter: str) -> bool:
    return letter.isascii() or "LATIN" in unicodedata.name(letter, "")


def warn_about_equal_classes(names: Sequence[str], embeddings: np.ndarray) -> None:
    """Warn about classes that have the same place, between which the encoder can't choose.

    A single one, which has nothing to be compared with, is pointed out, too.

    Parameters
    ----------
    names : sequence of str, length k
        The classes, and after them what else competes.
    embeddings : ndarray of shape (k, d)
        One unit vector a class.

    Notes
    -----
    All pairs are compared, in blocks: time O(k^2 d), memory O(k).
    """
    if len(names) == 1:
        warnings.warn(
            f"{names[0]!r} is the only class. The softmax compares classes with each other, so "
            "every image gets the label 1. Name what else the images may show as other_classes, or "
            'take other_classes="general".',
            UserWarning,
            stacklevel=3,
        )
    pairs = []
    for start in range(0, len(names), _BLOCK):
        cosines = embeddings[start : start + _BLOCK] @ embeddings[start:].T
        rows, columns = np.nonzero(np.triu(cosines > _SAME, k=1))
        pairs += [(names[start + r], names[start + c]) for r, c in zip(rows, columns, strict=True)]
    if pairs:
        shown = ", ".join(f"{one!r} and {other!r}" for one, other in pairs[:_MOST_SHOWN])
        more = f" and {len(pairs) - _MOST_SHOWN} more pairs" if len(pairs) > _MOST_SHOWN else ""
        warnings.warn(
            f"To the encoder these classes are the same: {shown}{more}. Their labels will be equal "
            "and share what one of them would get. Leave one out, or give wordings that differ, as "
            "a mapping {name: wording}.",
            UserWarning,
            stacklevel=3,
        )


def _shown(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:60]) for name in names[:_MOST_SHOWN])
    more = len(names) - _MOST_SHOWN
    return shown + (f" and {more} more" if more > 0 else "")
