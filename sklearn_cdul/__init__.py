"""Unlabelled photos and class names in, a fast multi-label classifier out."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sklearn_cdul._utils.show_versions import show_versions
    from sklearn_cdul.classifier import CDULClassifier
    from sklearn_cdul.encoders.base import BaseEncoder
    from sklearn_cdul.labeler import CLIPPseudoLabeler
    from sklearn_cdul.onnx_classifier import ONNXClassifier, load_onnx

__all__ = [
    "BaseEncoder",
    "CDULClassifier",
    "CLIPPseudoLabeler",
    "ONNXClassifier",
    "load_onnx",
    "show_versions",
]
__version__ = "0.1.0"

# Modules with public names; docs/api/index.rst lists these names.
_MODULES = (
    "datasets",
    "displays",
    "encoders",
    "exceptions",
    "images",
    "labels",
    "memory",
    "metrics",
    "review",
    "targets",
    "training",
)
# Where the other names are. They are imported when they are first used: torch takes seconds, and
# the command line should answer `--help` and a wrong path at once.
_HOMES = {
    "BaseEncoder": "encoders.base",
    "CDULClassifier": "classifier",
    "CLIPPseudoLabeler": "labeler",
    "ONNXClassifier": "onnx_classifier",
    "load_onnx": "onnx_classifier",
    "show_versions": "_utils.show_versions",
}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return importlib.import_module(f"sklearn_cdul.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"sklearn_cdul.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'sklearn_cdul' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES, "__version__"])
