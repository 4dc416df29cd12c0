"""Tell the names whose looks the bundled encoder can only guess: those far from all it knows."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from sklearn_cdul.exceptions import warn

# Below this cosine with the nearest known name, a place counts as a guess. bundled/README.md says
# how often that is right.
NEAR = 0.65
_NAMES = Path(__file__).parents[1] / "encoders/bundled/names.npz"
_MOST_SHOWN = 5


@lru_cache(maxsize=1)
def _known() -> tuple[list[str], np.ndarray]:
    """Names whose place is known, and their unit places (n, d)."""
    with np.load(_NAMES) as stored:
        names = str(stored["names"]).split("\n")
        places = stored["places"].astype(np.float32)
    return names, places / np.linalg.norm(places, axis=1, keepdims=True)


def guessed_classes(embeddings: np.ndarray) -> dict[int, list[str]]:
    """Find the classes that the bundled encoder places by guess.

    The text tower was fitted to some 2,300 names. It puts another one near those that it takes for
    relatives; far from all of them means that it has no idea.
    """
    names, places = _known()
    similarities = np.asarray(embeddings) @ places.T
    far = np.flatnonzero(similarities.max(axis=1) < NEAR)
    nearest = np.argsort(-similarities[far], axis=1, kind="stable")[:, :3]
    return {
        int(index): [names[column] for column in columns]
        for index, columns in zip(far, nearest, strict=True)
    }


def warn_about_guesses(names: Sequence[str], embeddings: np.ndarray) -> None:
    """Warn about classes that the bundled encoder places by guess, with their neighbours."""
    guessed = guessed_classes(embeddings)
    if guessed:
        shown = [
            f"{names[index]!r} (nearest names that it knows: {', '.join(nearest)})"
            for index, nearest in list(guessed.items())[:_MOST_SHOWN]
        ]
        more = len(guessed) - len(shown)
        warn(
            f"The bundled encoder can only guess what {'; '.join(shown)}"
            + (f" and {more} more" if more else "")
            + " looks like. Give wordings that it knows, as a mapping, for instance "
            '{"hoodie": ["sweatshirt", "jacket"]}, or take a larger encoder.'
        )
