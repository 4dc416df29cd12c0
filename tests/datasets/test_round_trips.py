"""What a writer writes its reader gives back, with any letters in names of photos and classes."""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from sklearn_cdul.datasets import (
    dump_coco,
    dump_csv,
    dump_fiftyone,
    dump_label_studio,
    load_coco,
    load_csv,
    load_fiftyone,
    load_label_studio,
)
from sklearn_cdul.targets import read_targets

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

# Names that mean something somewhere, and such as some files can't hold.
ODD = ["0", "1", "nan", "path", "labels", "label", "split", "image", "a,b", 'a"b', '"', "a\rb"]
ODD += ["a\tb", "a\nb", "=1", "#a", "[a]", "\u5bff", "\ufeffa", "a\u2028b"]
UNFIT = [" a", "a;b", "a\x1bb", "a\0b", "a\x85", "\ud800"]
names = st.sampled_from(ODD) | st.text(min_size=1)
classes = st.lists(names, min_size=1, max_size=4, unique=True)
classes |= st.lists(names | st.sampled_from(UNFIT), min_size=1, max_size=4, unique=True)
file_names = st.text("ab\u00e9,;\u5bff", min_size=1, max_size=9)
if sys.platform == "linux":  # where names are bytes
    odd = [" a", "a ", "a", "a\rb", "a\nb", "a,b", "a\\b", "\xe9", "e\u0301", "~a", "%41", "\u2028"]
    letters = st.text(min_size=1, max_size=9).map(lambda text: text.encode("utf-8"))
    file_names |= st.sampled_from(odd)
    file_names |= (letters | st.binary(min_size=1, max_size=20)).map(os.fsdecode)
photos = st.lists(
    file_names.filter(lambda name: not set(name) & {"/", "\0"} and name not in (".", "..")),
    min_size=1,
    max_size=4,
    unique=True,
)


@st.composite
def labelled(draw):
    """Names of files, labels and names of classes."""
    names, files = draw(classes), draw(photos)
    table = st.lists(st.booleans(), min_size=len(names), max_size=len(names))
    return files, np.array(draw(st.tuples(*[table] * len(files)))), names


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as root:
        yield Path(root)


def written(dump, folder, files, target, names):
    """Write labels of photos that are there; None if the writer refuses a name of a class."""
    shutil.rmtree(folder / "photos", ignore_errors=True)
    (folder / "photos").mkdir()
    paths = [str(folder / "photos" / name) for name in files]
    for path in paths:
        Path(path).touch()
    before = sorted(os.listdir(folder))
    try:
        dump(paths, target, names, folder / "labels.json")
    except ValueError as error:
        assert "class" in str(error) or "Name" in str(error)
        assert sorted(os.listdir(folder)) == before
        return None
    return paths


def check(found, paths, target, names):
    assert found.data == paths
    assert found.target_names == names
    np.testing.assert_array_equal(found.target, target)


properties = hypothesis.settings(max_examples=150, deadline=None, derandomize=True, database=None)


@properties
@hypothesis.given(labelled())
def test_csv(folder, case):
    files, target, names = case
    paths = written(dump_csv, folder, files, target, names)
    unfit = [n for n in names if set(n) & {";", "\0", "\ud800"} or n != n.strip() or not n]
    assert (paths is None) == bool(unfit)
    if paths is not None:
        check(load_csv(folder / "labels.json", classes=names), paths, target, names)
        read = read_targets(folder / "labels.json", names, paths[::-1])
        np.testing.assert_array_equal(read, target[::-1])


@properties
@hypothesis.given(labelled())
def test_coco(folder, case):
    files, target, names = case
    paths = written(dump_coco, folder, files, target, names)
    assert (paths is None) == any(not name.strip() or name == "\ud800" for name in names)
    if paths is not None:
        check(load_coco(folder / "labels.json"), paths, target, names)


@properties
@hypothesis.given(labelled())
def test_label_studio(folder, case):
    files, target, names = case
    paths = written(dump_label_studio, folder, files, target, names)
    hypothesis.assume(paths is not None)
    view = ElementTree.parse(folder / "labels.xml").getroot()
    assert [choice.get("value") for choice in view.iter("Choice")] == names
    tasks = json.loads((folder / "labels.json").read_text())
    for task in tasks:  # as when a person accepts the predictions
        task["annotations"] = task.pop("predictions")
    (folder / "labels.json").write_text(json.dumps(tasks))
    check(load_label_studio(folder / "labels.json", classes=names), paths, target, names)


@properties
@hypothesis.given(labelled())
def test_fiftyone(folder, case):
    files, target, names = case
    paths = written(dump_fiftyone, folder, files, target, names)
    hypothesis.assume(paths is not None)
    check(load_fiftyone(folder / "labels.json"), paths, target, names)


@properties
@hypothesis.given(labelled())
def test_labels_by_path(case):
    files, target, names = case
    shown = [[names[column] for column in np.flatnonzero(row)] for row in target]
    labels = zip(files, shown, strict=True)
    shuffled = dict(sorted(labels, key=lambda item: item[0][::-1]))
    np.testing.assert_array_equal(read_targets(shuffled, names, files), target)
