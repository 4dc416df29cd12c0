"""Reader and writer of labels in the form of MS-COCO."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.utils import Bunch

from sklearn_cdul.class_names.vocabularies import VOCABULARIES
from sklearn_cdul.datasets._folders import (
    check_choice,
    check_folder,
    check_names,
    make_bunch,
)
from sklearn_cdul.datasets._writing import check_labels, write_json
from sklearn_cdul.targets.tables import some

# Where tools put the file of a split, and the photos beside it.
FILES = ("annotations/instances_{}.json", "annotations/{}.json", "{}/_annotations.coco.json")
FOLDERS = ("{}", "images/{}", "images", "data", "")

DESCR = """MS-COCO, split "{split}"

Photos from Flickr with the objects of 80 classes of everyday things. A label says that the photo
shows one or more objects of the class. The labels are read from the outlines in
instances_{split}.json; a crowd (several objects in one outline) counts as "{crowd}".

The annotations are under CC BY 4.0. The photos belong to the Flickr users who took them, under
various licences; `attributions` has the one of each photo. This package holds none of them and
gives no right to use them.

T.-Y. Lin, M. Maire, S. Belongie, J. Hays, P. Perona, D. Ramanan, P. Dollar, C. L. Zitnick:
Microsoft COCO: Common Objects in Context. ECCV 2014.
https://cocodataset.org/
"""

OWN_DESCR = """Photos and labels of {path}

A label says that the photo shows one or more objects of the class. The labels are read from the
annotations of the file; a crowd (several objects in one outline) counts as "{crowd}".
"""


def load_coco(
    root: str | os.PathLike[str],
    *,
    split: str | None = None,
    images: str | os.PathLike[str] | None = None,
    crowd: Literal["positive", "negative"] = "positive",
    missing: Literal["raise", "skip"] = "raise",
) -> Bunch:
    """Read MS-COCO, or photos of your own with labels in the same form.

    Nothing is downloaded. For MS-COCO get the archives from the page of the data set [1]_ and
    unpack them::

        annotations/instances_train2017.json
        train2017/000000000009.jpg

    Parameters
    ----------
    root : str or os.PathLike
        A JSON file with `images`, `categories` and `annotations`, as many tools export it and as
        :func:`dump_coco` writes it. Or a folder that holds one of
        `annotations/instances_{split}.json`, `annotations/{split}.json` and
        `{split}/_annotations.coco.json`.
    split : str or None, default=None
        Name of the part. With a folder it says which file to read; None is "train2017". With a
        file None is "all".
    images : str, os.PathLike or None, default=None
        Folder that the names of the photos in the file are relative to. None looks for them in
        folders called as the split, `images/` and the split, `images` and `data`, and in `root`
        itself or the folder of the file.
    crowd : {"positive", "negative"}, default="positive"
        Label of a class of which the photo shows only crowds: outlines around several objects,
        ``"iscrowd": 1`` in the file. One outline of a single object makes the label 1 either way.
    missing : {"raise", "skip"}, default="raise"
        What to do about a photo that the file names and that is not there: an error, or leave it
        out with one warning that says how many.

    Returns
    -------
    photos : :class:`~sklearn.utils.Bunch`
        data : list of str, length n
            Paths of the photos, in the order of their numbers.
        target : ndarray of shape (n, k), dtype int64
            1 where the photo shows the class, else 0.
        target_names : list of str, length k
            The names of the categories in the order of their numbers: the columns of `target`. Of
            MS-COCO the vocabulary "coco", k = 80.
        split : ndarray of shape (n,), dtype str
            `split`, once for each photo.
        attributions : list of dict, length n
            `filename`, `source_url` (on Flickr), `author` and `licence` of each photo, all str.
            Empty where the file does not say; that of MS-COCO never names the author.
        DESCR : str
            Source, how the labels were read, whose photos they are.

    Raises
    ------
    ValueError
        If a parameter has none of its values, or the file can't be read. The message names the
        file and the entry.
    FileNotFoundError
        If the folder, the file or (with ``missing="raise"``) a photo is not there, or if no photo
        at all is there.

    Warns
    -----
    UserWarning
        If photos are left out.

    See Also
    --------
    dump_coco : Writes such a file.

    Notes
    -----
    All categories of the file are read, also those that no photo shows. Some tools write one at the
    start that groups the others and is never used.

    The usual multi-label code counts every outline, crowds too. It also drops the photos without
    any outline, which leaves 82,081 of 82,783 in "train2014", 40,137 of 40,504 in "val2014",
    117,266 of 118,287 in "train2017" and 4,952 of 5,000 in "val2017". Here they are kept, with only
    zeros. To compare with published figures drop them::

        shown = photos.target.any(axis=1)

    The file of "train2017" has about 450 MB. It is read once, without keeping the outlines, and
    takes about twice its size of memory while it is read.

    References
    ----------
    .. [1] T.-Y. Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014.
       https://cocodataset.org/#download

    Examples
    --------
    >>> from sklearn_cdul.datasets import load_coco
    >>> photos = load_coco("coco", split="val2017")  # doctest: +SKIP
    >>> photos.target.shape  # doctest: +SKIP
    (5000, 80)
    """
    check_choice("crowd", crowd, ("positive", "negative"))
    check_choice("missing", missing, ("raise", "skip"))

    path, places, split = _find_file(Path(root).expanduser(), split)
    content = _read_json(path)
    entries = sorted(
        _entries(content, "images", {"id": int, "file_name": str}, path),
        key=lambda image: image["id"],
    )
    if not entries:
        raise ValueError(f'{path} has no photo. Expected one or more in "images".')
    names, columns = _columns(content, path)
    rows = {image["id"]: row for row, image in enumerate(entries)}
    if len(rows) < len(entries):
        raise ValueError(f'{path} has in "images" the same number more than once.')
    target = np.zeros((len(entries), len(names)), dtype=np.int64)
    for index, (image_id, category_id, is_crowd) in enumerate(_annotations(content, path)):
        if image_id not in rows or category_id not in columns:
            raise ValueError(
                f"{path} has annotation {index} of photo {image_id} and category {category_id}, "
                'but not both of them in "images" and "categories". Expected the whole file.'
            )
        if crowd == "positive" or not is_crowd:
            target[rows[image_id], columns[category_id]] = 1
    files = [image["file_name"] for image in entries]
    folder = _find_photos(places, files) if images is None else check_folder(images)
    official = tuple(names) == VOCABULARIES["coco"]
    return make_bunch(
        [folder / file for file in files],
        target,
        names,
        split,
        missing=missing,
        attributions=_credits(entries, content, path),
        descr=(DESCR if official else OWN_DESCR).format(split=split, crowd=crowd, path=path),
    )


def _find_file(root: Path, split: str | None) -> tuple[Path, list[Path], str]:
    """The file, the folders in which its photos may be, and the name of the split."""
    if root.is_file():
        bases = [root.parent, *([root.parent.parent] if root.parent.name == "annotations" else [])]
        tails = ["", *(tail for tail in FOLDERS if split is not None or "{}" not in tail)]
        split = "all" if split is None else split
        return root, [base / tail.format(split) for base in bases for tail in tails], split
    folder = check_folder(root)
    split = "train2017" if split is None else split
    candidates = [folder / name.format(split) for name in FILES]
    places = [folder / name.format(split) for name in FOLDERS]
    for path in candidates:
        if path.is_file():
            return path, places, split
    there = sorted(str(path.relative_to(folder)) for path in folder.glob("*/*.json"))
    raise FileNotFoundError(
        f"There is no file {candidates[0]}. Expected the folder that holds annotations and the "
        f"folders of photos, or the path of a JSON file; the folder has {some(there) or 'none'}."
    )


def _find_photos(places: list[Path], names: list[str]) -> Path:
    """The folder with the photos: the first that has one of them."""
    for part in (names[:100], names):  # all of them only if most are missing
        for place in places:
            if any((place / name).is_file() for name in part):
                return place
    return places[0]


def _read_json(path: Path) -> Any:
    """Content of the file, with (image, category, crowd) in place of each annotation."""

    def shorten(record: dict[str, Any]) -> Any:
        # Called as soon as a record is parsed, so that the outlines, most of the file, never pile
        # up in memory.
        if "image_id" in record and "category_id" in record:
            return record["image_id"], record["category_id"], record.get("iscrowd", 0)
        return record

    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file, object_hook=shorten)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON, or is cut off: {error}.") from None


def _entries(content: Any, key: str, fields: dict[str, type], path: Path) -> list[dict[str, Any]]:
    """List of records under a key of the file; ValueError if one lacks any of the fields."""
    entries = _list(content, key, path)
    for index, entry in enumerate(entries):
        for field, kind in fields.items():
            if not isinstance(entry, dict) or not isinstance(entry.get(field), kind):
                raise ValueError(
                    f'{path} has in "{key}" the entry {str(entry)[:100]} (number {index}). '
                    f'Expected a record with "{field}" of type {kind.__name__}.'
                )
    return entries


def _annotations(content: Any, path: Path) -> list[tuple[int, int, int]]:
    """(image, category, crowd) of each annotation."""
    annotations = _list(content, "annotations", path)
    for index, entry in enumerate(annotations):
        if not isinstance(entry, tuple) or not all(isinstance(value, int) for value in entry):
            raise ValueError(
                f'{path} has in "annotations" the entry {str(entry)[:100]} (number {index}). '
                'Expected a record with "image_id", "category_id" and perhaps "iscrowd", all of '
                "type int."
            )
    return annotations


def _list(content: Any, key: str, path: Path) -> list[Any]:
    entries = content.get(key) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise ValueError(
            f'{path} has no list "{key}". Expected a file in the form of MS-COCO, with "images", '
            '"annotations" and "categories".'
        )
    return entries


def _columns(content: Any, path: Path) -> tuple[list[str], dict[int, int]]:
    """Names of the classes, and number of each category in the file -> column of the target."""
    categories = _entries(content, "categories", {"id": int, "name": str}, path)
    numbered = sorted((category["id"], category["name"]) for category in categories)
    names = [name for _, name in numbered]
    check_names(names, f'"categories" in {path}')
    columns = {number: column for column, (number, _) in enumerate(numbered)}
    if len(columns) < len(names):
        raise ValueError(f'{path} has in "categories" the same number more than once.')
    return names, columns


def _credits(images: list[dict[str, Any]], content: Any, path: Path) -> list[dict[str, str]]:
    """Where each photo is from and under which licence it stands."""
    content = {**content, "licenses": content.get("licenses") or []}
    licences = _entries(content, "licenses", {"id": int, "name": str}, path)
    names = {licence["id"]: licence["name"] for licence in licences}
    return [
        {
            "filename": image["file_name"],
            "source_url": image.get("flickr_url", ""),
            "author": "",
            "licence": names.get(image.get("license"), ""),
        }
        for image in images
    ]


def dump_coco(
    data: Sequence[str | os.PathLike[str]],
    target: Any,
    target_names: Sequence[str],
    path: str | os.PathLike[str],
    *,
    scores: Any = None,
) -> None:
    """Write labels in the form of MS-COCO: one annotation for each class of a photo.

    There are no boxes, since labels say nothing of places. So tools for detection will not take the
    file; :func:`load_coco` and pycocotools read it.

    Parameters
    ----------
    data : sequence of str or os.PathLike, length n
        Paths of the photos, no photo twice.
    target : array of shape (n, k), data frame or list of n lists of names
        1 where the photo shows the class, else 0; or the names, see :func:`dump_csv`.
    target_names : sequence of str, length k
        The classes.
    path : str or os.PathLike
        The JSON file to write; one of that name is replaced. The `file_name` of photos in its
        folder or below is relative to it, that of others is absolute.
    scores : array of shape (n, k) or None, default=None
        Scores, as ``predict_proba`` gives. Those of the classes that a photo shows are written as
        the `score` of their annotations.

    Raises
    ------
    TypeError
        If an item of `data` is no path.
    ValueError
        If lengths, names or values do not fit together.

    See Also
    --------
    load_coco : Reads such a file.

    Examples
    --------
    >>> from sklearn_cdul.datasets import dump_coco
    >>> dump_coco(paths, labels, names, "labels.json")  # doctest: +SKIP
    """
    labels = check_labels(data, target, target_names, path, scores)
    annotations: list[dict[str, Any]] = []
    for row, shown in enumerate(labels.shown):
        for column in shown:
            entry = {"image_id": row + 1, "category_id": column + 1, "iscrowd": 0}
            annotations.append({"id": len(annotations) + 1, **entry})
            if labels.scores is not None:
                annotations[-1]["score"] = round(float(labels.scores[row, column]), 6)
    content = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(labels.paths, start=1)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(labels.names, start=1)],
        "annotations": annotations,
    }
    write_json(path, content)
