"""The bundled food photos: 242 photographs, 20 classes, no download."""

import csv
from pathlib import Path
from typing import Literal

import numpy as np
from sklearn.utils import Bunch

FOLDER = Path(__file__).parent / "food_photos"

CLASSES = (
    "bread",
    "cake",
    "cheese",
    "coffee",
    "egg",
    "fruit",
    "meat",
    "pasta",
    "person",
    "pizza",
    "salad",
    "sandwich",
    "soup",
    "vegetable",
    "bowl",
    "cup",
    "fork",
    "spoon",
    "knife",
    "bottle",
)


def load_food_photos(*, subset: Literal["all", "train", "test"] = "all") -> Bunch:
    """Load the bundled photos of food and tableware, a real multi-label data set.

    =================   =========================
    Photos              242 (145 train, 97 test)
    Classes             20
    Labels a photo      3.14 on average
    Image size          longer side 384 pixels
    =================   =========================

    The photos are read from the installed package; nothing is downloaded. An AI model made
    the labels and no person has checked them: read `DESCR` before you draw conclusions.

    Parameters
    ----------
    subset : {"all", "train", "test"}, default="all"
        Which part of the random split to return.

    Returns
    -------
    photos : :class:`~sklearn.utils.Bunch`
        data : list of str, length n
            Paths of the JPEG files, in the order of their names.
        target : ndarray of shape (n, 20), dtype int64
            1 where the photo shows the class, else 0.
        target_names : list of str, length 20
            The classes, in the order of the columns of `target`.
        split : ndarray of shape (n,), dtype str
            "train" or "test" for each photo.
        attributions : list of dict, length n
            `filename`, `source_url`, `author` and `licence` of each photo, all str.
        DESCR : str
            Sources, licences, how the labels were made, and limits.

    Raises
    ------
    ValueError
        If `subset` is none of the three words.

    Examples
    --------
    >>> from sklearn_cdul.datasets import load_food_photos
    >>> photos = load_food_photos(subset="train")
    >>> len(photos.data), photos.target.shape
    (145, (145, 20))
    >>> [name for name, shown in zip(photos.target_names, photos.target[0]) if shown]
    ['fruit', 'meat', 'salad', 'vegetable', 'bowl', 'spoon']
    >>> photos.attributions[0]["licence"]
    'Pexels'
    """
    if subset not in ("all", "train", "test"):
        raise ValueError(f'subset must be "all", "train" or "test", got {subset!r}.')

    rows = [row for row in _read_csv("labels.csv") if subset in ("all", row["split"])]
    credit = {row["filename"]: row for row in _read_csv("ATTRIBUTIONS.csv")}
    shown = [set(row["labels"].split(";")) for row in rows]
    return Bunch(
        data=[str(FOLDER / "images" / row["filename"]) for row in rows],
        target=np.array([[name in names for name in CLASSES] for names in shown], dtype=np.int64),
        target_names=list(CLASSES),
        split=np.array([row["split"] for row in rows]),
        attributions=[credit[row["filename"]] for row in rows],
        DESCR=(FOLDER / "README.md").read_text(encoding="utf-8"),
    )


def _read_csv(name: str) -> list[dict[str, str]]:
    with open(FOLDER / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
