"""The benchmark scripts: all answer --help; those for data sets run on a small folder of VOC."""

import csv
import json
import re
import runpy
import shutil
import subprocess
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
    command = [sys.executable, str(BENCHMARKS / script), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True)


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
    table = rows(first.stdout)
    for name in ("pseudo labels", "network, the paper's updates", "network, fixed labels"):
        assert all(0 < float(figure) <= 100 for figure in table[name])
    assert "CCD (CVPR 2025)" in table
    assert "network, fixed labels, seed 0" in first.stdout

    finished = sorted((tmp_path / "out").glob("network_*.joblib"))
    finished[1].unlink()
    again = run("reproduce_paper.py", *arguments)
    assert rows(again.stdout)["network, fixed labels"] == table["network, fixed labels"]
    assert "network, fixed labels, seed 0" in again.stdout  # was deleted
    assert "network, the paper's updates, seed 0" not in again.stdout

    arguments[-1] = 2
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run("reproduce_paper.py", *arguments)
    assert "names other parameters" in caught.value.stderr


@pytest.mark.slow
def test_accuracy_has_a_row_a_step(tree, tmp_path):
    output = run(
        "accuracy.py",
        *("--data", tree, "--memory", tmp_path, "--epochs", 1, "--seeds", 1),
        *("--networks", 0, 2, 5, 7, "--min-positives", 1),
    ).stdout
    table = rows(output)
    for name in ("CLIP, whole photo", "pseudo labels", "default", "true labels"):
        assert all(0 <= float(figure) <= 100 for figure in table[name][:3])
    assert "all layers trained, no regions, 224 pixels" in output


@pytest.mark.slow
def test_given_labels_are_measured(tree, tmp_path):
    output = run(
        "partial_labels.py",
        *("--data", tree, "--memory", tmp_path, "--epochs", 1, "--seeds", 1),
        *("--min-positives", 1),
    ).stdout
    shares = [name for name in rows(output) if name.endswith("%")]
    assert shares == ["0%", "10%", "25%", "50%", "100%"]


@pytest.mark.slow
def test_few_labels_are_measured_in_every_way(tree, tmp_path):
    output = run(
        "few_labels.py",
        *("--data", tree, "--memory", tmp_path / "memory", "--features", tmp_path / "features"),
        *("--seeds", 1, "--min-positives", 1),
    ).stdout
    table = rows(output)
    for name in ("0", "10 at random", "10 uncertain", "10 diverse", "10 suggest_photos"):
        assert all(0 <= float(figure) <= 100 for figure in table[name])
    assert "25 at random" not in table  # there are fewer photos


@pytest.mark.slow
def test_strangers_are_measured_with_and_without_other_classes(food_photos, tmp_path_factory):
    # Under names of things that no food photo shows, so that they count as VOC's own classes.
    tree = lay_out(food_photos, tmp_path_factory, {"bus": "bottle", "train": "person"})
    output = run(
        "background_classes.py",
        *("--data", tree, "--seeds", 1, "--min-positives", 1),
        *("--memory", tmp_path_factory.mktemp("memory")),
    ).stdout
    table = rows(output)
    for name in ("labels, no others", 'network, "general"', "labels, what the strangers show"):
        assert all(float(figure) >= 0 for figure in table[name])
        assert len(table[name]) == 4


@pytest.mark.slow
def test_proposals_are_measured_next_to_the_grid(tree, tmp_path):
    output = run(
        "proposals.py",
        *("--data", tree, "--memory", tmp_path, "--max-photos", 2, "--timed", 2),
        *("--draws", 1, "--min-positives", 1),
    ).stdout
    table = rows(output)
    for name in ("whole photo", "grid 3 x 3", "9 proposals", "nothing", "25%, mean", "50%, drop"):
        assert np.isfinite([float(figure) for figure in table[name]]).all()
    assert float(table["9 proposals"][2]) > float(table["grid 3 x 3"][2]) == 0


@pytest.mark.slow
def test_ablations_print_their_tables(tree, tmp_path):
    output = run(
        "ablations.py",
        *("--data", tree, "--features", tmp_path / "features", "--memory", tmp_path),
        *("--min-positives", 1),
    ).stdout
    for title in ("grid size", "temperature", "what the network looks at", "labels and updates"):
        assert f"\n{title}" in output


@pytest.mark.slow
def test_int8_is_measured_next_to_float32(tree):
    output = run(
        "int8.py",
        *("--data", tree, "--max-photos", 2, "--timed", 1, "--repeats", 1, "--min-positives", 1),
    ).stdout
    table = rows(output)
    for name in ("alone", "photos", "float32", "int8"):
        assert np.isfinite([float(figure) for figure in table[name]]).all()
    assert float(re.search("mean ([0-9.]+)", output)[1]) > 0.97


@pytest.mark.slow
def test_windows_are_measured_next_to_snippets(tree, tmp_path):
    output = run(
        "views.py",
        *("--data", tree, "--memory", tmp_path, "--max-photos", 2, "--timed", 1),
        *("--repeats", 1, "--min-positives", 1),
    ).stdout
    table = rows(output)
    for name in ("whole photo", "grid 3 x 3", "dense", "grid 3 x 3 and dense"):
        assert np.isfinite([float(figure) for figure in table[name]]).all()
    assert float(table["dense"][3]) < float(table["grid 3 x 3"][3]) == 1


@pytest.mark.slow
def test_all_figures_of_speed_come_from_one_command(tmp_path):
    run("speed.py", *("--tiny", "--device", "cpu", "--out", tmp_path / "speed.json"))
    written = json.loads((tmp_path / "speed.json").read_text())
    assert {"date", "instructions", "threads", "torch", "pillow"} <= set(written["machine"])
    *timed, growth = written["scripts"]
    tables = {table["title"]: table["rows"] for part in timed for table in part["tables"]}
    encoding = tables["encode, 96 px"]
    assert encoding["ours"]["of bound"] > 0
    assert encoding["one crop at a time"]["by crop = 1"] == 1
    training = next(rows for title, rows in tables.items() if title.startswith("train, bundled"))
    assert training["bare loop"]["of bare loop"] == 1
    prediction = next(rows for title, rows in tables.items() if title.startswith("predict"))
    assert 0 < prediction["files"]["of network"] < prediction["files"]["of bound"]
    assert tables["search"]["extraction"]["ratio"] == 1
    assert growth["rows"]


@pytest.mark.slow
def test_decoders_are_compared():
    pytest.importorskip("simplejpeg")
    output = run("decoding.py", "--pixels", 96, "--least", 30, "--n-images", 2, "--repeats", 1)
    table = rows(output.stdout)
    assert float(table["simplejpeg"][2]) < 1
