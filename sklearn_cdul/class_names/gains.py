"""How much the similarity counts of names that photos have taught the bundled encoder."""

from functools import cache
from pathlib import Path

import numpy as np

from sklearn_cdul.class_names.checking import known_names

_GAINS = Path(__file__).parents[1] / "encoders/bundled/gains.npz"
# Cosine from which a name is one of these, or another word for it.
_ALIKE = 0.8


def gains_of(embeddings: np.ndarray) -> np.ndarray:
    """Factors (k,) of the cosines of names with embeddings (k, d), 1 for most.

    "Person" and some words for scenes lie in directions that photos have taught. These tell best
    which photos show them, but their cosines are lower than those of other names.
    """
    names, gains = _taught()
    cosines = np.asarray(embeddings) @ names.T
    nearest = cosines.argmax(axis=1)
    return np.where(cosines.max(axis=1) > _ALIKE, gains[nearest], np.float32(1))


@cache
def _taught() -> tuple[np.ndarray, np.ndarray]:
    known, embeddings = known_names()
    with np.load(_GAINS) as stored:
        rows = [known.index(name) for name in stored["names"].tolist()]
        return embeddings[rows], stored["gains"]
