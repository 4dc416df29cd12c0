"""Writer of folders with links to photos, one folder per class."""

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sklearn_cdul._utils.text_files import user_path
from sklearn_cdul.datasets._signatures import PathLike, Paths, documented
from sklearn_cdul.datasets._writing import check_labels


@documented
def dump_folders(data: Paths, target: Any, target_names: Sequence[str], path: PathLike) -> None:
    """Make a folder per class with links to its photos; the photos stay where they are.

    ::

        sorted/bread/a.jpg
        sorted/cup/a.jpg
        sorted/cup/deep/b.jpg

    A photo of several classes has several links, one of none has none. Folders in which the photos
    lie are made anew in that of each class.

    Parameters
    ----------
    {labels}
    path : str or os.PathLike
        The folder to make. It must not exist yet, or be empty.

    {writing}
    OSError
        If links can't be made there.

    See Also
    --------
    load_folders : Reads photos that lie in a folder per class, one class per photo.

    Notes
    -----
    The links are symbolic. Where these can't be made, as often on Windows, they are hard links,
    which need the disk of the photos: a program that writes into one changes the photo.

    Examples
    --------
    >>> from sklearn_cdul.datasets import dump_folders
    >>> dump_folders(paths, model.predict(paths), model.class_names_, "sorted")  # doctest: +SKIP
    """
    folder = user_path(path)
    labels = check_labels(data, target, target_names, folder, form="folders")
    photos = [Path(os.path.abspath(photo)) for photo in data]
    root = os.path.commonpath([photo.parent for photo in photos]) if photos else folder
    # Whoever interrupts this leaves none of it.
    with TemporaryDirectory(prefix=f".{folder.name[:40]}.", dir=folder.absolute().parent) as part:
        made = Path(part) / "made"
        made.mkdir()
        for photo, shown in zip(photos, labels.shown, strict=True):
            for column in shown:
                _link(photo, made / labels.names[column] / photo.relative_to(root))
        if folder.is_dir():
            folder.rmdir()
        made.rename(folder)


def _link(photo: Path, link: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to(photo)
    except (OSError, NotImplementedError):
        link.hardlink_to(photo)
