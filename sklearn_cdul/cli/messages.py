"""What the command line says, on stderr, and with which exit code it ends."""

import sys
from typing import Any

# Besides 0, and argparse's 2 for a wrong command line.
FAILED, INCOMPLETE, INTERRUPTED = 1, 3, 130
EPILOG = """\
exit codes:
  0    done
  1    failed; the last line says why
  2    wrong command line
  3    done, but photos that can't be used were left out
  130  interrupted
"""


def say(text: str) -> None:
    """Print a line to stderr."""
    print(f"sklearn-cdul: {text}", file=sys.stderr)


def show_warning(message: Any, *_: Any, **__: Any) -> None:
    """Stand in for ``warnings.showwarning``, which names a line of Python."""
    say(f"warning: {message}")
