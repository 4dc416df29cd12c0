"""The Python code that a reader can copy from README.md and docs/ runs, page by page.

The blocks of a page share one namespace and run from top to bottom, in an empty folder. They may
use the names in `given`; all else they import or make themselves.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
import sklearn

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from tests.pages import python_blocks

ROOT = Path(__file__).parents[1]
# They train on all bundled photos, or two dozen networks for a search, or write an ONNX file.
SLOW = {"README.md", "start.rst", "scikit_learn.rst"}
SLOW |= {"partial_labels.rst", "large_jobs.rst", "persistence.rst"}
# Packages that only these pages need.
NEEDS = {"serving.rst": ["fastapi", "httpx", "multipart"]}

if not (ROOT / "docs").exists():
    pytest.skip("these tests read a checkout of the source", allow_module_level=True)


def blocks(path):
    return {code.strip() for code in python_blocks(path)}


# The first page of the site has README's lines, which run there.
README = ROOT / "README.md"
PAGES = [README] + [
    path
    for path in sorted((ROOT / "docs").rglob("*.rst"))
    if not {"auto_examples", "generated"} & set(path.parts) and blocks(path) - blocks(README)
]


@pytest.fixture(scope="module")
def given(food_photos):
    """What pages speak of without making it: photos, their labels and a fitted classifier."""
    names = ["pizza", "coffee", "cake"]
    columns = [food_photos.target_names.index(name) for name in names]
    shown = food_photos.target[:, columns]
    rows = np.concatenate([np.flatnonzero(column)[:4] for column in shown.T])
    paths = [food_photos.data[row] for row in rows]
    labels = shown[rows]
    observed = np.full(labels.shape, np.nan)
    observed[::2] = labels[::2]
    labeler = CLIPPseudoLabeler(names, grid_size=1)
    model = CDULClassifier(pseudo_labeler=labeler, image_size=64, random_state=0).fit(paths)
    return dict(names=names, paths=paths, labels=labels, observed=observed, model=model)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.name, marks=[pytest.mark.slow] * (path.name in SLOW))
        for path in PAGES
    ],
)
def test_code_of_a_page_runs_from_top_to_bottom(path, given, tmp_path, monkeypatch):
    for package in NEEDS.get(path.name, []):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()  # a folder that pages list
    for photo in given["paths"]:
        shutil.copy(photo, tmp_path / "photos")
    blocks, names = list(python_blocks(path)), dict(given)
    assert blocks
    with sklearn.config_context():  # a page may change scikit-learn's settings
        for code in blocks:
            exec(compile(code, path.name, "exec"), names)
