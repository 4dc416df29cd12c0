"""Reader of the folders of MS-COCO."""

import json
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.utils import Bunch

from sklearn_cdul.datasets._folders import check_choice, check_folder, make_bunch
from sklearn_cdul.labels.vocabularies import VOCABULARIES

SPLITS = ("train2017", "val2017", "train2014", "val2014")

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


def load_coco(
    root: str | os.PathLike[str],
    *,
    split: Literal["train2017", "val2017", "train2014", "val2014"] = "train2017",
    crowd: Literal["positive", "negative"] = "positive",
    missing: Literal["raise", "skip"] = "raise",
) -> Bunch:
    """Read a folder of MS-COCO: photos with objects of 80 classes.

    Nothing is downloaded. Get the archives from the page of the data set [1]_ and unpack them::

        annotations/instances_train2017.json
        train2017/000000000009.jpg

    Parameters
    ----------
    root : str or os.PathLike
        The folder that holds `annotations` and the folder of the split.
    split : {"train2017", "val2017", "train2014", "val2014"}, default="train2017"
        Which file of `annotations` and which folder of photos to read.
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
            Paths of the JPEG files, in the order of the numbers of the photos.
        target : ndarray of shape (n, 80), dtype int64
            1 where the photo shows the class, else 0.
        target_names : list of str, length 80
            The vocabulary "coco", in the order of the columns of `target`.
        split : ndarray of shape (n,), dtype str
            `split`, once for each photo.
        attributions : list of dict, length n
            `filename`, `source_url` (on Flickr), `author` and `licence` of each photo, all str.
            Empty where the file does not say; it never names the author.
        DESCR : str
            Source, how the labels were read, whose photos they are.

    Raises
    ------
    ValueError
        If a parameter has none of its values, or the file can't be read, or its classes are not
        those of the vocabulary. The message names the file.
    FileNotFoundError
        If the folder, the file or (with ``missing="raise"``) a photo is not there, or if no photo
        at all is there.

    Warns
    -----
    UserWarning
        If photos are left out.

    Notes
    -----
    The numbers of the classes in the file run from 1 to 90 with gaps. The columns of `target` are
    in the order of these numbers.

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
    check_choice("split", split, SPLITS)
    check_choice("crowd", crowd, ("positive", "negative"))
    check_choice("missing", missing, ("raise", "skip"))

    folder = check_folder(root)
    path = folder / "annotations" / f"instances_{split}.json"
    content = _read_json(path)
    images = sorted(
        _entries(content, "images", {"id": int, "file_name": str}, path),
        key=lambda image: image["id"],
    )
    if not images:
        raise ValueError(f'{path} has no photo. Expected one or more in "images".')
    columns = _columns(content, path)
    rows = {image["id"]: row for row, image in enumerate(images)}
    target = np.zeros((len(images), len(columns)), dtype=np.int64)
    for image_id, category_id, is_crowd in _annotations(content, path):
        if image_id not in rows or category_id not in columns:
            raise ValueError(
                f"{path} has an annotation of photo {image_id} and category {category_id}, but "
                "not both of them. Expected the whole file of MS-COCO."
            )
        if crowd == "positive" or not is_crowd:
            target[rows[image_id], columns[category_id]] = 1
    return make_bunch(
        [folder / split / image["file_name"] for image in images],
        target,
        VOCABULARIES["coco"],
        split,
        missing=missing,
        attributions=_credits(images, content, path),
        descr=DESCR.format(split=split, crowd=crowd),
    )


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
    except FileNotFoundError:
        raise FileNotFoundError(
            f"There is no file {path}. Expected the folder that holds annotations and the folders "
            "of photos."
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON, or is cut off: {error}.") from None


def _entries(content: Any, key: str, fields: dict[str, type], path: Path) -> list[dict[str, Any]]:
    """List of records under a key of the file; ValueError if one lacks any of the fields."""
    entries = _list(content, key, path)
    for entry in entries:
        for field, kind in fields.items():
            if not isinstance(entry, dict) or not isinstance(entry.get(field), kind):
                raise ValueError(
                    f'{path} has in "{key}" the entry {str(entry)[:100]}. Expected a record with '
                    f'"{field}" of type {kind.__name__}.'
                )
    return entries


def _annotations(content: Any, path: Path) -> list[tuple[int, int, int]]:
    """(image, category, crowd) of each annotation."""
    annotations = _list(content, "annotations", path)
    for entry in annotations:
        if not isinstance(entry, tuple) or not all(isinstance(value, int) for value in entry):
            raise ValueError(
                f'{path} has in "annotations" the entry {str(entry)[:100]}. Expected a record with '
                '"image_id", "category_id" and "iscrowd", all of type int.'
            )
    return annotations


def _list(content: Any, key: str, path: Path) -> list[Any]:
    entries = content.get(key) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise ValueError(
            f'{path} has no list "{key}". Expected the instances file of MS-COCO, with "images", '
            '"annotations" and "categories".'
        )
    return entries


def _columns(content: Any, path: Path) -> dict[int, int]:
    """Number of each category in the file -> column of the target."""
    categories = _entries(content, "categories", {"id": int, "name": str}, path)
    numbered = sorted((category["id"], category["name"]) for category in categories)
    names = tuple(name for _, name in numbered)
    if names != VOCABULARIES["coco"]:
        other = sorted(set(names) ^ set(VOCABULARIES["coco"]))
        raise ValueError(
            f"{path} has {len(names)} categories. Expected the 80 of MS-COCO, in the order of "
            f"their numbers. These are only in one of the two: {other}."
        )
    return {number: column for column, (number, _) in enumerate(numbered)}


def _credits(images: list[dict[str, Any]], content: Any, path: Path) -> list[dict[str, str]]:
    """Where each photo is from and under which licence it stands."""
    licences = _entries({"licenses": [], **content}, "licenses", {"id": int, "name": str}, path)
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
