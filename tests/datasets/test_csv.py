"""Labels in CSV files, in both forms."""

import numpy as np
import pytest

from sklearn_cdul.datasets import load_csv
from sklearn_cdul.targets import read_targets
from tests.datasets.common import check_own, write_photos

AS_NAMES = "path,labels\na.jpg,cup; tea pot\nb.png,\nc.jpg,cup\n"
AS_COLUMNS = "path,cup,tea pot\na.jpg,1,1\nb.png,0,0\nc.jpg,1.0,0.0\n"


@pytest.mark.parametrize("text", [AS_NAMES, AS_COLUMNS], ids=["names", "columns"])
def test_csv_is_read_in_both_forms(tmp_path, text):
    write_photos(tmp_path / "photos")
    for name, root in (("labels.csv", tmp_path / "photos"), ("photos/labels.csv", None)):
        path = tmp_path / name
        path.write_text(text)
        check_own(load_csv(path, root=root), "all")
        path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())  # as Excel does
        check_own(load_csv(path, root=root), "all")
        path.write_text(text.replace(";", "|").replace(",", "\t").replace("|", ";"))
        check_own(load_csv(path, root=root), "all")


def test_csv_that_was_written_on_windows_is_read(tmp_path):
    write_photos(tmp_path / "photos")
    (tmp_path / "labels.csv").write_text(AS_NAMES.replace("\n", "\nphotos\\", 3))
    check_own(load_csv(tmp_path / "labels.csv"), "all")


def test_csv_takes_classes_in_the_order_they_are_given(tmp_path):
    write_photos(tmp_path)
    path = tmp_path / "labels.csv"
    path.write_text(AS_NAMES)
    check_own(
        load_csv(path, classes=["tea pot", "spoon", "cup"]),
        "all",
        ["tea pot", "spoon", "cup"],
        {"a.jpg": ["tea pot", "cup"], "b.png": [], "c.jpg": ["cup"]},
    )
    path.write_text(AS_COLUMNS)
    assert load_csv(path, classes=["tea pot", "cup"]).target.tolist() == [[1, 1], [0, 0], [0, 1]]


@pytest.mark.parametrize(
    ("text", "parameters", "message"),
    [
        ("", {}, r"labels\.csv has no rows"),
        ("path,labels\n", {}, r"labels\.csv has no rows"),
        ("photo,labels\n7,cup\n", {}, r"has the columns 'photo', 'labels'\. .*'path'"),
        ("path\na.jpg\n", {}, r"labels\.csv has no column for a class"),
        ("path,path,labels\na,b,c\n", {}, "these columns more than once: 'path'"),
        ("path,labels\na.jpg,cup\nb.png,cup,pot\n", {}, r"Line 3 of .* has 3 cells"),
        ("path,labels\n,cup\n", {}, r"Line 2 of .* has no path"),
        ("path,cup\na.jpg,yes\n", {}, r"Line 2 of .* has 'yes' in the column 'cup'"),
        (AS_NAMES, {"classes": ["cup"]}, r"Line 2 of .* has the class 'tea pot', .*: 'cup'"),
        (
            AS_COLUMNS,
            {"classes": ["cup"]},
            r"but classes are 'cup'\. Only one of both has 'tea pot'",
        ),
        (AS_COLUMNS, {"classes": ["cup", "tea pot", "jar"]}, r"Only one of both has 'jar'\."),
        (AS_NAMES, {"classes": "cup"}, "classes must be a list of names, got 'cup'"),
        (AS_NAMES, {"classes": ["cup", "cup"]}, "classes has the name 'cup' twice"),
        (AS_NAMES, {"split": "train"}, "has no column 'split'"),
        ("path,labels,split\na.jpg,cup,test\n", {"split": "train"}, "only of 'test'"),
        ("path,labels\na.jpg,\n", {}, "No photo in the files shows a class"),
    ],
)
def test_csv_names_what_is_wrong(tmp_path, text, parameters, message):
    write_photos(tmp_path)
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_csv(tmp_path / "labels.csv", **parameters)


def test_csv_unites_the_rows_of_a_photo_that_name_classes(tmp_path):
    write_photos(tmp_path)
    (tmp_path / "labels.csv").write_text(
        "path,label\na.jpg,cup\nb.png,\n./a.jpg,tea pot\nc.jpg,cup\n"
    )
    check_own(load_csv(tmp_path / "labels.csv"), "all")


def test_csv_rows_of_ones_and_zeros_of_a_photo_must_agree(tmp_path):
    write_photos(tmp_path)
    path = tmp_path / "labels.csv"
    path.write_text(AS_COLUMNS + "a.jpg,1,1\n")
    check_own(load_csv(path), "all")
    path.write_text(AS_COLUMNS + "a.jpg,0,1\n")
    with pytest.raises(ValueError, match=r"Line 2 of .* and Line 5 of .* contradict .*a\.jpg"):
        load_csv(path)


@pytest.mark.parametrize("cell", ['"cup, tea pot"', "cup|tea pot", "\"['cup', 'tea pot']\""])
def test_csv_names_with_another_sign_between_them_are_refused(tmp_path, cell):
    write_photos(tmp_path)
    (tmp_path / "labels.csv").write_text(f"path,labels\na.jpg,{cell}\n")
    with pytest.raises(ValueError, match=r"Line 2 of .*Write ';' between names, or give"):
        load_csv(tmp_path / "labels.csv")


def test_csv_with_a_quote_that_is_not_closed_is_refused(tmp_path):
    write_photos(tmp_path)
    (tmp_path / "labels.csv").write_text('path,labels\na.jpg,"cup\nb.png,\nc.jpg,cup\n')
    with pytest.raises(ValueError, match=r"Line 4 of .*labels\.csv can't be read: unexpected end"):
        load_csv(tmp_path / "labels.csv")


def test_csv_of_a_spreadsheet_in_utf16_is_read(tmp_path):
    write_photos(tmp_path)
    (tmp_path / "labels.csv").write_text(AS_NAMES, encoding="utf-16")
    check_own(load_csv(tmp_path / "labels.csv"), "all")


def test_csv_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "labels.csv").write_bytes(b"path,labels\n\xff\xfe\n")
    with pytest.raises(ValueError, match="is not UTF-8"):
        load_csv(tmp_path / "labels.csv")
    with pytest.raises(FileNotFoundError, match="no file"):
        load_csv(tmp_path / "other.csv")


@pytest.mark.parametrize(
    ("header", "classes"),
    [
        ("path,label,cup", ["label", "cup"]),
        ("path,labels,cup", ["cup", "labels"]),
        ("path,split,cup", ["split", "cup"]),
        ("image,path,cup", ["path", "cup"]),
        ("filename,image,path", ["path", "image"]),
    ],
)
def test_csv_classes_may_have_the_names_of_other_columns(tmp_path, header, classes):
    write_photos(tmp_path)
    path = tmp_path / "labels.csv"
    path.write_text(f"{header}\na.jpg,0,1\nb.png,1,0\nc.jpg,False,True\n")
    first, second = header.split(",")[1:]
    names = {"a.jpg": [second], "b.png": [first], "c.jpg": [second]}
    check_own(load_csv(path, classes=classes), "all", classes, names)
    if header.startswith("path"):  # a label, or a part of the data set
        with pytest.raises(ValueError, match=rf"column '{first}', which may .* a class or not"):
            load_csv(path)


def test_csv_columns_that_may_be_classes_are_refused_beside_names(tmp_path):
    write_photos(tmp_path)
    path = tmp_path / "labels.csv"
    path.write_text("path,label,tea pot,split\na.jpg,cup,0,1\nb.png,,1,0\nc.jpg,cup,0,1\n")
    for classes in (None, ["cup", "tea pot"]):
        with pytest.raises(ValueError, match=r"column 'tea pot', which may .* a class or not"):
            load_csv(path, classes=classes)
    assert load_csv(path, classes=["cup"]).split.tolist() == ["1", "0", "1"]
    path.write_text("path,label,labels\na.jpg,cup,tea pot\n")
    with pytest.raises(ValueError, match=r"column 'label', which may"):
        load_csv(path, classes=["cup", "tea pot"])


@pytest.mark.parametrize(
    "cell", ["cup/pot", "cup & pot", "cup pot", "cup\uff0cpot", "'cup\tpot'", "{cup}"]
)
def test_csv_names_that_are_others_put_together_are_refused(tmp_path, cell):
    write_photos(tmp_path)
    path = tmp_path / "labels.csv"
    path.write_text(f'path,labels\na.jpg,"{cell}"\nb.png,cup\nc.jpg,pot\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"Line 2 of .*Write ';' between names, or give"):
        load_csv(path)
    load_csv(path, classes=[cell, "cup", "pot"])
    path.write_text("path,labels\na.jpg,and/or\nb.png,hot dog\n")
    assert load_csv(path, missing="skip").target_names == ["and/or", "hot dog"]


def test_csv_of_another_machine_is_read_with_root(tmp_path):
    write_photos(tmp_path / "photos" / "x")
    path = tmp_path / "labels.csv"
    for start in ("/data/photos/x/", "D:\\photos\\x\\", "/x/"):
        path.write_text(AS_NAMES.replace("\n", f"\n{start}", 3))
        with pytest.raises(FileNotFoundError, match="3 of 3 photos are missing"):
            load_csv(path)
        check_own(load_csv(path, root=tmp_path / "photos"), "all")
    path.write_text("path,labels\n/train/x/a.jpg,cup\n/test/x/a.jpg,pot\n")
    with pytest.raises(ValueError, match=r"Line 3 of .* has /test/x/a\.jpg, but .* be /train/x/a"):
        load_csv(path, root=tmp_path / "photos")


def test_csv_classes_may_have_their_accents_in_another_form(tmp_path):
    apart, together = "cafe\u0301", "caf\u00e9"
    path = tmp_path / "labels.csv"
    write_photos(tmp_path)
    for text in (f"path,labels\na.jpg,{together}\n", f"path,{together}\na.jpg,1\n"):
        path.write_text(text, encoding="utf-8")
        found = load_csv(path, classes=[apart])
        assert (found.target_names, found.target.tolist()) == ([apart], [[1]])
        assert read_targets(path, [apart], ["a.jpg"]).tolist() == [[1]]
    path.write_text(f"path,labels\na.jpg,{apart}\nb.png,{together}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"Line 3 .* has the class 'caf.*, and Line 2"):
        load_csv(path)
    assert load_csv(path, classes=[together, apart]).target.tolist() == [[0, 1], [1, 0]]


def test_csv_classes_that_differ_in_capitals_alone_are_refused(tmp_path):
    write_photos(tmp_path)
    path = tmp_path / "labels.csv"
    path.write_text("path,labels\na.jpg,cup\nb.png,Cup\n")
    with pytest.raises(ValueError, match=r"Line 3 .* 'Cup', and Line 2 .* 'cup', which differ in"):
        load_csv(path)
    assert load_csv(path, classes=["cup", "Cup"]).target.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("text", ["a.jpg,1,0\nb.png,0,1\n", "a.jpg,cup\nb.png,\n"])
def test_csv_without_names_of_columns_is_refused(tmp_path, text):
    write_photos(tmp_path)
    (tmp_path / "labels.csv").write_text(text)
    for read in (load_csv, lambda path: read_targets(path, ["0", "1"], ["a.jpg", "b.png"])):
        with pytest.raises(ValueError, match=r"begins with 'a.jpg' where the name of a column is"):
            read(tmp_path / "labels.csv")
    (tmp_path / "labels.csv").write_text("file.name,cup\na.jpg,1\n")  # of R
    assert load_csv(tmp_path / "labels.csv").target.tolist() == [[1]]


@pytest.mark.parametrize("word", ["none", "NaN", "NULL", "n/a"])
def test_csv_words_for_nothing_are_no_classes(tmp_path, word):
    write_photos(tmp_path)
    path = tmp_path / "labels.csv"
    path.write_text(f"path,labels\na.jpg,cup\nb.png,{word}\n")
    with pytest.raises(ValueError, match=rf"Line 3 .* has '{word}' .*Leave the cell empty"):
        load_csv(path)
    assert load_csv(path, classes=["cup", word]).target.tolist() == [[1, 0], [0, 1]]
    path.write_text(f"path,cup,egg\na.jpg,1,{word}\n")
    with pytest.raises(ValueError, match=rf"Line 2 .* has '{word}' in the column 'egg'"):
        load_csv(path)
    np.testing.assert_array_equal(read_targets(path, ["cup", "egg"], ["a.jpg"]), [[1, np.nan]])


def test_csv_of_spreadsheets_may_have_empty_lines_a_separator_and_other_numbers(tmp_path):
    write_photos(tmp_path)
    path = tmp_path / "labels.csv"
    path.write_text("sep=;\n\npath;cup\n \na.jpg;1.00\n;\nb.png;0.0\nc.jpg;TRUE\n;\n")
    assert load_csv(path).target.tolist() == [[1], [0], [1]]
    assert read_targets(path, ["cup"], ["b.png", "a.jpg"]).tolist() == [[0], [1]]
    path.write_text(path.read_text().replace("0.0", "2"))
    with pytest.raises(ValueError, match=r"Line 7 .* has '2' in the column 'cup'"):
        load_csv(path)
    path.write_text("Unnamed: 0,path,cup\n0,a.jpg,1\n1,b.png,0\n")
    with pytest.raises(ValueError, match="a column without a name"):
        load_csv(path)


@pytest.mark.parametrize("name", ["cup and pot", "cup-pot", "cup_pot", "cup.pot", "cup\u00b7pot"])
def test_csv_names_that_are_others_with_a_word_or_sign_between_are_refused(name, tmp_path):
    path = tmp_path / "labels.csv"
    write_photos(tmp_path)
    path.write_text(f"path,labels\na.jpg,{name}\nb.png,cup;pot\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"Line 2 of .* for the name of a class"):
        load_csv(path)
    path.write_text(f"path,labels\na.jpg,{name}\nb.png,cup\n", encoding="utf-8")
    assert load_csv(path).target_names == sorted([name, "cup"])


def test_csv_that_pandas_wrote_with_its_index_is_read_or_says_so(tmp_path):
    path = tmp_path / "labels.csv"
    write_photos(tmp_path)
    path.write_text(",cup\na.jpg,1\nb.png,0\n")
    assert load_csv(path).target.tolist() == [[1], [0]]
    path.write_text(",path,cup\n0,a.jpg,1\n1,b.png,0\n")
    with pytest.raises(ValueError, match=r"labels\.csv has a column without a name.*index=False"):
        load_csv(path)


def test_csv_messages_stay_short_whatever_a_cell_holds(tmp_path):
    path = tmp_path / "labels.csv"
    for text in ("path,{0}\na.jpg,2\n", 'path,labels\na.jpg,"{0},{0}"\n', "{0},{0}\n1,1\n"):
        path.write_text(text.format("x" * 100_000))
        for read in (load_csv, lambda path: read_targets(path, ["cup"], ["a.jpg"])):
            with pytest.raises(ValueError, match="x") as caught:
                read(path)
            assert len(str(caught.value)) < 2000
            assert str(path) in str(caught.value)
