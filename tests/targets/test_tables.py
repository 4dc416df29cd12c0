"""Labels in CSV files, in the forms that programs write."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.targets import read_targets

NAMES = ["dog", "cat", "bird"]
X = ["pets/a.jpg", "pets/b.jpg", "pets/c d.jpg"]
UNKNOWN = np.nan


@pytest.fixture
def written(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "labels.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write


@pytest.mark.parametrize(
    "text",
    [
        "path,cat,dog\npets/b.jpg,1,0\n",
        "path,cat,dog,bird\npets/b.jpg,1,0,\npets/a.jpg,,,\n",
        "\ufeffpath;cat;dog\r\npets/b.jpg;1;0\r\n",  # of a spreadsheet in Europe
        "filename\tcat\tdog\nb.jpg\tTrue\tFalse\n",
        'row,cat,dog\n1,1.0,"0.0"\n',
        "split,image, cat,dog\ntrain,C:\\photos\\pets\\b.jpg,1,0\n",
        "path,cat,dog\nb.jpg,1,\nb.jpg,,0\n",
    ],
)
def test_columns_are_classes_and_empty_cells_unknown(text, written):
    expected = [[UNKNOWN] * 3, [0, 1, UNKNOWN], [UNKNOWN] * 3]
    for path in (written(text), str(written(text))):
        assert_array_equal(read_targets(path, NAMES, X=X), expected)


def test_a_column_of_names_says_all_about_a_photo(written):
    path = written('path,labels,note\n"c d.jpg",dog; bird,x\na.jpg,,\n')
    assert_array_equal(read_targets(path, NAMES, X=X), [[0, 0, 0], [UNKNOWN] * 3, [1, 0, 1]])


def test_a_class_may_be_called_like_a_column_of_paths(written):
    path = written("path,image,labels\na.jpg,1,0\n")
    assert_array_equal(read_targets(path, ["labels", "image"], X=["a.jpg"]), [[0, 1]])


def test_the_table_of_the_bundled_photos_gives_their_labels():
    photos = load_food_photos()
    file = photos.data[0].rsplit("images", 1)[0] + "labels.csv"
    found = read_targets(file, photos.target_names, X=photos.data)
    assert_array_equal(found, photos.target)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,cat\na.jpg,maybe\n", "got 'maybe' in line 2, column 'cat'"),
        ("path,cat\na.jpg,2\n", r"got 2.0 in line 2, column 1 \(cat\)"),
        ("path,cat\na.jpg\n", "Line 2 of .* has 1 cells, but the first line names 2"),
        ("path,cat,cat\na.jpg,1,1\n", "more than once: 'cat'"),
        ("path,cats\na.jpg,1\n", "Unknown: 'cats' .did you mean 'cat' for 'cats'"),
        (
            "path,labels\na.jpg,birds\n",
            "'birds' .did you mean 'bird'.*in line 2",
        ),
        ("path,cat\n", "has no rows"),
        ("", "has no rows"),
        ('path,labels\na.jpg,"cat\n"\n\nb.jpg,dgo\n', "did you mean 'dog' .*in line 5"),
        ("path,dog\na.jpg,1\n\na.jpg,0\n", "'dog' is 1 in line 2 and 0 in line 4"),
        ("path,cat\n,1\n", "no path in line 2"),
        ("row,cat\n1.5,1\n", "positions in X, from 0; got '1.5' in line 2"),
        ("row,cat\n7,1\n", r"No row of y \(.*\.csv\) is of an image in X: its first is 7"),
    ],
)
def test_what_is_wrong_in_a_file_is_pointed_at(text, message, written):
    with pytest.raises(ValueError, match=message):
        read_targets(written(text), NAMES, X=X)


def test_a_file_in_another_encoding_or_that_is_not_there_is_an_error(written, tmp_path):
    with pytest.raises(ValueError, match="not UTF-8"):
        read_targets(written("path,cät\n", "latin-1"), NAMES)
    with pytest.raises(FileNotFoundError):
        read_targets(tmp_path / "none.csv", NAMES)


def test_names_may_be_given_by_path():
    found = read_targets({"b.jpg": ["cat"], "pets/a.jpg": "dog"}, NAMES, X=X)
    assert_array_equal(found, [[1, 0, 0], [0, 1, 0], [UNKNOWN] * 3])
    with pytest.raises(ValueError, match="paths as keys, got 0"):
        read_targets({0: "dog"}, NAMES, X=X)


def test_a_separator_in_quoted_names_is_no_delimiter(written):
    names = ["a; b; c", "d;e"]
    found = read_targets(written('path,"a; b; c","d;e"\na.jpg,1,0\n'), names, X)
    assert_array_equal(found[0], [1, 0])


@pytest.mark.parametrize("rows", [[[], []], [(), None], [set(), frozenset()]])
def test_names_of_photos_that_all_show_no_class_are_names(rows):
    absent = [np.nan if row is None else 0 for row in rows]
    assert_array_equal(read_targets(rows, NAMES), np.tile(np.array(absent)[:, None], 3))


@pytest.mark.parametrize("name", ["path", "image", "labels", "label", "split", "row"])
def test_a_class_may_have_the_name_of_another_column(name, tmp_path):
    X, classes = ["a.jpg", "b.jpg"], [name, "cup"]
    key = "filename" if name == "path" else "path"
    path = tmp_path / "labels.csv"
    path.write_text(f"{key},{name},cup\nb.jpg,1,0\na.jpg,0,\n")
    assert_array_equal(read_targets(path, classes, X), [[0, np.nan], [1, 0]])
    path.write_text(f'path,labels,split\nb.jpg,"{name}",train\na.jpg,cup,train\n')
    assert_array_equal(read_targets(path, classes, X), [[0, 1], [1, 0]])


def test_two_columns_with_names_are_refused():
    frame = pd.DataFrame({"path": ["a.jpg"], "labels": ["cup"], "label": ["egg"]})
    with pytest.raises(ValueError, match=r"has the column 'labels', with names, and .*'label'\."):
        read_targets(frame, ["cup", "egg"], ["a.jpg"])


@pytest.mark.parametrize("text", ['{"a.jpg": ["cup"]}\n', '[{"id": 1}]\n', "<annotation/>\n\n"])
def test_what_is_no_csv_says_so(text, tmp_path):
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(ValueError, match=r"labels\.json is not CSV: it begins with"):
        read_targets(tmp_path / "labels.json", ["cup"], ["a.jpg"])


def test_a_cell_may_be_long_and_bytes_of_paths_may_be_of_any_encoding(tmp_path):
    names = [f"class {number}" for number in range(20_000)]
    path = tmp_path / "labels.csv"
    path.write_bytes(b"path,labels\ncaf\xe9.jpg," + ";".join(names).encode() + b"\n")
    assert read_targets(path, names, ["caf\udce9.jpg"]).all()
    path.write_bytes(b"path,labels\na.jpg,caf\xe9\n")
    with pytest.raises(ValueError, match=r"Line 2 of .* is not UTF-8"):
        read_targets(path, names, ["a.jpg"])
    path.write_bytes(b"\0".join(b"path,cup"[i : i + 1] for i in range(8)))  # UTF-16, no mark
    with pytest.raises(ValueError, match="is not UTF-8"):
        read_targets(path, ["cup"])


def test_white_space_counts_in_names_of_classes_alone(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text('path , " cup"," cup " ,egg \na.jpg,1,0,1\n'.replace('" ,', '",'))
    assert_array_equal(read_targets(path, [" cup", " cup ", "egg"], ["a.jpg"]), [[1, 0, 1]])
