"""The benchmark scripts: all answer --help; those for data sets run on a small folder of VOC."""

import contextlib
import csv
import io
import re
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = {path.name for path in BENCHMARKS.glob("*.py")} - {"common.py"}
pytestmark = pytest.mark.skipif(not SCRIPTS, reason="installed without the benchmarks")


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_every_script_answers_help(script, monkeypatch, capsys):
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(BENCHMARKS / script), run_name="__main__")
    assert caught.value.code == 0
    assert f"usage: {script}" in capsys.readouterr().out


def test_the_readme_lists_every_script_and_no_other():
    readme = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(\w+\.py)\b", readme)) == SCRIPTS | {"common.py"}


@pytest.mark.parametrize(
    "given, printed",
    [
        (Path("/data/mine/VOCdevkit"), "VOCdevkit"),
        ("local-dir:/data/mine/clip", "local-dir:clip"),
        ("hf-hub:timm/ViT", "hf-hub:timm/ViT"),
        ([0, "b"], "0 b"),
        (None, ""),
    ],
)
def test_the_heading_names_no_folders_of_the_machine(given, printed, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import common

    assert common.shown(given) == printed


def run(script, *arguments):
    """What a script prints; it runs in this process, where all that it imports is there already."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
        patch.syspath_prepend(BENCHMARKS)
        patch.delitem(sys.modules, "common", raising=False)
        patch.setattr(sys, "argv", [script, *map(str, arguments)])
        runpy.run_path(str(BENCHMARKS / script), run_name="__main__")
    return out.getvalue()


def lay_out(food_photos, tmp_path_factory, classes):
    """24 of the bundled photos with two of their classes under names of VOC, by voc_tree.py."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "images").mkdir()
    columns = {name: food_photos.target_names.index(own) for name, own in classes.items()}
    shown = food_photos.target[:, list(columns.values())].any(axis=1).nonzero()[0][:24]
    with open(folder / "labels.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["filename", "labels", "split"])
        for number, index in enumerate(shown):
            path = Path(food_photos.data[index])
            shutil.copy(path, folder / "images")
            names = [name for name, c in columns.items() if food_photos.target[index, c]]
            table.writerow([path.name, ";".join(names), "test" if number % 3 == 0 else "train"])
    out = tmp_path_factory.mktemp("tree")
    run("voc_tree.py", "--photos", folder, "--out", out)
    return out


@pytest.fixture(scope="module")
def tree(food_photos, tmp_path_factory):
    return lay_out(food_photos, tmp_path_factory, {"bottle": "bottle", "person": "person"})


@pytest.fixture(scope="module")
def strangers(food_photos, tmp_path_factory):
    """Under names of things that no food photo shows, so that they count as VOC's own classes."""
    return lay_out(food_photos, tmp_path_factory, {"bus": "bottle", "train": "person"})


def rows(output):
    """Cells of each line of a table, by the first."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in output.splitlines()]
    return {line[0]: line[1:] for line in lines if line[1:]}


@pytest.mark.slow
def test_the_papers_setting_runs_and_takes_up_where_it_was_stopped(tree, tmp_path):
    arguments = [
        *("--data", tree, "--out", tmp_path / "out", "--model-name", "bundled"),
        *("--pretrained", "", "--network", "bundled", "--image-size", 64, "--epochs", 1),
    ]
    first = run("reproduce_paper.py", *arguments)
    table = rows(first)
    for name in ("pseudo labels", "network, the paper's updates", "network, fixed labels"):
        assert len([float(figure) for figure in table[name]]) >= 2
    assert "CCD (CVPR 2025)" in table
    assert "network, fixed labels, seed 0" in first

    finished = sorted((tmp_path / "out").glob("network_*.joblib"))
    finished[1].unlink()
    again = run("reproduce_paper.py", *arguments)
    assert rows(again)["network, fixed labels"] == table["network, fixed labels"]
    assert "network, fixed labels, seed 0" in again  # was deleted
    assert "network, the paper's updates, seed 0" not in again

    arguments[-1] = 2
    with pytest.raises(SystemExit, match="names other parameters"):
        run("reproduce_paper.py", *arguments)


# Of each script on the folder of a data set: options that make it short, and rows that it prints.
FEW = ("--max-photos", 2, "--timed", 1, "--repeats", 1)
ON_A_FOLDER = {
    "accuracy.py": (
        ("--epochs", 1, "--seeds", 1, "--networks", 0, 2, 5, 7),
        ("CLIP, whole photo", "pseudo labels", "default", "true labels"),
    ),
    "partial_labels.py": (("--epochs", 1, "--seeds", 1), ("0%", "10%", "25%", "50%", "100%")),
    "few_labels.py": (
        ("--features", "features", "--seeds", 1),
        ("0", "10 at random", "10 uncertain", "10 diverse", "10 suggest_photos"),
    ),
    "background_classes.py": (
        ("--seeds", 1, "--max-photos", 24),
        ("labels, no others", 'network, "general"', "labels, names of what they show"),
    ),
    "open_world.py": (
        ("--tables", "strangers", "absent", "mixed", "--max-photos", 24),
        ("trained on own, without", "trained on both, with", "without", "with"),
    ),
    "proposals.py": (
        ("--max-photos", 2, "--timed", 2, "--draws", 1),
        ("whole photo", "grid 3 x 3", "9 proposals", "nothing", "25%, mean", "50%, drop"),
    ),
    "int8.py": (FEW, ("alone", "photos", "float32", "int8")),
    "views.py": (FEW, ("whole photo", "grid 3 x 3", "dense", "grid 3 x 3 and dense")),
}


@pytest.mark.slow
@pytest.mark.parametrize("script", ON_A_FOLDER)
def test_a_script_prints_figures_for_each_of_its_rows(
    script, tree, strangers, memory, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # some write there
    options, names = ON_A_FOLDER[script]
    data = strangers if script in ("background_classes.py", "open_world.py") else tree
    kept = [] if script == "int8.py" else ["--memory", memory]
    table = rows(run(script, "--data", data, "--min-positives", 1, *kept, *options))
    for name in names:
        figures = [float(re.sub(r"[^0-9.e+-].*", "", figure)) for figure in table[name]]
        assert np.isfinite(figures).all() and len(figures) > 0, name


@pytest.mark.slow
def test_ablations_print_their_tables(tree, memory, tmp_path):
    output = run(
        "ablations.py",
        *("--data", tree, "--features", tmp_path / "features", "--memory", memory),
        *("--min-positives", 1),
    )
    for title in ("grid size", "temperature", "what the network looks at", "labels and updates"):
        assert f"\n{title}" in output


@pytest.mark.slow
def test_answers_change_probabilities_and_thresholds(memory, tmp_path):
    options = "--features", tmp_path / "features", "--memory", memory, "--max-photos", 40
    table = rows(run("answers.py", *options, "--seeds", 1))
    columns = {
        way: [float(cell) for cell in table[f"doubtful, {way}"]] for way in ("none", "observed")
    }
    assert columns["none"][9] > columns["observed"][9]  # answers that are contradicted


@pytest.mark.slow
def test_decoders_are_compared():
    pytest.importorskip("simplejpeg")
    output = run("decoding.py", "--pixels", 96, "--least", 30, "--n-images", 2, "--repeats", 1)
    table = rows(output)
    assert float(table["simplejpeg"][2]) < 1
