"""Reader of the folders of Pascal VOC 2007 to 2012."""

import os
import re
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import numpy as np
from sklearn.utils import Bunch

from sklearn_cdul.datasets._folders import (
    check_choice,
    check_folder,
    make_bunch,
    read_bytes,
    read_lines,
)
from sklearn_cdul.labels.vocabularies import VOCABULARIES

YEARS = ("2007", "2008", "2009", "2010", "2011", "2012")
SPLITS = ("train", "val", "trainval", "test")
# Name in the files -> column. The files write diningtable, the vocabulary "dining table".
COLUMNS = {name.replace(" ", ""): i for i, name in enumerate(VOCABULARIES["voc"])}

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


def load_voc(
    root: str | os.PathLike[str],
    *,
    year: Literal["2007", "2008", "2009", "2010", "2011", "2012"] = "2012",
    split: Literal["train", "val", "trainval", "test"] = "train",
    difficult: Literal["negative", "positive"] = "negative",
    missing: Literal["raise", "skip"] = "raise",
) -> Bunch:
    """Read a folder of Pascal VOC: photos with objects of 20 classes.

    Nothing is downloaded. Get the archives from the page of the data set [1]_ and unpack them::

        VOCdevkit/VOC2012/Annotations/2008_000008.xml
        VOCdevkit/VOC2012/ImageSets/Main/train.txt
        VOCdevkit/VOC2012/JPEGImages/2008_000008.jpg

    Parameters
    ----------
    root : str or os.PathLike
        The folder that holds `VOCdevkit`, or `VOCdevkit` itself, or `VOC2012` in it (with the year
        that you ask for).
    year : {"2007", "2008", "2009", "2010", "2011", "2012"}, default="2012"
        Year of the challenge.
    split : {"train", "val", "trainval", "test"}, default="train"
        Which list of `ImageSets/Main` to read. Only 2007 has public annotations of its test photos.
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
            Paths of the JPEG files, in the order of the list.
        target : ndarray of shape (n, 20), dtype int64
            1 where the photo shows the class, else 0.
        target_names : list of str, length 20
            The vocabulary "voc", in the order of the columns of `target`. Words that the files run
            together stand apart ("dining table" for diningtable).
        split : ndarray of shape (n,), dtype str
            `split`, once for each photo.
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
    check_choice("split", split, SPLITS)
    check_choice("difficult", difficult, ("negative", "positive"))
    check_choice("missing", missing, ("raise", "skip"))

    folder = _find_year(check_folder(root), year)
    identifiers = _read_list(folder, split)
    target = np.zeros((len(identifiers), len(COLUMNS)), dtype=np.int64)
    for row, identifier in zip(target, identifiers, strict=True):
        annotation = folder / "Annotations" / f"{identifier}.xml"
        for column, is_difficult in _read_objects(annotation):
            if difficult == "positive" or not is_difficult:
                row[column] = 1
    return make_bunch(
        [folder / "JPEGImages" / f"{identifier}.jpg" for identifier in identifiers],
        target,
        VOCABULARIES["voc"],
        split,
        missing=missing,
        descr=DESCR.format(year=year, split=split, difficult=difficult),
    )


def _find_year(root: Path, year: str) -> Path:
    """Folder of the year in or at `root`."""
    candidates = [root / "VOCdevkit" / f"VOC{year}", root / f"VOC{year}"]
    # `root` itself may have any name but that of another year.
    name = root.resolve().name
    if name == f"VOC{year}" or not re.fullmatch(r"VOC\d{4}", name):
        candidates.append(root)
    for folder in candidates:
        if (folder / "ImageSets" / "Main").is_dir():
            return folder
    raise FileNotFoundError(
        f"There is no Pascal VOC {year} at {root}. Expected ImageSets{os.sep}Main in one of "
        f"{', '.join(str(folder) for folder in candidates)}."
    )


def _read_list(folder: Path, split: str) -> list[str]:
    """Names of the photos of a split, without the ending."""
    path = folder / "ImageSets" / "Main" / f"{split}.txt"
    expected = "Expected the name of one photo a line, without .jpg."
    identifiers = read_lines(path, expected)
    for number, identifier in enumerate(identifiers, start=1):
        if len(identifier.split()) > 1:
            raise ValueError(f"Line {number} of {path} is {identifier!r}. {expected}")
    return identifiers


def _read_objects(path: Path) -> list[tuple[int, bool]]:
    """Column and difficulty of each object in an annotation."""
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
        if name not in COLUMNS:
            raise ValueError(
                f"{path} has an object with the name {name!r}. Expected one of {list(COLUMNS)}."
            )
        if flag not in ("0", "1"):
            raise ValueError(f"{path} has <difficult>{flag}</difficult>. Expected 0 or 1.")
        objects.append((COLUMNS[name], flag == "1"))
    return objects
