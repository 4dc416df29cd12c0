"""Reader of what CVAT exports as "CVAT for images"."""

from collections.abc import Iterable
from pathlib import Path

from sklearn_cdul.datasets._reading import (
    Row,
    brief,
    check_choice,
    check_names,
    file_and_root,
    find_photo,
    make_bunch,
    read_xml,
)
from sklearn_cdul.datasets._signatures import Bunch, Missing, PathLike, documented

DESCR = """Labels of CVAT in {path}

A label says that the photo has a tag of the class, or one or more shapes.
"""


@documented
def load_cvat(
    path: PathLike,
    *,
    root: PathLike | None = None,
    classes: Iterable[str] | None = None,
    missing: Missing = "raise",
) -> Bunch:
    """Read what CVAT exports as "CVAT for images": photos with tags, boxes or other shapes.

    ::

        annotations.xml
        images/a.jpg

    Parameters
    ----------
    path : str or os.PathLike
        The XML file, or the folder with `annotations.xml`. Of all exports of CVAT it is the one
        that has several tags per photo.
    root : str, os.PathLike or None, default=None
        Folder of the photos. None looks for them in `images` beside the file and beside it, with
        and without a folder for the subset.
    classes : list of str or None, default=None
        The classes, in the order of the columns of `target`. Any other name in the file is an
        error. None takes the labels of the project in their order.
    {missing, returns, warns}

    Notes
    -----
    Attributes of tags and shapes are not read. `split` has the subsets of a project.

    Examples
    --------
    >>> from sklearn_cdul.datasets import load_cvat
    >>> photos = load_cvat("export/annotations.xml")  # doctest: +SKIP
    """
    check_choice("missing", missing, ("raise", "skip"))
    path, folder = file_and_root(path, root)
    if path.is_dir():
        path, folder = path / "annotations.xml", path if root is None else folder
    expected = 'Expected what CVAT exports as "CVAT for images 1.1".'
    content = read_xml(path, "annotations", expected)
    if not (images := content.findall("image")):
        found = "has tracks of a video" if content.find("track") is not None else "has no <image>"
        raise ValueError(f"{path} {found}. {expected}")
    rows, splits = [], []
    subsets: dict[Path, str] = {}
    for image in images:
        name, subset = image.get("name", ""), image.get("subset", "")
        if not name.strip() or any(shape.get("label") is None for shape in image):
            raise ValueError(f"{path} has an image, {brief(name)}, without a name or a label.")
        places = [folder / "images" / subset, folder / "images", folder / subset, folder]
        found_at = next(filter(None, (find_photo(place, name) for place in places)), None)
        if found_at and subsets.setdefault(found_at, subset) != subset:
            raise ValueError(f"{path} has {name} in two subsets, and either may be {found_at}.")
        shown = [shape.get("label", "") for shape in image]
        rows.append(Row(found_at or places[0] / name, shown, f"The image {brief(name)} of {path}"))
        splits.append(subset or "all")
    if not any(row.shown for row in rows):
        raise ValueError(f"No image in {path} has a tag or a shape. {expected}")
    if classes is None:  # those with a parent are points of skeletons
        labels = [
            one for one in content.iterfind("meta//labels/label") if one.find("parent") is None
        ]
        classes = list(dict.fromkeys(one.findtext("name", "") for one in labels)) or None
        check_names(classes or ["-"], f"the labels in {path}")
    descr = DESCR.format(path=path)
    return make_bunch(rows, classes, splits, folder=folder, missing=missing, descr=descr)
