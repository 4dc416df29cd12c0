"""What a command gives back: files of labels, lines on stderr, and the exit code."""

import argparse
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from sklearn_cdul._utils.text_files import printable
from sklearn_cdul.exceptions import UnusableImagesWarning

# Exit codes besides 0, and argparse's 2 for a wrong command line.
FAILED, INCOMPLETE, INTERRUPTED = 1, 3, 130
FORMATS = ("csv", "coco", "fiftyone", "label-studio", "xmp", "folders")
_JSON = ("coco", "fiftyone", "label-studio")
_NO_FILE = ("xmp",)
_NO_SCORES = ("label-studio", "xmp", "folders")
_MOST_LISTED = 20  # photos that were left out


def say(text: str) -> None:
    """Print to stderr; names of files can't steer the terminal."""
    print(f"sklearn-cdul: {printable(text)}", file=sys.stderr)


def make_writer(options: argparse.Namespace) -> Any:
    """Make the function that writes labels; where they go is checked now, before the work."""
    form = _check_form(options)
    out = options.out

    def write(photos: list[str], scores: np.ndarray, thresholds: Any, names: list[str]) -> int:
        from sklearn_cdul import datasets
        from sklearn_cdul.labels import apply_thresholds

        usable = ~np.isnan(scores).any(axis=1)
        if not usable.any():
            raise ValueError(f"none of the {len(photos)} photos can be used")
        labels = apply_thresholds(scores, thresholds)[usable]
        kept = [photos[index] for index in np.flatnonzero(usable)]
        dump = getattr(datasets, f"dump_{form.replace('-', '_')}")
        more = {"scores": scores[usable]} if options.scores else {}
        where = [] if form in _NO_FILE else [sys.stdout if out is None else out]
        dump(kept, labels, names, *where, **more)
        average, none = labels.sum(axis=1).mean(), (~labels.any(axis=1)).sum()
        beside = " in sidecars beside them" if form in _NO_FILE else ""
        without = f", {none} of them without a label" if none else ""
        what = f"labels of {len(kept)} photos{beside}, {average:.1f} per photo{without}"
        return finish(out, what)

    return write


def _check_form(options: argparse.Namespace) -> str:
    """The form of the labels, which goes together with the other options."""
    form, out = options.format, options.out
    is_csv = os.path.splitext(out or "stdout.csv")[1].lower() == ".csv"
    if form is None and is_csv:
        form = options.format = "csv"
    if form is None:
        raise ValueError(f"the format of {out} can't be told from its name: add --format")
    if form in _NO_FILE and out is not None:
        raise ValueError(f"--format {form} writes beside the photos: leave out --out")
    if out is None and form not in ("csv", *_NO_FILE):
        raise ValueError(f"--format {form} needs a file: add --out")
    if form in _JSON and is_csv:
        raise ValueError(f"--format {form} writes JSON, but {out} ends in .csv")
    if options.scores and form in _NO_SCORES:
        raise ValueError(f"--format {form} has no place for the scores of all classes")
    if form != "folders":
        check_out(out)
    return form


def check_labels_fit(photos: list[str], names: list[str], out: str | None, form: str) -> list[str]:
    """Refuse photos and names that the file can't hold, before the work; the paths as written."""
    from sklearn_cdul.datasets._writing import check_labels

    nothing = np.zeros((len(photos), len(names)), dtype=bool)
    return check_labels(photos, nothing, names, out or sys.stdout, form=form).paths


def check_out(path: str | None, option: str = "--out", room: int = 2**16) -> None:
    """Refuse a file that can't be written, before the work."""
    if path is None:
        return
    folder, is_there = os.path.dirname(os.path.abspath(path)), os.path.lexists(path)
    if is_there and not os.path.isfile(path) and not os.path.isdir(path):
        return  # a device
    if os.path.isdir(path) or not os.path.isdir(folder) or not os.path.basename(path):
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


def list_unusable(warning: UnusableImagesWarning) -> None:
    """Say which photos are left out, and why."""
    failures = warning.failures
    lines = [f"{len(failures)} of {warning.n_images} photos can't be used and are left out:"]
    for error in failures[:_MOST_LISTED]:
        text, path = str(error).removeprefix(f"X[{error.index}] "), printable(str(error.path))
        lines.append(f"  {text.replace(f'({path})', path, 1)}")
    if len(failures) > _MOST_LISTED:
        lines.append(f"  and {len(failures) - _MOST_LISTED} more")
    say("\n".join(lines))


def show(lines: Iterable[str]) -> None:
    """Print lines to stdout; names of files can't steer the terminal."""
    for line in lines:
        print(printable(line) if sys.stdout.isatty() else line)


def write_table(out: str | None, lines: Iterable[Sequence[str]]) -> None:
    """Write a table as CSV, to stdout if there is no file."""
    from sklearn_cdul.datasets._writing import csv_text, write_text

    write_text(sys.stdout if out is None else out, csv_text(lines))


def finish(out: str | None, what: str) -> int:
    """Say what was done; return the exit code, which is another one if photos were left out."""
    sys.stdout.flush()
    say(what if out is None else f"{out}: {what}")
    return 0
