"""Reader of the folders of NUS-WIDE."""

from pathlib import Path
from typing import Literal

import numpy as np

from sklearn_cdul._utils.text_files import read_text
from sklearn_cdul.class_names.vocabularies import VOCABULARIES
from sklearn_cdul.datasets._reading import Row, check_choice, check_folder, make_bunch, read_lines
from sklearn_cdul.datasets._signatures import Bunch, Missing, PathLike, documented

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


@documented
def load_nus_wide(
    root: PathLike,
    *,
    split: Literal["train", "test"] = "train",
    missing: Missing = "raise",
) -> Bunch:
    """Read a folder of NUS-WIDE: photos with 81 concepts.

    Nothing is downloaded. Get the lists and the ground truth from the `page of the data set
    <https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide/NUS-WIDE.html>`_, ask
    there for the photos, and unpack all of it::

        Flickr/actor/0001_2124494179.jpg
        Groundtruth/TrainTestLabels/Labels_airport_Train.txt
        ImageList/TrainImagelist.txt

    Parameters
    ----------
    root : str or os.PathLike
        The folder that holds `Flickr`, `Groundtruth` and `ImageList`.
    split : {"train", "test"}, default="train"
        Which of the two official parts to read.
    {missing}
        Many photos are no longer on Flickr, so a folder that was downloaded from there needs
        "skip".

    {returns, warns}

    Notes
    -----
    The classes are the vocabulary "nus-wide", whose names the files use. The files do not name the
    photographers.

    The official lists have 161,789 photos in "train" and 107,859 in "test". Published figures are
    often on other lists: the photos that could still be downloaded that year, those with one or
    more of the concepts, a split of the authors' own, or only the 21 most frequent concepts. mAP
    on different lists can't be compared. Photos with only zeros are kept here; drop them with
    ``photos.target.any(axis=1)``.

    `NUS_WID_Tags/Train_Tags81.txt` looks like labels, but holds what Flickr users wrote. It is not
    read.

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
        r"Expected the path of one photo per line, such as actor\0001_2124494179.jpg, in the "
        "folder that holds Flickr, Groundtruth and ImageList.",
    )
    concepts = VOCABULARIES["nus-wide"]
    shown: list[list[str]] = [[] for _ in names]
    for concept in concepts:
        path = folder / "Groundtruth" / "TrainTestLabels" / f"Labels_{concept}_{part}.txt"
        for row in np.flatnonzero(_read_labels(path, len(names))):
            shown[row].append(concept)
    rows = [Row(name, row, str(folder)) for name, row in zip(names, shown, strict=True)]
    photos, descr = folder / "Flickr", DESCR.format(split=split)
    return make_bunch(rows, concepts, split, folder=photos, missing=missing, descr=descr)


def _read_labels(path: Path, n_photos: int) -> np.ndarray:
    """Labels of one concept, bool array of shape (n_photos,)."""
    expected = f"Expected 0 or 1 per line for each of the {n_photos} photos of the list."
    values = np.array(read_text(path, expected).split(), dtype=str)
    shown = values == "1"
    wrong = np.flatnonzero(~shown & (values != "0"))
    if len(wrong):
        value = str(values[wrong[0]])
        raise ValueError(f"Label {wrong[0] + 1} of {path} is {value!r}. {expected}")
    if len(values) != n_photos:
        raise ValueError(f"{path} has {len(values)} labels. {expected}")
    return shown
