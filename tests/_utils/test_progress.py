"""What `verbose` shows: every phase while it runs, and those that took long afterwards."""

import re

import pytest

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul._utils import progress as module
from sklearn_cdul._utils.progress import progress

NAMES = ["pizza", "coffee", "cake"]
FIT = [
    "Checking photos",
    "Encoding prompts",
    "Loading the network",
    "Encoding",
    "Comparing with the classes",
    "Comparing photos",
    "Reading features",
    "Preparing the fit",
    "Training",
    "Finding thresholds",
]


def phases(text):
    """Names of the bars in what was written, in the order in which they began."""
    return list(dict.fromkeys(re.findall(r"(?:^|[\r\n])([A-Z][\w ]+): ", text)))


@pytest.mark.parametrize("labeler", [None, CLIPPseudoLabeler(grid_size=1)])
def test_one_setting_shows_every_phase_of_fit_and_of_prediction(
    food_photos, capsys, labeler, tmp_path
):
    classifier = CDULClassifier(
        NAMES, pseudo_labeler=labeler, image_size=64, verbose=True, memory=tmp_path
    )
    classifier.fit(food_photos.data[:4])
    shown = [name for name in phases(capsys.readouterr().err) if name != "Loading bundled"]
    assert [name for name in shown if name != "Looking up"] == FIT
    assert "Looking up" in shown  # in the folder
    classifier.predict(food_photos.data[:4])
    assert phases(capsys.readouterr().err) == ["Checking photos", "Predicting"]


def test_the_labeler_shows_its_phases(food_photos, capsys):
    labeler = CLIPPseudoLabeler(NAMES, grid_size=1, verbose=True).fit()
    labeler.transform(food_photos.data[:2])
    shown = [name for name in phases(capsys.readouterr().err) if name != "Loading bundled"]
    assert shown[-3:] == ["Checking photos", "Encoding", "Comparing with the classes"]


def test_without_verbose_nothing_is_shown(food_photos, capsys):
    CDULClassifier(NAMES, image_size=64).fit(food_photos.data[:4]).predict(food_photos.data[:4])
    assert capsys.readouterr().err == ""


def test_bars_of_short_phases_go_and_those_of_long_ones_stay(capsys, monkeypatch):
    with progress("Short", 1) as bar:
        bar.update(1)
    assert capsys.readouterr().err.split("\r")[-2].strip() == ""
    monkeypatch.setattr(module, "_WORTH_KEEPING", 0.0)
    with progress("Long", 2) as bar:
        bar.update(2)
    assert "Long: 100%" in capsys.readouterr().err.split("\r")[-1]
    with progress("Without parts"):
        pass
    assert re.search(r"Without parts: 00:00\s*$", capsys.readouterr().err)


def test_a_bar_ends_when_its_phase_fails(capsys):
    with pytest.raises(ValueError, match="no"), progress("Failing", 3):
        raise ValueError("no")
    assert not [bar for bar in module.import_tqdm()._instances if bar.desc == "Failing"]


@pytest.mark.slow
def test_a_notebook_keeps_one_line_of_each_long_phase_without_widgets():
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    from nbformat.v4 import new_code_cell, new_notebook

    notebook = new_notebook(cells=[new_code_cell(IN_A_NOTEBOOK)])
    # Lines that were written over are left out, as by what shows a notebook.
    nbclient.NotebookClient(notebook, coalesce_streams=True, timeout=300).execute()
    (output,) = notebook.cells[0].outputs  # and no warning
    assert output["name"] == "stdout"
    lines = [line[:10] for line in output["text"].split("\n") if line.strip()]
    assert lines == ["Kept: 100%", "Kept: 100%"]


IN_A_NOTEBOOK = """
import sys
sys.modules["ipywidgets"] = None  # as where it is not installed
from sklearn_cdul._utils import progress as module
module.import_tqdm()  # as before an encoder is loaded
import open_clip  # has bars of its own

for phase, least in (("Kept", 0.0), ("Short", 60.0), ("Kept", 0.0)):
    module._WORTH_KEEPING = least
    with module.progress(phase, 3) as bar:
        for _ in range(3):
            bar.update(1)
            bar.refresh()
"""
