"""Reader of the folders of NUS-WIDE."""

import os
from pathlib import Path
from typing import Literal

import numpy as np
from sklearn.utils import Bunch

from sklearn_cdul.class_names.vocabularies import VOCABULARIES
from sklearn_cdul.datasets._folders import (
    check_choice,
    check_folder,
    make_bunch,
    read_bytes,
    read_lines,
)

DESCR = """NUS-WIDE, split "{split}"

Photos from Flickr with 81 concepts: objects, scenes and events. The labels are the ground truth in
Groundtruth/TrainTestLabels, not the tags that Flickr users gave.

The photos belong to the Flickr users who took them. This package holds none of them and gives no
right to use them. The National University of Singapore hands them out for research, on request and
under an agreement.

T.-S. Chua, J. Tang, R. Hong, H. Li, Z. Luo, Y.-T. Zheng: NUS-WIDE: A Real-World Web Image Database
from National University of Singapore. CIVR 2009.
https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide/NUS-WIDE.html
"""


def load_nus_wide(
    root: str | os.PathLike[str],
    *,
    split: Literal["train", "test"] = "train",
    missing: Literal["raise", "skip"] = "raise",
) -> Bunch:
    """Read a folder of NUS-WIDE: photos with 81 concepts.

    Nothing is downloaded. Get the lists and the ground truth from the page of the data set [1]_,
    ask there for the photos, and unpack all of it::

        Flickr/actor/0001_2124494179.jpg
        Groundtruth/TrainTestLabels/Labels_airport_Train.txt
        ImageList/TrainImagelist.txt

    Parameters
    ----------
    root : str or os.PathLike
        The folder that holds `Flickr`, `Groundtruth` and `ImageList`.
    split : {"train", "test"}, default="train"
        Which of the two official parts to read.
    missing : {"raise", "skip"}, default="raise"
        What to do about a photo that the list names and that is not there: an error, or leave it
        out with one warning that says how many. Many photos are no longer on Flickr, so a folder
        that was downloaded from there needs "skip".

    Returns
    -------
    photos : :class:`~sklearn.utils.Bunch`
        data : list of str, length n
            Paths of the JPEG files, in the order of the list.
        target : ndarray of shape (n, 81), dtype int64
            1 where the photo shows the concept, else 0.
        target_names : list of str, length 81
            The vocabulary "nus-wide", in the order of the columns of `target`. The files use the
            same names.
        split : ndarray of shape (n,), dtype str
            `split`, once for each photo.
        attributions : list, length 0
            Empty: the files do not name the photographers.
        DESCR : str
            Source, how the labels were read, whose photos they are.

    Raises
    ------
    ValueError
        If a parameter has none of its values, or the list or a file of labels can't be read, or
        their lengths differ. The message names the file.
    FileNotFoundError
        If the folder, the list, a file of labels or (with ``missing="raise"``) a photo is not
        there, or if no photo at all is there.

    Warns
    -----
    UserWarning
        If photos are left out.

    Notes
    -----
    The official lists have 161,789 photos in "train" and 107,859 in "test". Published figures are
    often on other lists: the photos that could still be downloaded that year, those with one or
    more of the concepts, a split of the authors' own, or only the 21 most frequent concepts. mAP
    on different lists can't be compared. Photos with only zeros are kept here; drop them with
    ``photos.target.any(axis=1)``.

    `NUS_WID_Tags/Train_Tags81.txt` looks like labels, but holds what Flickr users wrote. It is not
    read.

    References
    ----------
    .. [1] T.-S. Chua et al., "NUS-WIDE: A Real-World Web Image Database from National University of
       Singapore", CIVR 2009.
       https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide/NUS-WIDE.html

    Examples
    --------
    >>> from sklearn_cdul.datasets import load_nus_wide
    >>> photos = load_nus_wide("NUS-WIDE", split="test", missing="skip")  # doctest: +SKIP
    >>> photos.target.shape[1]  # doctest: +SKIP
    81
    """
    check_choice("split", split, ("train", "test"))
    check_choice("missing", missing, ("raise", "skip"))

    folder = check_folder(root)
    part = split.capitalize()
    names = read_lines(
        folder / "ImageList" / f"{part}Imagelist.txt",
        r"Expected the path of one photo a line, such as actor\0001_2124494179.jpg, in the folder "
        "that holds Flickr, Groundtruth and ImageList.",
    )
    concepts = VOCABULARIES["nus-wide"]
    target = np.empty((len(names), len(concepts)), dtype=np.int64)
    for column, concept in enumerate(concepts):
        path = folder / "Groundtruth" / "TrainTestLabels" / f"Labels_{concept}_{part}.txt"
        target[:, column] = _read_labels(path, len(names))
    return make_bunch(
        [folder / "Flickr" / name.replace("\\", "/") for name in names],
        target,
        concepts,
        split,
        missing=missing,
        descr=DESCR.format(split=split),
    )


def _read_labels(path: Path, n_photos: int) -> np.ndarray:
    """Labels of one concept, bool array of shape (n_photos,)."""
    expected = f"Expected 0 or 1 a line for each of the {n_photos} photos of the list."
    values = np.array(read_bytes(path, expected).split(), dtype=bytes)
    shown = values == b"1"
    wrong = ~shown & (values != b"0")
    if wrong.any():
        first = int(np.argmax(wrong))
        raise ValueError(
            f"Label {first + 1} of {path} is {values[first].decode(errors='replace')!r}. {expected}"
        )
    if len(values) != n_photos:
        raise ValueError(f"{path} has {len(values)} labels. {expected}")
    return shown
