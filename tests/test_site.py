"""The documentation builds, its links lead somewhere, and its pages load nothing from elsewhere.

The gallery's examples are not run here: the documentation's own build does that.
"""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow
if not (ROOT / "docs").exists():
    pytest.skip("these tests read a checkout of the source", allow_module_level=True)
for package in ("sphinx_gallery", "numpydoc", "pydata_sphinx_theme", "sphinx_copybutton"):
    pytest.importorskip(package)
pytest.importorskip("sphinx_design")


class Page(HTMLParser):
    """What a page links to, what a browser loads for it, and the anchors in it."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loaded, self.anchors = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors |= {given[key] for key in ("id", "name") if given.get(key)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        elif tag == "link" and "canonical" not in given.get("rel", "") and given.get("href"):
            # Those to search and index are no files that are loaded.
            kind = self.loaded if "stylesheet" in given["rel"] else self.links
            kind.append(given["href"])
        if given.get("src"):
            self.loaded.append(given["src"])
        self.loaded += [part.split()[0] for part in given.get("srcset", "").split(",") if part]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of a site that was built with warnings as errors."""
    folder = tmp_path_factory.mktemp("site")
    arguments = ["-q", "-W", "--keep-going", "-D", "plot_gallery=0", "-b", "html"]
    arguments += ["-d", str(folder / "doctrees"), "docs", str(folder / "html")]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def pages(site):
    paths = [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]
    return {path: Page(path) for path in paths}


def test_there_are_the_four_doors(site):
    names = ["index.html", "start.html", "guide.html", "auto_examples/index.html", "api/index.html"]
    assert all((site / name).exists() for name in names)


def test_links_inside_lead_to_a_page_and_a_place_in_it(pages):
    dead = set()
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = pages[target].anchors if target in pages else set()
            found = target.exists() and (
                not parts.fragment
                or target not in pages
                or unquote(parts.fragment) in anchors
                or target.name == "search.html"
            )
            if not found:
                dead.add((path.name, link))
    assert not dead


def test_pages_load_nothing_from_elsewhere(site, pages):
    loaded = {(path.name, link) for path, page in pages.items() for link in page.loaded}
    assert not [(name, link) for name, link in loaded if urlsplit(link).netloc]
    styles = {path.name: path.read_text(encoding="utf-8") for path in site.rglob("*.css")}
    outside = re.compile(r"(?:url\(|@import)\s*[\"']?\s*(?:https?:)?//")
    assert not [name for name, text in styles.items() if outside.search(text)]


def test_every_file_that_a_page_loads_is_there(pages):
    missing = set()
    for path, page in pages.items():
        for link in page.loaded:
            parts = urlsplit(link)
            if parts.scheme != "data" and not (path.parent / unquote(parts.path)).exists():
                missing.add((path.name, link))
    assert not missing
