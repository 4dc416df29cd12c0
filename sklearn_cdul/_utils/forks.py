"""Functions to run around a fork, whose child has no thread but the one that forked."""

import os
from collections.abc import Callable


def in_child(function: Callable[[], object]) -> Callable[[], object]:
    """Run a function in the child of each fork: say, to renew a lock that no thread will free."""
    if hasattr(os, "register_at_fork"):  # Windows has no fork
        os.register_at_fork(after_in_child=function)
    return function


def before_fork(function: Callable[[], object]) -> Callable[[], object]:
    """Run a function before each fork: say, to end threads that the child would wait for."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=function)
    return function
