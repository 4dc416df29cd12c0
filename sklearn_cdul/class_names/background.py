"""Names of other things than the classes, which the bundled encoder knows."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from sklearn_cdul.class_names.checking import known_names

_RELATIONS = Path(__file__).parents[1] / "encoders/bundled/relations.npz"
# Cosine from which a name looks like a class, and from which it is the class in another spelling.
_ALIKE, _SAME = 0.7, 0.9


def background_of(wordings: Sequence[Sequence[str]], embeddings: np.ndarray) -> np.ndarray:
    """Embeddings (m, d) of the known names that are no kind of a class, nor a class of them.

    They stand for all that a photo may show besides the classes, of which wordings and embeddings
    (k, d) are given. WordNet says what is a kind of what; names that look like a class are left
    out, too.
    """
    known, known_embeddings = known_names()
    cosines = np.asarray(embeddings) @ known_embeddings.T
    left_out = (cosines > _ALIKE).any(axis=0)
    relations = _relations()
    for texts, row in zip(wordings, cosines, strict=True):
        words = [text.casefold() for text in texts]
        words += [word.removesuffix(end) for word in words for end in ("s", "es")]
        words += [known[column] for column in np.flatnonzero(row > _SAME)]
        for word in words:
            left_out[relations.get(word, [])] = True
    return known_embeddings[~left_out]


@cache
def _relations() -> dict[str, np.ndarray]:
    """For each noun the rows of the known names that are a kind of it, or it of them."""
    with np.load(_RELATIONS) as stored:
        words = str(stored["words"]).split("\n")
        parts = np.split(stored["rows"].astype(int), np.cumsum(stored["counts"], dtype=int)[:-1])
    return dict(zip(words, parts, strict=True))
