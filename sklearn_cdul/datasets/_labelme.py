"""Reader of the files that labelme writes, one beside each photo."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from sklearn_cdul.datasets._reading import (
    Row,
    brief,
    check_choice,
    check_folder,
    check_names,
    ends,
    find_photo,
    make_bunch,
    read_json,
)
from sklearn_cdul.datasets._signatures import Bunch, Missing, PathLike, documented

EXPECTED = 'Expected a file of labelme, with "imagePath", "flags" and "shapes".'

DESCR = """Labels of labelme in {root}

A label says that the photo has {what} of the class. Photos without a file are left out.
"""


@documented
def load_labelme(
    root: PathLike,
    *,
    source: Literal["flags", "shapes"] | None = None,
    classes: Iterable[str] | None = None,
    missing: Missing = "raise",
) -> Bunch:
    """Read the files of labelme: photos with flags, or with outlines and boxes.

    ::

        photos/a.jpg
        photos/a.json

    Parameters
    ----------
    root : str or os.PathLike
        The folder of the JSON files; those in folders below are read, too. The photos are beside
        them or in a folder `images`.
    source : {"flags", "shapes"} or None, default=None
        Whether the classes are the flags of photos, which `labelme --flags` offers, or the labels
        of outlines and boxes. None takes what the files have; if it is both, there is an error.
    classes : list of str or None, default=None
        The classes, in the order of the columns of `target`. Any other name in the files is an
        error. None takes those that the files have, in alphabetical order: all flags, or the labels
        of all shapes.
    {missing, returns, warns}

    Notes
    -----
    Photos without a JSON file were not looked at and are left out.

    Examples
    --------
    >>> from sklearn_cdul.datasets import load_labelme
    >>> photos = load_labelme("photos", source="flags")  # doctest: +SKIP
    """
    check_choice("missing", missing, ("raise", "skip"))
    if source is not None:
        check_choice("source", source, ("flags", "shapes"))
    folder = check_folder(root)
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".json")
    if not files:
        raise FileNotFoundError(f"There is no JSON file in {folder}. {EXPECTED}")
    contents = [(path, _read(path)) for path in files]
    kinds = [k for k in ("flags", "shapes") if any(content[k] for _, content in contents)]
    if source is None and len(kinds) > 1:
        raise ValueError(
            f"The files in {folder} have flags and shapes. Say which are the classes: source=."
        )
    kind = source or "".join(kinds) or "shapes"
    rows = [Row(_photo(p, one["imagePath"]), _shown(one, kind, p), str(p)) for p, one in contents]
    if classes is None and kind == "flags":
        classes = sorted({flag for _, content in contents for flag in content["flags"]}) or None
        check_names(classes or ["-"], f"the flags in {folder}")
    what = "the flag" if kind == "flags" else "one or more shapes"
    descr = DESCR.format(root=folder, what=what)
    return make_bunch(rows, classes, None, folder=folder, missing=missing, descr=descr)


def _read(path: Path) -> dict[str, Any]:
    content = read_json(path, EXPECTED, kind="labelme")
    found = content if isinstance(content, dict) else {}
    flags, shapes = found.get("flags") or {}, found.get("shapes")
    if not (
        isinstance(found.get("imagePath"), str)
        and isinstance(flags, dict)
        and isinstance(shapes, list)
    ):
        raise ValueError(f"{path} is not of labelme. {EXPECTED}")
    return {**found, "flags": flags}


def _shown(content: dict[str, Any], kind: str, path: Path) -> list[str]:
    """Names of the classes of a photo."""
    if kind == "flags":
        if wrong := [value for value in content["flags"].values() if not isinstance(value, bool)]:
            raise ValueError(f"{path} has the flag {brief(wrong[0])}. Expected true or false.")
        return [name for name, value in content["flags"].items() if value]
    labels: list[str] = []
    for shape in content[kind]:
        label = shape.get("label") if isinstance(shape, dict) else None
        if not isinstance(label, str) or not label.strip():
            raise ValueError(f"{path} has a shape with the label {brief(label)}. Expected text.")
        labels.append(label)
    return labels


def _photo(path: Path, name: str) -> Path:
    """The photo that a file names, or of which it has the name, if the files were moved."""
    ways = [(place, name) for place in (path.parent, path.parent / "images")]
    ways += [(path.parent, end) for end in ends(name) if Path(end).stem == path.stem]
    found = (find_photo(place, way) for place, way in ways)
    return next(filter(None, found), None) or path.parent / name.replace("\\", "/")
