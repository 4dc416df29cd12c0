"""What the readers of VOC, COCO and NUS-WIDE folders promise, on small folders in their format."""

import json
import runpy
import warnings
from pathlib import Path

import numpy as np
import pytest

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.datasets import load_coco, load_nus_wide, load_voc
from tests.datasets.trees import (
    COCO,
    NUS,
    VOC,
    VOC_LISTS,
    coco_content,
    write_coco,
    write_json,
    write_nus_wide,
    write_photo,
    write_voc,
)


@pytest.fixture
def voc(tmp_path):
    write_voc(tmp_path)
    return tmp_path


@pytest.fixture
def coco(tmp_path):
    write_coco(tmp_path)
    return tmp_path


@pytest.fixture
def nus(tmp_path):
    write_nus_wide(tmp_path)
    return tmp_path


def shown(photos):
    """File name -> names of the classes with a 1."""
    names = np.array(photos.target_names)
    return {
        Path(path).name: names[row == 1].tolist()
        for path, row in zip(photos.data, photos.target, strict=True)
    }


def check_bunch(photos, n, target_names, split):
    assert set(photos) == {"data", "target", "target_names", "split", "attributions", "DESCR"}
    assert all(isinstance(path, str) and Path(path).is_file() for path in photos.data)
    assert len(photos.data) == n
    assert photos.target.shape == (n, len(target_names))
    assert photos.target.dtype == np.int64
    assert set(np.unique(photos.target)) <= {0, 1}
    assert photos.target_names == list(target_names)
    assert photos.split.tolist() == [split] * n
    assert split in photos.DESCR


# VOC -----------------------------------------------------------------------------------------


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
    path.write_text(path.read_text().replace("<difficult>1</difficult>", ""))
    assert shown(load_voc(voc, split="val"))["2008_000023.jpg"] == ["potted plant", "tv monitor"]


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
        (b"\xff\xd8\xff\xe0", r"train\.txt is not a text file"),
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
        ("<name>horse</name>", "<name>unicorn</name>", r"008\.xml has an object .*'unicorn'"),
        ("<name>horse</name>", "", r"008\.xml has an object with the name ''"),
        ("<difficult>0<", "<difficult>maybe<", r"008\.xml has <difficult>maybe<"),
    ],
)
def test_voc_damaged_annotation_is_named(voc, old, new, message):
    path = voc_file(voc, "Annotations", "2008_000008.xml")
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match=message):
        load_voc(voc)


def test_voc_other_xml_is_refused(voc):
    voc_file(voc, "Annotations", "2008_000008.xml").write_text("<html></html>")
    with pytest.raises(ValueError, match=r"2008_000008\.xml holds <html>\. Expected <annotation>"):
        load_voc(voc)


# COCO ----------------------------------------------------------------------------------------


def test_coco_labels_are_the_outlines_in_the_order_of_the_photos_numbers(coco):
    photos = load_coco(coco, split="val2017")
    check_bunch(photos, 3, COCO, "val2017")
    assert list(shown(photos).items()) == [
        ("000000000139.jpg", ["stop sign", "banana"]),
        ("000000000285.jpg", []),
        ("000000000632.jpg", ["person", "toothbrush"]),
    ]


def test_coco_crowds_alone_can_be_left_out(coco):
    photos = load_coco(str(coco), split="val2017", crowd="negative")
    assert shown(photos)["000000000139.jpg"] == ["stop sign"]
    assert shown(photos)["000000000632.jpg"] == ["person", "toothbrush"]


def test_coco_attributions_follow_the_photos(coco):
    photos = load_coco(coco, split="val2017")
    assert photos.attributions[0] == {
        "filename": "000000000139.jpg",
        "source_url": "http://farm7.staticflickr.com/6116/139_z.jpg",
        "author": "",
        "licence": "No known restrictions",
    }
    (coco / "val2017" / "000000000139.jpg").unlink()
    with pytest.warns(UserWarning, match="1 of 3 photos"):
        photos = load_coco(coco, split="val2017", missing="skip")
    assert [row["filename"] for row in photos.attributions] == list(shown(photos))


def test_coco_file_without_licences_gives_empty_attributions(coco):
    content = coco_content()
    del content["licenses"], content["images"][0]["flickr_url"], content["images"][0]["license"]
    write_json(coco, content)
    credit = load_coco(coco, split="val2017").attributions[-1]
    assert credit == {"filename": "000000000632.jpg", "source_url": "", "author": "", "licence": ""}


def test_coco_wrong_folder_and_missing_file_are_named(coco, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        load_coco(tmp_path / "nowhere")
    there = r"no file .*instances_train2017\.json.*instances_val2017\.json"
    with pytest.raises(FileNotFoundError, match=there):
        load_coco(coco)
    with pytest.raises(FileNotFoundError, match=r"no file .*instances_val2017\.json"):
        load_coco(coco / "annotations", split="val2017")


def without(key):
    content = coco_content()
    del content[key]
    return content


def changed(key, position, **fields):
    content = coco_content()
    content[key][position] = {**content[key][position], **fields}
    return content


def short_of(key, position, field):
    content = coco_content()
    del content[key][position][field]
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json.dumps(coco_content())[:-200], "is not JSON, or is cut off"),
        ([], 'has no list "images"'),
        (without("images"), 'has no list "images"'),
        (without("annotations"), 'has no list "annotations"'),
        (without("categories"), 'has no list "categories"'),
        ({**coco_content(), "images": []}, 'has no photo. Expected one or more in "images"'),
        (short_of("images", 1, "file_name"), 'in "images" .*"file_name" of type str'),
        (changed("images", 1, id="139"), 'in "images" .*"id" of type int'),
        (short_of("annotations", 2, "category_id"), 'in "annotations" .*"image_id"'),
        (changed("annotations", 2, image_id=None), 'in "annotations" .*all of type int'),
        (changed("annotations", 0, image_id=7), "annotation 0 of photo 7 and category 90"),
        (changed("annotations", 0, category_id=91), "annotation 0 of photo 632 and category 91"),
        (changed("images", 1, id=632), '"images" the same number more than once'),
        (changed("categories", 1, name="toothbrush"), "the name 'toothbrush' twice"),
        (changed("categories", 0, name=" "), "is ' '. Expected text"),
        (changed("categories", 0, id=1), '"categories" the same number more than once'),
        (changed("categories", 2, name=None), r'"categories" .*\(number 2\).*"name" of type str'),
    ],
)
def test_coco_damaged_file_is_named(coco, content, message):
    write_json(coco, content)
    with pytest.raises(ValueError, match=rf"instances_val2017\.json.*{message}"):
        load_coco(coco, split="val2017")


# NUS-WIDE ------------------------------------------------------------------------------------


def test_nus_wide_labels_are_the_ground_truth_of_the_part(nus):
    photos = load_nus_wide(nus)
    check_bunch(photos, 3, NUS, "train")
    assert list(shown(photos).items()) == [
        ("0001_2124494179.jpg", ["person", "sky"]),
        ("0002_258761806.jpg", []),
        ("0499_2291103045.jpg", ["animal", "grass", "zebra"]),
    ]
    assert Path(photos.data[0]) == nus / "Flickr" / "actor" / "0001_2124494179.jpg"
    assert photos.attributions == []
    test = load_nus_wide(str(nus), split="test")
    check_bunch(test, 1, NUS, "test")
    assert shown(test) == {"0002_174174086.jpg": ["airport"]}


def test_nus_wide_reads_lists_with_slashes_and_other_line_ends(nus):
    expected = load_nus_wide(nus)
    path = nus / "ImageList" / "TrainImagelist.txt"
    path.write_text(path.read_text().replace("\\", "/").rstrip() + " \n\n")
    for path in (nus / "Groundtruth" / "TrainTestLabels").iterdir():
        path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").rstrip())
    photos = load_nus_wide(nus)
    assert photos.data == expected.data
    np.testing.assert_array_equal(photos.target, expected.target)


def test_nus_wide_wrong_folders_and_missing_files_are_named(nus, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        load_nus_wide(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"TrainImagelist\.txt\. .*holds Flickr"):
        load_nus_wide(nus / "Flickr")
    (nus / "Groundtruth" / "TrainTestLabels" / "Labels_moon_Test.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"Labels_moon_Test\.txt\. Expected 0 or 1 a line"):
        load_nus_wide(nus, split="test")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"0\r\n1\r\n", r"Labels_moon_Train\.txt has 2 labels\. .*of the 3 photos"),
        (b"0\r\n1\r\n0\r\n0\r\n", r"Labels_moon_Train\.txt has 4 labels"),
        (b"", r"Labels_moon_Train\.txt has 0 labels"),
        (b"0\r\n-1\r\n1\r\n", r"Label 2 of .*Labels_moon_Train\.txt is '-1'"),
        (b"0\r\n1\r\n\xff\r\n", r"Label 3 of .*Labels_moon_Train\.txt"),
    ],
)
def test_nus_wide_damaged_labels_are_named(nus, content, message):
    (nus / "Groundtruth" / "TrainTestLabels" / "Labels_moon_Train.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_nus_wide(nus)


def test_nus_wide_list_with_a_hole_is_refused(nus):
    path = nus / "ImageList" / "TrainImagelist.txt"
    path.write_bytes(b"actor\\0001_2124494179.jpg\r\n\r\nzebra\\0499_2291103045.jpg\r\n")
    with pytest.raises(ValueError, match=r"Line 2 of .*TrainImagelist\.txt is empty"):
        load_nus_wide(nus)


# All three -----------------------------------------------------------------------------------


@pytest.fixture(params=["voc", "coco", "nus"])
def reader(request):
    """(function of `missing` that reads two or more photos, all of them in order)."""
    root = request.getfixturevalue(request.param)
    load, split = {
        "voc": (load_voc, "trainval"),
        "coco": (load_coco, "val2017"),
        "nus": (load_nus_wide, "train"),
    }[request.param]

    def read(**parameters):
        return load(root, **{"split": split, **parameters})

    return read, read()


def test_missing_photos_are_an_error_that_counts_them(reader):
    read, everything = reader
    Path(everything.data[1]).unlink()
    n = len(everything.data)
    name = Path(everything.data[1]).name
    with pytest.raises(FileNotFoundError, match=f'1 of {n} photos .*{name}.*missing="skip"'):
        read()


def test_missing_photos_can_be_left_out_with_one_warning(reader):
    read, everything = reader
    Path(everything.data[1]).unlink()
    kept = [i for i in range(len(everything.data)) if i != 1]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        photos = read(missing="skip")
    assert len(caught) == 1
    assert "1 of" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert photos.data == [everything.data[i] for i in kept]
    np.testing.assert_array_equal(photos.target, everything.target[kept])
    assert len(photos.split) == len(kept)


def test_nothing_is_said_when_no_photo_is_missing(reader):
    read, everything = reader
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(missing="skip").data == everything.data


def test_a_folder_without_any_of_the_photos_is_an_error(reader):
    read, everything = reader
    for path in everything.data:
        Path(path).unlink()
    n = len(everything.data)
    for missing in ("raise", "skip"):
        with pytest.raises(FileNotFoundError, match=f"{n} of {n} photos .*Check that"):
            read(missing=missing)


@pytest.mark.parametrize(
    ("load", "parameters"),
    [
        (load_voc, {"classes": "coco"}),
        (load_voc, {"year": 2012}),
        (load_voc, {"year": "2006"}),
        (load_voc, {"difficult": "ignore"}),
        (load_voc, {"missing": "error"}),
        (load_coco, {"crowd": True}),
        (load_coco, {"missing": None}),
        (load_nus_wide, {"split": "val"}),
        (load_nus_wide, {"missing": ""}),
    ],
)
def test_unknown_values_are_refused(load, parameters, tmp_path):
    ((name, value),) = parameters.items()
    with pytest.raises(ValueError, match=f'^{name} must be ".*, got {value!r}'):
        load(tmp_path, **parameters)


def test_labeler_takes_the_photos_and_their_labels(reader):
    _, photos = reader
    labeler = CLIPPseudoLabeler(photos.target_names, grid_size=1).fit()
    labels = labeler.transform(photos.data[:3])
    assert labels.shape == photos.target[:3].shape
    assert np.isfinite(labels).all()
    assert labeler.get_feature_names_out().tolist() == photos.target_names
    assert 0 <= labeler.score(photos.data, photos.target) <= 1


def test_benchmark_tree_holds_the_labels_of_the_table(tmp_path, monkeypatch):
    script = Path(__file__).parents[2] / "benchmarks" / "voc_tree.py"
    if not script.exists():
        pytest.skip("this test reads a checkout of the source")
    monkeypatch.syspath_prepend(script.parent)
    table = ["filename,labels,split", "b.jpg,dog;tvmonitor,train", "a.jpg,,train", "c.jpg,cat,test"]
    for name in "abc":
        write_photo(tmp_path / "in" / "images" / f"{name}.jpg")
    (tmp_path / "in" / "labels.csv").write_text("\n".join(table) + "\n")
    devkit = runpy.run_path(str(script))["write_tree"](tmp_path / "in", tmp_path / "out")
    assert shown(load_voc(devkit)) == {"a.jpg": [], "b.jpg": ["dog", "tv monitor"]}
    assert shown(load_voc(devkit, split="val")) == {"c.jpg": ["cat"]}
    lists = devkit / "VOC2012" / "ImageSets" / "Main"
    assert (lists / "dog_trainval.txt").read_text() == "a -1\nb  1\nc -1\n"
