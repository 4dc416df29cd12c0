"""Reader and writer of labels in the form of MS-COCO."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from sklearn_cdul._utils.text_files import user_path
from sklearn_cdul.class_names.vocabularies import VOCABULARIES
from sklearn_cdul.datasets._reading import (
    Row,
    check_choice,
    check_folder,
    check_names,
    ends,
    find_photo,
    make_bunch,
    read_json,
)
from sklearn_cdul.datasets._signatures import Bunch, Missing, PathLike, Paths, documented
from sklearn_cdul.datasets._writing import check_labels, write_json
from sklearn_cdul.exceptions import warn
from sklearn_cdul.targets.tables import some

# Where tools put the file of a split, and the photos beside it.
FILES = (
    *("annotations/instances_{}.json", "annotations/labels_{}.json", "annotations/{}.json"),
    "{}/_annotations.coco.json",
)
FOLDERS = ("{}", "images/{}", "images", "data", "")

EXPECTED = 'Expected a file in the form of MS-COCO, with "images", "annotations" and "categories".'

DESCR = """{title}

A label says that the photo shows one or more objects of the class. The labels are read from the
annotations of {path}; a crowd (several objects in one outline) counts as "{crowd}".
"""

OFFICIAL = """
These are photos from Flickr with the objects of 80 classes of everyday things. The annotations are
under CC BY 4.0. The photos belong to the Flickr users who took them, under various licences;
`attributions` has the one of each photo. This package holds none of them and gives no right to use
them.

T.-Y. Lin, M. Maire, S. Belongie, J. Hays, P. Perona, D. Ramanan, P. Dollar, C. L. Zitnick:
Microsoft COCO: Common Objects in Context. ECCV 2014.
https://cocodataset.org/
"""


@documented
def load_coco(
    root: PathLike,
    *,
    split: str | None = None,
    images: PathLike | None = None,
    crowd: Literal["positive", "negative"] = "positive",
    missing: Missing = "raise",
) -> Bunch:
    """Read MS-COCO, or photos of your own with labels in the same form.

    Nothing is downloaded. For MS-COCO get the archives from https://cocodataset.org/#download and
    unpack them::

        annotations/instances_train2017.json
        train2017/000000000009.jpg

    Parameters
    ----------
    root : str or os.PathLike
        A JSON file with `images`, `categories` and `annotations`, as many tools export it and as
        :func:`dump_coco` writes it. Or a folder that holds one of
        `annotations/instances_{split}.json`, `annotations/labels_{split}.json`,
        `annotations/{split}.json` and `{split}/_annotations.coco.json`.
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
    {missing, returns, warns}

    See Also
    --------
    dump_coco : Writes such a file.

    Notes
    -----
    Photos and categories are in the order of their numbers. All categories of the file are read,
    also those that no photo shows. Roboflow writes one more, which groups the others and is never
    used; it is left out. A photo without annotations shows no class, as in MS-COCO. If no photo of
    a file has any, there is a warning. The attributions of MS-COCO never name the author.

    The usual multi-label code counts every outline, crowds too. It also drops the photos without
    any outline, which leaves 82,081 of 82,783 in "train2014", 40,137 of 40,504 in "val2014",
    117,266 of 118,287 in "train2017" and 4,952 of 5,000 in "val2017". Here they are kept, with only
    zeros. To compare with published figures drop them::

        shown = photos.target.any(axis=1)

    The file of "train2017" has about 450 MB. It is read once, without keeping the outlines, and
    takes about twice its size of memory while it is read.

    Examples
    --------
    >>> from sklearn_cdul.datasets import load_coco
    >>> photos = load_coco("coco", split="val2017")  # doctest: +SKIP
    >>> photos.target.shape  # doctest: +SKIP
    (5000, 80)
    """
    check_choice("crowd", crowd, ("positive", "negative"))
    check_choice("missing", missing, ("raise", "skip"))
    path, folders, split = _find_file(user_path(root), split)
    content = read_json(path, EXPECTED, _shorten, kind="coco")
    entries = _numbered(content, "images", path, "file_name")
    if not entries:
        raise ValueError(f'{path} has no photo. Expected one or more in "images".')
    shown: dict[int, list[str]] = {number: [] for number in entries}
    annotations = _entries(content, "annotations", path, image_id=int, category_id=int, iscrowd=int)
    names = _class_names(content, {category_id for _, category_id, _ in annotations}, path)
    for index, (image_id, category_id, is_crowd) in enumerate(annotations):
        if image_id not in shown or category_id not in names:
            raise ValueError(
                f"{path} has annotation {index} of photo {image_id} and category {category_id}, "
                'but not both of them in "images" and "categories". Expected the whole file.'
            )
        if crowd == "positive" or not is_crowd:
            shown[image_id].append(names[category_id])
    if not annotations:
        warn(
            f"No photo in {path} has an annotation, so that all show none of the classes. If "
            "nobody has annotated them, give no labels."
        )
    rows = [Row(one["file_name"], shown[number], str(path)) for number, one in entries.items()]
    found = (each for row in rows for each in folders if find_photo(each, row.photo))
    folder = next(found, None) if images is None else check_folder(images)
    official = tuple(names.values()) == VOCABULARIES["coco"]
    title = f'MS-COCO, split "{split}"' if official else "Photos and labels in the form of MS-COCO"
    return make_bunch(
        rows,
        names.values(),
        split,
        folder=folder or folders[0],
        others=None if images is None else ends,
        missing=missing,
        attributions=_credits(entries.values(), content),
        descr=DESCR.format(title=title, crowd=crowd, path=path) + OFFICIAL * official,
    )


def _find_file(root: Path, split: str | None) -> tuple[Path, list[Path], str]:
    """The file, the folders in which its photos may be, and the name of the split."""
    if root.is_file():
        bases = [root.parent, *([root.parent.parent] if root.parent.name == "annotations" else [])]
        tails = ["", *(tail for tail in FOLDERS if split is not None or "{}" not in tail)]
        split = "all" if split is None else split
        return root, [base / tail.format(split) for base in bases for tail in tails], split
    folder, split = check_folder(root), "train2017" if split is None else split
    candidates = [folder / name.format(split) for name in FILES]
    folders = [folder / name.format(split) for name in FOLDERS]
    for path in candidates:
        if path.is_file():
            return path, folders, split
    there = sorted(str(path.relative_to(folder)) for path in folder.glob("*/*.json"))
    raise FileNotFoundError(
        f"There is no file {candidates[0]}. Expected the folder that holds annotations and the "
        f"folders of photos, or the path of a JSON file; the folder has {some(there) or 'none'}."
    )


def _shorten(record: dict[str, Any]) -> Any:
    """An annotation as (image, category, crowd).

    Called as soon as a record is parsed, so that outlines, most of the file, never pile up.
    """
    if "image_id" in record and "category_id" in record:
        return record["image_id"], record["category_id"], record.get("iscrowd") or 0
    return record


def _entries(content: Any, key: str, path: Path, **fields: type) -> list[Any]:
    """Records under a key of the file, all with the given fields of the given types."""
    entries = content.get(key) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise ValueError(f'{path} has no list "{key}". {EXPECTED}')
    for index, entry in enumerate(entries):
        shortened = isinstance(entry, tuple)
        record = dict(zip(fields, entry, strict=True)) if shortened else entry
        for field, kind in fields.items():
            if not isinstance(record, dict) or not isinstance(record.get(field), kind):
                raise ValueError(
                    f'{path} has in "{key}" the entry {str(entry)[:100]} (number {index}). '
                    f'Expected a record with "{field}" of type {kind.__name__}.'
                )
    return entries


def _numbered(content: Any, key: str, path: Path, field: str) -> dict[int, dict[str, Any]]:
    """Number -> record under a key of the file, in the order of the numbers."""
    entries = _entries(content, key, path, **{"id": int, field: str})
    numbered = {entry["id"]: entry for entry in sorted(entries, key=lambda entry: entry["id"])}
    if len(numbered) < len(entries):
        raise ValueError(f'{path} has in "{key}" the same number more than once.')
    return numbered


def _class_names(content: Any, used: set[int], path: Path) -> dict[int, str]:
    """Number of each category -> name of the class, in the order of the columns."""
    categories = _numbered(content, "categories", path, "name")
    # Roboflow puts a category above the others, which is no class and in that of "none".
    groups = {str(one.get("supercategory")) for one in categories.values()}
    names = {
        number: one["name"]
        for number, one in categories.items()
        if number in used or one.get("supercategory") != "none" or one["name"] not in groups
    }
    check_names(list(names.values()), f'"categories" in {path}')
    return names


def _credits(images: Iterable[dict[str, Any]], content: Any) -> list[dict[str, str]]:
    """Where each photo is from and under which licence it stands, as far as the file says."""
    licences = [one for one in content.get("licenses") or [] if isinstance(one, dict)]
    names = {repr(one.get("id")): one.get("name") for one in licences}
    return [
        {
            "filename": image["file_name"],
            "source_url": image.get("flickr_url") or "",
            "author": "",
            "licence": names.get(repr(image.get("license"))) or "",
        }
        for image in images
    ]


@documented
def dump_coco(
    data: Paths, target: Any, target_names: Sequence[str], path: PathLike, *, scores: Any = None
) -> None:
    """Write labels in the form of MS-COCO: one annotation for each class of a photo.

    There are no boxes, since labels do not say where an object is. So tools for detection will not
    take the file; :func:`load_coco` and pycocotools read it.

    Parameters
    ----------
    {labels}
    path : str or os.PathLike
        The JSON file to write; one of that name is replaced. The `file_name` of photos in its
        folder or below is relative to it, that of others is absolute.
    {scores}
        Those of the classes that a photo shows are written as the `score` of their annotations.

    {writing}

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
            entry |= labels.score("score", row, column)
            annotations.append({"id": len(annotations) + 1, **entry})
    content = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(labels.paths, start=1)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(labels.names, start=1)],
        "annotations": annotations,
    }
    write_json(path, content)
