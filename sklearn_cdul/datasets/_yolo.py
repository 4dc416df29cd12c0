"""Reader of folders in the layout of YOLO."""

import re
from pathlib import Path
from typing import Any

from sklearn_cdul._utils.text_files import printable, read_text, user_path
from sklearn_cdul.datasets._folders import list_photos
from sklearn_cdul.datasets._reading import (
    Row,
    brief,
    check_choice,
    check_names,
    make_bunch,
    read_lines,
)
from sklearn_cdul.datasets._signatures import Bunch, Missing, PathLike, documented
from sklearn_cdul.targets.tables import some

DESCR = """Photos and labels of {path}, split "{split}"

A label says that the photo shows one or more objects of the class. The labels are read from the
boxes or outlines in the text file of each photo; a photo without such a file shows no class.
"""


@documented
def load_yolo(
    path: PathLike,
    *,
    split: str = "train",
    missing: Missing = "raise",
) -> Bunch:
    """Read a data set in the layout of YOLO: data.yaml, images and labels.

    ::

        data.yaml
        images/train/a.jpg
        labels/train/a.txt

    Parameters
    ----------
    path : str or os.PathLike
        The YAML file, or the folder that holds `data.yaml`, or else `classes.txt` or Darknet's
        `obj.names`, with one name per line. Where no file says where the photos are, those in
        `images` or beside it are those of "train"; with `obj.names` they are in `obj_train_data`,
        `obj_valid_data` and `obj_test_data`.
    split : str, default="train"
        Key of the YAML file that names the photos: "train", "val" or "test".
    {missing, returns, warns}

    Notes
    -----
    Photos of a folder come in the order of their names, those of a list in its order. A photo
    without a file of labels shows no class; without any such file there is an error.

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
    path = user_path(path)
    if path.is_dir():
        there = [
            name for name in ("data.yaml", "classes.txt", "obj.names") if (path / name).is_file()
        ]
        path = path / [*there, "data.yaml"][0]
    content: dict[Any, Any]
    if path.suffix in (".txt", ".names"):
        content = {"names": read_lines(path, "Expected a name per line.")}
    else:
        content = _read_yaml(path)
    if path.suffix == ".names":  # of Darknet
        content |= {"train": "obj_train_data", "val": "obj_valid_data", "test": "obj_test_data"}
    elif not content.keys() & {"train", "val", "test"}:
        content["train"] = "images" if (path.parent / "images").is_dir() else "."
    names = _class_names(content, path)
    paths = [photo for source in _sources(content, split, path) for photo in _photos(source)]
    # The file of labels of images/a.jpg is labels/a.txt.
    files = [
        Path(re.sub(r"^(|.*/)images/", r"\1labels/", photo.as_posix())).with_suffix(".txt")
        for photo in paths
    ]
    if not any(file.is_file() for file in files):
        raise FileNotFoundError(
            f"No photo of split {split!r} in {path} has a file of labels. The first would be "
            f"{printable(str(files[0]))}."
        )
    shown = [_read_classes(file, names) for file in files]
    if not any(shown):
        raise ValueError(
            f"All files of labels of split {split!r} in {path} are empty, such as {files[0]}. This "
            'layout has no labels of whole photos; of CVAT export "CVAT for images".'
        )
    rows = [Row(*row) for row in zip(paths, shown, map(str, files), strict=True)]
    descr = DESCR.format(path=path, split=split)
    return make_bunch(rows, names, split, missing=missing, descr=descr)


def _read_yaml(path: Path) -> dict[Any, Any]:
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = [key.value for key, _ in node.value if isinstance(key.value, str)]
            if len(set(keys)) < len(keys):  # the last alone would count
                raise ValueError("a key stands twice in it")
            return super().construct_mapping(node, deep)

    expected = "Expected the file of a YOLO data set, with names, and train, val or test."
    text = read_text(path, expected)
    try:
        content = yaml.load(text, Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # also of dates and numbers
        raise ValueError(f"{path} is not YAML: {str(error)[:300]}.") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} has no keys. {expected}")
    return content


def _class_names(content: dict[Any, Any], path: Path) -> list[str]:
    names = content.get("names")
    if isinstance(names, dict):
        numbered = {str(number): name for number, name in names.items()}
        numbers = [str(number) for number in range(len(names))]
        if absent := [number for number in numbers if number not in numbered]:
            raise ValueError(
                f'{path} numbers its "names" {some(list(names))}. Expected 0 to {numbers[-1]}: '
                f"{absent[0]} is missing."
            )
        names = [numbered[number] for number in numbers]
    if not isinstance(names, list):
        raise ValueError(f'{path} has no list "names" of the classes.')
    # YAML reads the names yes, no, on, off and 7 as other things than text.
    check_names(names, f"names in {path}")
    if content.get("nc", len(names)) != len(names):
        raise ValueError(f'{path} has {len(names)} names, but "nc" is {brief(content["nc"])}.')
    return names


def _sources(content: dict[Any, Any], split: str, path: Path) -> list[Path]:
    """Folders of photos and lists of paths of a split."""
    entries, root = content.get(split), content.get("path") or ""
    entries = entries if isinstance(entries, list) else [entries]
    if not isinstance(root, str):
        raise ValueError(f'{path} has the "path" {brief(root)}. Expected that of a folder.')
    if not all(isinstance(entry, str) and entry for entry in entries):
        splits = [key for key in content if key not in ("path", "names", "nc", "download")]
        raise ValueError(
            f"{path} has no folder or list of photos for {split!r}. Its other keys are "
            f"{some([str(key) for key in splits])}."
        )
    roots = [path.parent / root.replace("\\", "/"), path.parent]
    found = []
    for entry in (entry.replace("\\", "/") for entry in entries):
        # Exported files write ../train/images for train/images.
        tails = [entry, *([entry[3:]] if entry.startswith("../") else [])]
        sources = [root / tail for tail in tails for root in roots]
        source = next((source for source in sources if source.exists()), None)
        if source is None:
            raise FileNotFoundError(
                printable(f"There is no {sources[0]}, which {path} names for {split!r}.")
            )
        found.append(source)
    return found


def _photos(source: Path) -> list[Path]:
    if source.is_dir():
        return [Path(photo) for photo in list_photos(source)]
    lines = read_lines(source, "Expected the path of one photo per line.")
    return [source.parent / line.replace("\\", "/") for line in lines]


def _read_classes(path: Path, names: list[str]) -> list[str]:
    """Names of the classes in the file of a photo; none if there is no file."""
    expected = f"Expected the number of a class, 0 to {len(names) - 1}, and a box or outline."
    if not path.is_file():
        return []
    shown, numbered = [], {float(number): name for number, name in enumerate(names)}
    for number, line in enumerate(read_text(path, expected).splitlines(), start=1):
        if not line.strip():
            continue
        first, *rest = line.split()
        try:
            name = numbered.get(float(first))
        except ValueError:
            name = None
        if name is None or len(rest) < 4:
            raise ValueError(f"Line {number} of {path} is {line.strip()[:60]!r}. {expected}")
        shown.append(name)
    return shown
