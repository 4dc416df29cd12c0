"""What a command takes in: photos, class names, and models."""

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any

from sklearn_cdul import __version__
from sklearn_cdul._utils.text_files import read_text, user_path

# Lines of a table, numbered lines, those of a list, quoted ones, and tags.
_NO_NAME = re.compile(r"""[,;|\t]|^(?:[-*\u2022]|\d+[.):])\s|^".*"$|^'.*'$|^<.*>$""")


def read_photos(options: argparse.Namespace) -> list[str]:
    """The photos that were named, each once; no output may replace one of them, or other input."""
    photos = _named_photos(options.photos)
    inputs = ("model", "classes", "background_classes", "observed", "labels")
    named = [getattr(options, name, None) for name in inputs]
    # A link to a file is the file.
    taken = {os.path.realpath(path) for path in [*photos, *filter(None, named)]}
    for out in filter(None, (options.out, getattr(options, "report", None))):
        if os.path.realpath(out) in taken:
            raise ValueError(f"{out} can't be written: it has another part in this command")
        taken.add(os.path.realpath(out))
    every = list(photos.values())
    n = min(options.limit or len(every), len(every))
    return [every[len(every) * index // n] for index in range(n)]


def _named_photos(texts: list[str]) -> dict[str, str]:
    """The photos that were named, by their absolute paths."""
    given: list[str] = []
    for text in texts:
        if text == "-":
            given += _lines(os.fsdecode(sys.stdin.buffer.read()))
        elif text[:1] == "@" and not os.path.exists(text):
            given += _lines(read_text(user_path(text[1:]), errors="surrogateescape"))
        else:
            given.append(os.path.expanduser(text))
    if not given:
        raise ValueError(f"{' and '.join(texts)} names no photos")
    for path in given:
        if not os.path.exists(path):
            raise FileNotFoundError(f"there is no folder or photo {path}")
    from sklearn_cdul.datasets import list_photos

    photos: dict[str, str] = {}
    for path in given:
        for photo in list_photos(path) if os.path.isdir(path) else [path]:
            photos.setdefault(os.path.abspath(photo), photo)
    return photos


def labelled_photos(labels: Path, names: list[str]) -> list[str]:
    """The photos that a CSV file has labels of."""
    from sklearn_cdul.datasets._reading import find_photo
    from sklearn_cdul.targets.csv_files import PATHS, read_csv

    header, lines = read_csv(labels, names)
    column = next((header.index(name) for name in PATHS if name in header), None)
    if column is None:
        raise ValueError(f"{labels} has no column {PATHS[0]!r}: add --photos")
    photos = []
    for number, cells in lines:
        if (photo := find_photo(labels.parent, cells[column])) is None:
            raise FileNotFoundError(f"line {number} of {labels}: no photo {cells[column]} is there")
        photos.append(str(photo))
    return photos


def _lines(text: str) -> list[str]:
    """Paths with line ends between them, or null characters, as `find -print0` writes."""
    return [path for path in re.split("\0" if "\0" in text else r"\r?\n|\r", text) if path.strip()]


def read_classes(name: str) -> Any:
    """Class names: of a file with one per line, of a JSON file, or a vocabulary."""
    path = user_path(name)
    if path.is_dir() or not path.exists():  # a pipe will do
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
    if tables or (lines and all(map(_NO_NAME.search, lines))):
        from sklearn_cdul.targets.rows import brief

        found = brief(lines[0]) if lines else "nothing"
        raise ValueError(
            f"{name} has {found} where names are expected. Write a text file with one name per "
            "line and no more, or a JSON file with a list of them"
        )
    return lines


def make_labeler(options: argparse.Namespace, classes: Any) -> Any:
    """The labeler of a command, with parameters of the user's own except ``--set``."""
    others = getattr(options, "background_classes", None)
    from sklearn_cdul import CLIPPseudoLabeler

    return CLIPPseudoLabeler(
        classes,
        model_name=options.model_name,
        pretrained=options.pretrained,
        background_classes=None if others is None else read_classes(others),
        memory=options.memory,
        on_error="nan",
        device=options.device,
        verbose=not options.quiet,
    )


def set_parameters(estimator: Any, options: argparse.Namespace) -> Any:
    """Set what ``--set`` names."""
    from sklearn_cdul.targets.rows import with_guesses

    given, known = dict(options.set), estimator.get_params()
    for name in given:
        # Those of a training appear with it.
        of_training = name.startswith("training__") and "training" in known
        if name not in known and not of_training:
            raise ValueError(
                f"--set {name}: {type(estimator).__name__} has no parameter "
                f"{with_guesses([name], list(known))}. It has {', '.join(known)}"
            )
    return estimator.set_params(**given)


def load_model(options: argparse.Namespace, *, of_photos: bool = True) -> Any:
    """The classifier in a file."""
    if not options.model.is_file():
        raise FileNotFoundError(f"there is no file {options.model}")
    is_onnx = options.model.suffix.lower() == ".onnx"
    model = _load_onnx(options) if is_onnx else _load_joblib(options)
    if of_photos and getattr(model, "pseudo_labeler_", model).input != "images":
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
    model.pseudo_labeler_.verbose = not options.quiet  # as it was in the training
    return model.set_params(on_error="nan", device=options.device, verbose=not options.quiet)
