"""What the writers of labels share: which photo has which classes, and files written whole."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np

from sklearn_cdul._utils.atomic_write import atomic_write
from sklearn_cdul._utils.text_files import user_path
from sklearn_cdul.datasets._reading import check_names
from sklearn_cdul.datasets._signatures import PathLike
from sklearn_cdul.targets import read_targets
from sklearn_cdul.targets.csv_files import SEPARATOR
from sklearn_cdul.targets.reading import in_order

# What names may not hold.
_NOT_CSV = re.compile(rf"[{SEPARATOR}\0]|^\s|\s$")
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NOT_XMP = re.compile(rf"[|\t\n\r]|^\s|\s$|{_NOT_XML.pattern}")
_NOT_FOLDER = re.compile(r"^\.|[/\0]" if os.name != "nt" else r'^\.|[\0-\x1f<>:"/\\|?*]|[. ]$')
_UNFIT = {"csv": _NOT_CSV, "label-studio": _NOT_XML, "xmp": _NOT_XMP, "folders": _NOT_FOLDER}


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
    scores: Any = None,
    form: str = "",
) -> Labels:
    """Check that photos, labels, names and scores fit together, and into a file of this form."""
    folder = os.getcwd() if hasattr(file, "write") else str(user_path(file).absolute().parent)
    if not hasattr(data, "__getitem__") or isinstance(data, (str, bytes, Mapping)):
        raise TypeError(
            f"data must be a list of paths in the order of target, got {type(data).__name__}."
        )
    names = [] if isinstance(target_names, str) else list(target_names)
    check_names(names, "target_names")
    paths = [_written(item, index, folder) for index, item in enumerate(data)]
    if len(set(paths)) < len(paths):
        ((first, _),) = Counter(paths).most_common(1)
        raise ValueError(f"data has the photo {first} more than once.")
    unfit = _UNFIT.get(form)
    if unfit and (wrong := [name for name in names if unfit.search(name)]):
        raise ValueError(
            f"The class {wrong[0]!r} can't be written. A CSV file has {SEPARATOR!r} between names, "
            "and the space around them does not count; XML can't hold all signs, XMP no '|' and "
            "folders no slash."
        )
    if form == "label-studio":
        if str(file).lower().endswith(".xml"):
            raise ValueError(f"path must end in .json, got {file}; the config will end in .xml.")
        if wrong := [photo for photo in paths if os.path.isabs(photo) or "/" not in photo]:
            raise ValueError(
                f"The photo {wrong[0]} lies in no folder in {folder}. Label Studio shows photos of "
                "folders in its document root: write the file where these are."
            )
    if form == "folders":
        _check_new(user_path(str(file)))
    table = read_targets(target, names, data, name="target")
    if len(unknown := np.argwhere(np.isnan(table))):
        row, column = unknown[0]
        raise ValueError(
            f"target says nothing of {paths[row]} and column {column} ({names[column]}): it is NaN "
            "or missing. Leave out photos whose labels are not known."
        )
    if scores is not None:
        scores = np.asarray(in_order(scores, names, data, name="scores"))
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


def _check_new(folder: Path) -> None:
    if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is there already, and is no empty folder.")


def _written(item: Any, index: int, folder: str) -> str:
    """The path of a photo as the file has it."""
    if not isinstance(item, (str, os.PathLike)):
        raise TypeError(
            f"data must hold paths of photos, but data[{index}] is of type {type(item).__name__}."
        )
    if re.match("[A-Za-z][A-Za-z0-9+.-]+://", os.fspath(item)):
        raise ValueError(f"data[{index}] is the URL {item}. Give paths of files.")
    path = Path(os.path.abspath(item))
    if re.search("[\0\ud800-\udc7f\udd00-\udfff]", str(path)):
        raise ValueError(f"data[{index}] is {str(item)!r}, which can't be a path.")
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def csv_text(lines: Iterable[Sequence[str]]) -> str:
    """Return a table as text."""
    return "".join(",".join(map(_quoted, line)) + "\n" for line in lines)


def _quoted(cell: str) -> str:
    """A cell with quotation marks around it, where a reader might lose something without."""
    if re.search(r'[",\t\r\n]|^\s|\s$', cell):
        return '"' + cell.replace('"', '""') + '"'
    return cell


def write_text(file: PathLike | TextIO, text: str) -> None:
    """Write a text file whole: whoever interrupts this leaves the old one, or none."""
    if hasattr(file, "write"):
        file.write(text)
        return
    with atomic_write(file) as part:
        part.write_bytes(text.encode("utf-8", "surrogateescape"))


def write_json(file: PathLike, content: Any) -> None:
    """Write a JSON file whole, in ASCII: file names may hold what UTF-8 can't."""
    write_text(file, json.dumps(content, indent=1) + "\n")
