"""Names of other things than the classes, which the encoder knows."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from sklearn_cdul._utils.vectors import unit_vectors
from sklearn_cdul.class_names.checking import known_names

_RELATIONS = Path(__file__).parents[1] / "encoders/bundled/relations.npz"
# Cosine from which a name looks like a class, and from which it is the class in another spelling;
# for the bundled encoder, and as the share of pairs of names that have larger ones.
_ALIKE, _SAME = 0.7, 0.9
_SHARES = [7e-4, 3e-5]
# Every how manieth name tells how far names lie apart.
_STEP = 8


def background_of(
    wordings: Sequence[Sequence[str]], embeddings: np.ndarray, encoded: np.ndarray | None = None
) -> np.ndarray:
    """Embeddings (m, d) of the known names that are no kind of a class, nor a class of them.

    They stand for all that a photo may show besides the classes, of which wordings and embeddings
    (k, d) are given. WordNet says what is a kind of what; names that look like a class are left
    out, too. ``encoded`` are embeddings of the known names by another encoder than the bundled one.
    """
    known, known_embeddings = known_names()
    if encoded is None:
        cosines, alike, same = np.asarray(embeddings) @ known_embeddings.T, _ALIKE, _SAME
    else:
        known_embeddings = encoded
        cosines, alike, same = _relative_cosines(np.asarray(embeddings), encoded)
    left_out = (cosines > alike).any(axis=0)
    relations = _relations()
    for texts, row in zip(wordings, cosines, strict=True):
        words = [text.casefold() for text in texts]
        words += [word.removesuffix(end) for word in words for end in ("s", "es")]
        words += [known[column] for column in np.flatnonzero(row > same)]
        for word in words:
            left_out[relations.get(word, [])] = True
    return known_embeddings[~left_out]


def _relative_cosines(embeddings: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Cosines (k, m) without what all names have in common, and the two limits.

    To many encoders all prompts are much alike: to OpenAI's CLIP, two of three pairs of names have
    a cosine above 0.7.
    """
    middle = known.mean(axis=0)
    centred, others = (unit_vectors(vectors - middle) for vectors in (embeddings, known))
    pairs = others[::_STEP] @ others.T
    pairs[np.arange(len(pairs)), np.arange(0, len(others), _STEP)] = -1  # a name with itself
    alike, same = np.quantile(pairs, 1 - np.array(_SHARES))
    return centred @ others.T, alike, same


@cache
def _relations() -> dict[str, np.ndarray]:
    """For each noun the rows of the known names that are a kind of it, or it of them."""
    with np.load(_RELATIONS) as stored:
        words = str(stored["words"]).split("\n")
        parts = np.split(stored["rows"].astype(int), np.cumsum(stored["counts"], dtype=int)[:-1])
    return dict(zip(words, parts, strict=True))
