"""The arguments of the command line."""

import argparse
import ast
import os
from typing import Any

from sklearn_cdul import __version__
from sklearn_cdul._utils.text_files import user_path
from sklearn_cdul.cli import commands
from sklearn_cdul.cli.output import FORMATS
from sklearn_cdul.cli.review import review

EPILOG = """\
exit codes:
  0    done
  1    failed; the last line says why
  2    wrong command line
  3    done, but photos that can't be used were left out
  130  interrupted, by Ctrl-C or SIGTERM

Messages name options as the Python API does: model_name is --model-name.
"""
FORM: dict[str, Any] = {
    "epilog": EPILOG,
    "formatter_class": argparse.RawDescriptionHelpFormatter,
}


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="sklearn-cdul",
        description="Label unlabelled photos, or train a small classifier on them.",
        **FORM,
    )
    parser.add_argument("--version", action="version", version=f"sklearn_cdul {__version__}")
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for run, adders in {
        commands.label: (
            _add_photos,
            _add_classes,
            _add_encoder,
            _add_output,
            _add_report,
            _add_plan,
        ),
        commands.train: (
            _add_photos,
            _add_classes,
            _add_encoder,
            _add_training,
            _add_report,
            _add_plan,
        ),
        commands.predict: (_add_model, _add_photos, _add_output, _add_plan),
        commands.report: (_add_model, _add_photos, _add_page),
        commands.suggest: (_add_model, _add_photos, _add_suggestions),
        commands.fit_thresholds: (_add_model, _add_labelled),
        commands.info: (_add_model,),
        commands.search: (_add_words, _add_photos, _add_encoder, _add_table),
        commands.duplicates: (_add_photos, _add_encoder, _add_similarity, _add_table),
        review: (_add_photos, _add_review),
    }.items():
        name = run.__name__.replace("_", "-")
        command = parts.add_parser(name, help=run.__doc__, description=run.__doc__, **FORM)
        command.set_defaults(run=run, refuse=command.error)
        add = command.add_argument
        default = '"cpu", "cuda", "mps" or "auto" (default: %(default)s)'
        add("--device", default="auto", help=default)
        add("--quiet", action="store_true", help="show no progress bars")
        add("--debug", action="store_true", help="show the traceback of an error")
        for add_more in adders:
            add_more(command)
    return parser


def _add_photos(command: argparse.ArgumentParser) -> None:
    what = "folder of photos, or photos; @FILE has a path per line, and - reads them from stdin"
    command.add_argument("photos", nargs="+", metavar="PHOTOS", help=what)
    few = "take only N of the photos, spread evenly over all"
    command.add_argument("--limit", type=_count, metavar="N", help=few)


def _add_model(command: argparse.ArgumentParser) -> None:
    warning = (
        "file written by `train`; loading it can run any code, so take only those you trust. Or a "
        "file written by export_onnx, whose name ends in .onnx"
    )
    command.add_argument("model", type=user_path, metavar="MODEL", help=warning)


def _add_classes(command: argparse.ArgumentParser, required: bool = True) -> None:
    add = command.add_argument
    add(
        "--classes",
        required=required,
        metavar="NAMES",
        help="text file with one class name per line; JSON file with a list, or with a mapping of "
        'each name to its wordings; or "coco", "voc", "nus-wide"',
    )
    others = 'what else the photos show, without a label: as for --classes, or "general"'
    add("--background-classes", metavar="NAMES", help=others)


def _add_encoder(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    encoder = "encoder: a model of open_clip (default: %(default)s, which needs no download)"
    add("--model-name", default="bundled", metavar="NAME", help=encoder)
    add("--pretrained", metavar="TAG", help="weights of that model, or a file")
    add(
        "--memory",
        metavar="FOLDER",
        type=os.path.expanduser,
        help="folder to cache embeddings in: an interrupted command resumes, and other names or "
        "settings need no encoding",
    )
    more = "any other parameter, see the API reference; can be repeated"
    add("--set", action="append", type=_setting, default=[], metavar="NAME=VALUE", help=more)


def _file(text: str) -> str:  # a Path would lose the slash at the end of a folder's name
    if text in ("", "-"):
        raise argparse.ArgumentTypeError(f"{text!r} names no file")
    return os.path.expanduser(text)


def _file_or_stdout(text: str) -> str | None:
    return None if text == "-" else _file(text)


_FILE: dict[str, Any] = {"type": _file, "metavar": "FILE"}
_FILE_OR_STDOUT = _FILE | {"type": _file_or_stdout}


def _setting(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not (name and sign):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value  # a word


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of photos, 1 or more")
    return int(text)


def _similarity(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0, up to 1")
    return value


def _add_report(command: argparse.ArgumentParser) -> None:
    command.add_argument("--report", help="write a report too (HTML)", **_FILE)


def _add_plan(command: argparse.ArgumentParser) -> None:
    plan = "write nothing: say what would be done, where it goes and about how long it takes"
    command.add_argument("--dry-run", action="store_true", help=plan)


def _add_out(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument("--out", required=True, help=f"file for {what}", **_FILE)


def _add_output(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    where = "file for the labels, or a folder with --format folders (default, or -: CSV to stdout)"
    add("--out", help=where, **_FILE_OR_STDOUT)
    default = "what is written (default: csv if the file ends in .csv)"
    add("--format", choices=FORMATS, help=default)
    add("--scores", action="store_true", help="write scores too")


def _add_observed(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument("--observed", type=user_path, metavar="CSV", help=what)


def _add_training(command: argparse.ArgumentParser) -> None:
    _add_out(command, "the classifier (joblib)")
    add, seed = command.add_argument, "seed (default: %(default)s)"
    add("--random-state", type=int, default=0, metavar="N", help=seed)
    known = "annotations of some photos or classes, such as a report saves; they stay as they are"
    _add_observed(command, known)


def _add_page(command: argparse.ArgumentParser) -> None:
    _add_out(command, "the page (HTML)")
    command.add_argument(
        "--labels", type=user_path, metavar="CSV", help="true labels to compare with"
    )


def _add_number(command: argparse.ArgumentParser) -> None:
    how_many = "how many photos (default: %(default)s)"
    command.add_argument("-n", type=_count, default=25, metavar="N", help=how_many)


def _add_suggestions(command: argparse.ArgumentParser) -> None:
    _add_number(command)
    _add_observed(command, "annotations that are there: photos with one are not suggested")
    table = "CSV file to fill in, with a column per class (default, or -: paths to stdout)"
    command.add_argument("--out", help=table, **_FILE_OR_STDOUT)


def _add_labelled(command: argparse.ArgumentParser) -> None:
    labels = "CSV file with labels of some photos"
    command.add_argument("labels", type=user_path, metavar="LABELS", help=labels)
    photos = "folder of these photos, or photos (default: the paths in LABELS)"
    command.add_argument("--photos", nargs="+", metavar="PHOTOS", help=photos)
    command.set_defaults(limit=None)
    _add_out(command, "the classifier with new thresholds (joblib)")


def _add_words(command: argparse.ArgumentParser) -> None:
    command.add_argument("words", metavar="WORDS", help='what to look for: "red car"')
    _add_number(command)


def _add_similarity(command: argparse.ArgumentParser) -> None:
    how_alike = "cosine similarity from which photos are duplicates (default: %(default)s)"
    command.add_argument("--similarity", type=_similarity, default=0.7, help=how_alike)


def _add_table(command: argparse.ArgumentParser) -> None:
    command.add_argument("--out", help="CSV file (default, or -: CSV to stdout)", **_FILE_OR_STDOUT)


def _add_review(command: argparse.ArgumentParser) -> None:
    _add_classes(command, required=False)
    _add_encoder(command)
    add = command.add_argument
    known = "classifier written by `train`, in place of --classes; take only files you trust"
    add("--model", type=user_path, metavar="MODEL", help=known)
    answers = "file for the answers; those that are there are kept (default: %(default)s)"
    add("--answers", dest="out", type=_file, default="answers.csv", metavar="CSV", help=answers)
    host = "address to listen on (default: %(default)s, which is this machine alone)"
    add("--host", default="127.0.0.1", help=host)
    add("--port", type=int, default=0, help="port to listen on (default: one that is free)")
    add("--no-browser", action="store_true", help="print the address and open no browser")
