"""The command line: photos in, labels, a trained classifier or a report out."""

import os
import sys
import warnings
from collections.abc import Sequence

from sklearn_cdul.cli.arguments import make_parser
from sklearn_cdul.cli.commands import FAILED, INTERRUPTED, say


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command."""
    options = make_parser().parse_args(arguments)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: say(f"warning: {message}")
        try:
            return options.run(options)
        except KeyboardInterrupt:
            kept = ""
            if hasattr(options, "memory"):  # label and train
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
        except (ValueError, TypeError, OSError, ImportError, ArithmeticError, MemoryError) as error:
            if options.debug:
                raise
            say(f"error: {' '.join(str(error).split()) or type(error).__name__}")
            return FAILED
