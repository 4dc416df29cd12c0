"""Writer of labels for FiftyOne, and reader of what it exports."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sklearn_cdul.datasets._reading import (
    Row,
    brief,
    check_choice,
    check_folder,
    check_names,
    file_and_root,
    find_photo,
    make_bunch,
    read_json,
)
from sklearn_cdul.datasets._signatures import Bunch, Missing, PathLike, Paths, documented
from sklearn_cdul.datasets._writing import check_labels, write_json
from sklearn_cdul.images.items import SUFFIXES

EXPECTED = (
    "Expected what FiftyOne exports as FiftyOneImageClassificationDataset or "
    'FiftyOneImageDetectionDataset, with "classes" and "labels".'
)

_ENDINGS = (*SUFFIXES, *map(str.upper, SUFFIXES))

DESCR = """Labels of FiftyOne in {path}

A label says that the photo has a classification of the class, or one or more detections. {n} photos
without a label field are left out.
"""


@documented
def dump_fiftyone(
    data: Paths, target: Any, target_names: Sequence[str], path: PathLike, *, scores: Any = None
) -> None:
    """Write labels as FiftyOne imports them, several classes per photo.

    The file has the form of a `FiftyOneImageClassificationDataset
    <https://docs.voxel51.com/user_guide/import_datasets.html>`_. To look at it::

        import fiftyone as fo

        dataset = fo.Dataset.from_dir(
            dataset_type=fo.types.FiftyOneImageClassificationDataset, labels_path="labels.json"
        )
        fo.launch_app(dataset)

    Parameters
    ----------
    {labels}
    path : str or os.PathLike
        The JSON file to write; one of that name is replaced. The paths in it are absolute:
        FiftyOne shows the photos where they are, and the file is for this machine.
    {scores}
        Those of the classes that a photo shows are written as their `confidence`.

    {writing}

    See Also
    --------
    load_fiftyone : Reads such a file.

    Examples
    --------
    >>> from sklearn_cdul.datasets import dump_fiftyone
    >>> dump_fiftyone(paths, labels, names, "labels.json")  # doctest: +SKIP
    """
    labels = check_labels(data, target, target_names, path, scores)
    table = {
        os.path.abspath(photo): [{"label": i} | labels.score("confidence", row, i) for i in shown]
        for row, (photo, shown) in enumerate(zip(data, labels.shown, strict=True))
    }
    write_json(path, {"classes": labels.names, "labels": table})


@documented
def load_fiftyone(
    path: PathLike,
    *,
    images: PathLike | None = None,
    classes: Iterable[str] | None = None,
    missing: Missing = "raise",
) -> Bunch:
    """Read what FiftyOne exports: photos with classifications or detections.

    ::

        labels.json
        data/a.jpg

    Parameters
    ----------
    path : str or os.PathLike
        The JSON file, or the folder with `labels.json`, of a FiftyOneImageClassificationDataset or
        a FiftyOneImageDetectionDataset; or a file of :func:`dump_fiftyone`.
    images : str, os.PathLike or None, default=None
        Folder of the photos. None is `data` beside the file.
    classes : list of str or None, default=None
        The classes, in the order of the columns of `target`. Any other name in the file is an
        error. None takes those that the file lists, or else those that photos show.
    {missing, returns, warns}

    See Also
    --------
    dump_fiftyone : Writes such a file.

    Notes
    -----
    FiftyOne leaves out the ending of a photo's name; two photos of the same name but for the ending
    are an error. Photos without a label field are left out; `DESCR` counts them.

    Examples
    --------
    >>> from sklearn_cdul.datasets import load_fiftyone
    >>> photos = load_fiftyone("export")  # doctest: +SKIP
    """
    check_choice("missing", missing, ("raise", "skip"))
    path, _ = file_and_root(path, None)
    path = path / "labels.json" if path.is_dir() else path
    folder = path.parent / "data" if images is None else check_folder(images)
    content = read_json(path, EXPECTED, kind="fiftyone")
    labels = content.get("labels") if isinstance(content, dict) else None
    listed = content.get("classes") if isinstance(content, dict) else None
    if not isinstance(labels, dict) or not labels or not isinstance(listed, list | None):
        raise ValueError(f"{path} has no labels of photos. {EXPECTED}")
    rows = [
        Row(_find(folder, photo), _shown(found, listed, where), where)
        for photo, found in labels.items()
        if found is not None
        for where in [f"{path}, photo {brief(photo)},"]
    ]
    if not rows:
        raise ValueError(f"No photo of {path} has a label field. {EXPECTED}")
    if listed:
        check_names(listed, f'"classes" in {path}')
    descr = DESCR.format(path=path, n=len(labels) - len(rows))
    classes = listed or None if classes is None else classes
    return make_bunch(rows, classes, None, folder=folder, missing=missing, descr=descr)


def _shown(found: Any, listed: list[Any] | None, where: str) -> list[str]:
    """Names of a photo's classes, which the file has as names or as positions in its list."""
    names: list[str] = []
    for one in found if isinstance(found, list) else [found]:
        label = one.get("label") if isinstance(one, dict) else one
        if listed and type(label) is int and 0 <= label < len(listed):
            label = listed[label]
        if not isinstance(label, str):
            raise ValueError(f"{where} has the label {brief(label)}. {EXPECTED}")
        names.append(label)
    return names


def _find(folder: Path, photo: str) -> Path:
    """The photo of a name without its ending."""
    if found := find_photo(folder, photo):
        return found
    there = [find_photo(folder, photo + suffix) for suffix in _ENDINGS]
    if len(others := [path for path in there if path]) > 1:
        raise ValueError(f"The photo {photo} may be {others[0]} or {others[1]}.")
    return others[0] if others else folder / photo
