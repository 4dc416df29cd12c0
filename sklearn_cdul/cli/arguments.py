"""The arguments of the command line."""

import argparse
import ast
from pathlib import Path
from typing import Any

from sklearn_cdul import __version__
from sklearn_cdul.cli import commands
from sklearn_cdul.cli.messages import EPILOG

FORMATS = ("csv", "coco", "fiftyone", "label-studio")


def _setting(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not (name and sign):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value  # a word


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="sklearn-cdul",
        description="Unlabelled photos and class names in, labels or a small classifier out.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sklearn_cdul {__version__}")
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    label = _command(parts, "label", commands.label, "let CLIP label photos")
    _add_photos(label)
    _add_labeler(label)
    _add_output(label)

    train = _command(parts, "train", commands.train, "train a classifier on photos without labels")
    _add_photos(train)
    _add_labeler(train)
    train.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="file for the classifier (joblib)"
    )
    train.add_argument(
        "--random-state", type=int, default=0, metavar="N", help="seed (default: %(default)s)"
    )

    train.add_argument(
        "--observed",
        type=Path,
        metavar="CSV",
        help="labels that a person gave some photos or classes, also those that a report saved",
    )
    train.add_argument(
        "--report", type=Path, metavar="FILE", help="write a report of the photos, too (HTML)"
    )

    predict = _command(parts, "predict", commands.predict, "label photos with a trained classifier")
    _add_model(predict)
    _add_photos(predict)
    _add_output(predict)

    report = _command(
        parts, "report", commands.report, "make a page of what a classifier believes of photos"
    )
    _add_model(report)
    _add_photos(report)
    report.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="file for the page (HTML)"
    )
    report.add_argument("--labels", type=Path, metavar="CSV", help="labels to compare with")
    return parser


def _command(parts: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    command = parts.add_parser(
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
        "--background-classes",
        metavar="NAMES",
        help='what else the photos show: as for --classes, or "general"',
    )
    command.add_argument(
        "--model-name",
        default="bundled",
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
        action="append",
        type=_setting,
        default=[],
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
        "--format", choices=FORMATS, help="form of the file (default: csv if it is called so)"
    )
    command.add_argument("--scores", action="store_true", help="write scores too")
