"""Writer of tasks for Label Studio, and reader of what people made of them."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import quoteattr

from sklearn_cdul.datasets._reading import (
    Row,
    before_upload,
    brief,
    check_choice,
    ends,
    file_and_root,
    make_bunch,
    read_json,
)
from sklearn_cdul.datasets._signatures import Bunch, Missing, PathLike, Paths, documented
from sklearn_cdul.datasets._writing import check_labels, write_json, write_text
from sklearn_cdul.targets.rows import look_like_paths, some

# How Label Studio writes the address of a file that it serves from a folder of its machine.
URL = "/data/local-files/?d="
UPLOAD = "/data/upload/"

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
    labels = check_labels(data, target, target_names, path, form="label-studio")
    tasks = []
    for photo, shown in zip(labels.paths, labels.shown, strict=True):
        chosen = {"choices": [labels.names[column] for column in shown]}
        choices = {"from_name": "labels", "to_name": "image", "type": "choices", "value": chosen}
        prediction = {"model_version": "sklearn_cdul", "result": [choices] if shown else []}
        image = URL + quote(photo, errors="surrogateescape")
        tasks.append({"data": {"image": image}, "predictions": [prediction]})
    config = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in labels.names)
    write_json(path, tasks)
    write_text(Path(path).with_suffix(".xml"), CONFIG.format(choices=config))


@documented
def load_label_studio(
    path: PathLike,
    *,
    root: PathLike | None = None,
    control: str | None = None,
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
        The document root of Label Studio, which the addresses of the photos are relative to, or
        the folder of photos that were uploaded. Photos in a cloud or of the web are looked for in
        it by the ends of their addresses. None is the folder of the file.
    control : str or None, default=None
        Name of the control in the labelling config, if it has choices for several questions.
    {classes, missing, returns, warns}

    Notes
    -----
    Tasks without an annotation are left out; `DESCR` counts them. Of a task the last annotation is
    read that was not skipped, of ground truths the last one, and in it the choices for the photo as
    a whole. An annotation with nothing but boxes or other results is an error, and so are two
    uploads that had the same name.

    Examples
    --------
    >>> from sklearn_cdul.datasets import load_label_studio
    >>> photos = load_label_studio("export.json", classes=names)  # doctest: +SKIP
    """
    check_choice("missing", missing, ("raise", "skip"))
    path, folder = file_and_root(path, root)
    expected = 'Expected what Label Studio exports as "JSON", a list of tasks.'
    tasks = read_json(path, expected, kind="label-studio")
    if not isinstance(tasks, list) or not tasks:
        raise ValueError(f"{path} holds no tasks. {expected}")
    answers: list[tuple[str, dict[str, list[str]], str]] = []
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
            photo = _local_path(task["data"], where, anywhere=root is not None)
            answers.append((photo, _choices(best, control, where), where))
    if not answers:
        raise ValueError(f"None of the {len(tasks)} tasks of {path} has an annotation.")
    questions = sorted({question for _, chosen, _ in answers for question in chosen})
    if control not in questions and (len(questions) > 1 or control is not None):
        raise ValueError(
            f"{path} has choices of the controls {some(questions)}. Say which one as control=, got "
            f"{control!r}."
        )
    control = control if control is not None else "".join(questions)
    rows = [Row(photo, chosen.get(control, []), where) for photo, chosen, where in answers]
    descr = DESCR.format(path=path, n=len(tasks), unlabelled=len(tasks) - len(rows))
    more: dict[str, Any] = {"folder": folder, "missing": missing, "descr": descr}
    return make_bunch(rows, classes, None, others=_as_before_upload, **more)


def _choices(annotation: dict[str, Any], control: str | None, where: str) -> dict[str, list[str]]:
    """Control -> names that were chosen for the photo as a whole."""
    chosen: dict[str, list[str]] = {}
    try:
        found = [one for one in annotation["result"] if one["type"] != "relation"]  # of regions
        results = [(one, one["type"], one["value"]) for one in found]
        ids = Counter(one.get("id") for one, _, _ in results)
        for one, kind, value in results:
            name = str(one.get("from_name", "labels"))
            # Those of a region say where it is, or have its number.
            if set(value) != {kind} or ids[one.get("id") or ""] > 1:
                continue
            if kind == "taxonomy" and control in (None, name):
                raise ValueError(f"{where} has an annotation of taxonomy. Only choices are read.")
            if kind == "choices":
                names = [value[kind]] if isinstance(value[kind], str) else list(value[kind])
                if not all(isinstance(each, str) for each in names):
                    raise ValueError(f"{where} has the choices {str(names)[:100]}. Expected names.")
                chosen.setdefault(name, []).extend(names)
    except (KeyError, TypeError, AttributeError):
        raise ValueError(
            f'{where} has an annotation without a "result" of choices: {str(annotation)[:100]}.'
        ) from None
    types = ", ".join(sorted({str(kind)[:60] for _, kind, _ in results})[:10])
    if results and not chosen and control is None:
        raise ValueError(
            f"{where} has an annotation of {types}, but no choices for the photo as a whole, which "
            "alone are read. Export boxes and outlines as COCO, with images."
        )
    return chosen


def _local_path(data: Any, where: str, *, anywhere: bool) -> str:
    """The path of a photo in a folder or of an upload; or, anywhere, what its address is."""
    values = data if isinstance(data, dict) else {"image": data}
    texts = {key: value for key, value in values.items() if isinstance(value, str)}
    found = {key: text for key, text in texts.items() if URL in text or UPLOAD in text}
    if not found and anywhere:
        found = {key: text for key, text in texts.items() if look_like_paths([text.split("?")[0]])}
    address = found.get("image") or next(iter(found.values()), "")
    if not address or ("image" not in found and len(found) > 1):
        raise ValueError(
            f"{where} has the image {brief(next(iter(values.values()), None))}. Expected one, a "
            f'file of a folder, "{URL}" and its path, or an upload, "{UPLOAD}" and its name. For '
            "other addresses give the folder of the photos as root=."
        )
    for url, start in {URL: "", UPLOAD: "upload/"}.items():
        if url in address:
            return start + unquote(address.split(url, 1)[1], errors="surrogateescape")
    # Of a web or cloud address the path is taken, as that of another machine.
    return "/" + unquote(re.sub("^[a-z0-9+.-]+://", "", address.split("?")[0]).lstrip("/"))


def _as_before_upload(photo: str) -> Iterator[str]:
    """Names that an upload may have had, and ends of addresses from elsewhere."""
    if photo.startswith("upload/"):
        name = photo.rpartition("/")[2]
        yield from (name, before_upload(name))
    else:
        yield from ends(photo)
