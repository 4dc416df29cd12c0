"""Reader of folders in the layout of Pascal VOC."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from sklearn.utils import Bunch

from sklearn_cdul.class_names.vocabularies import VOCABULARIES
from sklearn_cdul.datasets._folders import (
    check_choice,
    check_folder,
    check_names,
    make_bunch,
    mark,
    read_bytes,
    read_lines,
)
from sklearn_cdul.datasets._listing import SUFFIXES
from sklearn_cdul.targets.tables import some

YEARS = ("2007", "2008", "2009", "2010", "2011", "2012")

DESCR = """Pascal VOC {year}, split "{split}"

Photos from Flickr with the objects of 20 classes: people, animals, vehicles and things in a house.
A label says that the photo shows one or more objects of the class. The labels are read from the
boxes in Annotations; an object that the annotators called difficult counts as "{difficult}".

The photos belong to the Flickr users who took them. This package holds none of them and gives no
right to use them; see the terms on the pages of the data set and of Flickr.

M. Everingham, L. Van Gool, C. K. I. Williams, J. Winn, A. Zisserman: The Pascal Visual Object
Classes (VOC) Challenge. International Journal of Computer Vision 88, 2010.
http://host.robots.ox.ac.uk/pascal/VOC/
"""

OWN_DESCR = """Photos and labels of {root}, split "{split}"

A label says that the photo shows one or more objects of the class. The labels are read from the
boxes in XML files; an object that is marked as difficult counts as "{difficult}".
"""


def load_voc(
    root: str | os.PathLike[str],
    *,
    year: Literal["2007", "2008", "2009", "2010", "2011", "2012"] = "2012",
    split: str | None = "train",
    classes: Literal["voc"] | Iterable[str] | None = "voc",
    difficult: Literal["negative", "positive"] = "negative",
    missing: Literal["raise", "skip"] = "raise",
) -> Bunch:
    """Read Pascal VOC, or photos of your own with labels in the same layout.

    Nothing is downloaded. For Pascal VOC get the archives from the page of the data set [1]_ and
    unpack them::

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
    missing : {"raise", "skip"}, default="raise"
        What to do about a photo that the list names and that is not there: an error, or leave it
        out with one warning that says how many.

    Returns
    -------
    photos : :class:`~sklearn.utils.Bunch`
        data : list of str, length n
            Paths of the photos, in the order of the list.
        target : ndarray of shape (n, k), dtype int64
            1 where the photo shows the class, else 0.
        target_names : list of str, length k
            The classes, in the order of the columns of `target`. The vocabulary "voc" writes words
            apart that the files run together ("dining table" for diningtable).
        split : ndarray of shape (n,), dtype str
            `split`, once for each photo; "all" if it is None.
        attributions : list, length 0
            Empty: most years' files do not name the photographers.
        DESCR : str
            Source, how the labels were read, whose photos they are.

    Raises
    ------
    ValueError
        If a parameter has none of its values, or a list or an annotation can't be read. The
        message names the file.
    FileNotFoundError
        If the folder, a list, an annotation or (with ``missing="raise"``) a photo is not there, or
        if no photo at all is there.

    Warns
    -----
    UserWarning
        If photos are left out.

    Notes
    -----
    The labels come from the `object` entries of the XML files. The files of each class in
    `ImageSets/Main`, which are not read, state the same with three values: 1 for an object that is
    not difficult, -1 for none at all, 0 for only difficult ones. "negative" counts the 1 alone, the
    usual choice of multi-label code. The official evaluation leaves the 0 out, class by class:
    these are the entries in which ``difficult="negative"`` and ``difficult="positive"`` disagree.

    Photos with only zeros are kept. 2012 has 5,717 photos in "train" and 5,823 in "val", 2007 has
    5,011 in "trainval" and 4,952 in "test".

    References
    ----------
    .. [1] M. Everingham et al., "The Pascal Visual Object Classes (VOC) Challenge", IJCV 2010.
       http://host.robots.ox.ac.uk/pascal/VOC/

    Examples
    --------
    >>> from sklearn_cdul.datasets import load_voc
    >>> photos = load_voc("VOCdevkit", year="2007", split="test")  # doctest: +SKIP
    >>> photos.target.shape  # doctest: +SKIP
    (4952, 20)
    """
    check_choice("year", year, YEARS)
    check_choice("difficult", difficult, ("negative", "positive"))
    check_choice("missing", missing, ("raise", "skip"))

    names = _class_names(classes)
    folder, annotations = _find_year(check_folder(root), year, split)
    every = [path.stem for path in sorted(annotations.glob("*.xml"))]
    identifiers = every if split is None else _read_list(folder, split)
    to_read = dict.fromkeys([*identifiers, *(every if names is None else [])])
    objects = {
        identifier: _read_objects(annotations / f"{identifier}.xml", names)
        for identifier in to_read
    }
    if names is None:
        found = {name for entries in objects.values() for name, _ in entries}
        names = {name: name for name in sorted(found)}
        check_names(list(names), str(annotations))
    columns = {name: column for column, name in enumerate(names)}
    keep_all = difficult == "positive"
    rows = [
        [name for name, is_difficult in objects[identifier] if keep_all or not is_difficult]
        for identifier in identifiers
    ]
    split = "all" if split is None else split
    descr = DESCR if isinstance(classes, str) else OWN_DESCR
    return make_bunch(
        [_find_photo(folder, identifier) for identifier in identifiers],
        mark(rows, columns),
        list(names.values()),
        split,
        missing=missing,
        descr=descr.format(year=year, split=split, difficult=difficult, root=folder),
    )


def _class_names(classes: str | Iterable[str] | None) -> dict[str, str] | None:
    """Name in the files -> name of the class, in the order of the columns; None for any name."""
    if classes is None:
        return None
    if isinstance(classes, str) and classes == "voc":
        return {name.replace(" ", ""): name for name in VOCABULARIES["voc"]}
    if isinstance(classes, str):
        raise ValueError(f'classes must be "voc", a list of names or None, got {classes!r}.')
    names = list(classes)
    check_names(names, "classes")
    return {name: name for name in names}


def _find_year(root: Path, year: str, split: str | None) -> tuple[Path, Path]:
    """Folder of the year in or at `root`, and the one with the annotations."""
    candidates = [root / "VOCdevkit" / f"VOC{year}", root / f"VOC{year}"]
    # `root` itself may have any name but that of another year.
    name = root.resolve().name
    if name == f"VOC{year}" or not re.fullmatch(r"VOC\d{4}", name):
        candidates.append(root)
    for folder in candidates:
        has_lists = (folder / "ImageSets" / "Main").is_dir()
        annotations = folder / "Annotations"
        if not annotations.is_dir() and next(folder.glob("*.xml"), None):
            annotations = folder
        if has_lists or (split is None and annotations.is_dir()):
            return folder, annotations
        if annotations.is_dir():
            raise FileNotFoundError(
                f"There is no ImageSets{os.sep}Main in {folder}. To read every annotation, without "
                "a list, give split=None."
            )
    raise FileNotFoundError(
        f"There is no Pascal VOC {year} at {root}. Expected ImageSets{os.sep}Main in one of "
        f"{', '.join(str(folder) for folder in candidates)}."
    )


def _find_photo(folder: Path, identifier: str) -> Path:
    """The photo of an annotation; where it should be if there is none."""
    expected = folder / "JPEGImages" / f"{identifier}.jpg"
    if expected.is_file():
        return expected
    for place in (folder / "JPEGImages", folder / "images", folder):
        for suffix in SUFFIXES:
            for path in (place / f"{identifier}{suffix}", place / f"{identifier}{suffix.upper()}"):
                if path.is_file():
                    return path
    return expected


def _read_list(folder: Path, split: str) -> list[str]:
    """Names of the photos of a split, without the ending."""
    path = folder / "ImageSets" / "Main" / f"{split}.txt"
    expected = "Expected the name of one photo a line, without .jpg."
    identifiers = read_lines(path, expected)
    for number, identifier in enumerate(identifiers, start=1):
        if len(identifier.split()) > 1:
            raise ValueError(f"Line {number} of {path} is {identifier!r}. {expected}")
    return identifiers


def _read_objects(path: Path, names: dict[str, str] | None) -> list[tuple[str, bool]]:
    """Name and difficulty of each object in an annotation; names may hold those to expect."""
    content = read_bytes(
        path,
        "Expected the annotation of a photo of this split. Of the test sets, only that of 2007 has "
        "public annotations.",
    )
    try:
        annotation = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise ValueError(f"{path} is not XML, or is cut off: {error}.") from None
    if annotation.tag != "annotation":
        raise ValueError(f"{path} holds <{annotation.tag}>. Expected <annotation>.")

    objects = []
    # Only direct children: the <part> of a person (head, hand, foot) has a <name> too.
    for entry in annotation.findall("object"):
        name = entry.findtext("name", "").strip()
        # Photos of the action task have objects without this entry.
        flag = entry.findtext("difficult", "0").strip()
        if not name or (names is not None and name not in names):
            expected = "a name" if names is None else f"one of {some(list(names), 20)}"
            raise ValueError(
                f"{path} has an object with the name {name!r}. Expected {expected}. For classes of "
                "your own give their names as classes=, or None for those in the files."
            )
        if flag not in ("0", "1"):
            raise ValueError(f"{path} has <difficult>{flag}</difficult>. Expected 0 or 1.")
        objects.append((name, flag == "1"))
    return objects
