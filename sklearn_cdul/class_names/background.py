"""Names of other things than the classes, which the bundled encoder knows."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from sklearn_cdul.class_names.checking import known_names

_RELATIONS = Path(__file__).parents[1] / "encoders/bundled/relations.npz"
# Cosine from which a name looks like a class, and from which it is the class in another spelling.
_ALIKE, _SAME = 0.7, 0.9


def background_of(names: Sequence[str], embeddings: np.ndarray) -> np.ndarray:
    """Places (m, d) of the known names that no class is a kind of, and that are none of a class.

    They stand for all that a photo may show besides the classes, whose embeddings are (k, d).
    WordNet says what is a kind of what; names that look like a class are left out, too.
    """
    known, places = known_names()
    cosines = np.asarray(embeddings) @ places.T
    left_out = (cosines > _ALIKE).any(axis=0)
    relations = _relations()
    for name, row in zip(names, cosines, strict=True):
        word, nearest = name.replace("_", " ").casefold(), int(row.argmax())
        singulars = [word.removesuffix(end) for end in ("s", "es")]
        same = [known[nearest]] if row[nearest] > _SAME else []
        for spelling in (word, *singulars, *same):
            left_out[relations.get(spelling, [])] = True
    return places[~left_out]


@cache
def _relations() -> dict[str, np.ndarray]:
    """For each noun the rows of the known names that are a kind of it, or it of them."""
    with np.load(_RELATIONS) as stored:
        words = str(stored["words"]).split("\n")
        parts = np.split(stored["rows"].astype(int), np.cumsum(stored["counts"], dtype=int)[:-1])
    return dict(zip(words, parts, strict=True))
