"""The page on trouble quotes messages that the package really gives, and all of its warnings."""

import ast
import re
from pathlib import Path

import pytest

import sklearn_cdul

PACKAGE = Path(sklearn_cdul.__file__).parent
PAGE = Path(__file__).parents[1] / "docs" / "troubleshooting.rst"

if not PAGE.exists():
    pytest.skip("these tests read a checkout of the source", allow_module_level=True)


def text_of(node):
    """The text of a string, with "…" for what is put in when the program runs."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return text_of(node.left) + text_of(node.right)
    return "…"


def name_of(call):
    return getattr(call.func, "id", getattr(call.func, "attr", ""))


TREES = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))]
NODES = [node for tree in TREES for node in ast.walk(tree)]
SOURCE = [text_of(node) for node in NODES if isinstance(node, (ast.Constant, ast.JoinedStr))]
SOURCE += [text_of(node) for node in NODES if isinstance(node, ast.BinOp)]
WARNINGS = sorted(
    {
        text_of(node.args[0])
        for node in NODES
        if isinstance(node, ast.Call) and name_of(node) in ("warn", "_warn") and node.args
    }
    - {"…"}  # those that pass on a text
)
QUOTED = re.findall(r"^``(.*)``$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)


def parts(message):
    """What stands between the gaps of a message, without full stops at their edges."""
    return [part for part in (part.strip(" .") for part in message.split("…")) if len(part) > 2]


def agree(quoted, message):
    """Whether all parts of a quotation stand in a message, in this order."""
    place = 0
    for part in parts(quoted):
        found = message.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return True


def test_there_are_many():
    assert len(QUOTED) > 40
    assert len(WARNINGS) > 15


@pytest.mark.parametrize("quoted", QUOTED)
def test_each_message_on_the_page_exists(quoted):
    assert any(agree(quoted, message) for message in SOURCE)


@pytest.mark.parametrize("message", WARNINGS)
def test_each_warning_is_on_the_page(message):
    assert any(agree(quoted, message) for quoted in QUOTED), "add it to docs/troubleshooting.rst"
