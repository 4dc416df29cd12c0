"""From prompts to one vector per class."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

from sklearn_cdul._utils.progress import progress
from sklearn_cdul._utils.vectors import is_sound, unit_vectors, what_is_wrong
from sklearn_cdul.encoders.base import BaseEncoder
from sklearn_cdul.memory.store import Store

PROMPTS_PER_BATCH = 256
# Of what encoders remember of the last lists of classes.
_MAX_REMEMBERED = 16
_MAX_BYTES = 2**27


def encode_classes(
    encoder: BaseEncoder,
    prompts_per_class: Sequence[Sequence[str]],
    *,
    memory: str | os.PathLike[str] | None = None,
    verbose: bool = False,
) -> np.ndarray:
    """Embed classes, (k, d) of length 1: each is the mean of its normalised prompts.

    The last few lists are remembered, for searches that fit the same classes many times.
    """
    key = _digest(os.fspath(memory or ""), [list(prompts) for prompts in prompts_per_class])
    classes = encoder._classes.get(key)
    if classes is None:
        prompts = [prompt for prompts in prompts_per_class for prompt in prompts]
        embeddings = _embed_prompts(encoder, prompts, memory, verbose)
        classes = _average(embeddings, prompts_per_class)
    _remember(encoder, key, classes)
    return classes.copy()


def _embed_prompts(
    encoder: BaseEncoder,
    prompts: list[str],
    memory: str | os.PathLike[str] | None,
    verbose: bool,
) -> np.ndarray:
    """Embed prompts batch by batch, each once; those that a folder has are read."""
    found: dict[str, np.ndarray] = {}
    keys: dict[str, bytes] = {}
    with ExitStack() as stack:
        store = None
        if memory is not None and encoder.text_fingerprint is not None:
            store = stack.enter_context(Store(memory))
            keys = {text: b"text" + _digest(encoder.text_fingerprint, text) for text in prompts}
            stored = {text: np.frombuffer(store.get(keys[text]) or b"", "<f4") for text in keys}
            found = {text: vector for text, vector in stored.items() if is_sound(vector)}
        missing = [text for text in dict.fromkeys(prompts) if text not in found]
        shown = verbose and bool(missing)
        phase = progress("Encoding prompts", len(missing), unit="prompt", verbose=shown)
        bar = stack.enter_context(phase)
        for start in range(0, len(missing), PROMPTS_PER_BATCH):
            batch = missing[start : start + PROMPTS_PER_BATCH]
            new = dict(zip(batch, _embed_batch(encoder, batch), strict=True))
            if store is not None:
                store.put({keys[text]: row.astype("<f4").tobytes() for text, row in new.items()})
            found |= new
            bar.update(len(batch))
    return np.stack([found[text] for text in prompts])


def _embed_batch(encoder: BaseEncoder, prompts: list[str]) -> np.ndarray:
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


def _average(embeddings: np.ndarray, prompts_per_class: Sequence[Sequence[str]]) -> np.ndarray:
    """The mean of each class's prompts, scaled to length 1."""
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


def _remember(encoder: BaseEncoder, key: bytes, classes: np.ndarray) -> None:
    """Keep what was used last; the oldest are left out when it gets too much."""
    kept = {old: value for old, value in encoder._classes.items() if old != key}
    kept[key] = classes
    while len(kept) > _MAX_REMEMBERED or sum(v.nbytes for v in kept.values()) > _MAX_BYTES:
        del kept[next(iter(kept))]
    encoder._classes = kept


def _digest(*parts: object) -> bytes:
    # Surrogates, as in file names, are no UTF-8, but repr() writes them as escapes.
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).digest()
