"""Reader of folders in the layout of YOLO."""

import os
from pathlib import Path
from typing import Any, Literal

import yaml
from sklearn.utils import Bunch

from sklearn_cdul.datasets._folders import (
    check_choice,
    check_names,
    make_bunch,
    mark,
    read_bytes,
    read_lines,
)
from sklearn_cdul.datasets._listing import list_photos
from sklearn_cdul.targets.tables import some

DESCR = """Photos and labels of {path}, split "{split}"

A label says that the photo shows one or more objects of the class. The labels are read from the
boxes or outlines in the text file of each photo; a photo without such a file shows no class.
"""


def load_yolo(
    path: str | os.PathLike[str],
    *,
    split: str = "train",
    missing: Literal["raise", "skip"] = "raise",
) -> Bunch:
    """Read a data set in the layout of YOLO: data.yaml, images and labels.

    ::

        data.yaml
        images/train/a.jpg
        labels/train/a.txt

    Parameters
    ----------
    path : str or os.PathLike
        The YAML file, or the folder that holds `data.yaml`.
    split : str, default="train"
        Key of the YAML file that names the photos: "train", "val" or "test".
    missing : {"raise", "skip"}, default="raise"
        What to do about a photo that a list names and that is not there: an error, or leave it
        out with one warning that says how many.

    Returns
    -------
    photos : :class:`~sklearn.utils.Bunch`
        data : list of str, length n
            Paths of the photos, of a folder in the order of their names, of a list in its order.
        target : ndarray of shape (n, k), dtype int64
            1 where the photo shows an object of the class, else 0.
        target_names : list of str, length k
            The `names` of the YAML file, in their order.
        split : ndarray of shape (n,), dtype str
            `split`, once for each photo.
        attributions : list, length 0
            Empty.
        DESCR : str
            Which file was read, and how.

    Raises
    ------
    ValueError
        If the YAML file or a file of labels can't be read. The message names file and line.
    FileNotFoundError
        If the YAML file, the photos (with ``missing="raise"`` each of a list) or all files of
        labels are not there.

    Warns
    -----
    UserWarning
        If photos are left out.

    Notes
    -----
    The folder or list of a split is looked for from `path` of the YAML file, and from the folder of
    the YAML file, also without a leading `../`. The file of labels has the path of the photo with
    the last `images` changed to `labels`, and the ending `.txt`. Boxes, outlines and key points are
    all read, for only the first number of a line counts.

    Examples
    --------
    >>> from sklearn_cdul.datasets import load_yolo
    >>> photos = load_yolo("coco128", split="train")  # doctest: +SKIP
    """
    check_choice("missing", missing, ("raise", "skip"))
    path = Path(path).expanduser()
    if path.is_dir():
        path = path / "data.yaml"
    content = _read_yaml(path)
    names = _class_names(content, path)
    paths = [photo for place in _places(content, split, path) for photo in _photos(place)]
    files = [_label_file(photo) for photo in paths]
    if not any(file.is_file() for file in files):
        raise FileNotFoundError(
            f"No photo of split {split!r} in {path} has a file of labels. The first would be "
            f"{files[0]}."
        )
    columns = {name: column for column, name in enumerate(names)}
    return make_bunch(
        paths,
        mark([_read_classes(file, names) for file in files], columns),
        names,
        split,
        missing=missing,
        descr=DESCR.format(path=path, split=split),
    )


def _read_yaml(path: Path) -> dict[Any, Any]:
    expected = "Expected the file of a YOLO data set, with names, and train, val or test."
    try:
        content = yaml.safe_load(read_bytes(path, expected).decode("utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {error}.") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} has no keys. {expected}")
    return content


def _class_names(content: dict[Any, Any], path: Path) -> list[str]:
    names = content.get("names")
    if isinstance(names, dict):
        if sorted(map(str, names)) != sorted(map(str, range(len(names)))):
            raise ValueError(
                f'{path} numbers its "names" {list(names)}. Expected 0 to {len(names) - 1}.'
            )
        by_number = {int(number): name for number, name in names.items()}
        names = [by_number[number] for number in range(len(names))]
    if not isinstance(names, list):
        raise ValueError(f'{path} has no list "names" of the classes.')
    # YAML reads the names yes, no, on, off and 7 as other things than text.
    check_names(names, f"names in {path}")
    if content.get("nc", len(names)) != len(names):
        raise ValueError(f'{path} has {len(names)} names, but "nc" is {content["nc"]}.')
    return names


def _places(content: dict[Any, Any], split: str, path: Path) -> list[Path]:
    """Folders and lists of a split."""
    entries = content.get(split)
    entries = entries if isinstance(entries, list) else [entries]
    if not all(isinstance(entry, str) and entry for entry in entries):
        splits = [key for key in content if key not in ("path", "names", "nc", "download")]
        raise ValueError(
            f"{path} has no folder or list of photos for {split!r}. Its other keys are "
            f"{some([str(key) for key in splits])}."
        )
    roots = [path.parent / str(content.get("path") or ""), path.parent]
    found = []
    for entry in entries:
        # Exported files write ../train/images for train/images.
        tails = [entry, *([entry[3:]] if entry.startswith("../") else [])]
        places = [root / tail for tail in tails for root in roots]
        try:
            found.append(next(place for place in places if place.exists()))
        except StopIteration:
            raise FileNotFoundError(
                f"There is no {places[0]}, which {path} names for {split!r}."
            ) from None
    return found


def _photos(place: Path) -> list[Path]:
    if place.is_dir():
        return [Path(photo) for photo in list_photos(place)]
    return [
        place.parent / line for line in read_lines(place, "Expected the path of a photo a line.")
    ]


def _label_file(photo: Path) -> Path:
    parts = list(photo.parts)
    for index in reversed(range(len(parts) - 1)):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _read_classes(path: Path, names: list[str]) -> list[str]:
    """Names of the classes in the file of a photo; none if there is no file."""
    expected = f"Expected the number of a class, 0 to {len(names) - 1}, and a box or outline."
    if not path.is_file():
        return []
    shown = []
    lines = read_bytes(path, expected).decode("utf-8-sig", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        first, *rest = line.split()
        try:
            index = float(first)
            known = index.is_integer() and 0 <= index < len(names) and len(rest) >= 4
        except ValueError:
            known = False
        if not known:
            raise ValueError(f"Line {number} of {path} is {line.strip()[:60]!r}. {expected}")
        shown.append(names[int(index)])
    return shown
