"""Lists the photos of a folder."""

import os
from collections import Counter
from pathlib import Path

from sklearn_cdul.datasets._folders import check_folder

# Photos that Pillow reads, some of them with a plug-in. Those that it can't are listed all the
# same: an error that names them is better than photos that go missing without a word.
SUFFIXES = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".heic", ".heif", ".avif", ".jp2", ".ppm", ".pgm"),
)


def list_photos(folder: str | os.PathLike[str]) -> list[str]:
    """List the photos in a folder and the folders in it.

    Parameters
    ----------
    folder : str or os.PathLike
        Where to look. Links to other folders are not followed.

    Returns
    -------
    paths : list of str
        `folder` joined with the name of each file that ends in `.jpg`, `.jpeg`, `.jfif`, `.png`,
        `.webp`, `.bmp`, `.gif`, `.tif`, `.tiff`, `.heic`, `.heif`, `.avif`, `.jp2`, `.ppm` or
        `.pgm`, in small or capital letters. Files and folders whose names begin with a dot are
        left out. The order is that of the names. No file is opened.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no photo in it.
    OSError
        If a folder in it can't be read, for example for want of permission.

    Examples
    --------
    >>> from pathlib import Path
    >>> from sklearn_cdul.datasets import list_photos, load_food_photos
    >>> folder = Path(load_food_photos().data[0]).parent
    >>> len(list_photos(folder))
    242
    """
    root = check_folder(folder)
    paths, others = [], Counter[str]()
    for place, folders, names in os.walk(root, onerror=_refuse):
        # os.walk goes on into those that are left in the list.
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.startswith("."):
                continue
            suffix = Path(name).suffix.lower()
            if suffix in SUFFIXES:
                paths.append(os.path.join(place, name))
            else:
                others[suffix or "no ending"] += 1
    if not paths:
        found = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(5))
        raise FileNotFoundError(
            f"There is no photo in {root}. Expected files that end in {', '.join(SUFFIXES[:5])} or "
            f"the like; {f'the files are: {found}' if found else 'it has no files'}."
        )
    return sorted(paths)


def _refuse(error: OSError) -> None:
    raise error
