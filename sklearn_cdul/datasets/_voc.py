"""Reader of folders in the layout of Pascal VOC."""

import os
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Literal

from sklearn_cdul.class_names.vocabularies import VOCABULARIES
from sklearn_cdul.datasets._reading import (
    Row,
    check_choice,
    check_folder,
    make_bunch,
    read_lines,
    read_xml,
)
from sklearn_cdul.datasets._signatures import Bunch, Missing, PathLike, documented
from sklearn_cdul.images.items import SUFFIXES
from sklearn_cdul.targets.rows import brief

DESCR = """{title}, split "{split}"

A label says that the photo shows one or more objects of the class. The labels are read from the
boxes in XML files; an object that is marked as difficult counts as "{difficult}".
"""

OFFICIAL = """
These are photos from Flickr with the objects of 20 classes: people, animals, vehicles and things in
a house. The photos belong to the Flickr users who took them. This package holds none of them and
gives no right to use them; see the terms on the pages of the data set and of Flickr.

M. Everingham, L. Van Gool, C. K. I. Williams, J. Winn, A. Zisserman: The Pascal Visual Object
Classes (VOC) Challenge. International Journal of Computer Vision 88, 2010.
http://host.robots.ox.ac.uk/pascal/VOC/
"""


@documented
def load_voc(
    root: PathLike,
    *,
    year: Literal["2007", "2008", "2009", "2010", "2011", "2012"] = "2012",
    split: str | None = "train",
    classes: Literal["voc"] | Iterable[str] | None = "voc",
    difficult: Literal["negative", "positive"] = "negative",
    missing: Missing = "raise",
) -> Bunch:
    """Read Pascal VOC, or photos of your own with labels in the same layout.

    Nothing is downloaded. For Pascal VOC get the archives from
    http://host.robots.ox.ac.uk/pascal/VOC/ and unpack them::

        VOCdevkit/VOC2012/Annotations/2008_000008.xml
        VOCdevkit/VOC2012/ImageSets/Main/train.txt
        VOCdevkit/VOC2012/JPEGImages/2008_000008.jpg

    Parameters
    ----------
    root : str or os.PathLike
        The folder that holds `VOCdevkit`, or `VOCdevkit` itself, or `VOC2012` in it (with the year
        that you ask for). Or a folder of any other name with `Annotations`, or with XML files and
        photos side by side.
    year : {"2007", "2008", "2009", "2010", "2011", "2012"}, default="2012"
        Year of the challenge.
    split : str or None, default="train"
        Which list of `ImageSets/Main` to read: "train", "val", "trainval", "test" or another one.
        Of Pascal VOC only 2007 has public annotations of its test photos. None needs no list and
        reads every annotation.
    classes : "voc", list of str or None, default="voc"
        The classes. "voc" are the 20 of the challenge. A list gives others, in the order of the
        columns of `target`; any other name in a file is an error. None takes the names in all files
        of `Annotations`, whatever the split, in alphabetical order.
    difficult : {"negative", "positive"}, default="negative"
        Label of a class of which the photo shows only objects marked as difficult. One object that
        is not difficult makes the label 1 either way.
    {missing, returns, warns}

    Notes
    -----
    The labels come from the `object` entries of the XML files. The files of each class in
    `ImageSets/Main`, which are not read, state the same with three values: 1 for an object that is
    not difficult, -1 for none at all, 0 for only difficult ones. "negative" counts the 1 alone, the
    usual choice of multi-label code. The official evaluation leaves the 0 out, class by class:
    these are the entries in which ``difficult="negative"`` and ``difficult="positive"`` disagree.

    The photo of an annotation is the one that its `filename` entry names, else the one with the
    same name but for the ending. The vocabulary "voc" writes words apart that the files run
    together ("dining table" for diningtable). Most years' files do not name the photographers.

    Photos with only zeros are kept. 2012 has 5,717 photos in "train" and 5,823 in "val", 2007 has
    5,011 in "trainval" and 4,952 in "test".

    Examples
    --------
    >>> from sklearn_cdul.datasets import load_voc
    >>> photos = load_voc("VOCdevkit", year="2007", split="test")  # doctest: +SKIP
    >>> photos.target.shape  # doctest: +SKIP
    (4952, 20)
    """
    check_choice("year", year, [str(number) for number in range(2007, 2013)])
    check_choice("difficult", difficult, ("negative", "positive"))
    check_choice("missing", missing, ("raise", "skip"))
    official = isinstance(classes, str)
    if official and classes != "voc":
        raise ValueError(f'classes must be "voc", a list of names or None, got {classes!r}.')
    folder, annotations, files = _find_year(check_folder(root), year, split)
    identifiers = list(files)
    if split is not None:
        expected = "Expected the name of one photo per line, without .jpg."
        path = folder / "ImageSets" / "Main" / f"{split}.txt"
        identifiers = read_lines(path, expected, words=True)
    found = {
        name: _read_annotation(files.get(name, annotations / f"{name}.xml"))
        for name in dict.fromkeys([*identifiers, *(files if classes is None else [])])
    }
    words = {name.replace(" ", ""): name for name in VOCABULARIES["voc"]} if official else {}
    if classes is None:
        classes = sorted({name for _, objects in found.values() for name, _ in objects}) or None
    keep_all = difficult == "positive"
    list_folder = cache(_list_folder)
    rows = []
    for identifier in identifiers:
        file_name, objects = found[identifier]
        shown = [words.get(name, name) for name, hard in objects if keep_all or not hard]
        bases = [folder / name for name in ("JPEGImages", "images", "Images", "")]
        folders = [*(each / Path(identifier).parent for each in bases), *bases]
        folders.append(files[identifier].parent)
        photo = _find_photo([list_folder(each) for each in folders], file_name, identifier)
        missing_photo = folder / "JPEGImages" / f"{identifier}.jpg"
        rows.append(Row(photo or missing_photo, shown, str(files[identifier])))
    title = f"Pascal VOC {year}" if official else f"Photos and labels of {folder}"
    descr = DESCR.format(title=title, split=split or "all", difficult=difficult)
    descr, classes = (descr + OFFICIAL, words.values()) if official else (descr, classes)
    return make_bunch(rows, classes, split, missing=missing, descr=descr)


def _find_year(root: Path, year: str, split: str | None) -> tuple[Path, Path, dict[str, Path]]:
    """Folder of the year in or at `root`, the one with the annotations, and these."""
    candidates = [root / "VOCdevkit" / f"VOC{year}", root / f"VOC{year}"]
    # `root` itself may have any name but that of another year.
    name = root.resolve().name
    if name == f"VOC{year}" or not re.fullmatch(r"VOC\d{4}", name):
        candidates.append(root)
    for folder in candidates:
        annotations = folder / "Annotations" if (folder / "Annotations").is_dir() else folder
        files = _find_annotations(annotations)
        if files if split is None else (folder / "ImageSets" / "Main").is_dir():
            return folder, annotations, files
        if files:
            raise FileNotFoundError(
                f"There is no ImageSets{os.sep}Main in {folder}. To read every annotation, without "
                "a list, give split=None."
            )
    raise FileNotFoundError(
        f"There is no Pascal VOC {year} at {root}. Expected ImageSets{os.sep}Main, or with "
        f"split=None XML files, in one of {', '.join(str(folder) for folder in candidates)}."
    )


def _find_annotations(folder: Path) -> dict[str, Path]:
    """Path from the folder without the ending -> XML file, also in folders below."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if path.suffix.lower() == ".xml" and not re.match(r"(VOCdevkit/)?VOC\d{4}/", name):
            found[name] = path
    return found


def _list_folder(folder: Path) -> dict[str, Path]:
    """Name of each file, and the name in small letters -> path."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return {path.name.lower(): path for path in paths} | {path.name: path for path in paths}


def _find_photo(folders: list[dict[str, Path]], file_name: str, identifier: str) -> Path | None:
    """The photo of an annotation: the one that it names, else the one that is called like it."""
    names = [f"{Path(identifier).name}{suffix}" for suffix in SUFFIXES]
    for some in ([file_name], names):
        for files in folders:
            found = {files.get(name) or files.get(name.lower()) for name in some} - {None}
            if len(found) > 1:
                listed = " or ".join(sorted(map(str, found)))
                raise ValueError(f"The photo of {identifier}.xml may be {listed}.")
            if found:
                return found.pop()
    return None


def _read_annotation(path: Path) -> tuple[str, list[tuple[str, bool]]]:
    """Name of the photo, and name and difficulty of each object."""
    expected = (
        "Expected the annotation of a photo of this split; split=None reads the photos that have "
        "one. Of the test sets, only that of 2007 has public annotations. CVAT's annotations.xml "
        "is for load_cvat."
    )
    annotation = read_xml(path, "annotation", expected)
    objects = []
    # Only direct children: the <part> of a person (head, hand, foot) has a <name> too.
    for entry in annotation.findall("object"):
        if entry.findtext("deleted", "").strip() == "1":  # of LabelMe
            continue
        name = entry.findtext("name", "").strip()
        # Photos of the action task have objects without this entry.
        flag = entry.findtext("difficult", "").strip() or "0"
        if not name:
            raise ValueError(f"{path} has an object without a name.")
        if flag not in ("0", "1"):
            raise ValueError(f"{path} has {brief(flag)} in <difficult>. Expected 0 or 1.")
        objects.append((name, flag == "1"))
    file_name = re.split(r"[\\/]", annotation.findtext("filename", "").strip())[-1]
    return file_name, objects
