"""Answers are on disk when the method returns, and a second start goes on with them."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_cdul.review.answers import Answers
from sklearn_cdul.targets import read_targets

NAMES = ["cat", 'a, "b"', "path"]
PHOTOS = [f"photos/{name}.jpg" for name in ["a", " b,c", "d\udcff", "e"]]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()


def row(*values):
    return np.array(values, dtype=float)


def test_a_second_start_goes_on_with_answers_changes_and_the_fair_sample():
    first = Answers("answers.csv", PHOTOS, NAMES)
    first.set_labels({1: row(1, 0, np.nan)}, fair=True)
    first.change_class("cat", "kitten")
    first.change_class(None, "dog")
    first.set_labels({2: row(1, 0, 0, 1), 0: row(0, 0, 1, 0)})
    first.close()
    second = Answers("answers.csv", PHOTOS[::-1], NAMES)
    assert second.names == first.names == ["kitten", *NAMES[1:], "dog"]
    assert_array_equal(second.labels, first.labels[::-1])
    assert second.is_fair.tolist() == [False, False, True, False]
    assert second.order == [2, 1, 3]
    second.close()


def test_answers_follow_a_name_that_was_changed_in_the_list_of_classes_too():
    first = Answers("answers.csv", PHOTOS, ["cat", "dog"])
    first.set_labels({1: row(1, 0), 2: row(0, np.nan)})
    first.change_class("cat", "kitten")
    first.set_labels({0: row(0, 1), 2: row(1, np.nan)})
    first.close()
    second = Answers("answers.csv", PHOTOS, ["dog", "kitten"])
    assert second.names == ["dog", "kitten"] and second.order == [1, 0, 2]
    assert_array_equal(second.labels, first.labels[:, ::-1])
    second.close()


@pytest.mark.parametrize("names", [["mug", "x"], ["beaker", "x"], ["cup", "x"]])
def test_answers_follow_a_name_that_was_changed_twice(names):
    first = Answers("answers.csv", PHOTOS, ["cup", "x"])
    first.set_labels({1: row(1, np.nan)}, fair=True)
    first.set_labels({2: row(0, np.nan)})
    first.change_class("cup", "mug")
    first.change_class("mug", "beaker")
    first.close()
    second = Answers("answers.csv", PHOTOS, names)
    assert second.names == ["beaker", "x"] and second.order == [1, 2]
    assert second.is_fair.tolist() == first.is_fair.tolist()
    assert_array_equal(second.labels, first.labels)
    second.close()


def test_answers_on_a_renamed_class_that_left_the_list_are_named_and_stay():
    first = Answers("answers.csv", PHOTOS, ["cup", "x"])
    first.set_labels({1: row(1, np.nan)}, fair=True)
    first.change_class("cup", "mug")
    first.close()
    with pytest.warns(UserWarning, match=r"not among these: mug\. They stay"):
        second = Answers("answers.csv", PHOTOS, ["x"])
    assert second.names == ["x"] and second.order == [] and not second.is_fair.any()
    second.close()
    third = Answers("answers.csv", PHOTOS, ["x", "mug"])
    assert third.order == [1] and third.is_fair[1] and third.labels[1, 1] == 1
    third.close()


def test_answers_on_classes_that_are_not_in_the_list_are_named_and_stay():
    first = Answers("answers.csv", PHOTOS, ["cat", "dog", "cow"])
    first.set_labels({1: row(1, 0, np.nan)})
    first.close()
    with pytest.warns(UserWarning, match=r"classes that are not among these: cat\. They stay"):
        second = Answers("answers.csv", PHOTOS, ["dog", "bird"])
    assert_array_equal(second.labels[1], [0, np.nan])
    second.close()
    third = Answers("answers.csv", PHOTOS, ["cat", "dog", "cow"])
    assert_array_equal(third.labels, first.labels)
    third.close()


def test_a_journal_that_cannot_be_written_is_named():
    os.mkdir("answers.journal")
    with pytest.raises(OSError, match=r"can't be written to .*answers\.journal: Is a dir.*Name a"):
        Answers("answers.csv", PHOTOS, NAMES)
    os.rmdir("answers.journal")
    Answers("answers.csv", PHOTOS, NAMES).close()  # nobody holds its lock


def test_the_csv_is_what_observed_reads():
    answers = Answers("answers.csv", PHOTOS, NAMES)
    answers.set_labels({1: row(1, 0, np.nan), 2: row(np.nan, 1, 1)})
    answers.close()
    assert_array_equal(read_targets("answers.csv", NAMES, PHOTOS), answers.labels)


def test_photos_without_paths_are_known_by_their_positions():
    photos = [np.zeros((4, 4, 3), np.uint8)] * 3
    answers = Answers("answers.csv", photos, NAMES)
    answers.set_labels({2: row(1, 0, 0)})
    answers.close()
    assert_array_equal(read_targets("answers.csv", NAMES, photos), answers.labels)


def test_labels_of_a_csv_file_that_is_there_are_taken_over():
    with open("answers.csv", "w") as file:
        file.write("filename,cat\nphotos/e.jpg,1\n")
    answers = Answers("answers.csv", PHOTOS, NAMES)
    assert answers.labels[3].tolist()[0] == 1 and answers.order == [3]
    answers.close()
    again = Answers("answers.csv", PHOTOS, NAMES)
    assert_array_equal(again.labels, answers.labels)
    again.close()


@pytest.mark.parametrize("left", [b"", b'{"photos": [["pho'])
def test_they_are_taken_over_after_a_start_that_was_killed_before_it_had_written_them(left):
    with open("answers.csv", "w") as file:
        file.write("filename,cat\nphotos/e.jpg,1\n")
    with open("answers.journal", "wb") as file:
        file.write(left)
    answers = Answers("answers.csv", PHOTOS, NAMES)
    answers.set_labels({0: row(1, 0, 0)})
    answers.close()
    assert read_targets("answers.csv", NAMES, PHOTOS)[3, 0] == 1


def test_half_a_line_of_a_killed_process_is_cut_off():
    answers = Answers("answers.csv", PHOTOS, NAMES)
    answers.set_labels({0: row(1, 0, 0)})
    answers.close()
    with open("answers.journal", "ab") as file:
        file.write(b'{"photos": [["photos/')
    again = Answers("answers.csv", PHOTOS, NAMES)
    again.set_labels({1: row(0, 1, 0)})
    again.close()
    third = Answers("answers.csv", PHOTOS, NAMES)
    assert third.order == [0, 1]
    third.close()


def test_a_killed_process_has_lost_nothing_that_it_had_said():
    code = f"""
import os, sys, numpy as np
from sklearn_cdul.review.answers import Answers
answers = Answers("answers.csv", {PHOTOS!r}, {NAMES!r})
for i in range(3):
    answers.set_labels({{i: np.array([1.0, 0, 0])}})
    print(i, flush=True)
os.kill(os.getpid(), 9)
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.stdout.split() == ["0", "1", "2"]
    answers = Answers("answers.csv", PHOTOS, NAMES)
    assert answers.order == [0, 1, 2]
    answers.close()


def test_two_reviews_do_not_write_into_one_file():
    answers = Answers("answers.csv", PHOTOS, NAMES)
    with pytest.raises(OSError, match="in use by another review"):
        Answers("answers.csv", PHOTOS, NAMES)
    answers.close()


def test_what_could_not_be_written_is_not_there(monkeypatch):
    answers = Answers("answers.csv", PHOTOS, NAMES)
    answers.set_labels({0: row(1, 0, 0)})

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError):
            answers.set_labels({1: row(1, 0, 0)})
    answers.set_labels({2: row(0, 0, 0)})
    assert answers.order == [0, 2]
    answers.close()
    assert len(list(map(json.loads, answers.journal.read_text().splitlines()))) == 2


@pytest.mark.parametrize(
    "line, message", [("[1]", "Line 1"), ('{"photos": 3}', "Line 1"), ("\\xff", "Line 1")]
)
def test_a_line_that_is_no_answer_is_named(line, message):
    with open("answers.journal", "wb") as file:
        file.write(line.encode() + b"\n")
    with pytest.raises(ValueError, match=message):
        Answers("answers.csv", PHOTOS, NAMES)


def test_the_file_must_be_csv_in_a_folder_that_exists():
    with pytest.raises(ValueError, match=r"\.csv"):
        Answers("answers.json", PHOTOS, NAMES)
    with pytest.raises(FileNotFoundError, match="no folder"):
        Answers("nowhere/answers.csv", PHOTOS, NAMES)


def test_answers_on_photos_that_are_gone_stay_in_the_journal():
    answers = Answers("answers.csv", PHOTOS, NAMES)
    answers.set_labels({0: row(1, 0, 0), 3: row(0, 1, 0)})
    answers.close()
    with pytest.warns(UserWarning, match="1 photos that are not among these, the first photos/e"):
        fewer = Answers("answers.csv", PHOTOS[:3], NAMES)
    fewer.close()
    again = Answers("answers.csv", PHOTOS, NAMES)
    assert again.order == [0, 3]
    again.close()
