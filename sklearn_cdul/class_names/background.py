"""Names of other things than the classes, which the encoder knows."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from sklearn_cdul._utils.vectors import unit_vectors
from sklearn_cdul.class_names.checking import known_names

_RELATIONS = Path(__file__).parents[1] / "encoders/bundled/relations.npz"
# Cosines from which a name can be a kind of a class, looks like it, and is it in another spelling;
# for the bundled encoder, and as the share of pairs of names that have larger ones.
_NEAR, _ALIKE, _SAME = 0.4, 0.7, 0.9
_SHARES = [1.2e-2, 7e-4, 3e-5]
# Every eighth name is compared with all, to tell how far names lie apart.
_STEP = 8


def background_of(
    wordings: Sequence[Sequence[str]], embeddings: np.ndarray, encoded: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Names that compete with the classes, and which of them are kinds of a class.

    Classes are given as wordings, and as embeddings, which are followed by those of the user's
    background classes. Returned are embeddings (m, d) of names of other things and of kinds of the
    classes; the columns (l,), of the given embeddings and then of these, that are kinds; and the
    columns (l,) of their classes. WordNet says what is a kind of what. A kind is no other thing,
    nor is what a class is a kind of, nor a name that looks like a class. A kind that is a class,
    too, keeps that column, one of two classes has a single one, and one that the user calls
    background counts as no class. ``encoded`` are embeddings of the known names by another encoder
    than the bundled one.
    """
    known, known_embeddings = known_names()
    if encoded is None:
        cosines = np.asarray(embeddings) @ known_embeddings.T
        near, alike, same = _NEAR, _ALIKE, _SAME
    else:
        known_embeddings = encoded
        cosines, (near, alike, same) = _relative_cosines(np.asarray(embeddings), encoded)
    is_given = (cosines > same).any(axis=0)
    left_out = (cosines[: len(wordings)] > alike).any(axis=0) | is_given
    relations = _relations()
    pairs: list[tuple[int, int]] = []
    for column, (texts, row) in enumerate(zip(wordings, cosines, strict=False)):
        words = [text.casefold() for text in texts]
        words += [word.removesuffix(end) for word in words for end in ("s", "es")]
        own: set[int] = set()
        for word in words + [known[j] for j in np.flatnonzero(row > same)]:
            related = relations.get(word, np.zeros(0, int)).tolist()
            left_out[related] = True
            # Fewer names are related to a kind of the word than to the word. A kind in some other
            # meaning of its name does not look like the class.
            own.update(j for j in related if len(relations.get(known[j], [])) < len(related))
        pairs += [(j, column) for j in sorted(own) if near < row[j] <= same]
    kinds, owners = np.array(pairs, dtype=int).reshape(-1, 2).T
    others = np.flatnonzero(~left_out)
    rows = np.concatenate([others, np.unique(kinds[~is_given[kinds]])])
    columns = cosines.argmax(axis=0)
    columns[rows] = len(cosines) + np.arange(len(rows))
    # Two known names may be one class.
    sources, owners = np.unique([columns[kinds], owners], axis=1)
    counts = (sources < len(wordings)) | (sources >= len(cosines))
    return known_embeddings[rows], sources[counts], owners[counts]


def _relative_cosines(embeddings: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosines (k, m) without what all names have in common, and the three limits.

    To many encoders all prompts are much alike: to OpenAI's CLIP, two of three pairs of names have
    a cosine above 0.7.
    """
    middle = known.mean(axis=0)
    centred, others = (unit_vectors(vectors - middle) for vectors in (embeddings, known))
    pairs = others[::_STEP] @ others.T
    pairs[np.arange(len(pairs)), np.arange(0, len(others), _STEP)] = -1  # a name with itself
    return centred @ others.T, np.quantile(pairs, 1 - np.array(_SHARES))


@cache
def _relations() -> dict[str, np.ndarray]:
    """For each noun the rows of the known names that are a kind of it, or it of them."""
    with np.load(_RELATIONS) as stored:
        words = str(stored["words"]).split("\n")
        parts = np.split(stored["rows"].astype(int), np.cumsum(stored["counts"], dtype=int)[:-1])
    return dict(zip(words, parts, strict=True))
