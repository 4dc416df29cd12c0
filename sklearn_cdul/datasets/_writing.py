"""What the writers of labels share: which photo has which classes, and files written whole."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np

from sklearn_cdul._utils.atomic_write import atomic_write
from sklearn_cdul.datasets._reading import check_names
from sklearn_cdul.datasets._signatures import PathLike
from sklearn_cdul.targets import read_targets


class Labels(NamedTuple):
    """Labels that were checked."""

    paths: list[str]  # as they are written
    shown: list[list[int]]  # the columns of the classes of each photo
    names: list[str]
    scores: np.ndarray | None

    def score(self, key: str, row: int, column: int) -> dict[str, Any]:
        """The entry of a JSON file with a score, if there are scores."""
        return {} if self.scores is None else {key: round(float(self.scores[row, column]), 6)}


def check_labels(
    data: Sequence[Any],
    target: Any,
    target_names: Sequence[str],
    file: PathLike | TextIO,
    scores: Any,
) -> Labels:
    """Check that photos, labels, names and scores fit together."""
    folder = os.getcwd() if hasattr(file, "write") else os.path.dirname(os.path.abspath(file))
    names = list(target_names)
    check_names(names, "target_names")
    paths = [_written(item, index, folder) for index, item in enumerate(data)]
    if len(set(paths)) < len(paths):
        ((first, _),) = Counter(paths).most_common(1)
        raise ValueError(f"data has the photo {first} more than once.")
    table = read_targets(target, names, data, name="target")
    if len(unknown := np.argwhere(np.isnan(table))):
        row, column = unknown[0]
        raise ValueError(
            f"target says nothing of {paths[row]} and column {column} ({names[column]}): it is NaN "
            "or missing. Leave out photos whose labels are not known."
        )
    if scores is not None:
        scores = np.asarray(scores)
        if scores.shape != table.shape or scores.dtype.kind not in "biuf":
            raise ValueError(
                f"scores must hold numbers in the shape {table.shape}, one row per photo and one "
                f"column per class; got {scores.shape} of {scores.dtype}."
            )
        if not np.isfinite(scores).all():
            row = int(np.argwhere(~np.isfinite(scores))[0, 0])
            raise ValueError(
                f"scores has NaN or infinity for {paths[row]}. Leave out photos without scores."
            )
    return Labels(paths, [np.flatnonzero(row).tolist() for row in table], names, scores)


def _written(item: Any, index: int, folder: str) -> str:
    """The path of a photo as the file has it."""
    if not isinstance(item, (str, os.PathLike)):
        raise TypeError(
            f"data must hold paths of photos, but data[{index}] is of type {type(item).__name__}."
        )
    path = Path(os.path.abspath(item))
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def write_text(file: PathLike | TextIO, text: str) -> None:
    """Write a text file whole: whoever interrupts this leaves the old one, or none."""
    if hasattr(file, "write"):
        file.write(text)
        return
    with atomic_write(file) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_json(file: PathLike, content: Any) -> None:
    """Write a JSON file whole, in ASCII: file names may hold what UTF-8 can't."""
    write_text(file, json.dumps(content, indent=1) + "\n")
