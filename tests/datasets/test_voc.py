"""Files of VOC: the data set itself, and photos of people's own."""

from pathlib import Path

import numpy as np
import pytest

from sklearn_cdul.datasets import load_voc
from tests.datasets.common import NAMES, check_bunch, check_own, shown, write_photos
from tests.datasets.trees import ANNOTATION, OBJECT, VOC, VOC_LISTS, write_photo


def voc_file(root, *parts):
    return root.joinpath("VOCdevkit", "VOC2012", *parts)


def test_voc_labels_are_the_objects_in_the_order_of_the_list(voc):
    photos = load_voc(voc)
    check_bunch(photos, 2, VOC, "train")
    assert shown(photos) == {"2008_000015.jpg": ["bottle"], "2008_000008.jpg": ["horse", "person"]}
    assert [Path(path).stem for path in photos.data] == VOC_LISTS["train"]
    assert photos.attributions == []


def test_voc_photos_without_objects_are_kept_with_zeros(voc):
    photos = load_voc(voc, split="val")
    assert shown(photos) == {"2008_000019.jpg": [], "2008_000023.jpg": ["tv monitor"]}


def test_voc_classes_with_only_difficult_objects_are_a_matter_of_choice(voc):
    negative = load_voc(voc, split="trainval")
    positive = load_voc(voc, split="trainval", difficult="positive")
    # The 0 of the official files of each class.
    only_difficult = {
        (Path(positive.data[row]).stem, positive.target_names[column])
        for row, column in np.argwhere(positive.target != negative.target)
    }
    assert only_difficult == {("2008_000015", "dining table"), ("2008_000023", "potted plant")}
    assert (positive.target >= negative.target).all()


def test_voc_official_names_are_the_columns_in_their_order(voc):
    official = (
        "aeroplane,bicycle,bird,boat,bottle,bus,car,cat,chair,cow,diningtable,dog,horse,motorbike,"
        "person,pottedplant,sheep,sofa,train,tvmonitor"
    )
    for column, name in enumerate(official.split(",")):
        path = voc_file(voc, "Annotations", "2008_000019.xml")
        path.write_text(f"<annotation><object><name>{name}</name></object></annotation>")
        assert np.flatnonzero(load_voc(voc, split="val").target[0]).tolist() == [column]


@pytest.mark.parametrize("below", [".", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_voc_root_may_be_any_of_three_folders(voc, below, monkeypatch):
    expected = load_voc(voc)
    assert load_voc(voc / below).data == expected.data
    assert load_voc(str(voc / below)).data == expected.data
    monkeypatch.chdir(voc / below)
    assert shown(load_voc(".")) == shown(expected)


def test_voc_root_may_have_another_name_but_not_that_of_another_year(voc):
    renamed = voc_file(voc).rename(voc / "my_photos")
    assert len(load_voc(renamed).data) == 2
    renamed = renamed.rename(voc / "VOC2007")
    assert len(load_voc(renamed, year="2007").data) == 2
    with pytest.raises(FileNotFoundError, match=r"no Pascal VOC 2012 at .*Expected ImageSets"):
        load_voc(renamed)


def test_voc_object_without_the_difficult_entry_is_not_difficult(voc):
    path = voc_file(voc, "Annotations", "2008_000023.xml")
    text = path.read_text()
    for entry in ("", "<difficult/>"):
        path.write_text(text.replace("<difficult>1</difficult>", entry))
        found = shown(load_voc(voc, split="val"))["2008_000023.jpg"]
        assert found == ["potted plant", "tv monitor"]


def test_voc_wrong_folders_and_missing_files_are_named(voc, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        load_voc(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"no Pascal VOC 2010 at .*VOCdevkit.VOC2010"):
        load_voc(voc, year="2010")
    with pytest.raises(FileNotFoundError, match=r"2008_000001\.xml\. .*only that of 2007"):
        load_voc(voc, split="test")
    with pytest.raises(FileNotFoundError, match=r"no file .*validation\.txt\. Expected the name"):
        load_voc(voc, split="validation")
    voc_file(voc, "ImageSets", "Main", "val.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"no file .*val\.txt\. Expected the name"):
        load_voc(voc, split="val")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"Line 1 of .*train\.txt is empty"),
        ("2008_000008\n\n2008_000015\n", r"Line 2 of .*train\.txt is empty"),
        ("2008_000008 -1\n2008_000015  1\n", r"Line 1 of .*train\.txt is '2008_000008 -1'"),
        (b"\xff\xd8\xff\xe0", r"train\.txt is not UTF-8"),
    ],
)
def test_voc_list_in_another_format_is_refused(voc, content, message):
    path = voc_file(voc, "ImageSets", "Main", "train.txt")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message):
        load_voc(voc)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("</annotation>\n", "", r"2008_000008\.xml is not XML, or is cut off"),
        ("<name>horse</name>", "<name>unicorn</name>", r"008\.xml has the class 'unicorn'"),
        ("<name>horse</name>", "", r"008\.xml has an object without a name"),
        ("<difficult>0<", "<difficult>maybe<", r"008\.xml has 'maybe' in <difficult>"),
    ],
)
def test_voc_damaged_annotation_is_named(voc, old, new, message):
    path = voc_file(voc, "Annotations", "2008_000008.xml")
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match=message):
        load_voc(voc)


def test_voc_other_xml_is_refused(voc):
    voc_file(voc, "Annotations", "2008_000008.xml").write_text("<html></html>")
    with pytest.raises(
        ValueError, match=r"2008_000008\.xml holds <html>\. Expected the annotation"
    ):
        load_voc(voc)


def write_xml(folder, names=NAMES):
    folder.mkdir(parents=True, exist_ok=True)
    for name, classes in names.items():
        text = "".join(OBJECT.format(name=each, difficult=0) for each in classes)
        content = ANNOTATION.format(identifier=Path(name).stem, objects=text)
        (folder / f"{Path(name).stem}.xml").write_text(content)


@pytest.mark.parametrize("photos", ["JPEGImages", "images", "."])
def test_voc_layout_without_lists_is_read_whole(tmp_path, photos):
    write_xml(tmp_path / "Annotations")
    write_photos(tmp_path / photos)
    check_own(load_voc(tmp_path, split=None, classes=None), "all")
    for classes in (["cup", "tea pot"], np.array(["cup", "tea pot"])):
        check_own(load_voc(tmp_path, split=None, classes=classes), "all")


def test_voc_files_beside_the_photos_are_read(tmp_path):
    write_xml(tmp_path)
    write_photos(tmp_path)
    check_own(load_voc(tmp_path, split=None, classes=None), "all")


def test_voc_lists_of_any_name_are_read_with_the_classes_of_all_files(tmp_path):
    write_xml(tmp_path / "Annotations")
    write_photos(tmp_path / "JPEGImages")
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "default.txt").write_text("c\n")
    photos = load_voc(tmp_path, split="default", classes=None)
    check_own(photos, "default", names={"c.jpg": ["cup"]})
    photos = load_voc(tmp_path, split="default", classes=["saucer", "cup"])
    check_own(photos, "default", ["saucer", "cup"], {"c.jpg": ["cup"]})


def test_voc_takes_the_photo_that_an_annotation_names(tmp_path):
    write_xml(tmp_path / "Annotations")
    write_photos(tmp_path / "JPEGImages")
    write_photos(tmp_path / "JPEGImages", ["b.jpg"])  # another photo than b.png
    path = tmp_path / "Annotations" / "b.xml"
    path.write_text(path.read_text().replace("b.jpg", "C:\\\\photos\\\\b.png"))
    check_own(load_voc(tmp_path, split=None, classes=None), "all")


def test_voc_reads_folders_below_and_endings_in_capitals(tmp_path):
    names = {"A.JPG": ["cup", "tea pot"], "b.Png": [], "c.jpg": ["cup"]}
    write_xml(tmp_path / "Annotations" / "first", names)
    write_photos(tmp_path / "JPEGImages" / "first", names)
    first = tmp_path / "Annotations" / "first"
    (first / "A.xml").rename(first / "a.XML")
    check_own(load_voc(tmp_path, split=None, classes=None), "all", names=names)


def test_voc_without_any_annotation_is_an_error(voc):
    for path in voc_file(voc, "Annotations").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match="with split=None XML files, in one of"):
        load_voc(voc, split=None)


def test_voc_in_an_encoding_that_is_not_known_is_named(voc):
    path = voc_file(voc, "Annotations", "2008_000008.xml")
    path.write_text('<?xml version="1.0" encoding="gb2312"?>' + path.read_text())
    with pytest.raises(ValueError, match=r"2008_000008\.xml .*encoding"):
        load_voc(voc)


def test_voc_says_what_to_write_for_other_classes_and_for_missing_lists(tmp_path):
    write_xml(tmp_path / "Annotations")
    write_photos(tmp_path / "JPEGImages")
    with pytest.raises(FileNotFoundError, match="give split=None"):
        load_voc(tmp_path)
    with pytest.raises(ValueError, match=r"a\.xml has the class 'cup'.*classes=, or None"):
        load_voc(tmp_path, split=None)
    with pytest.raises(ValueError, match=r"a\.xml has the class 'tea pot', .*: 'cup'"):
        load_voc(tmp_path, split=None, classes=["cup"])


def test_voc_annotation_that_may_be_of_two_photos_is_refused(tmp_path):
    write_photos(tmp_path, ["a.jpg", "a.png"])
    xml = "<annotation><filename>{}</filename><object><name>cup</name></object></annotation>"
    (tmp_path / "a.xml").write_text(xml.format("a"))
    with pytest.raises(ValueError, match=r"photo of a\.xml may be .*a\.jpg or .*a\.png"):
        load_voc(tmp_path, split=None, classes=None)
    (tmp_path / "a.xml").write_text(xml.format("a.png"))
    check_own(load_voc(tmp_path, split=None, classes=None), "all", ["cup"], {"a.png": ["cup"]})


def test_voc_photos_in_folders_below_are_found_before_others_of_the_name(tmp_path):
    for folder, name in {"": "pan", "s": "cup", "t": "egg"}.items():
        write_photo(tmp_path / "JPEGImages" / folder / "a.jpg")
        path = tmp_path / "Annotations" / folder / "a.xml"
        path.parent.mkdir(exist_ok=True)
        objects = f"<object><name>{name}</name></object>"
        path.write_text(f"<annotation><filename>a.jpg</filename>{objects}</annotation>")
    found = load_voc(tmp_path, split=None, classes=["pan", "cup", "egg"])
    rows = zip(found.data, found.target.tolist(), strict=True)
    names = {Path(path).parent.name: row for path, row in rows}
    assert names == {"JPEGImages": [1, 0, 0], "s": [0, 1, 0], "t": [0, 0, 1]}


def test_voc_objects_that_labelme_deleted_are_left_out(tmp_path):
    write_photo(tmp_path / "a.jpg")
    objects = "".join(
        f"<object><name>{name}</name><deleted>{flag}</deleted></object>"
        for name, flag in {"cup": 0, "egg": 1}.items()
    )
    text = f"<annotation><filename>a.jpg</filename>{objects}</annotation>"
    (tmp_path / "a.xml").write_text(text)
    assert load_voc(tmp_path, split=None, classes=None).target_names == ["cup"]
