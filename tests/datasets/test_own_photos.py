"""What the readers promise for photos of people's own, in layouts that tools export."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.datasets import (
    list_photos,
    load_coco,
    load_csv,
    load_folders,
    load_label_studio,
    load_voc,
    load_yolo,
)
from tests.datasets.test_readers import shown
from tests.datasets.trees import ANNOTATION, OBJECT, coco_content, write_coco, write_photo

NAMES = {"a.jpg": ["cup", "tea pot"], "b.png": [], "c.jpg": ["cup"]}


def check_own(photos, split, target_names=("cup", "tea pot"), names=NAMES):
    assert set(photos) == {"data", "target", "target_names", "split", "attributions", "DESCR"}
    assert shown(photos) == names
    assert photos.target.dtype == np.int64
    assert photos.target_names == list(target_names)
    assert photos.split.tolist() == [split] * len(names)
    assert all(Path(path).is_file() for path in photos.data)


def write_photos(folder, names=NAMES):
    for shade, name in enumerate(names):
        write_photo(folder / name, shade)


# A folder of photos --------------------------------------------------------------------------


def test_photos_of_a_folder_are_listed_in_order_without_hidden_and_other_files(tmp_path):
    wanted = ["a.JPG", "b/c.png", "b/d e.webp", "f.heic"]
    for name in [*wanted, ".hidden.jpg", ".cache/x.jpg", "notes.txt", "b/labels.csv"]:
        write_photo(tmp_path / name)
    assert list_photos(tmp_path) == [str(tmp_path / name) for name in wanted]


def test_listed_paths_begin_as_the_folder_was_given(tmp_path, monkeypatch):
    write_photo(tmp_path / "photos" / "a.jpg")
    monkeypatch.chdir(tmp_path)
    assert list_photos("photos") == [str(Path("photos", "a.jpg"))]


def test_a_folder_without_photos_says_what_is_in_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no photo in .*it has no files"):
        list_photos(tmp_path)
    for name in ("a.txt", "b.txt", "README"):
        (tmp_path / name).write_text("")
    with pytest.raises(FileNotFoundError, match=r"no photo in .*2 \.txt, 1 no ending"):
        list_photos(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        list_photos(tmp_path / "nowhere")


# COCO ----------------------------------------------------------------------------------------


def own_coco():
    def image(number, name):
        return {"id": number, "file_name": name}

    def annotation(image_id, category_id):
        return {"id": image_id, "image_id": image_id, "category_id": category_id, "bbox": [0] * 4}

    return {
        "images": [image(0, "a.jpg"), image(1, "b.png"), image(2, "c.jpg")],
        "categories": [{"id": 5, "name": "tea pot"}, {"id": 3, "name": "cup"}],
        "annotations": [annotation(0, 3), annotation(0, 5), annotation(2, 3), annotation(2, 3)],
    }


@pytest.mark.parametrize(
    ("file", "photos", "split"),
    [
        ("annotations/instances_val.json", "val", "val"),
        ("annotations/instances_train2017.json", "images/train2017", None),
        ("annotations/instances_default.json", "images/default", "default"),
        ("annotations/instances_val.json", "images", "val"),
        ("annotations/val.json", "val", "val"),
        ("train/_annotations.coco.json", "train", "train"),
    ],
)
def test_coco_finds_file_and_photos_where_tools_put_them(tmp_path, file, photos, split):
    write_photos(tmp_path / photos)
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(json.dumps(own_coco()))
    check_own(load_coco(tmp_path, split=split), split or "train2017")


@pytest.mark.parametrize(
    ("file", "photos"),
    [
        ("result.json", "images"),
        ("labels.json", "data"),
        ("labels.json", "."),
        ("annotations/instances_default.json", "images"),
    ],
)
def test_coco_takes_the_path_of_a_file(tmp_path, file, photos):
    write_photos(tmp_path / photos)
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(json.dumps(own_coco()))
    check_own(load_coco(tmp_path / file), "all")
    check_own(load_coco(tmp_path / file, split="mine"), "mine")


def test_coco_takes_the_folder_of_the_photos_if_it_is_another_one(tmp_path):
    write_photos(tmp_path / "elsewhere")
    (tmp_path / "labels.json").write_text(json.dumps(own_coco()))
    with pytest.raises(FileNotFoundError, match="3 of 3 photos are missing"):
        load_coco(tmp_path / "labels.json")
    check_own(load_coco(tmp_path / "labels.json", images=tmp_path / "elsewhere"), "all")
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        load_coco(tmp_path / "labels.json", images=tmp_path / "nowhere")


def test_coco_official_photos_may_lie_under_images(tmp_path):
    write_coco(tmp_path)
    expected = shown(load_coco(tmp_path, split="val2017"))
    (tmp_path / "images").mkdir()
    shutil.move(tmp_path / "val2017", tmp_path / "images")
    photos = load_coco(tmp_path, split="val2017")
    assert shown(photos) == expected
    assert "MS-COCO" in photos.DESCR


def test_coco_description_does_not_call_other_photos_those_of_ms_coco(tmp_path):
    write_photos(tmp_path)
    (tmp_path / "labels.json").write_text(json.dumps(own_coco()))
    assert "Flickr" not in load_coco(tmp_path / "labels.json").DESCR
    content = coco_content()
    content["categories"][0]["name"] = "hair brush"
    write_coco(tmp_path)
    (tmp_path / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    assert "Flickr" not in load_coco(tmp_path, split="val2017").DESCR


# VOC -----------------------------------------------------------------------------------------


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


def test_voc_says_what_to_write_for_other_classes_and_for_missing_lists(tmp_path):
    write_xml(tmp_path / "Annotations")
    write_photos(tmp_path / "JPEGImages")
    with pytest.raises(FileNotFoundError, match="give split=None"):
        load_voc(tmp_path)
    with pytest.raises(ValueError, match=r"a\.xml has an object .*'cup'.*classes=, or None"):
        load_voc(tmp_path, split=None)
    with pytest.raises(ValueError, match=r"a\.xml has an object .*'tea pot'\. Expected one of 'c"):
        load_voc(tmp_path, split=None, classes=["cup"])


# YOLO ----------------------------------------------------------------------------------------


def write_yolo(root, photos, labels, entry, names="[cup, tea pot]", path=None):
    write_photos(root / photos)
    (root / labels).mkdir(parents=True, exist_ok=True)
    (root / labels / "a.txt").write_text("0 .5 .5 .1 .1\n1 .1 .1 .2 .2 .3 .3\n\n")
    (root / labels / "c.txt").write_text("0.0 0.5 0.5 0.1 0.1\n0 0.2 0.2 0.1 0.1")
    (root / "data.yaml").write_text(
        (f"path: {path}\n" if path else "") + f"train: {entry}\nnc: 2\nnames: {names}\n"
    )


@pytest.mark.parametrize(
    "parameters",
    [
        {"photos": "images/train", "labels": "labels/train", "entry": "images/train"},
        {"photos": "train/images", "labels": "train/labels", "entry": "../train/images"},
        {"photos": "images", "labels": "labels", "entry": "images", "path": "../data/coco8"},
        {"photos": "photos", "labels": "photos", "entry": "[photos]"},
        {
            "photos": "images",
            "labels": "labels",
            "entry": "images",
            "names": "\n  1: tea pot\n  0: cup",
        },
    ],
)
def test_yolo_finds_photos_and_labels_where_tools_put_them(tmp_path, parameters):
    write_yolo(tmp_path, **parameters)
    check_own(load_yolo(tmp_path), "train")
    check_own(load_yolo(tmp_path / "data.yaml"), "train")


def test_yolo_reads_lists_of_photos_in_their_order(tmp_path):
    write_yolo(tmp_path, "images", "labels", "train.txt")
    (tmp_path / "train.txt").write_text("./images/c.jpg\n./images/a.jpg\n./images/gone.jpg\n")
    with pytest.raises(FileNotFoundError, match=r"1 of 3 photos are missing.*gone\.jpg"):
        load_yolo(tmp_path)
    with pytest.warns(UserWarning, match="1 of 3 photos"):
        photos = load_yolo(tmp_path, missing="skip")
    assert [Path(path).name for path in photos.data] == ["c.jpg", "a.jpg"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 .5 .5 .1 .1", r"Line 2 of .*a\.txt is '2 .* 0 to 1"),
        ("cup .5 .5 .1 .1", r"Line 2 of .*a\.txt is 'cup"),
        ("0", r"Line 2 of .*a\.txt is '0'"),
        ("0.5 .5 .5 .1 .1", r"Line 2 of .*a\.txt is '0\.5"),
    ],
)
def test_yolo_names_the_line_that_is_wrong(tmp_path, line, message):
    write_yolo(tmp_path, "images", "labels", "images")
    (tmp_path / "labels" / "a.txt").write_text(f"1 .5 .5 .1 .1\n{line}\n")
    with pytest.raises(ValueError, match=message):
        load_yolo(tmp_path)


@pytest.mark.parametrize(
    ("yaml", "error", "message"),
    [
        ("train: [", ValueError, r"data\.yaml is not YAML"),
        ("cup", ValueError, r"data\.yaml has no keys"),
        ("train: images", ValueError, r'data\.yaml has no list "names"'),
        ("train: images\nnames: {0: cup, 2: pot}", ValueError, r"Expected 0 to 1"),
        ("train: images\nnames: [yes, no]", ValueError, r"Name 0 of names in .* is True"),
        ("train: images\nnames: [cup]\nnc: 2", ValueError, r'has 1 names, but "nc" is 2'),
        ("val: images\nnames: [cup, pot]", ValueError, r"photos for 'train'.*'val'"),
        ("train: nowhere\nnames: [cup, pot]", FileNotFoundError, r"no .*nowhere, which .*'train'"),
    ],
)
def test_yolo_names_what_is_wrong_in_the_yaml_file(tmp_path, yaml, error, message):
    write_yolo(tmp_path, "images", "labels", "images")
    (tmp_path / "data.yaml").write_text(yaml)
    with pytest.raises(error, match=message):
        load_yolo(tmp_path)


def test_yolo_without_any_labels_says_where_they_should_be(tmp_path):
    write_yolo(tmp_path, "images", "labels", "images")
    shutil.rmtree(tmp_path / "labels")
    with pytest.raises(FileNotFoundError, match=r"The first would be .*labels.a\.txt"):
        load_yolo(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no file .*data\.yaml"):
        load_yolo(tmp_path / "images")


# CSV -----------------------------------------------------------------------------------------

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


def test_csv_of_the_bundled_photos_gives_what_their_reader_gives(food_photos):
    folder = Path(food_photos.data[0]).parents[1]
    photos = load_csv(
        folder / "labels.csv", root=folder / "images", classes=food_photos.target_names
    )
    assert photos.data == food_photos.data
    np.testing.assert_array_equal(photos.target, food_photos.target)
    np.testing.assert_array_equal(photos.split, food_photos.split)


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
        ("photo,labels\na.jpg,cup\n", {}, r"has the columns 'photo', 'labels'\. .*'path'"),
        ("path,path,labels\na,b,c\n", {}, "these columns more than once: 'path'"),
        ("path,labels\na.jpg,cup\nb.png,cup,pot\n", {}, r"Line 3 of .* has 3 cells"),
        ("path,labels\n,cup\n", {}, r"Line 2 of .* has no path"),
        ("path,cup\na.jpg,yes\n", {}, r"Line 2 of .* has 'yes' in the column 'cup'"),
        (AS_NAMES, {"classes": ["cup"]}, r"Line 2 of .* has the class 'tea pot', .*: 'cup'"),
        (AS_COLUMNS, {"classes": ["cup"]}, r"Line 1 of .* has the class 'tea pot'"),
        (AS_COLUMNS, {"classes": ["cup", "tea pot", "jar"]}, "no column for these classes: 'jar'"),
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


def test_csv_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "labels.csv").write_bytes(b"path,labels\n\xff\xfe\n")
    with pytest.raises(ValueError, match="is not UTF-8"):
        load_csv(tmp_path / "labels.csv")
    with pytest.raises(FileNotFoundError, match="no file"):
        load_csv(tmp_path / "other.csv")


# A folder a class ----------------------------------------------------------------------------


def test_folders_are_classes(tmp_path):
    for name in ("test/cup/a.jpg", "test/tea pot/deep/b.png", "train/cup/c.jpg"):
        write_photo(tmp_path / name)
    test = {"a.jpg": ["cup"], "b.png": ["tea pot"]}
    check_own(load_folders(tmp_path, split="test"), "test", names=test)
    check_own(load_folders(tmp_path / "test"), "all", names=test)
    train = load_folders(tmp_path, split="train", classes=["cup", "tea pot"])
    check_own(train, "train", names={"c.jpg": ["cup"]})


def test_folders_name_what_is_wrong(tmp_path):
    write_photo(tmp_path / "cup" / "a.jpg")
    with pytest.raises(ValueError, match=r"has the class 'cup', which is not among classes: 'jar'"):
        load_folders(tmp_path, classes=["jar"])
    with pytest.raises(ValueError, match=r"a\.jpg lies in no folder of a class"):
        load_folders(tmp_path / "cup")
    with pytest.raises(FileNotFoundError, match=r"no folder .*train"):
        load_folders(tmp_path, split="train")


# Label Studio --------------------------------------------------------------------------------


def annotation(names, **more):
    result = {"from_name": "labels", "to_name": "image", "type": "choices"}
    return {"result": [{**result, "value": {"choices": names}}] if names else [], **more}


def task(name, *annotations):
    return {
        "data": {"image": f"/data/local-files/?d=my%20photos/{name}"},
        "annotations": annotations,
    }


def test_label_studio_takes_the_last_annotation_that_was_not_skipped(tmp_path):
    write_photos(tmp_path / "my photos")
    tasks = [
        task("a.jpg", annotation(["cup"]), annotation(["cup", "tea pot"])),
        task("b.png", annotation([])),
        task("c.jpg", annotation(["cup"]), annotation(["tea pot"], was_cancelled=True)),
        task("d.jpg"),
    ]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    photos = load_label_studio(tmp_path / "export.json")
    check_own(photos, "all")
    assert "1 of 4 tasks" in photos.DESCR
    shutil.move(tmp_path / "export.json", tmp_path / "my photos")
    check_own(load_label_studio(tmp_path / "my photos" / "export.json", root=tmp_path), "all")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "is not JSON"),
        ("{}", "holds no tasks"),
        ('[{"image": "a.jpg", "labels": "cup"}]', r'Task 0 of .* has no "data"'),
        (
            json.dumps([{**task("a.jpg"), "annotations": None}]),
            r'Task 0 of .* has "annotations" that are no list of objects: None',
        ),
        (json.dumps([task("a.jpg", 17)]), r"Task 0 of .* no list of objects: \[17\]"),
        (json.dumps([task("a.jpg")]), "None of the 1 tasks"),
        (json.dumps([task("a.jpg", {"result": [{}]})]), r"Task 0 of .* without a \"result\""),
        (
            json.dumps([{"data": {"image": "https://x/a.jpg"}, "annotations": [annotation([])]}]),
            r"Task 0 of .* has the image 'https://x/a\.jpg'",
        ),
        (json.dumps([task("a.jpg", annotation(["jar"]))]), r"Task 0 of .* has the class 'jar'"),
    ],
)
def test_label_studio_names_what_is_wrong(tmp_path, content, message):
    (tmp_path / "export.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        load_label_studio(tmp_path / "export.json", classes=["cup"])


# What is read serves score -------------------------------------------------------------------


def test_what_is_read_serves_score(tmp_path, food_photos):
    names = ["fruit", "bread"]
    columns = [food_photos.target_names.index(name) for name in names]
    lines = [
        ",".join([path, *map(str, row)])
        for path, row in zip(food_photos.data[:8], food_photos.target[:8, columns], strict=True)
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["path,fruit,bread", *lines]))
    photos = load_csv(tmp_path / "labels.csv")
    labeler = CLIPPseudoLabeler(photos.target_names, grid_size=1).fit()
    assert 0.3 < labeler.score(photos.data, photos.target) <= 1


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    closed = tmp_path / "photos" / "closed"
    closed.mkdir(parents=True)
    (tmp_path / "photos" / "a.jpg").touch()
    scandir = os.scandir

    def refuse(path):  # root may read all folders, so no permission is taken away
        if os.fspath(path) == str(closed):
            raise PermissionError(13, "Permission denied", str(closed))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="closed"):
        list_photos(tmp_path / "photos")
