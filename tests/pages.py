"""Find the Python code in pages of the documentation."""

import re
import textwrap

_BLOCK = {
    ".md": re.compile(r"^```python\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL),
    ".rst": re.compile(r"^\.\. code-block:: python\n\n((?:(?:   .*)?\n)+)", flags=re.MULTILINE),
}


def python_blocks(path):
    """Each block, after as many empty lines as make errors name the line in the page."""
    text = path.read_text(encoding="utf-8")
    found = list(_BLOCK[path.suffix].finditer(text))
    # Indented ones, or those with options, would need another pattern.
    assert len(found) == len(re.findall(r"code-block:: *py|``` *py", text)), path
    return [
        "\n" * text.count("\n", 0, block.start(1)) + textwrap.dedent(block[1]) for block in found
    ]
