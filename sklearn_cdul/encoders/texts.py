"""From prompts to one vector a class."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sklearn_cdul._utils.progress import progress
from sklearn_cdul._utils.vectors import unit_vectors
from sklearn_cdul.encoders.soundness import is_sound, what_is_wrong

PROMPTS_PER_BATCH = 256
# Of what encoders remember of the last lists of classes.
_MAX_REMEMBERED = 16
_MAX_REMEMBERED_BYTES = 2**27


def embed_prompts(encoder: Any, prompts: Sequence[str], *, verbose: bool = False) -> np.ndarray:
    """Embed prompts batch by batch."""
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
    """Return the mean of each class's prompts, scaled to length 1."""
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
    """Return what is remembered with a new entry; the oldest are left out when it gets too much."""
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
