"""The rooms of the package import each other one way, from the user's side to the pixels."""

import ast
from pathlib import Path

import pytest

import sklearn_cdul

PACKAGE = Path(sklearn_cdul.__file__).parent
# What a room (a folder, or a module beside them) may import of the others.
ARROWS = {
    "cli": {"classifier", "labeler", "class_names", "labels", "datasets", "review"}
    | {"onnx_classifier", "targets", "images", "exceptions"},
    "classifier": {"labeler", "training", "labels", "inputs", "images", "targets", "metrics"}
    | {"class_names", "compute", "exceptions"},
    "labeler": {"class_names", "encoders", "images", "labels", "inputs", "targets", "metrics"}
    | {"exceptions"},
    "onnx_classifier": {"inputs", "images", "labels", "compute", "exceptions"},
    "review": {"predictions", "targets", "images", "labels", "metrics", "inputs", "exceptions"}
    | {"classifier", "labeler", "training", "compute", "class_names", "datasets"},
    "displays": {"predictions", "images", "labels", "metrics", "inputs"},
    "predictions": {"labels", "targets", "images"},
    "training": {"labels", "memory", "images", "metrics", "compute", "exceptions"},
    "encoders": {"memory", "images", "compute", "exceptions"},
    "datasets": {"class_names", "targets", "images", "exceptions"},
    "metrics": {"targets"},
    "targets": {"images", "exceptions"},
    "inputs": {"images"},
    "images": {"exceptions"},
    "class_names": {"exceptions"},
    "memory": {"exceptions"},
    "labels": {"exceptions"},
    "compute": {"exceptions"},
    "exceptions": set(),
}
# Rooms that import no other and are open to all.
OPEN = {"_utils"}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room(module):
    """The room of a path or of a dotted name."""
    if isinstance(module, Path):
        return module.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return module.split(".")[1]


def imported(path):
    """Dotted names of all modules that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            yield node.module


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_room_imports_only_what_lies_behind_it(path):
    own = room(path)
    if own.startswith("_"):
        return  # a helper of the package itself
    others = {room(name) for name in imported(path) if name.startswith("sklearn_cdul.")}
    allowed = set() if own in OPEN else ARROWS[own] | OPEN
    assert others - {own} <= allowed


def test_the_arrows_have_no_circle():
    left = dict(ARROWS)
    while left:
        free = [name for name, behind in left.items() if not behind & left.keys()]
        assert free, f"a circle among {sorted(left)}"
        for name in free:
            del left[name]


@pytest.mark.parametrize("folder", ["images", "labels", "datasets", "displays", "review"])
def test_where_no_network_runs_torch_is_not_imported(folder):
    names = {name for path in (PACKAGE / folder).rglob("*.py") for name in imported(path)}
    assert not {name for name in names if name.split(".")[0] in ("torch", "open_clip", "timm")}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_file_opens_with_a_sentence(path):
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text.splitlines()[0].endswith((".", ":"))
