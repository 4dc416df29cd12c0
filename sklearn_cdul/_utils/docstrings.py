"""Fills docstrings with texts that several of them share, each written once."""

import re
from collections.abc import Callable, Mapping
from textwrap import indent
from typing import TypeVar

Documented = TypeVar("Documented")


def filled_with(texts: Mapping[str, str]) -> Callable[[Documented], Documented]:
    """Put texts in the place of their names, as in ``{X, y}`` on a line of a docstring."""

    def fill(documented: Documented) -> Documented:
        def replace(match: re.Match[str]) -> str:
            return indent("\n".join(texts[key] for key in match[2].split(", ")), match[1])

        if documented.__doc__:  # python -OO keeps none
            documented.__doc__ = re.sub(
                r"^( *)\{([\w, ]+)\}$", replace, documented.__doc__, flags=re.MULTILINE
            )
        return documented

    return fill
