"""Show how far each phase of the work has got, in a terminal or a notebook."""

import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

# Not tqdm.auto: when a notebook with its widgets is opened again, it shows "0%" for each phase.
from tqdm import TqdmWarning, tqdm

with warnings.catch_warnings():
    # open_clip brings it. In a notebook it would ask for ipywidgets, which these bars don't need.
    warnings.simplefilter("ignore", TqdmWarning)
    import_module("tqdm.auto")

# Bars of shorter phases go away once they are done.
_WORTH_KEEPING = 2.0


@contextmanager
def progress(
    phase: str,
    total: int | None = None,
    *,
    done: int = 0,
    unit: str = "photo",
    verbose: Any = True,
) -> Iterator[Any]:
    """Show a bar while a phase of the work runs; it stays if the phase took two seconds."""
    form = "{desc}: {elapsed}" if total is None else None
    # A notebook shows the standard error in red.
    in_notebook = type(sys.stdout).__module__.startswith("ipykernel.")
    started = time.monotonic()
    bar = tqdm(
        total=total,
        initial=done,
        desc=phase,
        unit=unit,
        bar_format=form,
        disable=not verbose,
        file=sys.stdout if in_notebook else sys.stderr,
    )
    try:
        yield bar
    finally:
        bar.leave = time.monotonic() - started >= _WORTH_KEEPING
        bar.close()
