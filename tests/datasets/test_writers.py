"""What the writers of labels promise: that what they write is read back, here and elsewhere."""

import io
import json
import os
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from sklearn_cdul.datasets import (
    dump_coco,
    dump_csv,
    dump_fiftyone,
    dump_label_studio,
    load_coco,
    load_csv,
    load_label_studio,
)
from sklearn_cdul.targets import read_targets
from tests.datasets.trees import write_photo

NAMES = ["cup", "tea pot", 'bread "white", <1> & ä']
TARGET = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]])
SCORES = np.array([[0.9, 0.25, 0.5], [0.1, 0.2, 0.3], [1e-7, 0.75, 0.125]])
WRITERS = {
    dump_csv: "labels.csv",
    dump_coco: "labels.json",
    dump_fiftyone: "labels.json",
    dump_label_studio: "labels.json",
}


@pytest.fixture
def data(tmp_path):
    paths = [tmp_path / "my photos & more" / name for name in ("b.jpg", "a ä.jpg", "c/a.png")]
    for path in paths:
        write_photo(path)
    return paths


@pytest.fixture(params=WRITERS, ids=lambda function: function.__name__)
def writer(request):
    return request.param


def table_of(photos):
    return [Path(path) for path in photos.data], photos.target.tolist(), photos.target_names


def test_csv_is_read_back(data, tmp_path):
    for scores in (None, SCORES):
        dump_csv(data, TARGET, NAMES, tmp_path / "labels.csv", scores=scores)
        photos = load_csv(tmp_path / "labels.csv", classes=NAMES)
        assert table_of(photos) == (data, TARGET.tolist(), NAMES)
        # As `score` and `observed=` read it.
        read = read_targets(tmp_path / "labels.csv", NAMES, X=data[::-1])
        np.testing.assert_array_equal(read, TARGET[::-1])


def test_coco_is_read_back(data, tmp_path):
    for scores in (None, SCORES):
        dump_coco(data, TARGET, NAMES, tmp_path / "labels.json", scores=scores)
        photos = load_coco(tmp_path / "labels.json")
        assert table_of(photos) == (data, TARGET.tolist(), NAMES)


def test_label_studio_is_read_back_once_somebody_accepts_the_predictions(data, tmp_path):
    dump_label_studio(data, TARGET, NAMES, tmp_path / "tasks.json")
    tasks = json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))
    for task in tasks:  # what Label Studio makes of them
        task["annotations"] = [{"result": task["predictions"][0]["result"]}]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    photos = load_label_studio(tmp_path / "export.json", classes=NAMES)
    assert table_of(photos) == (data, TARGET.tolist(), NAMES)


def test_label_studio_config_offers_the_classes_and_names_what_the_tasks_use(data, tmp_path):
    dump_label_studio(data, TARGET, NAMES, tmp_path / "tasks.json")
    view = ElementTree.parse(tmp_path / "tasks.xml").getroot()
    image, choices = view.find("Image"), view.find("Choices")
    assert [choice.get("value") for choice in choices] == NAMES
    assert choices.get("choice") == "multiple"
    assert choices.get("toName") == image.get("name")
    task = json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))[0]
    assert image.get("value") == "$" + next(iter(task["data"]))
    result = task["predictions"][0]["result"][0]
    assert (result["from_name"], result["to_name"]) == (choices.get("name"), image.get("name"))


def test_fiftyone_has_the_form_that_its_documentation_gives(data, tmp_path):
    dump_fiftyone(data, TARGET, NAMES, tmp_path / "labels.json", scores=SCORES)
    content = json.loads((tmp_path / "labels.json").read_text(encoding="utf-8"))
    assert content["classes"] == NAMES
    assert content["labels"] == {
        str(data[0]): [{"label": 0, "confidence": 0.9}, {"label": 2, "confidence": 0.5}],
        str(data[1]): [],
        str(data[2]): [{"label": 1, "confidence": 0.75}],
    }
    dump_fiftyone(data, TARGET, NAMES, tmp_path / "labels.json")
    content = json.loads((tmp_path / "labels.json").read_text(encoding="utf-8"))
    assert content["labels"][str(data[0])] == [{"label": 0}, {"label": 2}]


def test_csv_has_names_and_scores_in_columns_that_others_read(data, tmp_path):
    dump_csv(data, TARGET, NAMES, tmp_path / "labels.csv", scores=SCORES)
    frame = pd.read_csv(tmp_path / "labels.csv", keep_default_na=False)
    assert frame["path"].tolist() == [path.relative_to(tmp_path).as_posix() for path in data]
    assert frame["labels"].tolist() == [f"cup;{NAMES[2]}", "", "tea pot"]
    np.testing.assert_allclose(frame[[f"score:{name}" for name in NAMES]], SCORES, rtol=1e-3)


def test_coco_scores_stand_at_the_annotations(data, tmp_path):
    dump_coco(data, TARGET, NAMES, tmp_path / "labels.json", scores=SCORES)
    content = json.loads((tmp_path / "labels.json").read_text(encoding="utf-8"))
    found = {(a["image_id"], a["category_id"]): a["score"] for a in content["annotations"]}
    assert found == {(1, 1): 0.9, (1, 3): 0.5, (3, 2): 0.75}


# All of them ---------------------------------------------------------------------------------


def test_labels_may_be_an_array_names_or_a_data_frame_in_any_order(writer, data, tmp_path):
    path = tmp_path / WRITERS[writer]
    names = [[NAMES[i] for i in np.flatnonzero(row)] for row in TARGET]
    frame = pd.DataFrame(TARGET, columns=NAMES)[NAMES[::-1]]
    written = set()
    for target in (TARGET, TARGET.astype(bool), TARGET.tolist(), names, frame):
        writer(data, target, NAMES, path)
        written.add(path.read_text(encoding="utf-8"))
    assert len(written) == 1


def test_labels_that_name_their_photos_are_matched_by_path(writer, data, tmp_path):
    path = tmp_path / WRITERS[writer]
    writer(data, TARGET, NAMES, path)
    expected = path.read_text(encoding="utf-8")
    named = {data[i]: [NAMES[j] for j in np.flatnonzero(TARGET[i])] for i in (2, 0, 1)}
    frame = pd.DataFrame(TARGET, columns=NAMES, index=map(str, data)).iloc[::-1]
    for target in (named, frame, frame.reset_index(names="path")):
        writer(data, target, NAMES, path)
        assert path.read_text(encoding="utf-8") == expected
    with pytest.raises(ValueError, match=r"No row of target is of an image in X"):
        writer(data, {"q.jpg": ["cup"]}, NAMES, path)


def test_names_may_be_in_an_array(writer, data, tmp_path):
    path = tmp_path / WRITERS[writer]
    writer(data, TARGET, np.array(NAMES), path)
    written = path.read_text(encoding="utf-8")
    writer(data, TARGET, NAMES, path)
    assert path.read_text(encoding="utf-8") == written


def test_photos_that_all_show_no_class_are_written(writer, data, tmp_path):
    path = tmp_path / WRITERS[writer]
    writer(data, np.zeros((3, 3)), NAMES, path)
    written = path.read_text(encoding="utf-8")
    writer(data, [[], [], []], NAMES, path)
    assert path.read_text(encoding="utf-8") == written


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"target": TARGET[:2]}, ValueError, r"target .*shape \(3, 3\).*got \(2, 3\)"),
        ({"target": TARGET * 2}, ValueError, r"target .*got 2.0 in row 0, column 0 \(cup\)"),
        ({"target": np.where(TARGET, 1, np.nan)}, ValueError, r"nothing of x/b\.jpg and column 1"),
        ({"target": [["jar"], [], []]}, ValueError, "names that are no classes: 'jar'"),
        ({"target_names": ["cup"]}, ValueError, r"shape \(3, 1\).*got \(3, 3\)"),
        ({"target_names": ["cup", "cup", "jar"]}, ValueError, "target_names has the name 'cup' tw"),
        ({"target_names": ["cup", "", "jar"]}, ValueError, "Name 1 of target_names is ''"),
        ({"target_names": []}, ValueError, "no class in target_names"),
        ({"target_names": "cej"}, ValueError, "no class in target_names"),
        ({"data": ["a.jpg", "b.jpg", "./a.jpg"]}, ValueError, "the photo a.jpg more than once"),
        ({"data": ["a.jpg", np.zeros(3), "b.jpg"]}, TypeError, r"data\[1\] is of type ndarray"),
        ({"data": {"a.jpg", "b.jpg", "c.jpg"}}, TypeError, "list of paths in the order .* got set"),
        ({"data": iter("abc")}, TypeError, "list of paths in the order .* got str.*iterator"),
        ({"data": "abc"}, TypeError, "list of paths in the order of target, got str"),
        ({"data": ["a", "s3://x/b.jpg", "c"]}, ValueError, r"data\[1\] is the URL s3://x/b.jpg"),
    ],
)
def test_wrong_input_is_named(writer, tmp_path, monkeypatch, change, error, message):
    monkeypatch.chdir(tmp_path)
    given = {
        "data": ["x/b.jpg", "x/a.jpg", "x/c.jpg"],
        "target": TARGET,
        "target_names": NAMES,
        **change,
    }
    with pytest.raises(error, match=message):
        writer(*given.values(), tmp_path / WRITERS[writer])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("writer", [dump_csv, dump_coco, dump_fiftyone])
def test_wrong_scores_are_named(writer, tmp_path):
    path = tmp_path / WRITERS[writer]
    for scores, message in (
        (SCORES[:2], r"scores .*shape \(3, 3\).*got \(2, 3\)"),
        (np.where(SCORES == 0.75, np.nan, SCORES), r"NaN or infinity for .*c\.jpg"),
        (SCORES.astype(str), "scores must hold numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            writer(["a.jpg", "b.jpg", "c.jpg"], TARGET, NAMES, path, scores=scores)


@pytest.mark.parametrize(
    ("dump", "names"),
    [
        (dump_csv, ["salt;pepper", " salt", "salt\n", "salt\x85", "sa\0lt", "sa\ud800lt"]),
        (dump_label_studio, ["sa\0lt", "sa\x1blt", "sa\ufffflt", "sa\udcffl"]),
        (dump_coco, ["sa\udcffl"]),
    ],
)
def test_names_that_a_file_could_not_give_back_are_refused(dump, names, tmp_path):
    for name in names:
        with pytest.raises(ValueError, match=re.escape(repr(name))):
            dump([tmp_path / "x" / "a.jpg"], [[1]], [name], tmp_path / "labels.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a\0.jpg", "a\ud800.jpg"])
def test_what_no_path_can_be_is_refused(writer, name, tmp_path):
    with pytest.raises(ValueError, match=r"data\[0\] is .* can't be a path"):
        writer([tmp_path / "x" / name], [[1]], ["cup"], tmp_path / WRITERS[writer])


@pytest.mark.parametrize("writer", [dump_csv, dump_coco, dump_fiftyone])
def test_scores_of_a_data_frame_are_matched_by_its_names(writer, data, tmp_path):
    path = tmp_path / WRITERS[writer]
    writer(data, TARGET, NAMES, path, scores=SCORES)
    expected = path.read_text(encoding="utf-8")
    frame = pd.DataFrame(SCORES, columns=NAMES, index=map(str, data))
    writer(data, TARGET, NAMES, path, scores=frame.iloc[::-1][NAMES[::-1]])
    assert path.read_text(encoding="utf-8") == expected


def test_paths_are_relative_below_the_file_and_absolute_elsewhere(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    relative = [os.path.relpath(path) for path in data]
    for folder in (tmp_path, tmp_path / "my photos & more", tmp_path / "elsewhere"):
        folder.mkdir(exist_ok=True)
        dump_csv(relative, TARGET, NAMES, folder / "labels.csv")
        assert table_of(load_csv(folder / "labels.csv", classes=NAMES))[0] == data
    assert "\na ä.jpg," in (data[0].parent / "labels.csv").read_text(encoding="utf-8")
    assert f"\n{data[1].as_posix()}," in Path("elsewhere/labels.csv").read_text(encoding="utf-8")


def test_csv_goes_into_an_open_file_too(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = io.StringIO()
    dump_csv(data, TARGET, NAMES, file)
    dump_csv(data, TARGET, NAMES, "labels.csv")
    assert file.getvalue() == Path("labels.csv").read_text(encoding="utf-8")


def test_label_studio_needs_the_photos_in_a_folder_beside_the_file(data, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    for folder in (tmp_path / "elsewhere", data[0].parent):
        with pytest.raises(ValueError, match=rf"b\.jpg lies in no folder in .*{folder.name}"):
            dump_label_studio(data, TARGET, NAMES, folder / "tasks.json")
    for name in ("tasks.xml", "tasks.XML"):
        with pytest.raises(ValueError, match=r"must end in \.json"):
            dump_label_studio(data, TARGET, NAMES, tmp_path / name)


def test_what_stops_a_writer_leaves_the_old_file(writer, data, tmp_path, monkeypatch):
    path = tmp_path / WRITERS[writer]
    path.write_text("old")

    def interrupted(*paths):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        writer(data, TARGET, NAMES, path)
    assert path.read_text() == "old"
    assert not list(tmp_path.glob("*.part"))


def test_a_folder_that_is_not_there_is_an_error(writer, data, tmp_path):
    # Photos above a file that does not exist are outside of its folder, which comes first.
    with pytest.raises((FileNotFoundError, ValueError), match="nowhere"):
        writer(data, TARGET, NAMES, tmp_path / "nowhere" / WRITERS[writer])


# The libraries that import the files, where they are installed --------------------------------


def test_label_studios_sdk_takes_config_and_predictions(data, tmp_path):
    interface = pytest.importorskip("label_studio_sdk.label_interface")
    dump_label_studio(data, TARGET, NAMES, tmp_path / "tasks.json")
    config = interface.LabelInterface((tmp_path / "tasks.xml").read_text(encoding="utf-8"))
    config.validate()
    for task in json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8")):
        assert config.validate_task({"data": task["data"]})
        assert config.validate_prediction(task["predictions"][0], return_errors=True) == []


def test_fiftyones_importer_gives_the_labels(data, tmp_path):
    importers = pytest.importorskip("fiftyone.utils.data.importers")
    dump_fiftyone(data, TARGET, NAMES, tmp_path / "labels.json", scores=SCORES)
    path = str(tmp_path / "labels.json")
    with importers.FiftyOneImageClassificationDatasetImporter(labels_path=path) as importer:
        found = {photo: labels.classifications for photo, _, labels in importer}
    for photo, row, scores in zip(data, TARGET, SCORES, strict=True):
        expected = {NAMES[i]: pytest.approx(scores[i]) for i in np.flatnonzero(row)}
        assert {label.label: label.confidence for label in found[str(photo)]} == expected


def test_pycocotools_gives_the_labels(data, tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    dump_coco(data, TARGET, NAMES, tmp_path / "labels.json")
    content = coco.COCO(str(tmp_path / "labels.json"))
    found = np.zeros_like(TARGET)
    for entry in content.loadAnns(content.getAnnIds()):
        found[entry["image_id"] - 1, entry["category_id"] - 1] = 1
    np.testing.assert_array_equal(found, TARGET)


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX alone")
def test_file_names_that_are_not_utf8_are_written(writer, tmp_path):
    photo, path = tmp_path / "photos" / os.fsdecode(b"\xff.jpg"), tmp_path / WRITERS[writer]
    write_photo(photo)
    writer([photo], [["cup"]], NAMES, path)
    load = {dump_csv: load_csv, dump_coco: load_coco}.get(writer)
    if load is not None:
        assert load(path).data == [str(photo)]
        assert b"photos/\xff.jpg" in path.read_bytes() or load is load_coco
