"""Keep embeddings of prompts in a folder, so that each is made once."""

import hashlib
import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sklearn_cdul._utils.progress import progress
from sklearn_cdul.encoders.base import BaseEncoder
from sklearn_cdul.encoders.soundness import is_sound
from sklearn_cdul.encoders.texts import PROMPTS_PER_BATCH, embed_prompts
from sklearn_cdul.memory.folder import check_folder

if TYPE_CHECKING:
    from sklearn_cdul.memory.claims import EmbeddingStore

_POLL_SECONDS = 0.05


def encode_classes_once(
    encoder: BaseEncoder,
    prompts_per_class: Sequence[Sequence[str]],
    memory: str | os.PathLike[str],
    *,
    verbose: bool = False,
) -> np.ndarray:
    """Embed classes as ``encoder.encode_classes`` does, but each prompt once for one folder.

    An entry belongs to the prompt and to ``encoder.text_fingerprint``. An encoder that has none
    embeds all prompts itself.
    """
    folder = check_folder(memory)
    if encoder.text_fingerprint is None:
        return encoder.encode_classes(prompts_per_class, verbose=verbose)
    embed = partial(_embed_once, encoder, folder, encoder.text_fingerprint, verbose)
    place = str(folder.absolute())
    return encoder.encode_classes(prompts_per_class, embed=embed, place=place)


def _embed_once(
    encoder: BaseEncoder, folder: Path, fingerprint: str, verbose: bool, prompts: Sequence[str]
) -> np.ndarray:
    # Without memory= nobody needs it.
    from sklearn_cdul.memory.claims import EmbeddingStore

    by_key = {_key(fingerprint, prompt): prompt for prompt in prompts}
    found: dict[bytes, np.ndarray] = {}
    with (
        EmbeddingStore(folder, is_sound=_is_embedding, quiet=True) as store,
        progress("Encoding prompts", len(by_key), unit="prompt", verbose=verbose) as bar,
    ):
        missing = list(by_key)
        while missing:
            for start in range(0, len(missing), PROMPTS_PER_BATCH):
                some = missing[start : start + PROMPTS_PER_BATCH]
                new = _stored_or_made(encoder, store, {key: by_key[key] for key in some})
                found |= {key: np.frombuffer(stored, "<f4") for key, stored in new.items()}
                bar.update(len(new))
            missing = [key for key in missing if key not in found]
            if missing:  # for other processes
                store.free_dead_claims()
                time.sleep(_POLL_SECONDS)
    return np.stack([found[_key(fingerprint, prompt)] for prompt in prompts])


def _stored_or_made(
    encoder: BaseEncoder, store: "EmbeddingStore", by_key: dict[bytes, str]
) -> dict[bytes, bytes]:
    """Embeddings of prompts, but of those that another process is making now."""
    stored = {key: e for key in by_key if (e := store.get(key)) is not None}
    mine, ready = store.claim([key for key in by_key if key not in stored])
    made: dict[bytes, bytes] = {}
    try:
        if mine:
            new = embed_prompts(encoder, [by_key[key] for key in mine])
            made = {k: e.astype("<f4").tobytes() for k, e in zip(mine, new, strict=True)}
    finally:  # what was claimed in vain is free
        store.put({**dict.fromkeys(mine), **made})
    return stored | ready | made


def _key(fingerprint: str, prompt: str) -> bytes:
    content = repr((fingerprint, prompt)).encode()
    # Another length than the keys of images.
    return b"text" + hashlib.blake2b(content, digest_size=16).digest()


def _is_embedding(stored: bytes) -> bool:
    return len(stored) % 4 == 0 and bool(is_sound(np.frombuffer(stored, "<f4")))
