"""The bundled food photos: 242 photographs, 20 classes, no download."""

import csv
from pathlib import Path
from typing import Literal

from sklearn_cdul.datasets._csv import load_csv
from sklearn_cdul.datasets._reading import check_choice
from sklearn_cdul.datasets._signatures import Bunch, documented

FOLDER = Path(__file__).parent / "food_photos"

CLASSES = (
    *("bread", "cake", "cheese", "coffee", "egg", "fruit", "meat", "pasta", "person", "pizza"),
    *("salad", "sandwich", "soup", "vegetable", "bowl", "cup", "fork", "spoon", "knife", "bottle"),
)


@documented
def load_food_photos(*, subset: Literal["all", "train", "test"] = "all") -> Bunch:
    """Load the bundled photos of food and tableware, a real multi-label data set.

    =================   =========================
    Photos              242 (145 train, 97 test)
    Classes             20
    Labels per photo    3.14 on average
    Image size          longer side 384 pixels
    =================   =========================

    The photos are read from the installed package; nothing is downloaded. An AI model made
    the labels and no person has checked them: read `DESCR` before you draw conclusions.

    Parameters
    ----------
    subset : {"all", "train", "test"}, default="all"
        Which part of the random split to return.

    {returns}

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
    check_choice("subset", subset, ("all", "train", "test"))
    photos = load_csv(
        FOLDER / "labels.csv",
        root=FOLDER / "images",
        classes=CLASSES,
        split=None if subset == "all" else subset,
    )
    with open(FOLDER / "ATTRIBUTIONS.csv", encoding="utf-8", newline="") as file:
        credit = {row["filename"]: row for row in csv.DictReader(file)}
    photos.attributions = [credit[Path(path).name] for path in photos.data]
    photos.DESCR = (FOLDER / "README.md").read_text(encoding="utf-8")
    return photos
