"""Show how far each phase of the work has got, in a terminal or a notebook."""

import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

# Bars of shorter phases go away once they are done.
_WORTH_KEEPING = 2.0


@cache
def import_tqdm() -> Any:
    """Import tqdm without the warning of tqdm.auto, which comes with open_clip."""
    # In a notebook it asks for ipywidgets, and when that is opened again, it shows "0%" for each
    # phase. These bars are plain ones.
    import tqdm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tqdm.TqdmWarning)
        import_module("tqdm.auto")
    return tqdm.tqdm


def _ignore(*_: Any, **__: Any) -> None:
    """What a bar does that is not shown."""


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
    # An exported classifier also runs where tqdm is not installed.
    if not verbose or find_spec("tqdm") is None:
        yield SimpleNamespace(n=done, update=_ignore, set_postfix=_ignore)
        return
    form = "{desc}: {elapsed}" if total is None else None
    # A notebook shows the standard error in red.
    in_notebook = type(sys.stdout).__module__.startswith("ipykernel.")
    started = time.monotonic()
    bar = import_tqdm()(
        total=total,
        initial=done,
        desc=phase,
        unit=unit,
        bar_format=form,
        file=sys.stdout if in_notebook else sys.stderr,
    )
    try:
        yield bar
    finally:
        bar.leave = time.monotonic() - started >= _WORTH_KEEPING
        bar.close()
