"""The command line: photos in, labels, a trained classifier or a report out."""

import argparse
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Sequence

from sklearn_cdul.cli.arguments import make_parser
from sklearn_cdul.cli.output import FAILED, INCOMPLETE, INTERRUPTED, list_unusable, say
from sklearn_cdul.exceptions import UnusableImagesWarning

# Of all others a traceback helps: they are faults of this package.
_EXPECTED = (
    *(ValueError, TypeError, OSError, ImportError, ArithmeticError, MemoryError),
    RuntimeError,  # of a GPU, and when its memory is full
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command."""
    _open_streams()
    # In a program that calls this its signals are its own.
    if arguments is None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # leaves nothing half done
    given = sys.argv[1:] if arguments is None else arguments
    # The shell makes -x.jpg of *.jpg, which is no option.
    given = [f".{os.sep}{x}" if x[:1] == "-" and os.path.isfile(x) else x for x in given]
    options, unknown = make_parser().parse_known_args(given)
    if unknown:  # argparse would show the usage without the command
        options.refuse(f"unrecognized arguments: {' '.join(unknown)}")
    options.quiet |= getattr(options, "dry_run", False)
    if hasattr(sys.stdout, "reconfigure"):  # names of files and classes may have any letters
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    with warnings.catch_warnings():
        listed: set[str | None] = set()

        def tell(warning: Warning | str) -> None:
            if not isinstance(warning, UnusableImagesWarning):
                say(f"warning: {_with_options(str(warning), options)}")
            elif not listed.issuperset(paths := {error.path for error in warning.failures}):
                list_unusable(warning)
                listed.update(paths)

        warnings.showwarning = lambda warning, *_, **__: tell(warning)
        try:
            return options.run(options) or (INCOMPLETE if listed else 0)
        except KeyboardInterrupt:
            kept = ""
            if hasattr(options, "memory"):  # a command that encodes photos
                kept = f"; the same command goes on with what is in {options.memory}"
                if options.memory is None:
                    kept = (
                        "; nothing was kept. With --memory FOLDER the photos are not encoded again"
                    )
            say(f"interrupted{kept}")
            return INTERRUPTED
        except BrokenPipeError:  # whoever read the labels has stopped, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED
        except _EXPECTED as error:
            if options.debug:
                raise
            text = " ".join(str(error).split()) or type(error).__name__
            if isinstance(error, io.UnsupportedOperation) and not sys.stdout.writable():
                text = "stdout is closed; name a file as --out"
            say(f"error: {_with_options(text, options)}")
            return FAILED


def _with_options(text: str, options: argparse.Namespace) -> str:
    """A message of the Python API, with the option of each parameter that it sets."""
    named = [name for name in vars(options) if "_" in name and f"{name}=" in text]
    return text + "".join(f" In the shell {n} is --{n.replace('_', '-')}." for n in named)


def _open_streams() -> None:
    """Put stand-ins for streams that are closed: print() takes stdout where there is no stderr."""
    for name, mode in {"stdin": "r", "stdout": "r", "stderr": "w"}.items():
        if getattr(sys, name) is None:  # who writes to a stdout that is read gets an error
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
