"""The state of an estimator in files: plain values out, and parameters that are missing back in."""

import inspect
import os
from typing import Any

# Parameters that may be paths.
_PATHS = ("memory", "checkpoint", "pretrained")


class SavingMixin:
    """Saves an estimator as plain values, and loads those that earlier versions saved."""

    def __getstate__(self) -> dict[str, Any]:
        """State for files: paths and device as text, since types of one system fail on another."""
        state = dict(super().__getstate__())  # type: ignore[call-overload]  # not the attributes
        for name in _PATHS:
            if isinstance(state.get(name), os.PathLike):
                state[name] = os.fspath(state[name])
        if state.get("device") is not None:
            state["device"] = str(state["device"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a state over; parameters that it was saved without get their defaults."""
        defaults: dict[str, Any] = {}
        for each in reversed(type(self).__mro__):  # a subclass may name some parameters only
            parameters = inspect.signature(vars(each).get("__init__", object)).parameters.values()
            defaults |= {p.name: p.default for p in parameters if p.default is not p.empty}
        super().__setstate__(defaults | state)  # type: ignore[misc]
