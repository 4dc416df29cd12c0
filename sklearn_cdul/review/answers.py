"""What people said of photos, on disk before anybody is told so."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from sklearn_cdul._utils.atomic_write import atomic_write
from sklearn_cdul._utils.text_files import file_path
from sklearn_cdul.datasets._writing import csv_text
from sklearn_cdul.exceptions import warn
from sklearn_cdul.images.items import path_of
from sklearn_cdul.targets import read_targets
from sklearn_cdul.targets.csv_files import PATHS
from sklearn_cdul.targets.tables import ROWS


class Answers:
    """Labels (n, k) of photos in a journal that only grows, with a CSV file for ``observed=``.

    The journal is a file of JSON lines beside the CSV file. A line is on disk when the method that
    wrote it returns; half a line, of a process that was killed, is cut off. The CSV file is written
    from it by `write_csv`. Of a CSV file without a journal the labels are taken over.
    """

    def __init__(self, path: str | os.PathLike[str], photos: Sequence[Any], names: Sequence[str]):
        self.path = file_path(path)
        if self.path.suffix.lower() != ".csv":
            raise ValueError(f"answers must name a .csv file, got {str(self.path)!r}.")
        self.journal = self.path.with_suffix(".journal")
        self.names = list(names)
        self.changes: list[tuple[str | None, str]] = []  # classes added (None) or renamed
        self.labels = np.full((len(photos), len(names)), np.nan, dtype=np.float32)
        self.is_fair = np.zeros(len(photos), dtype=bool)
        self.versions = np.zeros(len(photos), dtype=int)
        self.order: list[int] = []  # photos as they were answered, each once
        folder = self.path.absolute().parent
        if not folder.is_dir():
            raise FileNotFoundError(f"There is no folder {folder} for the answers.")
        self.keys = [_key(photo, row, folder) for row, photo in enumerate(photos)]
        self._rows = {key: row for row, key in reversed(list(enumerate(self.keys)))}
        self._lock = FileLock(f"{self.journal}.lock", timeout=0)
        try:
            self._lock.acquire()
            self._file = open(self.journal, "a+b")  # noqa: SIM115 - closed by close()
        except Timeout:
            raise OSError(
                f"{self.path} is in use by another review. Stop it, or name another file."
            ) from None
        except OSError as error:
            self._lock.release()
            raise OSError(
                f"Answers can't be written to {self.journal}: {error.strerror}. Name another file."
            ) from error
        try:
            unknown, others = self._replay()
            # A process that was killed at its start may have left an empty journal.
            if self._is_empty() and self.path.exists():
                self._take_over(photos)
        except BaseException:
            is_empty = self._is_empty()
            self.release()
            if is_empty:
                self.journal.unlink()
            raise

        if unknown:
            warn(
                f"{self.journal} has answers on {len(unknown)} photos that are not among these, "
                f"the first {unknown[0]}. They stay there, and are not in {self.path.name}."
            )
        if others:
            named = ", ".join(others[:5]) + (" and more" if len(others) > 5 else "")
            warn(
                f"{self.journal} has answers on classes that are not among these: {named}. They "
                f"stay there, and are not in {self.path.name}."
            )

    def close(self) -> None:
        """Write the CSV file and let others use both files."""
        try:
            self.write_csv(self.names, self.labels)
        finally:
            self.release()

    def release(self) -> None:
        """Let others use the files, which stay as they are."""
        self._file.close()
        self._lock.release()

    def set_labels(self, labels: Mapping[int, np.ndarray], *, fair: bool = False) -> None:
        """Set the rows (k,) of photos, NaN where there is no label."""
        shown = {
            self.keys[row]: {
                name: None if np.isnan(value) else int(value == 1)  # JSON has no NaN
                for name, value in zip(self.names, values.tolist(), strict=True)
            }
            for row, values in labels.items()
        }
        self._write({"photos": list(shown.items()), "fair": fair})
        for row, values in labels.items():
            self._set(row, values, fair)

    def change_class(self, old: str | None, new: str) -> None:
        """Rename a class, or add one."""
        self._write({"class": [old, new]})
        self._change(old, new)

    def write_csv(self, names: list[str], labels: np.ndarray) -> None:
        """Write labels, as they were at some moment, as ``observed=`` reads them."""
        rows = np.flatnonzero(~np.isnan(labels).all(axis=1))
        if len(rows) == 0:
            return  # such a file has no rows, which is an error
        columns = PATHS if all(isinstance(key, str) for key in self.keys) else ROWS
        head = next((name for name in columns if name not in names), columns[0])
        lines = [[head, *names]]
        cells = np.where(np.isnan(labels[rows]), "", (labels[rows] == 1).astype(int))
        for row, line in zip(rows.tolist(), cells.tolist(), strict=True):
            lines.append([str(self.keys[row] if columns == PATHS else row), *line])
        with atomic_write(self.path) as part:
            part.write_bytes(csv_text(lines).encode("utf-8", "surrogateescape"))

    def _write(self, record: dict[str, Any]) -> None:
        """Append a line; it is on disk, or an error says that it is not there."""
        end = self._file.seek(0, os.SEEK_END)
        try:
            self._file.write(json.dumps(record).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError:
            self._file = open(self.journal, "a+b")  # noqa: SIM115 - what is in the buffer is lost
            self._file.truncate(end)
            raise

    def _is_empty(self) -> bool:
        return self._file.seek(0, os.SEEK_END) == 0

    def _replay(self) -> tuple[list[str | int], list[str]]:
        """Read the journal; return the photos and the classes in it that are not among these."""
        self._file.seek(0)
        end, unknown = 0, {}
        labels: dict[str, dict[int, int]] = {}  # by the last name of a class, by rows
        former: dict[str, list[str | None]] = {}  # names that a class had; None: it was added
        for number, line in enumerate(self._file, 1):
            if not line.endswith(b"\n"):
                self._file.truncate(end)
                break
            end += len(line)
            try:
                record = json.loads(line)
                if "class" in record:
                    old, new = record["class"]
                    labels.setdefault(new, {}).update(labels.pop(old, {}))
                    former[new] = [*former.pop(old, []), old]
                for key, given in record.get("photos", []):
                    if key not in self._rows:
                        unknown[key] = True
                        continue
                    row = self._rows[key]
                    self._note(row, any(v is not None for v in given.values()), record["fair"])
                    for name, value in given.items():
                        labels.setdefault(name, {}).pop(row, None)
                        if value is not None:
                            labels[name][row] = int(value)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(
                    f"Line {number} of {self.journal} can't be read ({error}). Remove the line, or "
                    "name another file for the answers."
                ) from None
        # Somebody may have written the names of now into the file of names meanwhile.
        for new, names in former.items():
            old = next((name for name in reversed(names) if name in self.names), None)
            if new not in self.names and (old is not None or None in names):
                self._change(old, new)
        for j, name in enumerate(self.names):
            for row, value in labels.pop(name, {}).items():
                self.labels[row, j] = value
        self._forget_unknown()
        return list(unknown), sorted(name for name, rows in labels.items() if rows)

    def _set(self, row: int, values: np.ndarray, fair: bool) -> None:
        self.labels[row] = values
        self._note(row, not np.isnan(values).all(), fair)

    def _note(self, row: int, is_known: bool, fair: bool) -> None:
        """Note that a photo was answered, or that its answer was taken back."""
        self.versions[row] += 1
        self.is_fair[row] = fair and is_known
        if row in self.order:
            self.order.remove(row)
        if is_known:
            self.order.append(row)

    def _forget_unknown(self) -> None:
        """Forget that photos were answered if none of the answered classes is left."""
        known = set(np.flatnonzero(np.isfinite(self.labels).any(axis=1)).tolist())
        self.order = [row for row in self.order if row in known]
        self.is_fair[[row for row in range(len(self.is_fair)) if row not in known]] = False

    def _change(self, old: str | None, new: str) -> None:
        if old in self.names:
            self.names[self.names.index(old)] = new  # type: ignore[arg-type]
        else:
            old = None
            self.names.append(new)
            self.labels = np.pad(self.labels, ((0, 0), (0, 1)), constant_values=np.nan)
        self.changes.append((old, new))

    def _take_over(self, photos: Sequence[Any]) -> None:
        """Begin the journal with the labels of a CSV file that is there."""
        labels = read_targets(self.path, self.names, photos, name=str(self.path))
        rows = np.flatnonzero(~np.isnan(labels).all(axis=1))
        if len(rows):
            self.set_labels({int(row): labels[row] for row in rows})


def _key(photo: Any, row: int, folder: Path) -> str | int:
    """What a photo is called: its path, from the folder if it lies there, else its position."""
    path = path_of(photo)
    if path is None:
        return row
    if re.match(r"\w+://", path) or "\0" in path:
        return path
    whole = Path(os.path.abspath(path))
    return (whole.relative_to(folder) if whole.is_relative_to(folder) else whole).as_posix()
