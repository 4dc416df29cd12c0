"""What the readers share: texts, names, where photos are, and the bunch that they make of rows."""

import json
import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from unicodedata import normalize
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from sklearn_cdul._utils.text_files import printable, read_text, user_path
from sklearn_cdul.datasets._signatures import Bunch, PathLike
from sklearn_cdul.targets.rows import brief, by_any_form, some, with_guesses


class Row(NamedTuple):
    """What a file says of a photo."""

    photo: str | Path
    shown: Iterable[str]  # names of classes
    where: str  # for messages: "Line 2 of labels.csv"


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise ValueError unless `value` is one of two or more `choices`."""
    if value not in choices:
        *others, last = (f'"{choice}"' for choice in choices)
        raise ValueError(f"{name} must be {', '.join(others)} or {last}, got {value!r}.")


def check_folder(root: PathLike) -> Path:
    """Path of an existing folder; FileNotFoundError names it if there is none."""
    folder = user_path(root)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    return folder


def file_and_root(path: PathLike, root: PathLike | None) -> tuple[Path, Path]:
    """A file of labels, and the folder that the paths in it are relative to."""
    file = user_path(path)
    return file, file.parent if root is None else check_folder(root)


def read_lines(path: Path, expected: str, *, words: bool = False) -> list[str]:
    """Lines of a text file without the white space around them, none empty; or single words."""
    # Paths may have bytes that are not UTF-8.
    text = read_text(path, expected, "strict" if words else "surrogateescape").rstrip()
    lines = [line.strip() for line in re.split(r"\r?\n|\r", text)]
    for number, line in enumerate(lines, start=1):
        if not line or (words and len(line.split()) > 1):
            found = brief(line) if line else "empty"
            raise ValueError(f"Line {number} of {path} is {found}. {expected}")
    return lines


# JSON files by some of their keys, or of those of their first record: which reader they are for,
# what they are, and what to do.
_JSON = (
    ({"images", "annotations"}, "coco", "in the form of MS-COCO", "Read it by load_coco"),
    ({"imagePath", "shapes"}, "labelme", "of labelme", "Read its folder by load_labelme"),
    ({"classes", "labels"}, "fiftyone", "of FiftyOne", "Read it by load_fiftyone"),
    ({"samples"}, "", "a FiftyOneDataset", "Export FiftyOneImageClassificationDataset"),
    ({"data", "annotations"}, "label-studio", "of Label Studio", "Read it by load_label_studio"),
    (
        {"annotation_id"},
        "",
        "JSON-MIN of Label Studio",
        'Export "JSON", and take load_label_studio',
    ),
    ({"items", "categories"}, "", "of Datumaro", 'Export "COCO" or "CVAT for images"'),
    ({"image", "annotations"}, "", "of CreateML", 'Export "COCO"'),
    ({"_via_settings"}, "", "a project of VIA", 'Export annotations as "COCO"'),
    ({"regions", "filename"}, "", "of VIA", 'Export annotations as "COCO"'),
)


def read_json(
    path: Path,
    expected: str,
    object_hook: Callable[..., Any] | None = None,
    *,
    kind: str | None = None,
) -> Any:
    """Content of a JSON file; with a kind, of no other that is known."""

    def read_object(pairs: list[tuple[str, Any]]) -> Any:
        record = dict(pairs)
        if len(record) < len(pairs):
            ((key, _),) = Counter(key for key, _ in pairs).most_common(1)
            raise ValueError(f"an object has the key {brief(key)} more than once")
        return record if object_hook is None else object_hook(record)

    text = read_text(path, expected)
    try:
        content = json.loads(text, object_pairs_hook=read_object)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON, or is cut off: {error}.") from None
    except (RecursionError, ValueError) as error:  # nested without end, a number without end
        raise ValueError(f"{path} can't be read as JSON: {error}.") from None
    if kind is not None:
        _check_kind(content, kind, path)
    return content


def _check_kind(content: Any, kind: str, path: Path) -> None:
    records = [content]
    if isinstance(content, dict | list):
        records += islice(content.values() if isinstance(content, dict) else content, 1)
    keys = [record.keys() for record in records if isinstance(record, dict)]
    for required, other, what, advice in _JSON:
        if any(required <= each for each in keys):
            if other != kind:
                raise ValueError(f"{path} is {what}. {advice}.")
            return


def read_xml(path: Path, tag: str, expected: str) -> Element:
    """Root of an XML file."""
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no file {path}. {expected}") from None
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # of an unknown encoding
        raise ValueError(f"{path} is not XML, or is cut off: {error}. Write UTF-8.") from None
    if root.tag != tag:
        raise ValueError(f"{path} holds <{brief(root.tag)[1:-1]}>. {expected}")
    return root


def check_names(names: Sequence[object], what: str) -> None:
    """Raise ValueError unless there are class names, each of them text, not empty, and once."""
    if isinstance(names, str) or not names:
        raise ValueError(f"There is no class in {what}. Expected one or more names.")
    seen = set()
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name.strip() or re.search("[\ud800-\udfff]", name):
            raise ValueError(f"Name {index} of {what} is {brief(name)}. Expected text.")
        if name in seen:
            raise ValueError(f"{what} has the name {brief(name)} twice.")
        seen.add(name)


def make_bunch(
    rows: Sequence[Row],
    classes: Iterable[str] | None,
    split: str | Sequence[str] | None,
    *,
    folder: Path = Path(),
    others: Callable[[str], Iterable[str]] | None = None,
    missing: str = "raise",
    agree: bool = False,
    attributions: Sequence[dict[str, str]] = (),
    descr: str,
) -> Bunch:
    """Bunch of the photos that exist, each of them once.

    Rows of one photo are united. With `agree` each says all about it, so they must be the same.
    `others` gives other names that a photo which is not there may have in the folder.
    """
    names = _resolve_classes(classes, rows)
    positions = {name: column for column, name in enumerate(names)}
    columns = {form: positions[name] for form, name in by_any_form(names).items()}
    target = np.zeros((len(rows), len(names)), dtype=np.int64)
    first_rows: dict[Path, int] = {}
    renamed: dict[Path, str | Path] = {}
    lost: list[tuple[Path, str]] = []
    for index, row in enumerate(rows):
        target[index, [columns[name] for name in row.shown]] = 1
        path = find_photo(folder, row.photo)
        if path is None and others is not None:
            ways = (find_photo(folder, other) for other in others(str(row.photo)))
            path = next((way for way in ways if way), None)
            if path and (other := renamed.setdefault(path, row.photo)) != row.photo:
                raise ValueError(
                    printable(f"{row.where} has {row.photo}, but {path} may be {other}, too.")
                )
        if path is None:
            lost.append((folder / row.photo, row.where))
            continue
        first = first_rows.setdefault(path, index)
        if agree and (target[first] != target[index]).any():
            found = f"{rows[first].where} and {row.where} contradict each other: {path}."
            raise ValueError(printable(found))
        target[first] |= target[index]
    if lost:
        first_lost, where = lost[0]
        message = f"{len(lost)} of {len(rows)} photos are missing, the first is {first_lost}"
        message = printable(f"{message[:500]} ({where}).")
        if not first_rows:
            raise FileNotFoundError(f"{message} Check that the photos are in this folder.")
        if missing == "raise":
            raise FileNotFoundError(f'{message} Add them, or leave them out: missing="skip".')
        # Level 3 is the line that called the reader.
        warnings.warn(f"{message} They are left out.", stacklevel=3)
    from sklearn import utils

    kept = list(first_rows.values())
    splits = [split or "all"] * len(rows) if isinstance(split, str | None) else split
    return utils.Bunch(
        data=[str(path) for path in first_rows],
        target=target[kept],
        target_names=names,
        split=np.array([splits[index] for index in kept]),
        attributions=[attributions[index] for index in kept] if attributions else [],
        DESCR=descr,
    )


def _resolve_classes(classes: Iterable[str] | None, rows: Sequence[Row]) -> list[str]:
    """Names of the columns; a name of another class is an error."""
    if isinstance(classes, str):
        raise ValueError(f"classes must be a list of names, got {classes!r}.")
    found: dict[str, str] = {}
    for row in rows:
        for name in row.shown:
            found.setdefault(name, row.where)
    if classes is None and not found:
        where = f" ({rows[0].where} and so on)" if rows else ""
        raise ValueError(f"No photo in the files shows a class{where}. Give classes=.")
    names = sorted(found) if classes is None else list(classes)
    where = f" of {rows[0].where} and so on" if classes is None else ""
    check_names(names, f"classes{where}")
    known = by_any_form(names)
    first_of: dict[str, str] = {}
    for name in found if classes is None else ():
        first = first_of.setdefault(normalize("NFC", name.casefold()), name)
        if first != name:
            raise ValueError(
                f"{found[name]} has the class {ascii(name)[:200]}, and {found[first]} "
                f"{ascii(first)[:200]}, which differ in capitals or in the form of accents alone. "
                "If they are two classes, give classes=."
            )
    if unknown := [name for name in found if name not in known]:
        raise ValueError(
            f"{found[unknown[0]]} has the class {with_guesses(unknown[:1], names)}, which is not "
            f"among classes: {some(names)}. Give all as classes=, or None for those in the files."
        )
    return names


def find_photo(folder: Path, photo: str | Path) -> Path | None:
    """The file that a path means, which may have been written on another system."""
    slashed = str(photo).strip().replace("\\", "/")
    forms = (photo, slashed, normalize("NFC", slashed), normalize("NFD", slashed))  # macOS: NFD
    return next((folder / form for form in forms if os.path.isfile(folder / form)), None)


def ends(photo: str) -> Iterator[str]:
    """The ends of a path from elsewhere, the longest first: it may be of another machine."""
    parts = re.split(r"[\\/]+", photo.strip())
    if not parts[0] or parts[0].endswith(":") or parts[0] == "..":
        yield from ("/".join(parts[start:]) for start in range(1, len(parts)))
        if "upload" in parts[:-1]:
            yield before_upload(parts[-1])


def before_upload(name: str) -> str:
    """The name of a photo that was uploaded to Label Studio, which puts eight digits before it."""
    return re.sub("^[0-9a-f]{8}-", "", name)
