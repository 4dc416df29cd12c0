"""Reader of photos that lie in a folder a class."""

import os
from collections.abc import Iterable
from pathlib import Path

from sklearn.utils import Bunch

from sklearn_cdul.datasets._folders import check_folder, make_bunch, mark, resolve_classes
from sklearn_cdul.datasets._listing import list_photos

DESCR = """Photos of {root}

The class of a photo is the name of the folder that it lies in.
"""


def load_folders(
    root: str | os.PathLike[str],
    *,
    split: str | None = None,
    classes: Iterable[str] | None = None,
) -> Bunch:
    """Read photos that lie in a folder a class, one class a photo.

    ::

        train/bread/a.jpg
        train/cup/b.jpg
        test/bread/c.jpg

    Parameters
    ----------
    root : str or os.PathLike
        The folder that holds the folders of the classes, or of the splits.
    split : str or None, default=None
        Folder in `root` that holds those of the classes, such as "train". None means that they are
        in `root` itself.
    classes : list of str or None, default=None
        The classes, in the order of the columns of `target`. A folder of another name is an error.
        None takes the folders in alphabetical order.

    Returns
    -------
    photos : :class:`~sklearn.utils.Bunch`
        data : list of str, length n
            Paths of the photos, those in further folders too, as :func:`list_photos` lists them.
        target : ndarray of shape (n, k), dtype int64
            A single 1 a photo.
        target_names : list of str, length k
            The classes, in the order of the columns of `target`.
        split : ndarray of shape (n,), dtype str
            `split`, once for each photo; "all" if it is None.
        attributions : list, length 0
            Empty.
        DESCR : str
            Which folder was read.

    Raises
    ------
    ValueError
        If a photo lies in no folder of a class, or in one that is not in `classes`.
    FileNotFoundError
        If there is no such folder, or no photo in it.

    Notes
    -----
    A 0 means here that the photo lies in another folder. If it may show the class all the same, as
    photos of several classes do, scores come out too low.

    Examples
    --------
    >>> from sklearn_cdul.datasets import load_folders
    >>> photos = load_folders("photos", split="train")  # doctest: +SKIP
    """
    folder = check_folder(root)
    if split is not None:
        folder = check_folder(folder / split)
    paths = [Path(path) for path in list_photos(folder)]
    parts = [path.relative_to(folder).parts for path in paths]
    for path in paths:
        if path.parent == folder:
            raise ValueError(f"{path} lies in no folder of a class. Expected one in {folder}.")
    columns = resolve_classes(classes, {first: str(folder) for first, *_ in parts})
    return make_bunch(
        paths,
        mark([part[:1] for part in parts], columns),
        list(columns),
        "all" if split is None else split,
        missing="raise",
        descr=DESCR.format(root=folder),
    )
