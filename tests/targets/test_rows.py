"""Rows of labels find their photos, or an error says why not."""

import os
import warnings
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image

from sklearn_cdul.targets import read_targets

NAMES = ["dog", "cat"]
PATHS = ["x/a.jpg", "x/b.jpg", "y/a.jpg", "y/c.jpg"]


def frame(keys, values, column="path"):
    return pd.DataFrame({column: keys, "dog": values})


def dogs(y, X=PATHS):
    """The column of dogs after matching, as text: a digit or a dot a photo."""
    column = read_targets(y, NAMES, X=X)[:, 0]
    return "".join("." if np.isnan(value) else str(int(value)) for value in column)


@pytest.mark.parametrize(
    "X",
    [
        PATHS,
        [Path(path) for path in PATHS],
        np.array(PATHS),
        pd.Series(PATHS),
        pd.DataFrame({"file": PATHS}),
        pl.Series(PATHS),
        [{"path": path} for path in PATHS],
        [f"C:\\{path}".replace("/", "\\") for path in PATHS],
        [f"/photos/./{path}" for path in PATHS],
    ],
    ids=lambda X: type(X).__name__,
)
@pytest.mark.parametrize("make", [frame, lambda k, v: pl.DataFrame({"path": k, "dog": v})])
def test_rows_are_matched_by_path(make, X):
    assert dogs(make(["y/c.jpg", "x/a.jpg"], [1, 0]), X) == "0..1"


@pytest.mark.parametrize("root", ["", "/", "./", "/elsewhere/old/", "D:/photos/"])
def test_more_or_less_of_the_path_will_do(root):
    assert dogs(frame([root + "y/a.jpg"], [1])) == "..1."
    assert dogs(frame(["b.jpg"], [1])) == ".1.."


def test_accents_may_be_written_together_or_apart():
    forms = [normalize(form, "x/café.jpg") for form in ("NFC", "NFD")]
    assert forms[0] != forms[1]
    for path, photo in (forms, forms[::-1]):
        assert dogs(frame([path], [1]), ["x/b.jpg", photo]) == ".1"


def test_a_path_that_may_be_that_of_two_photos_is_refused():
    with pytest.raises(ValueError, match=r"'a.jpg' of y may be that of 2 .*'x/a.jpg', 'y/a.jpg'"):
        dogs(frame(["a.jpg"], [1]))
    assert dogs(frame(["a.jpg"], [1]), ["a.jpg", "x/a.jpg"]) == "1."


def test_a_file_of_the_same_name_in_another_folder_is_another_photo():
    with pytest.raises(ValueError, match=r"No row of y .* first is 'z/c.jpg', the first of X is"):
        dogs(frame(["z/c.jpg"], [1]))


def test_the_same_photo_twice_gets_the_same_labels():
    assert dogs(frame(["x/b.jpg"], [1]), ["x/b.jpg", "x/a.jpg", "x/b.jpg"]) == "1.1"


def test_two_rows_of_a_photo_may_agree_but_not_contradict_each_other():
    assert dogs(frame(["b.jpg", "b.jpg"], [1, np.nan])) == ".1.."
    with pytest.raises(ValueError, match=r"'x/b.jpg' .*'dog' is 1 in row 0 and 0 in row 1"):
        dogs(frame(["b.jpg", "x/b.jpg"], [1, 0]))


def test_rows_of_a_photo_that_name_classes_are_united():
    rows = pd.DataFrame({"path": ["b.jpg", "c.jpg", "x/b.jpg"], "label": ["dog", "", "cat"]})
    assert dogs(rows) == ".1.0"
    expected = [[np.nan] * 2, [1, 1], [np.nan] * 2, [0, 0]]
    np.testing.assert_array_equal(read_targets(rows, NAMES, PATHS), expected)


def test_rows_that_name_their_photos_are_refused_where_there_are_none():
    for labels in (frame(["b.jpg"], [1]), {"b.jpg": "dog"}, frame([1], [1], "row")):
        with pytest.raises(ValueError, match="of which image a row is, but there are no images"):
            read_targets(labels, NAMES)


def test_a_vector_of_pandas_is_matched_by_its_index():
    assert dogs(pd.Series([1, 0], index=["c.jpg", "b.jpg"])) == ".1.0"


def test_rows_of_no_photo_warn_unless_all_photos_have_one():
    with pytest.warns(UserWarning, match=r"1 of 2 rows .* first is 'q.jpg'; 3 of 4 images have no"):
        assert dogs(frame(["b.jpg", "q.jpg"], [1, 1])) == ".1.."
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dogs(frame(PATHS, [1, 0, 1, 0]), PATHS[1:3]) == "01"


def test_photos_without_paths_are_matched_by_row():
    X = [Image.new("RGB", (8, 8))] * 3
    assert dogs(frame([2], [1], column="row"), X) == "..1"
    with pytest.raises(
        ValueError, match="of which image a row is, but there are no paths to match"
    ):
        dogs(frame(["a.jpg"] * 3, [1, 1, 1]), X)


def test_an_index_of_paths_is_matched():
    assert dogs(pd.DataFrame({"dog": [1]}, index=["y/c.jpg"])) == "...1"
    assert dogs(pd.Series([["dog"], "cat"], index=["c.jpg", "b.jpg"])) == ".0.1"
    vectors = pd.DataFrame(np.ones((4, 2)), index=PATHS)
    assert dogs(frame(["c.jpg"], [1]), vectors) == "...1"


def test_rows_are_matched_by_an_index_that_both_have():
    X = pd.Series(PATHS, index=[10, 11, 12, 13])
    labels = pd.DataFrame({"dog": [1, 0, 1, 0]}, index=[13, 12, 11, 10])
    assert dogs(labels, X) == "0101"
    assert dogs(labels.iloc[:1], X) == "...1"
    assert dogs(labels.iloc[:2], pd.Series(PATHS, index=list("abcd")).set_axis(X.index)) == "..01"
    assert dogs(pd.DataFrame({"dog": [1, 0]}), pd.Series(PATHS)) == "10.."  # the head of both
    with pytest.raises(ValueError, match=r"No row of y .* first is 5, the first of X is 10"):
        dogs(pd.DataFrame({"dog": [1]}, index=[5]), X)


def test_an_index_of_paths_that_match_no_image_is_refused():
    labels = pd.DataFrame({"dog": [1, 0, 1, 0]}, index=PATHS)
    for X in (np.ones((4, 2)), [Image.new("RGB", (8, 8))] * 4):
        with pytest.raises(
            ValueError, match=r"there are no paths to match\..*\(and of its index\)"
        ):
            dogs(labels, X)
        assert dogs(labels.set_axis(list("abcd")), X) == "1010"
    with pytest.raises(
        ValueError, match=r"No row of y is of an image in X: its first is 'x/a\.jpg'"
    ):
        dogs(labels, ["1.jpg", "2.jpg", "3.jpg", "4.jpg"])
    assert dogs(labels, None) == "1010"


def test_an_index_that_only_one_has_means_nothing():
    labels = pd.DataFrame({"dog": [1, 0, 1, 0]}, index=[3, 1, 2, 0])
    assert dogs(labels) == "1010"
    assert dogs(labels.reset_index(drop=True), pd.Series(PATHS, index=[7, 8, 9, 5])) == "1010"
    assert dogs(labels.to_numpy().tolist() and pl.DataFrame({"dog": [1, 0, 1, 0]})) == "1010"


def test_the_same_index_in_another_order_is_refused_where_it_may_mean_nothing():
    shuffled = pd.Series(PATHS).sample(frac=1, random_state=0)
    labels = pd.DataFrame({"dog": [1, 0, 1, 0]})
    with pytest.raises(ValueError, match=r"give y.set_axis\(X.index\), else y.loc\[X.index\]"):
        dogs(labels, shuffled)
    assert dogs(labels.loc[shuffled.index], shuffled) != dogs(labels.set_axis(shuffled.index))
    assert dogs(labels.sample(frac=1, random_state=1), pd.Series(PATHS)) == "1010"


def test_rows_that_can_only_be_counted_must_be_as_many_as_the_photos():
    with pytest.raises(ValueError, match=r"shape \(4, 2\).*got \(2, 2\)\. .* a column 'path'"):
        dogs([["dog"], []])


@pytest.mark.parametrize(
    "make",
    [
        lambda k, v: dict(zip(k, [["dog"] if x else [] for x in v], strict=True)),
        lambda k, v: {Path(key): [x, 0] for key, x in zip(k, v, strict=True)},
        lambda k, v: {key.encode(): np.array([x, 0]) for key, x in zip(k, v, strict=True)},
        lambda k, v: pd.DataFrame({"dog": v}, index=map(Path, k)),
        lambda k, v: pd.DataFrame({"dog": v}, index=pd.MultiIndex.from_arrays([["."] * 3, k])),
        lambda k, v: pd.DataFrame({"dog": v}, index=[Path(key).stem for key in k]),
        lambda k, v: pd.DataFrame({"photo": k, "labels": [["dog"] if x else [] for x in v]}),
        lambda k, v: pl.DataFrame({"Filepath": k, "width": [640] * 3, "dog": v}).drop("width"),
    ],
)
def test_whatever_names_the_photos_of_rows_is_used(make):
    X = ["x/a.jpg", "x/b.jpg", "x/c.jpg"]
    assert dogs(make(["c.jpg", "a.jpg", "b.jpg"], [1, 0, 0]), X) == "001"


def test_two_columns_of_paths_are_refused():
    rows = pd.DataFrame({"photo": PATHS, "mask": PATHS, "labels": ["dog"] * 4})
    with pytest.raises(ValueError, match=r"Several columns of y have paths: 'photo', 'mask'"):
        dogs(rows)
    assert dogs(rows.rename(columns={"photo": "path"})) == "1111"


@pytest.mark.skipif(os.name == "nt", reason="spaces at the end mean nothing on Windows")
def test_names_that_differ_in_what_people_overlook_are_of_different_photos():
    nfc, nfd = (normalize(form, "é.jpg") for form in ("NFC", "NFD"))
    for X in ([nfc, nfd], ["a.jpg", "a.jpg "], [" a.jpg", "a.jpg"], ["a.jpg", "a"]):
        assert dogs({X[0]: ["dog"], X[1]: []}, X) == "10"
        assert dogs({X[1]: ["dog"], X[0]: []}, X) == "01"


def test_labels_of_two_photos_are_not_put_together_for_one():
    for X in (["b.jpg"], ["photos/b.jpg"]):
        folder = Path(X[0]).parent
        labels = {str("train" / folder / "b.jpg"): ["dog"], str("test" / folder / "b.jpg"): ["cat"]}
        with pytest.raises(ValueError, match=r"has '.*train.*' and 'test.*', and either may be"):
            read_targets(labels, NAMES, X)
    np.testing.assert_array_equal(
        read_targets({"b.jpg": ["dog"], "./b.jpg": ["cat"]}, NAMES, ["b.jpg"]), [[1, 1]]
    )


@pytest.mark.parametrize("y", [{"a.jpg": {"dog": 0, "cat": 1}}, [{"dog": 0, "cat": 1}]])
def test_a_mapping_for_an_image_is_refused(y):
    with pytest.raises(ValueError, match=r"mapping for an image, in (row 0|the labels of .a.jpg.)"):
        read_targets(y, NAMES, ["a.jpg"])


def test_paths_of_a_file_may_be_relative_to_it(tmp_path):
    (tmp_path / "train").mkdir()
    file = tmp_path / "train" / "labels.csv"
    file.write_text("path,dog\na.jpg,1\n")
    X = [tmp_path / "train" / "a.jpg", tmp_path / "test" / "a.jpg"]
    assert dogs(file, X) == "1."
