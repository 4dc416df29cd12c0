"""What somebody meets who has just installed the package."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import sklearn_cdul
from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler

ROOT = Path(__file__).parents[1]


def test_without_names_a_warning_says_whose_names_are_taken(food_photos):
    with pytest.warns(UserWarning, match=r"those of MS-COCO are used.*CDULClassifier\(\["):
        labeler = CLIPPseudoLabeler().fit()
    assert len(labeler.class_names_) == 80
    # A labeler without names, and none at all.
    for classifier in (
        CDULClassifier(image_size=64),
        CDULClassifier(pseudo_labeler=CLIPPseudoLabeler(grid_size=1), image_size=64),
    ):
        with pytest.warns(UserWarning, match="No class names were given"):
            classifier.fit(food_photos.data[:2])


def test_a_vocabulary_by_name_is_taken_without_a_word(recwarn):
    assert len(CLIPPseudoLabeler("coco").fit().class_names_) == 80
    assert not [str(each.message) for each in recwarn]


def test_few_photos_give_rise_to_a_warning(food_photos):
    classifier = CDULClassifier(["pizza", "cake"], image_size=64)
    with pytest.warns(UserWarning, match="2 photos are too few to learn from"):
        classifier.fit(food_photos.data[:2])


def test_dir_shows_public_names_alone_and_all_can_be_had():
    shown = dir(sklearn_cdul)
    assert set(sklearn_cdul.__all__) < set(shown)
    for name in shown:
        assert getattr(sklearn_cdul, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sklearn_cdul.nothing  # noqa: B018


@pytest.mark.skipif(not (ROOT / "docs").exists(), reason="reads a checkout")
def test_modules_that_dir_shows_are_those_of_the_api_reference():
    reference = (ROOT / "docs/api/index.rst").read_text(encoding="utf-8")
    modules = set(re.findall(r"^   sklearn_cdul\.(\w+)\.\w+$", reference, flags=re.M))
    assert modules == set(sklearn_cdul._MODULES), "_MODULES in sklearn_cdul/__init__.py"


def test_modules_come_with_the_package():
    code = "import sklearn_cdul; print(sklearn_cdul.datasets.load_food_photos().target.shape[1])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "20"


@pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="reads a checkout")
def test_on_a_package_index_the_readme_has_no_link_that_leads_nowhere():
    tomllib = pytest.importorskip("tomllib")  # from Python 3.11
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    hook = settings["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for change in hook["substitutions"]:
        text = re.sub(change["pattern"], change["replacement"], text)
    assert not re.findall(r"\]\((?!https?:|#)[^)]*\)", text)
    assert "docs/_static" not in text
    assert "[CLIP_benchmark](https://" in text.replace("\n", " ")
