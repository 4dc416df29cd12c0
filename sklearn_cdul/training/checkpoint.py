"""Keep in a folder what an unfinished training has reached, so that a killed one goes on there."""

import os
import shutil
import time
import zipfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from filelock import FileLock, Timeout

from sklearn_cdul.exceptions import warn
from sklearn_cdul.training.ranks import Ranks

# Counts up when something else is kept, or a training gives another result.
_FORMAT = 3
# Saving takes at most one part in so many of the time.
_SAVE_SHARE = 20
_FINISHED = "finished"  # an empty file


def check_folder(folder: str | os.PathLike[str] | None) -> Path | None:
    """Make the folder, and refuse one that can't be used before hours of work."""
    if folder is None:
        return None
    path = Path(folder).expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise PermissionError("it can't be written to")
    except OSError as error:
        raise OSError(
            f"checkpoint={str(path)!r} can't be used: {error}. Set it to a folder that you may "
            "write to."
        ) from error
    return path


class Checkpoint(AbstractContextManager["Checkpoint"]):
    """The folder of one training, named by all that its result depends on.

    So the candidates of a search may share a `folder`. Of several processes the first one writes.
    """

    def __init__(
        self, folder: str | os.PathLike[str] | None, describe: Callable[[], Sequence[Any]]
    ):
        parent = check_folder(folder)
        self._own: Path | None = None  # while it is in use
        self._lock: FileLock | None = None
        self._saved_at, self._save_seconds = -np.inf, 0.0
        self._ranks = Ranks()
        if parent is not None:
            if self._ranks.number == 0:
                self._own = self._take(parent, f"fit-{joblib.hash((_FORMAT, describe()))}")
            self._own = self._ranks.agree(self._own)

    def __exit__(self, *exception: object) -> None:
        """Let others have the folder; what is in it stays."""
        if self._lock is not None:
            self._lock.release()
        self._lock = self._own = None

    def _take(self, folder: Path, name: str) -> Path | None:
        """Lock the folder of this training, which may be new; None if another process has it."""
        own = folder / name
        is_new = not own.exists()
        own.mkdir(exist_ok=True)
        self._lock = _try_lock(own)
        if self._lock is None:
            warn(
                f"The same fit is running in another process, with the checkpoint {own}. This one "
                "keeps no checkpoint."
            )
            return None
        unfinished = []
        for other in sorted(folder.glob("fit-*/")):
            if other != own and (lock := _try_lock(other)) is not None:
                lock.release()  # Windows deletes no open file
                if (other / _FINISHED).exists():
                    shutil.rmtree(other, ignore_errors=True)
                else:
                    unfinished.append(other.name)
        if is_new and unfinished:
            warn(
                f"checkpoint={str(folder)!r} has {len(unfinished)} unfinished fits of other "
                "photos, labels or parameters, or with other versions of the packages, such as "
                f"{unfinished[0]}. This fit does not go on from them. Delete those that you no "
                "longer need."
            )
        return own

    def load(self) -> Any:
        """Return what was saved last; None if there is nothing whole."""
        path = self._own and self._own / "epochs.pt"
        is_there = bool(path and self._ranks.number == 0 and path.exists())
        if path and is_there and not _is_whole(path):
            warn(f"The checkpoint {path} is damaged. It is deleted, and training begins anew.")
            path.unlink()
            is_there = False
        if path and self._ranks.agree(is_there):
            return torch.load(path, map_location="cpu", weights_only=True)
        return None

    def save(self, state: Callable[[], Any], *, is_last: bool = False) -> None:
        """Replace what was saved before, unless that was a moment ago and more is to come."""
        start = time.monotonic()
        wait = _SAVE_SHARE * self._save_seconds
        too_soon = start - self._saved_at < wait and not is_last
        if self._own is None or self._ranks.number or too_soon or self._saved_at == np.inf:
            return
        path, reached = self._own / "epochs.pt", state()
        try:
            with open(f"{path}.new", "wb") as file:
                torch.save(reached, file)
                file.flush()
                os.fsync(file.fileno())  # else a power cut could leave an empty file
            os.replace(f"{path}.new", path)  # so that a kill leaves the old one or the new one
        except (OSError, RuntimeError) as error:  # torch's writer raises either on a full disk
            self._saved_at = np.inf  # never again
            warn(f"The checkpoint {path} can't be saved ({error}). Training goes on without it.")
            return
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - start

    def finish(self) -> None:
        """Mark the training as over. The next one in the parent folder deletes it.

        So whoever fails to write down its result finds it again by the same fit.
        """
        if self._own is not None and self._lock is not None:
            with suppress(OSError):  # on a full disk it counts as unfinished
                (self._own / _FINISHED).touch()


def _is_whole(path: Path) -> bool:
    """Check the checksums of a file of torch, which is a zip archive, and what torch says of it."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return False
        torch.load(path, map_location="meta", weights_only=True)  # reads no numbers
    except Exception:  # of any type
        return False
    return True


def _try_lock(folder: Path) -> FileLock | None:
    lock = FileLock(folder / "lock")  # the system takes it away from a process that ends
    try:
        lock.acquire(timeout=0)
    except (Timeout, FileNotFoundError):  # in use, or finished at this moment
        return None
    return lock
