"""Sphinx configuration: numpydoc for the API, sphinx-gallery for examples, no network."""

import os
import re
import sys
import textwrap
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the examples must run on the bundled encoder
os.environ.setdefault("MPLBACKEND", "Agg")

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

import sklearn_cdul

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

project = "sklearn_cdul"
author = "the sklearn_cdul developers"
copyright = "2026, the sklearn_cdul developers"
version = release = sklearn_cdul.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "charts",
]
templates_path = ["_templates"]
exclude_patterns = ["_build"]

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings state types, with shapes
toc_object_entries = False
numpydoc_show_class_members = False  # _templates/autosummary/class.rst lists them

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "within_subsection_order": "FileNameSortKey",
    "doc_module": "sklearn_cdul",
    "backreferences_dir": "api/generated/examples",
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "show_signature": False,
    "download_all_examples": False,
    "min_reported_time": 5,
    "write_computation_times": False,  # its page loads scripts from elsewhere
}

html_theme = "pydata_sphinx_theme"
html_title = "sklearn_cdul"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 5,
    "show_nav_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": [], "start": [], "method": [], "changelog": [], "benchmarks": []}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"


def visit_inline_math(translator, node):
    """Write the formula as MathML, which browsers render without a script."""
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def visit_displayed_math(translator, node):
    """Write a formula on a line of its own as MathML."""
    translator.body.append(f"<p>{tex2mathml(node.astext(), as_block=True)}</p>")
    raise nodes.SkipNode


def skip_generated_methods(app, what, name, obj, skip, options):
    """Skip the methods that scikit-learn adds to each estimator; its own pages describe them."""
    return True if re.fullmatch(r"set_\w+_request", name) else skip


def markdown_to_rst(app, docname, source):
    """Make pages of CHANGELOG.md and CONTRIBUTING.md, whose Markdown is plain."""
    if docname not in ("changelog", "contributing"):
        return
    path = ROOT / f"{docname.upper()}.md"
    app.env.note_dependency(str(path))
    # Text and code blocks alternate.
    parts = re.split(r"^```(\w+\n.*?\n)```$", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    for index, part in enumerate(parts):
        if index % 2:
            language, code = part.split("\n", 1)
            parts[index] = f".. code-block:: {language}\n\n{textwrap.indent(code, '   ')}"
            continue
        part = part.replace("`", "``")
        part = re.sub(r"\[([^\]]+)\]\((\S+?)\)", r"`\1 <\2>`__", part)
        for marks, line in (("### ", "~"), ("## ", "-"), ("# ", "=")):
            part = re.sub(
                rf"^{marks}(.*)$", lambda m, c=line: f"{m[1]}\n{c * len(m[1])}", part, flags=re.M
            )
        parts[index] = part
    source[0] = "".join(parts)


def setup(app):
    """Register the functions above."""
    app.add_html_math_renderer("mathml", (visit_inline_math, None), (visit_displayed_math, None))
    app.connect("autodoc-skip-member", skip_generated_methods)
    app.connect("source-read", markdown_to_rst)


html_math_renderer = "mathml"
