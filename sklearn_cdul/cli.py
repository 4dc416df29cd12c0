"""The command line: photos in, labels, a trained model or a report out.

Each command is a few calls of the public API. Stdout has labels only, all else goes to stderr.
"""

import argparse
import ast
import json
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_cdul import __version__

# Exit codes, besides 0 and argparse's 2 for a wrong command line.
FAILED, INCOMPLETE, INTERRUPTED = 1, 3, 130
EPILOG = """\
exit codes:
  0    done
  1    failed; the last line says why
  2    wrong command line
  3    done, but photos that can't be used were left out
  130  interrupted
"""
# Photos that are listed by name if they were left out.
MOST_LISTED = 20
_FORMATS = ("csv", "coco", "fiftyone", "label-studio")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str or None, default=None
        What follows the name of the program; None takes it from ``sys.argv``.

    Returns
    -------
    code : int
        The exit code, see `EPILOG`.
    """
    options = _parser().parse_args(arguments)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            return options.run(options)
        except KeyboardInterrupt:
            _say("interrupted" + options.after_interrupt(options))
            return INTERRUPTED
        except BrokenPipeError:  # whoever read the labels has stopped, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED
        except (ValueError, TypeError, OSError, ImportError, ArithmeticError, MemoryError) as error:
            if options.debug:
                raise
            _say(f"error: {' '.join(str(error).split()) or type(error).__name__}")
            return FAILED


def _label(options: argparse.Namespace) -> int:
    """CLIP's labels of photos, cut at thresholds found without labels."""
    write = _writer(options)
    photos, labeler = _photos(options), _labeler(options)
    from sklearn_cdul.labels import apply_thresholds, find_thresholds

    scores = labeler.set_params(**options.set).fit_transform(photos)
    usable = _usable(scores, photos)
    labels = apply_thresholds(scores, find_thresholds(scores[usable]))
    return write(photos, labels, scores, labeler.class_names_, usable)


def _train(options: argparse.Namespace) -> int:
    """Train a classifier and save it."""
    _check_out(options.out)
    photos, labeler = _photos(options), _labeler(options)
    import joblib

    from sklearn_cdul import CDULClassifier

    model = CDULClassifier(
        pseudo_labeler=labeler,
        device=options.device,
        random_state=options.random_state,
        verbose=not options.quiet,
    )
    model.set_params(**options.set).fit(photos)
    usable = _usable(model.initial_pseudo_labels_, photos)
    part = options.out.with_name(f"{options.out.name}.{os.getpid()}.part")
    try:
        joblib.dump(model, part)
        os.replace(part, options.out)
    finally:
        part.unlink(missing_ok=True)
    return _finish(options.out, f"a classifier of {len(model.class_names_)} classes", usable)


def _predict(options: argparse.Namespace) -> int:
    """Labels that a saved classifier gives photos."""
    write = _writer(options)
    photos, model = _photos(options), _load_model(options)
    from sklearn_cdul.labels import apply_thresholds

    scores = model.predict_proba(photos)
    usable = _usable(scores, photos)
    labels = apply_thresholds(scores, model.thresholds_)
    return write(photos, labels, scores, model.class_names_, usable)


def _labeler(options: argparse.Namespace) -> Any:
    classes, others = _classes(options.classes), options.other_classes
    from sklearn_cdul import CLIPPseudoLabeler

    return CLIPPseudoLabeler(
        classes,
        model_name=options.model_name,
        pretrained=options.pretrained,
        other_classes=None if others is None else _classes(others),
        memory=options.memory,
        on_error="nan",
        device=options.device,
        verbose=not options.quiet,
    )


def _load_model(options: argparse.Namespace) -> Any:
    import joblib

    from sklearn_cdul import CDULClassifier

    if not options.model.is_file():
        raise FileNotFoundError(f"there is no file {options.model}")
    try:
        model = joblib.load(options.model)
    except Exception as error:  # damaged pickles raise nearly any type
        raise ValueError(f"{options.model} can't be loaded as a classifier: {error}") from error
    if not isinstance(model, CDULClassifier):
        raise ValueError(f"{options.model} holds a {type(model).__name__} and no CDULClassifier")
    if model.pseudo_labeler_.input != "images":
        raise ValueError(f"the classifier in {options.model} takes embeddings and no photos")
    return model.set_params(on_error="nan", device=options.device, verbose=not options.quiet)


def _photos(options: argparse.Namespace) -> list[str]:
    from sklearn_cdul.datasets import list_photos

    for path in options.photos:
        if not path.exists():
            raise FileNotFoundError(f"there is no folder or photo {path}")
    found = [list_photos(path) if path.is_dir() else [str(path)] for path in options.photos]
    return list(dict.fromkeys(photo for photos in found for photo in photos))


def _classes(name: str) -> Any:
    """Class names: of a file with one a line, of a JSON file, or a vocabulary."""
    from sklearn_cdul.labels.vocabularies import VOCABULARIES

    path = Path(name)
    if not path.is_file():
        if name in VOCABULARIES:
            return name
        known = ", ".join(VOCABULARIES)
        raise FileNotFoundError(f"there is no file {name} with class names; it is none of {known}")
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".json":
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is not JSON: {error}") from None
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _writer(options: argparse.Namespace) -> Any:
    """The function that writes labels. What is wrong with where they go is found before the work."""
    form, out = options.format, options.out
    if form is None and (out is None or out.suffix == ".csv"):
        form = "csv"
    if form is None:
        raise ValueError(f"what {out} is to be can't be told from its name: add --format")
    if out is None and form != "csv":
        raise ValueError(f"--format {form} needs a file: add --out")
    if options.scores and form == "label-studio":
        raise ValueError("Label Studio's tasks have no place for the scores of all classes")
    if out is not None:
        _check_out(out)
    from sklearn_cdul import datasets

    dump = getattr(datasets, f"dump_{form.replace('-', '_')}")

    def write(
        photos: list[str], labels: np.ndarray, scores: np.ndarray, names: list[str], usable: Any
    ) -> int:
        more = {"scores": scores[usable]} if options.scores else {}
        kept = [photos[index] for index in np.flatnonzero(usable)]
        dump(kept, labels[usable], names, sys.stdout if out is None else out, **more)
        average = labels[usable].sum(axis=1).mean()
        return _finish(out, f"labels of {len(kept)} photos, {average:.1f} a photo", usable)

    return write


def _check_out(path: Path) -> None:
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ValueError(
            f"--out {path} can't be written: it must name a file in a folder that exists"
        )
    if not os.access(path.absolute().parent, os.W_OK):
        raise PermissionError(f"--out {path} can't be written: its folder is read-only")


def _usable(scores: np.ndarray, photos: list[str]) -> np.ndarray:
    """Which photos have scores; the others are listed."""
    usable = ~np.isnan(scores).any(axis=1)
    lost = np.flatnonzero(~usable)
    if len(lost) == len(photos):
        raise ValueError(f"none of the {len(photos)} photos can be used")
    if len(lost):
        _say(f"{len(lost)} of {len(photos)} photos can't be used and are left out:")
        for index in lost[:MOST_LISTED]:
            print(f"  {photos[index]}", file=sys.stderr)
        if len(lost) > MOST_LISTED:
            print(f"  and {len(lost) - MOST_LISTED} more", file=sys.stderr)
    return usable


def _finish(out: Path | None, what: str, usable: np.ndarray) -> int:
    sys.stdout.flush()
    _say(what if out is None else f"{out}: {what}")
    return 0 if usable.all() else INCOMPLETE


def _say(text: str) -> None:
    print(f"sklearn-cdul: {text}", file=sys.stderr)


def _show_warning(message: Any, *_: Any, **__: Any) -> None:
    _say(f"warning: {message}")


def _setting(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not (name and sign):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value  # a word


class _Settings(argparse.Action):
    """Collects NAME=VALUE in a dict."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        name, value = values
        setattr(namespace, self.dest, {**getattr(namespace, self.dest), name: value})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sklearn-cdul",
        description="Unlabelled photos and class names in, labels or a small classifier out.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sklearn_cdul {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    label = _command(commands, "label", _label, "let CLIP label photos")
    _add_photos(label)
    _add_labeler(label)
    _add_output(label)

    train = _command(commands, "train", _train, "train a classifier on photos without labels")
    _add_photos(train)
    _add_labeler(train)
    train.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="file for the classifier (joblib)"
    )
    train.add_argument(
        "--random-state", type=int, default=0, metavar="N", help="seed (default: %(default)s)"
    )

    predict = _command(commands, "predict", _predict, "label photos with a trained classifier")
    _add_model(predict)
    _add_photos(predict)
    _add_output(predict)
    return parser


def _command(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run, after_interrupt=lambda options: "")
    command.add_argument(
        "--device", default="auto", help='"cpu", "cuda", "mps" or "auto" (default: %(default)s)'
    )
    command.add_argument("--quiet", action="store_true", help="show no progress bars")
    command.add_argument("--debug", action="store_true", help="show where an error comes from")
    return command


def _add_photos(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "photos", nargs="+", type=Path, metavar="PHOTOS", help="folder of photos, or photos"
    )


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "model",
        type=Path,
        metavar="MODEL",
        help="what `train` wrote. Such a file can run any code: take only those you trust",
    )


def _add_labeler(command: argparse.ArgumentParser) -> None:
    command.set_defaults(after_interrupt=_how_to_resume)
    command.add_argument(
        "--classes",
        required=True,
        metavar="NAMES",
        help="text file with a class name a line; JSON file with a list, or with a mapping of each "
        'name to its wordings; or "coco", "voc", "nus-wide"',
    )
    command.add_argument(
        "--other-classes",
        metavar="NAMES",
        help='what else the photos show: as for --classes, or "general"',
    )
    command.add_argument(
        "--model-name",
        default="embedded",
        metavar="NAME",
        help="encoder: a model of open_clip (default: %(default)s, which needs no download)",
    )
    command.add_argument("--pretrained", metavar="TAG", help="weights of that model, or a file")
    command.add_argument(
        "--memory",
        metavar="FOLDER",
        help="keep embeddings there: an interrupted command goes on where it was, and other names "
        "or settings need no encoding",
    )
    command.add_argument(
        "--set",
        action=_Settings,
        type=_setting,
        default={},
        metavar="NAME=VALUE",
        help="any other parameter, see the API reference; can be given more than once",
    )


def _how_to_resume(options: argparse.Namespace) -> str:
    if options.memory is None:
        return "; nothing was kept. With --memory FOLDER the photos are not encoded again"
    return f"; the same command goes on with what is in {options.memory}"


def _add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--out", type=Path, metavar="FILE", help="file for the labels (default: CSV to stdout)"
    )
    command.add_argument(
        "--format", choices=_FORMATS, help="form of the file (default: csv if it is called so)"
    )
    command.add_argument("--scores", action="store_true", help="write scores too")
