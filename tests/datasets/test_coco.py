"""Files of COCO: the data set itself, and photos of people's own."""

import json
import shutil
import unicodedata

import pytest

from sklearn_cdul.datasets import load_coco
from tests.datasets.common import check_bunch, check_own, shown, write_photos
from tests.datasets.trees import COCO, coco_content, write_coco, write_json


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
        (short_of("annotations", 2, "category_id"), 'in "annotations" .*"category_id" of type int'),
        (changed("annotations", 2, image_id=None), 'in "annotations" .*"image_id" of type int'),
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


def test_coco_unites_the_entries_of_a_photo(tmp_path):
    write_photos(tmp_path)
    content = own_coco()
    content["images"].append({"id": 9, "file_name": "./a.jpg"})
    content["annotations"][1]["image_id"] = 9
    (tmp_path / "labels.json").write_text(json.dumps(content))
    check_own(load_coco(tmp_path / "labels.json"), "all")


def test_coco_reads_what_tools_write_on_other_systems(tmp_path):
    names = {"a.jpg": ["cup", "tea pot"], "b.png": [], "cäfé.jpg": ["cup"]}
    write_photos(tmp_path / "photos", names)
    content = own_coco()
    content["images"][2]["file_name"] = unicodedata.normalize("NFD", "cäfé.jpg")
    for image in content["images"]:
        image["file_name"] = f"photos\\{image['file_name']}"
        image["license"] = [1]
    content["licenses"] = [{"id": 0, "name": None, "url": None}]  # of labelme
    # of Roboflow
    content["categories"].append({"id": 0, "name": "cup", "supercategory": "none"})
    content["categories"][1]["supercategory"] = "cup"
    (tmp_path / "labels.json").write_text(json.dumps(content), encoding="utf-8-sig")
    photos = load_coco(tmp_path / "labels.json")
    check_own(photos, "all", names=names)
    assert photos.attributions[0]["licence"] == ""


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


def test_coco_with_a_key_twice_is_refused(tmp_path):
    write_photos(tmp_path)
    text = json.dumps(own_coco())[:-1] + ', "annotations": []}'
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(
        ValueError, match=r"labels.json .* has the key 'annotations' more than once"
    ):
        load_coco(tmp_path / "labels.json")


def test_coco_without_annotations_warns(tmp_path):
    content = own_coco() | {"annotations": []}
    names = {image["file_name"]: [] for image in content["images"]}
    write_photos(tmp_path, names)
    (tmp_path / "labels.json").write_text(json.dumps(content))
    with pytest.warns(UserWarning, match=r"No photo in .*labels.json has an annotation"):
        photos = load_coco(tmp_path / "labels.json")
    assert shown(photos) == names
