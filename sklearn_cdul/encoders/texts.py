"""From prompts to one vector a class."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sklearn_cdul.encoders.soundness import is_sound, what_is_wrong
from sklearn_cdul.labels.aggregation import unit_vectors
from sklearn_cdul.progress import progress

PROMPTS_PER_BATCH = 256
# Of what encoders remember of the last lists of classes.
_MAX_REMEMBERED = 16
_MAX_REMEMBERED_BYTES = 2**27


def embed_prompts(encoder: Any, prompts: Sequence[str], *, verbose: bool = False) -> np.ndarray:
    """Embed prompts batch by batch.

    Parameters
    ----------
    encoder : BaseEncoder
        Its `encode_text` is called with 256 prompts at most.
    prompts : sequence of str, length n
        At least one.
    verbose : bool, default=False
        Show the progress.

    Returns
    -------
    embeddings : ndarray of shape (n, d), dtype float32
        Of length 1 each.

    Raises
    ------
    ValueError
        If the encoder returns another shape.
    FloatingPointError
        If it returns NaN, infinity or a vector of length 0; names the first such prompt.
    """
    parts = []
    with progress("Encoding prompts", len(prompts), unit="prompt", verbose=verbose) as bar:
        for start in range(0, len(prompts), PROMPTS_PER_BATCH):
            batch = list(prompts[start : start + PROMPTS_PER_BATCH])
            parts.append(_embed_batch(encoder, batch))
            bar.update(len(batch))
    return np.concatenate(parts)


def _embed_batch(encoder: Any, prompts: list[str]) -> np.ndarray:
    name = type(encoder).__name__
    with np.errstate(over="ignore", invalid="ignore"):
        raw = np.asarray(encoder.encode_text(prompts), dtype=np.float32)
        if raw.ndim != 2 or len(raw) != len(prompts):
            raise ValueError(
                f"{name}.encode_text must return an array of shape ({len(prompts)}, d) for "
                f"{len(prompts)} prompts; it returned {raw.shape}."
            )
        embeddings = unit_vectors(raw)
    wrong = np.flatnonzero(~is_sound(embeddings))
    if len(wrong):
        raise FloatingPointError(
            f"The encoder gave {what_is_wrong(raw[wrong])} for {len(wrong)} of {len(prompts)} "
            f"prompts, first {prompts[wrong[0]]!r}. Its weights may be broken, or those of "
            'another model; or the device computes wrongly: set device="cpu".'
        )
    return embeddings


def average_prompts(
    embeddings: np.ndarray, prompts_per_class: Sequence[Sequence[str]]
) -> np.ndarray:
    """Return the mean of each class's prompts, scaled to length 1.

    Parameters
    ----------
    embeddings : ndarray of shape (n, d)
        Of all prompts, those of the first class first.
    prompts_per_class : sequence of sequences of str, length k
        At least one prompt for each class, n in all.

    Returns
    -------
    classes : ndarray of shape (k, d), dtype float32

    Raises
    ------
    FloatingPointError
        If the prompts of a class cancel each other.
    """
    ends = np.cumsum([len(prompts) for prompts in prompts_per_class])
    parts = np.split(embeddings, ends[:-1])
    classes = unit_vectors(np.stack([part.mean(axis=0) for part in parts]))
    wrong = np.flatnonzero(~is_sound(classes))
    if len(wrong):
        raise FloatingPointError(
            f"The embeddings of the prompts {list(prompts_per_class[wrong[0]])} cancel each other. "
            "Give this class one prompt."
        )
    return classes


def remember(
    recent: Mapping[bytes, np.ndarray], key: bytes, classes: np.ndarray
) -> dict[bytes, np.ndarray]:
    """Return what is remembered with a new entry; the oldest are left out when it gets too much.

    Parameters
    ----------
    recent : mapping of bytes to ndarray
        The oldest first. It is not changed.
    key : bytes
        See `key_of`.
    classes : ndarray of shape (k, d)
        To remember, unless it is larger than all that may be remembered, 128 MiB.

    Returns
    -------
    recent : dict of bytes to ndarray
        16 entries and 128 MiB at most.
    """
    kept = {}
    room = _MAX_REMEMBERED_BYTES
    for other, value in [(key, classes), *reversed(list(recent.items()))][:_MAX_REMEMBERED]:
        room -= value.nbytes
        if room < 0:
            break
        kept[other] = value
    return dict(reversed(kept.items()))


def key_of(prompts_per_class: Sequence[Sequence[str]], place: str = "") -> bytes:
    """Return a short key for a list of classes, and for where their vectors come from."""
    prompts = [list(prompts) for prompts in prompts_per_class]
    # Surrogates, as in file names, are no UTF-8, but repr() writes them as escapes.
    return hashlib.blake2b(repr((place, prompts)).encode(), digest_size=16).digest()
