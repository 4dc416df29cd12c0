"""What the smaller commands promise: plans, facts, suggestions, thresholds, search, copies."""

import csv
import os
import re
import shutil
from pathlib import Path

import joblib
import numpy as np
import pytest
from PIL import Image
from scipy.special import expit, logit

from sklearn_cdul.cli import main
from sklearn_cdul.datasets import list_photos, load_csv
from sklearn_cdul.review import suggest_photos
from sklearn_cdul.targets import read_targets
from tests.cli.conftest import FAST, FAST_TRAINING, NAMES

LABEL = ["label", "photos", "--classes", "names.txt", *FAST]
TRAIN = ["train", "photos", "--classes", "names.txt", "--out", "new.joblib", *FAST_TRAINING]


def files():
    return {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            [*LABEL, "--out", "new.csv", "--memory", "cache"],
            ["encoder: bundled", "output: csv, new.csv", "memory: cache; .*"],
        ),
        (
            [*TRAIN, "--observed", "known.csv", "--report", "new.html"],
            ["encoder: bundled", "output: a classifier, new.joblib", "report: new.html"],
        ),
        (["predict", "model.joblib", "photos", "--format", "xmp"], ["output: xmp, beside the .*"]),
    ],
    ids=["label", "train", "predict"],
)
def test_a_dry_run_says_what_would_be_done_and_writes_nothing(folder, capsys, command, expected):
    Path("known.csv").write_text(f"path,cake\n{list_photos('photos')[0]},1\n")
    Path("photos/page.png").write_text("<html>")
    whole = Path(list_photos("photos")[0]).read_bytes()
    Path("photos/cut.jpg").write_bytes(whole[: len(whole) // 2])
    before = files()
    assert main([*command, "--dry-run"]) == 3  # as without --dry-run
    captured = capsys.readouterr()
    assert "2 of 8 photos can't be used" in captured.err
    assert captured.err.count("page.png") == captured.err.count("cut.jpg") == 1
    photos, classes, *others, last = captured.out.splitlines()
    assert photos.startswith("photos: 6, from photos")
    assert classes == "classes: 3, bread, cake, salad"
    assert all(re.fullmatch(*pair) for pair in zip(expected, others, strict=True))
    assert re.fullmatch(r"time: about (a second|\d+ (seconds|minutes)); 6 photos were timed", last)
    assert files() == before


def test_a_dry_run_finds_what_is_wrong(folder, capsys):
    Path("known.csv").write_text("path,cake\ngone.jpg,1\n")
    assert main([*TRAIN, "--observed", "known.csv", "--dry-run"]) == 1
    assert "gone.jpg" in capsys.readouterr().err
    Path("page.png").write_text("<html>")
    assert main(["predict", "model.joblib", "page.png", "--dry-run"]) == 1
    assert "none of the 1 photos can be used" in capsys.readouterr().err


def test_a_limit_takes_photos_from_all_over_the_folder(folder, capsys):
    every = [path.replace(os.sep, "/") for path in list_photos("photos")]
    assert main(["predict", "model.joblib", "photos", "--limit", "2", "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split(",")[0] for line in lines] == [every[0], every[3]]
    assert main(["predict", "model.joblib", "photos", "--limit", "99", "--quiet"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 7
    with pytest.raises(SystemExit):
        main(["predict", "model.joblib", "photos", "--limit", "0"])


def test_info_shows_what_a_classifier_comes_from(onnx_file, folder, capsys):
    model = joblib.load("same.joblib")
    shown = []
    for name in ("same.joblib", "model.onnx"):
        assert main(["info", name]) == 0
        first, *lines = capsys.readouterr().out.splitlines()
        assert re.fullmatch(rf"{name}: [\d.]+ MB, written \d{{4}}-\d\d-\d\d \d\d:\d\d", first)
        shown.append(lines)
    assert shown[0] == shown[1]
    assert shown[0][:5] == [
        "encoder: bundled",
        "views: the whole photo",
        "network: bundled, input of 64 pixels",
        "training: ridge",
        "trained on: 16 photos",
    ]
    pairs = zip(model.class_names_, model.thresholds_, strict=True)
    assert shown[0][6:] == [f"  {threshold:.3f}  {name}" for name, threshold in pairs]


def test_suggest_lists_photos_and_makes_a_table_to_fill_in(folder, capsys):
    photos = list_photos("photos")
    expected = [photos[row] for row in suggest_photos(joblib.load("model.joblib"), photos, 2)]
    command = ["suggest", "model.joblib", "photos", "-n", "2", "--quiet"]
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines() == expected
    assert main([*command, "--out", "todo.csv"]) == 0
    text = Path("todo.csv").read_text()
    assert text.splitlines()[0] == "path,bread,cake,salad"
    assert np.isnan(read_targets("todo.csv", NAMES, photos)).all()
    Path("todo.csv").write_text(text.replace(",,,", ",1,,0", 1))
    labels = read_targets("todo.csv", NAMES, photos)
    np.testing.assert_array_equal(labels[photos.index(expected[0])], [1, np.nan, 0])
    assert main([*command, "--observed", "todo.csv"]) == 0  # that one is done
    assert expected[0] not in capsys.readouterr().out.splitlines()


def test_fit_thresholds_takes_the_photos_of_the_labels(folder, capsys):
    photos = list_photos("photos")
    labels = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 0], [0, 0, 0]])
    rows = [f"{path},{','.join(map(str, row))}\n" for path, row in zip(photos, labels, strict=True)]
    Path("labels.csv").write_text(f"path,{','.join(NAMES)}\n" + "".join(rows))
    model = joblib.load("model.joblib")
    before, start = logit(model.thresholds_), model.calibration_
    expected = model.fit_thresholds(photos, labels).thresholds_
    command = ["fit-thresholds", "model.joblib", "labels.csv", "--out", "new.joblib", "--quiet"]
    for more in ([], ["--photos", "photos"]):
        assert main([*command, *more]) == 0
        np.testing.assert_allclose(joblib.load("new.joblib").thresholds_, expected, rtol=1e-4)
    # Those from before are what they are among the probabilities of now.
    slope, offset, _ = model.calibration_.T
    before = expit((before - start[:, 1]) / start[:, 0] * slope + offset)
    pairs = zip(NAMES, before, expected, strict=True)
    lines = [f"{old:.3f} -> {new:.3f}  {name}" for name, old, new in pairs]
    assert capsys.readouterr().out.splitlines() == 2 * lines


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,cake\ngone.jpg,1\n", "line 2 of labels.csv: no photo gone.jpg is there"),
        ("cake,salad\n1,0\n", "labels.csv has no column 'path': add --photos"),
    ],
)
def test_labels_of_no_photos_are_refused(folder, capsys, text, message):
    Path("labels.csv").write_text(text)
    assert main(["fit-thresholds", "model.joblib", "labels.csv", "--out", "new.joblib"]) == 1
    assert capsys.readouterr().err.rstrip().endswith(message)
    assert not Path("new.joblib").exists()


def test_an_onnx_file_keeps_its_thresholds(onnx_file, folder, capsys):
    assert main(["fit-thresholds", "model.onnx", "labels.csv", "--out", "new.joblib"]) == 1
    assert "can't be changed: give a joblib file" in capsys.readouterr().err


def test_search_ranks_photos_by_words(folder, capsys, food_photos):
    column = food_photos.target_names.index("pizza")
    pizza = food_photos.data[int(np.argmax(food_photos.target[:, column]))]
    shutil.copy(pizza, "photos/a.jpg")
    command = ["search", "pizza", "photos", "-n", "3", "--quiet", "--memory", "cache", *FAST]
    assert main(command) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert rows[0]["path"] == str(Path("photos/a.jpg"))
    scores = [float(row["similarity"]) for row in rows]
    assert len(rows) == 3 and scores == sorted(scores, reverse=True)
    assert main([*command, "--out", "found.csv"]) == 0
    assert list(csv.DictReader(Path("found.csv").read_text().splitlines())) == rows


def test_duplicates_are_listed_in_groups(folder, capsys):
    first, second, *_ = list_photos("photos")
    with Image.open(first) as image:
        image.resize((image.width * 2 // 3, image.height * 2 // 3)).save("photos/x.jpg", quality=85)
    shutil.copy(second, "photos/y.jpg")
    Path("photos/page.png").write_text("<html>")
    assert main(["duplicates", "photos", "--quiet"]) == 3
    captured = capsys.readouterr()
    rows = list(csv.DictReader(captured.out.splitlines()))
    names = [(row["group"], Path(row["path"]).name) for row in rows]
    expected = [("1", Path(first).name), ("1", "x.jpg"), ("2", Path(second).name), ("2", "y.jpg")]
    assert names == expected
    assert "2 groups of duplicates, 2 photos more than needed" in captured.err
    assert main(["duplicates", "photos/page.png", "--quiet"]) == 3
    assert capsys.readouterr().err.endswith("sklearn-cdul: no duplicates\n")


def test_label_writes_a_report_before_anything_is_trained(folder, capsys):
    assert main([*LABEL, "--out", "labels.csv", "--report", "report.html", "--quiet"]) == 0
    page = Path("report.html").read_text(encoding="utf-8")
    assert "6 photos, 3 classes; encoder bundled" in page
    assert main(["report", "model.joblib", "photos", "--out", "report.html", "--quiet"]) == 0
    page = Path("report.html").read_text(encoding="utf-8")
    assert "6 photos, 3 classes; encoder bundled, network bundled" in page


def test_messages_name_options_as_python_does_and_say_what_they_are(folder, capsys):
    Path("one.txt").write_text("cake\n")
    Path("memory").write_text("a file")
    assert main(["label", "photos", "--classes", "one.txt", "--quiet", *FAST]) == 0
    warning = capsys.readouterr().err
    assert (
        'show as background_classes, or take background_classes="general". In the shell '
        "background_classes is --background-classes." in warning
    )
    for more, message in {
        "--memory memory": "stored in the folder memory='",
        "--model-name ViT-B-99": "error: model_name='ViT-B-99' is not a model of open_clip",
        "--model-name ViT-B-98": "In the shell model_name is --model-name.\n",
        "--classes background_classes.txt": "there is no file background_classes.txt with class",
    }.items():
        assert main([*LABEL, *more.split()]) == 1
        assert message in capsys.readouterr().err


def test_names_go_into_sidecars_and_folders(folder, capsys):
    assert main(["predict", "model.joblib", "photos", "--out", "labels.csv", "--quiet"]) == 0
    labels = load_csv("labels.csv", classes=NAMES)
    assert main(["predict", "model.joblib", "photos", "--format", "xmp", "--quiet"]) == 0
    shown = labels.target.any(axis=1)
    sidecars = {f"{path}.xmp" for path, any_ in zip(labels.data, shown, strict=True) if any_}
    assert {str(path) for path in Path().rglob("*.xmp")} == sidecars
    command = ["predict", "model.joblib", "photos", "--format", "folders", "--out", "sorted"]
    assert main([*command, "--quiet"]) == 0
    assert sum(path.is_file() for path in Path("sorted").rglob("*")) == labels.target.sum()
    assert main(command) == 1  # now it is there
    assert "sorted is there already, and is no empty folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("--format xmp --out o.xmp", "--format xmp writes beside the photos: leave out --out"),
        ("--format folders", "--format folders needs a file: add --out"),
        ("--format xmp --scores", "--format xmp has no place for the scores of all classes"),
        ("--format folders --out photos", "photos is there already, and is no empty folder"),
        ("--format folders --out no/new", "No such file or directory"),
        ("--format xmp --classes bar.txt", r"class 'a\|b' can't be written"),
        ("--format folders --out new --classes slash.txt", "class 'a/b' can't be written"),
    ],
)
def test_forms_that_do_not_fit_are_refused_before_the_work(folder, capsys, command, message):
    Path("bar.txt").write_text("a|b\nbread\n")
    Path("slash.txt").write_text("a/b\nbread\n")
    classes = [] if "--classes" in command else ["--classes", "names.txt"]
    assert main(["label", "photos", *classes, *command.split(), "--quiet"]) == 1
    error = capsys.readouterr().err
    assert re.search(message, error) and "Encoding" not in error
