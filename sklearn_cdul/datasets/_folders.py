"""Readers of folders: the photos in one, and photos that lie in a folder per class."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from sklearn_cdul.datasets._reading import Row, check_folder, make_bunch
from sklearn_cdul.datasets._signatures import Bunch, PathLike, documented
from sklearn_cdul.exceptions import warn
from sklearn_cdul.images.items import SUFFIXES

# What network drives and systems make, besides names that begin with a dot.
_NOT_PHOTOS = {"@eadir", "#recycle", "@recycle", "$recycle.bin", "recycler", "__macosx"}
_NOT_PHOTOS |= {"recycled", "found.000", "@tmp", "~snapshot", "@sharesnap", "#snapshot"}
_NOT_PHOTOS |= {"@recently-snapshot", "lost+found", "system volume information"}
# Photos that Pillow can't read.
_RAW = {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".jxl", ".kdc"}
_RAW |= {".mrw", ".nef", ".nrw", ".orf", ".pef", ".psd", ".raf", ".raw", ".rw2", ".rwl", ".sr2"}
_RAW |= {".srf", ".srw", ".x3f"}


DESCR = """Photos of {root}

The class of a photo is the name of the folder that it lies in.
"""


def list_photos(folder: PathLike) -> list[str]:
    """List the photos in a folder and the folders in it.

    Parameters
    ----------
    folder : str or os.PathLike
        Where to look.

    Returns
    -------
    paths : list of str
        `folder` joined with the name of each file that ends in `.jpg`, `.jpeg`, `.jfif`, `.png`,
        `.webp`, `.bmp`, `.gif`, `.tif`, `.tiff`, `.heic`, `.heif`, `.avif`, `.jp2`, `.ppm` or
        `.pgm`, in small or capital letters. Files and folders whose names begin with a dot are
        left out, and so are links to folders and what network drives and systems make, such as
        `@eaDir` and `$RECYCLE.BIN`. The order is that of the names. No file is opened.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no photo in it.
    OSError
        If a folder in it can't be read, for example for want of permission.

    Warns
    -----
    UserWarning
        If links, such folders, or files of cameras (RAW) and the like are left out; counts them.

    Examples
    --------
    >>> from pathlib import Path
    >>> from sklearn_cdul.datasets import list_photos, load_food_photos
    >>> folder = Path(load_food_photos().data[0]).parent
    >>> len(list_photos(folder))
    242
    """
    root = check_folder(folder)
    paths, others, left = [], Counter[str](), Counter[str]()
    for parent, folders, names in os.walk(root, onerror=_refuse):
        there = [name for name in folders if not name.startswith(".")]
        links = [name for name in there if os.path.islink(os.path.join(parent, name))]
        # os.walk goes on into those that are left in the list.
        folders[:] = [n for n in there if n not in links and n.lower() not in _NOT_PHOTOS]
        left["links to folders"] += len(links)
        left["folders of the system"] += len(there) - len(links) - len(folders)
        for name in names:
            if name.startswith("."):
                continue
            suffix = Path(name).suffix.lower()
            if suffix in SUFFIXES:
                paths.append(os.path.join(parent, name))
            else:
                others[suffix or "no ending"] += 1
    left.update({suffix: others[suffix] for suffix in sorted(_RAW & others.keys())})
    if left := +left:
        listed = ", ".join(f"{count} {what}" for what, count in left.items())
        warn(f"In {root} these are left out: {listed}. Convert RAW files, and list links apart.")
    if not paths:
        found = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(5))
        raise FileNotFoundError(
            f"There is no photo in {root}. Expected files that end in {', '.join(SUFFIXES[:5])} or "
            f"the like; {f'the files are: {found}' if found else 'it has no files'}."
        )
    return sorted(paths)


def _refuse(error: OSError) -> None:
    raise error


@documented
def load_folders(
    root: PathLike,
    *,
    split: str | None = None,
    classes: Iterable[str] | None = None,
) -> Bunch:
    """Read photos that lie in a folder per class, one class per photo.

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
    {classes, returns}

    Notes
    -----
    Photos in further folders are read too, as :func:`list_photos` lists them. A 0 means here that
    the photo lies in another folder. If it may show the class all the same, as photos of several
    classes do, scores come out too low.

    Examples
    --------
    >>> from sklearn_cdul.datasets import load_folders
    >>> photos = load_folders("photos", split="train")  # doctest: +SKIP
    """
    folder = check_folder(root)
    if split is not None:
        folder = check_folder(folder / split)
    rows = []
    for path in map(Path, list_photos(folder)):
        if path.parent == folder:
            raise ValueError(f"{path} lies in no folder of a class. Expected one in {folder}.")
        rows.append(Row(path, [path.relative_to(folder).parts[0]], str(folder)))
    return make_bunch(rows, classes, split, descr=DESCR.format(root=folder))
