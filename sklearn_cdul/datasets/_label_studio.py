"""Writer of tasks for Label Studio, and reader of what people made of them."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import quoteattr

from sklearn_cdul.datasets._reading import Row, check_choice, check_folder, make_bunch, read_json
from sklearn_cdul.datasets._signatures import Bunch, Missing, PathLike, Paths, documented
from sklearn_cdul.datasets._writing import check_labels, write_json, write_text

# How Label Studio writes the address of a file that it serves from a folder of its machine.
URL = "/data/local-files/?d="

CONFIG = """<View>
  <Image name="image" value="$image"/>
  <Choices name="labels" toName="image" choice="multiple">
{choices}
  </Choices>
</View>
"""

DESCR = """Labels of Label Studio in {path}

Of each task the last annotation that was not skipped was read. {unlabelled} of {n} tasks have none
and are left out.
"""


@documented
def dump_label_studio(
    data: Paths, target: Any, target_names: Sequence[str], path: PathLike
) -> None:
    """Write tasks for Label Studio in which the labels are to be corrected.

    Two files are written: the tasks, and beside them, with the ending `.xml`, the labelling config
    of the project. In the tasks the labels stand as predictions, which a person turns into an
    annotation.

    Parameters
    ----------
    {labels}
    path : str or os.PathLike
        The JSON file to write; one of that name is replaced, and so is the `.xml` file. The photos
        must lie in a folder (at any depth) in that of the file.

    {writing}

    See Also
    --------
    load_label_studio : Reads what Label Studio exports.

    Notes
    -----
    Label Studio shows photos of a `folder <https://labelstud.io/guide/storage#Local-storage>`_ if
    it is started with these two variables, the second one with the folder of the written file::

        LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true
        LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=/absolute/path/of/the/folder

    and if the folder of the photos is added to the project under Settings, Cloud Storage, Add
    Source Storage, Local files (no need to sync it). It may not be the document root itself. Paste
    the `.xml` file under Settings, Labeling Interface, Code, and import the JSON file.

    Examples
    --------
    >>> from sklearn_cdul.datasets import dump_label_studio
    >>> dump_label_studio(paths, labels, names, "tasks.json")  # doctest: +SKIP
    """
    path = Path(path)
    if path.suffix == ".xml":
        raise ValueError(f"path must end in .json, got {path}: the config takes the ending .xml.")
    labels = check_labels(data, target, target_names, path, None)
    for photo in labels.paths:
        if os.path.isabs(photo) or "/" not in photo:
            raise ValueError(
                f"The photo {photo} lies in no folder in {path.absolute().parent}. Label Studio "
                "shows photos of folders in its document root: write the file where these are."
            )
    tasks = []
    for photo, shown in zip(labels.paths, labels.shown, strict=True):
        chosen = {"choices": [labels.names[column] for column in shown]}
        choices = {"from_name": "labels", "to_name": "image", "type": "choices", "value": chosen}
        prediction = {"model_version": "sklearn_cdul", "result": [choices] if shown else []}
        image = URL + quote(photo, errors="surrogateescape")
        tasks.append({"data": {"image": image}, "predictions": [prediction]})
    config = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in labels.names)
    write_text(path.with_suffix(".xml"), CONFIG.format(choices=config))
    write_json(path, tasks)


@documented
def load_label_studio(
    path: PathLike,
    *,
    root: PathLike | None = None,
    classes: Iterable[str] | None = None,
    missing: Missing = "raise",
) -> Bunch:
    """Read what Label Studio exports as "JSON": photos with the choices of a person.

    Parameters
    ----------
    path : str or os.PathLike
        The JSON file, of a project with the labelling config that :func:`dump_label_studio` writes,
        or another with choices per photo. "JSON-MIN" is another form and is not read.
    root : str, os.PathLike or None, default=None
        The document root of Label Studio, which the addresses of the photos are relative to. None
        is the folder of the file.
    {classes, missing, returns, warns}

    Notes
    -----
    Tasks without an annotation are left out; `DESCR` counts them. Of a task the last annotation is
    read that was not skipped, of ground truths the last one, and in it the choices for the photo as
    a whole. An annotation with nothing but boxes or other results is an error.

    Examples
    --------
    >>> from sklearn_cdul.datasets import load_label_studio
    >>> photos = load_label_studio("export.json", classes=names)  # doctest: +SKIP
    """
    check_choice("missing", missing, ("raise", "skip"))
    path = Path(path).expanduser()
    folder = path.parent if root is None else check_folder(root)
    expected = 'Expected what Label Studio exports as "JSON", a list of tasks.'
    tasks = read_json(path, expected)
    if not isinstance(tasks, list) or not tasks:
        raise ValueError(f"{path} holds no tasks. {expected}")
    rows = []
    for index, task in enumerate(tasks):
        where = f"Task {index} of {path}"
        if not isinstance(task, dict) or "data" not in task or "annotations" not in task:
            raise ValueError(f'{where} has no "data" or no "annotations". {expected}')
        annotations = task["annotations"]
        if not isinstance(annotations, list) or not all(isinstance(a, dict) for a in annotations):
            found = f"no list of objects: {str(annotations)[:100]}"
            raise ValueError(f'{where} has "annotations" that are {found}. {expected}')
        done = [a for a in annotations if not a.get("was_cancelled")]
        if done:
            best = sorted(done, key=lambda a: bool(a.get("ground_truth")))[-1]
            rows.append(Row(_local_path(task["data"], where), _choices(best, where), where))
    if not rows:
        raise ValueError(f"None of the {len(tasks)} tasks of {path} has an annotation.")
    descr = DESCR.format(path=path, n=len(tasks), unlabelled=len(tasks) - len(rows))
    return make_bunch(rows, classes, None, folder=folder, missing=missing, descr=descr)


def _choices(annotation: dict[str, Any], where: str) -> list[str]:
    """Names that were chosen for the photo as a whole."""
    try:
        types = sorted({part["type"] for part in annotation["result"]})
        values = [part["value"] for part in annotation["result"] if part["type"] == "choices"]
        # Those of a region say where it is, too.
        chosen = [v["choices"] for v in values if not {"x", "points", "rle"} & set(v)]
    except (KeyError, TypeError):
        raise ValueError(
            f'{where} has an annotation without a "result" of choices: {str(annotation)[:100]}.'
        ) from None
    if types and not chosen:
        raise ValueError(
            f"{where} has an annotation of {', '.join(map(str, types))}, but no choices for the "
            "photo as a whole, which alone are read."
        )
    return [name for one in chosen for name in ([one] if isinstance(one, str) else one)]


def _local_path(data: Any, where: str) -> str:
    values = list(data.values()) if isinstance(data, dict) else [data]
    address = next((one for one in values if isinstance(one, str) and URL in one), None)
    if address is None:
        raise ValueError(
            f"{where} has the image {values[0]!r}. Expected a file of a folder, "
            f'"{URL}" and its path.'
        )
    return unquote(address.split(URL, 1)[1], errors="surrogateescape")
