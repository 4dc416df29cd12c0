"""Keep in a folder what an unfinished training has reached, so that a killed one goes on there."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from filelock import FileLock, Timeout

from sklearn_cdul.exceptions import warn
from sklearn_cdul.training.ranks import Ranks

# Counts up when something else is kept, or a training gives another result.
_FORMAT = b"1"
# Saving takes at most one part in so many of the time.
_SAVE_SHARE = 20


class HasState(Protocol):
    """A module, optimizer or anything else of torch's manners."""

    def state_dict(self) -> Any:
        """Return all that changes."""

    def load_state_dict(self, state: Any) -> Any:
        """Take it over."""


class Checkpoint:
    """The folder of one training, which finds there what it had reached when it was killed.

    Each training has a folder of its own, named by all that its result depends on. So nothing is
    taken from another one, and the candidates of a search may share a `folder`. Use it as a context
    manager around the training; call :meth:`finish` when the result is kept.
    """

    def __init__(self, folder: str | os.PathLike[str] | None):
        self._folder = None if folder is None else Path(folder).expanduser()
        self._own: Path | None = None  # while it is in use
        self._lock: FileLock | None = None
        self._saved_at, self._save_seconds = -np.inf, 0.0
        self._ranks = Ranks()
        if self._folder is not None:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                if not os.access(self._folder, os.W_OK):
                    raise PermissionError("it can't be written to")
            except OSError as error:
                raise OSError(
                    f"checkpoint={str(self._folder)!r} can't be used: {error}. Set it to a folder "
                    "that you may write to."
                ) from error

    def __enter__(self) -> "Checkpoint":
        return self

    def __exit__(self, *exception: object) -> None:
        """Let others have the folder; what is in it stays, unless the training has finished."""
        if self._lock is not None:
            self._lock.release()
        self._lock = self._own = None

    def begin(self, describe: Callable[[], Sequence[Any]]) -> None:
        """Find or make the folder of the training that is described so."""
        if self._folder is None:
            return
        own = None
        if self._ranks.number == 0:  # which answers for all
            own = self._take(self._folder / f"fit-{_digest(describe())}")
        self._own = self._ranks.agree(own)

    def _take(self, own: Path) -> Path | None:
        """Lock the folder of this training, which may be new; None if another process has it."""
        is_new = not own.exists()
        own.mkdir(exist_ok=True)
        self._lock = _try_lock(own)
        if self._lock is None:
            warn(
                f"The same fit is running in another process, with the checkpoint {own}. This one "
                "keeps no checkpoint."
            )
            return None
        if is_new and (others := self._abandoned(own)):
            warn(
                f"checkpoint={str(self._folder)!r} has {len(others)} unfinished fits of other "
                "photos, labels or parameters, or with other versions of the packages, such as "
                f"{others[0].name}. This fit does not go on from them. Delete those that you no "
                "longer need."
            )
        return own

    def _abandoned(self, own: Path) -> list[Path]:
        """Folders of trainings that no process is at."""
        assert self._folder is not None
        found = []
        for other in sorted(self._folder.glob("fit-*/")):
            if other != own and (lock := _try_lock(other)) is not None:
                lock.release()
                found.append(other)
        return found

    def rows(self, name: str) -> "KeptRows | None":
        """Return the rows of this name; None if nothing is kept."""
        if self._own is None:
            return None
        ranks = self._ranks
        share = f"-{ranks.number}-of-{ranks.count}" if ranks.count > 1 else ""
        return KeptRows(self._own / f"{name}{share}.npy")

    def restore(self, parts: Mapping[str, HasState]) -> None:
        """Load what :meth:`save` has saved last, if anything."""
        if self._own is None or not (path := self._own / "epochs.pt").exists():
            return
        states = torch.load(path, map_location="cpu", weights_only=True)
        for part, holder in parts.items():
            holder.load_state_dict(states[part])

    def save(self, parts: Mapping[str, HasState]) -> None:
        """Replace what was saved before, unless that was a moment ago."""
        start = time.monotonic()
        wait = _SAVE_SHARE * self._save_seconds
        if self._own is None or self._ranks.number or start - self._saved_at < wait:
            return
        path = self._own / "epochs.pt"
        torch.save({part: holder.state_dict() for part, holder in parts.items()}, f"{path}.new")
        os.replace(f"{path}.new", path)  # so that a kill leaves the old one or the new one
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - start

    def finish(self) -> None:
        """Delete what is kept: the training is over, and its result is elsewhere."""
        if self._own is not None and self._lock is not None:
            self._lock.release()  # Windows deletes no open file
            shutil.rmtree(self._own, ignore_errors=True)


class KeptRows:
    """Rows of an array in a file, batch by batch: a killed process loses the last batch at most."""

    def __init__(self, path: Path):
        self._path = path

    def read(self) -> Iterator[np.ndarray]:
        """Yield the batches in the order in which they came; cut off a torn one at the end."""
        if not self._path.exists():
            return
        with open(self._path, "r+b") as file:
            while True:
                end = file.tell()
                try:
                    batch = np.load(file, allow_pickle=False)
                except (ValueError, EOFError, OSError):  # torn, or the end
                    file.truncate(end)
                    return
                yield batch

    def add(self, batch: np.ndarray) -> None:
        """Add a batch, after all were read."""
        with open(self._path, "ab") as file:
            np.save(file, batch, allow_pickle=False)


def _try_lock(folder: Path) -> FileLock | None:
    lock = FileLock(folder / "lock")  # the system takes it away from a process that ends
    try:
        lock.acquire(timeout=0)
    except (Timeout, FileNotFoundError):  # in use, or finished at this moment
        return None
    return lock


def _digest(parts: Sequence[Any]) -> str:
    digest = hashlib.blake2b(_FORMAT, digest_size=8)
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(repr((part.shape, part.dtype)).encode())
            part = np.ascontiguousarray(part).view(np.uint8).data
        elif not isinstance(part, bytes):
            part = repr(part).encode()
        digest.update(part)
    return digest.hexdigest()
