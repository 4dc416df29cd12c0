"""The commands: each is a few calls of the public API, and its docstring is its help.

Packages that take seconds to import are imported when a command runs.
"""

import argparse
import errno
import os
import re
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_cdul import __version__
from sklearn_cdul._utils.atomic_write import atomic_write
from sklearn_cdul._utils.text_files import printable, read_text, user_path

# Exit codes besides 0, and argparse's 2 for a wrong command line.
FAILED, INCOMPLETE, INTERRUPTED = 1, 3, 130
_MODEL = 2**26  # bytes that a classifier may take
# Photos that are listed by name if they were left out.
MOST_LISTED = 20


def say(text: str) -> None:
    """Print to stderr; names of files can't steer the terminal."""
    print(f"sklearn-cdul: {printable(text)}", file=sys.stderr)


def label(options: argparse.Namespace) -> int:
    """Label photos with CLIP, without training."""
    write = _writer(options)
    photos, labeler = _photos(options), _labeler(options).set_params(**dict(options.set))
    from sklearn_cdul.class_names.prompts import resolve_classes

    _check_labels(options, photos, resolve_classes(labeler.classes)[0])
    return write(photos, labeler.fit_transform(photos), None, labeler.class_names_)


def train(options: argparse.Namespace) -> int:
    """Train a classifier on unlabelled photos."""
    _check_out(options.out, room=_MODEL)
    if options.report is not None:
        _check_out(options.report, "--report")
    photos, labeler = _photos(options), _labeler(options)
    import joblib

    from sklearn_cdul import CDULClassifier

    model = CDULClassifier(
        pseudo_labeler=labeler,
        device=options.device,
        random_state=options.random_state,
        verbose=not options.quiet,
    )
    model.set_params(**dict(options.set)).fit(photos, observed=options.observed)
    usable = _usable(model.initial_pseudo_labels_, photos)
    with atomic_write(options.out) as part:
        joblib.dump(model, part)
    code = _finish(options.out, f"a classifier of {len(model.class_names_)} classes", usable)
    if options.report is not None:
        _write_report(model, photos, options.observed, options.report)
    return code


def predict(options: argparse.Namespace) -> int:
    """Label photos with a trained classifier."""
    write = _writer(options)
    photos, model = _photos(options), _load_model(options)
    _check_labels(options, photos, model.class_names_)
    return write(photos, model.predict_proba(photos), model.thresholds_, model.class_names_)


def report(options: argparse.Namespace) -> int:
    """Write a page to review and correct the predictions of a trained classifier."""
    _check_out(options.out)
    photos, model = _photos(options), _load_model(options)
    scores = _write_report(model, photos, options.labels, options.out)
    return 0 if _usable(scores, photos).all() else INCOMPLETE


def _write_report(model: Any, photos: list[str], labels: Path | None, out: Path) -> np.ndarray:
    """Write the page; return the scores."""
    from sklearn_cdul.review import LabelReport

    page = LabelReport.from_estimator(model, photos, labels)
    page.save(out)
    say(f"{out}: a report of {(~np.isnan(page.scores).any(axis=1)).sum()} photos")
    return page.scores


def _labeler(options: argparse.Namespace) -> Any:
    classes, others = _classes(options.classes), options.background_classes
    from sklearn_cdul import CLIPPseudoLabeler

    return CLIPPseudoLabeler(
        classes,
        model_name=options.model_name,
        pretrained=options.pretrained,
        background_classes=None if others is None else _classes(others),
        memory=options.memory,
        on_error="nan",
        device=options.device,
        verbose=not options.quiet,
    )


def _load_model(options: argparse.Namespace) -> Any:
    if not options.model.is_file():
        raise FileNotFoundError(f"there is no file {options.model}")
    is_onnx = options.model.suffix.lower() == ".onnx"
    model = _load_onnx(options) if is_onnx else _load_joblib(options)
    if getattr(model, "pseudo_labeler_", model).input != "images":
        raise ValueError(f"the classifier in {options.model} takes embeddings and no photos")
    return model


def _load_onnx(options: argparse.Namespace) -> Any:
    from sklearn_cdul import load_onnx

    if options.device not in ("auto", "cpu"):
        raise ValueError(f"{options.model} runs on the CPU only, not on --device {options.device}")
    return load_onnx(options.model, on_error="nan", verbose=not options.quiet)


def _load_joblib(options: argparse.Namespace) -> Any:
    import joblib

    from sklearn_cdul import CDULClassifier

    try:
        model = joblib.load(options.model)
    except Exception as error:  # damaged pickles raise nearly any type
        raise ValueError(
            f"{options.model} can't be loaded with sklearn_cdul {__version__}. It is no file that "
            f"`train` has written, or is damaged ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(model, CDULClassifier):
        raise ValueError(f"{options.model} holds a {type(model).__name__} and no CDULClassifier")
    if not hasattr(model, "network_"):
        raise ValueError(f"the classifier in {options.model} is not fitted")
    return model.set_params(on_error="nan", device=options.device, verbose=not options.quiet)


def _photos(options: argparse.Namespace) -> list[str]:
    """The photos that were named, each once; no output may replace one of them, or other input."""
    given: list[str] = []
    for text in options.photos:
        if text == "-":
            given += _lines(os.fsdecode(sys.stdin.buffer.read()))
        elif text[:1] == "@" and not os.path.exists(text):
            given += _lines(read_text(user_path(text[1:]), errors="surrogateescape"))
        else:
            given.append(os.path.expanduser(text))
    if not given:
        raise ValueError(f"{' and '.join(options.photos)} names no photos")
    for path in given:
        if not os.path.exists(path):
            raise FileNotFoundError(f"there is no folder or photo {path}")
    from sklearn_cdul.datasets import list_photos

    photos: dict[str, str] = {}
    for path in given:
        for photo in list_photos(path) if os.path.isdir(path) else [path]:
            photos.setdefault(os.path.abspath(photo), photo)
    named = [getattr(options, name, None) for name in ("model", "classes", "observed", "labels")]
    taken = [*photos, *(os.path.abspath(path) for path in named if path)]
    for out in filter(None, (options.out, getattr(options, "report", None))):
        if os.path.abspath(out) in taken:
            raise ValueError(f"{out} can't be written: it has another part in this command")
        taken.append(os.path.abspath(out))
    return list(photos.values())


def _lines(text: str) -> list[str]:
    """Paths with line ends between them, or null characters, as `find -print0` writes."""
    return [path for path in re.split("\0" if "\0" in text else r"\r?\n|\r", text) if path.strip()]


def _classes(name: str) -> Any:
    """Class names: of a file with one per line, of a JSON file, or a vocabulary."""
    path = user_path(name)
    if not path.is_file():
        from sklearn_cdul.class_names.vocabularies import VOCABULARIES

        if name in VOCABULARIES:
            return name
        known = ", ".join(VOCABULARIES)
        raise FileNotFoundError(f"there is no file {name} with class names; it is none of {known}")
    if path.suffix.lower() == ".json":
        from sklearn_cdul.datasets._reading import read_json

        names = read_json(path, "")
        if isinstance(names, dict) and names.keys() & {"classes", "names", "class_names"}:
            raise ValueError(f"{name} has the class {next(iter(names))!r}. Write its list alone")
        return names
    lines = [line.strip() for line in read_text(path).splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    tables = path.suffix.lower() in (".csv", ".tsv", ".yaml", ".yml", ".xml")
    if tables or (lines and all(re.search("[,;|\t]", line) for line in lines)):
        raise ValueError(
            f"{name} has {lines[:1]} where names are expected. Write a text file with one name per "
            "line and no more, or a JSON file with a list of them"
        )
    return lines


def _writer(options: argparse.Namespace) -> Any:
    """The function that writes labels; where they go is checked now, before the work."""
    form, out = options.format, options.out
    if form is None and (out is None or out.suffix.lower() == ".csv"):
        form = "csv"
    if form is None:
        raise ValueError(f"the format of {out} can't be told from its name: add --format")
    if out is None and form != "csv":
        raise ValueError(f"--format {form} needs a file: add --out")
    if form != "csv" and out is not None and out.suffix.lower() == ".csv":
        raise ValueError(f"--format {form} writes JSON, but {out} ends in .csv")
    if options.scores and form == "label-studio":
        raise ValueError("Label Studio's tasks have no place for the scores of all classes")
    if out is not None:
        _check_out(out)

    def write(photos: list[str], scores: np.ndarray, thresholds: Any, names: list[str]) -> int:
        from sklearn_cdul import datasets
        from sklearn_cdul.labels import apply_thresholds, find_thresholds

        usable = _usable(scores, photos)
        thresholds = find_thresholds(scores) if thresholds is None else thresholds
        labels = apply_thresholds(scores, thresholds)[usable]
        kept = [photos[index] for index in np.flatnonzero(usable)]
        dump = getattr(datasets, f"dump_{form.replace('-', '_')}")
        more = {"scores": scores[usable]} if options.scores else {}
        dump(kept, labels, names, sys.stdout if out is None else out, **more)
        average = labels.sum(axis=1).mean()
        return _finish(out, f"labels of {len(kept)} photos, {average:.1f} per photo", usable)

    return write


def _check_labels(options: argparse.Namespace, photos: list[str], names: list[str]) -> None:
    """Refuse photos and names that the file can't hold, before the work."""
    from sklearn_cdul.datasets._writing import check_labels

    nothing = np.zeros((len(photos), len(names)), dtype=bool)
    out = options.out or sys.stdout
    check_labels(photos, nothing, names, out, form=options.format or "csv")


def _check_out(path: Path, option: str = "--out", room: int = 2**16) -> None:
    """Refuse a file that can't be written, before the work."""
    folder, is_there = os.path.dirname(os.path.abspath(path)), os.path.lexists(path)
    if is_there and not os.path.isfile(path) and not os.path.isdir(path):
        return  # a device
    if os.path.isdir(path) or not os.path.isdir(folder):
        raise ValueError(
            f"{option} {path} can't be written: it must name a file in a folder that exists"
        )
    try:
        with suppress(FileNotFoundError):
            os.lstat(path)  # fails if the name is too long
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(2**16))
            file.flush()
        if 0 < shutil.disk_usage(folder).free < room:
            raise OSError(errno.ENOSPC, f"less than {room >> 20} MB are free there")
    except OSError as error:
        raise type(error)(f"{option} {path} can't be written: {error.strerror}") from error
    if is_there:
        say(f"{path} is there and will be replaced")


def _usable(scores: np.ndarray, photos: list[str]) -> np.ndarray:
    """Which photos have scores; the others are listed."""
    usable = ~np.isnan(scores).any(axis=1)
    lost = np.flatnonzero(~usable)
    if len(lost) == len(photos):
        raise ValueError(f"none of the {len(photos)} photos can be used")
    if len(lost):
        lines = [f"{len(lost)} of {len(photos)} photos can't be used and are left out:"]
        lines += [f"  {photos[index]}" for index in lost[:MOST_LISTED]]
        if len(lost) > MOST_LISTED:
            lines.append(f"  and {len(lost) - MOST_LISTED} more")
        say("\n".join(lines))
    return usable


def _finish(out: Path | None, what: str, usable: np.ndarray) -> int:
    sys.stdout.flush()
    say(what if out is None else f"{out}: {what}")
    return 0 if usable.all() else INCOMPLETE
