"""What other tools export is read to the labels that were given there, or says what to export.

The files in `exports` were written by the tools, of three photos: datumaro 1.13.12,
supervision 0.31.2, labelme 6.3.1, label-studio-sdk 2.1.2 (its converter, which Label Studio 1.23.2
runs), FiftyOne 1.22.1 and globox 2.9.0. CVAT, Roboflow and VGG Image Annotator (2.0.12) run
elsewhere. What they write is typed here as it is in exports that others have published (CVAT of
2022 and 2023, Roboflow of 2022 and later) and in the source of VGG Image Annotator.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sklearn_cdul.datasets import (
    load_coco,
    load_csv,
    load_cvat,
    load_fiftyone,
    load_label_studio,
    load_labelme,
    load_voc,
    load_yolo,
)
from sklearn_cdul.targets import read_targets
from tests.datasets.common import shown, write_photos
from tests.pages import python_blocks

EXPORTS = Path(__file__).parent / "exports"
NAMES = {"breakfast_001.jpg": ["cup", "tea pot"], "soup_014.jpg": [], "table_022.jpg": ["cup"]}
UPLOADS = {
    f"0000000{number}-{name}": names for number, (name, names) in enumerate(NAMES.items(), 1)
}
LISTED, USED = ["cup", "spoon", "tea pot"], ["cup", "tea pot"]
# FiftyOne has null for a photo without any class as for one that nobody looked at.
LOOKED_AT = {name: names for name, names in NAMES.items() if names}


def exported(name, folder, photos):
    """A copy of an export with the photos that it does not bring."""
    shutil.copytree(EXPORTS / name, folder, dirs_exist_ok=True)
    write_photos(folder / photos, UPLOADS if "upload" in photos else NAMES)
    return folder


def voc(folder):
    return load_voc(folder, split=None, classes=None)


@pytest.mark.parametrize(
    ("name", "photos", "read", "classes", "names"),
    [
        ("datumaro_cvat_tags", "images", load_cvat, LISTED, NAMES),
        ("datumaro_cvat_boxes", "images", load_cvat, LISTED, NAMES),
        ("fiftyone_cvat", "data", lambda f: load_cvat(f, root=f / "data"), USED, NAMES),
        ("globox_cvat", ".", load_cvat, USED, NAMES),
        ("datumaro_coco", "images/train", lambda f: load_coco(f, split="train"), LISTED, NAMES),
        ("datumaro_yolo", "obj_train_data", load_yolo, LISTED, NAMES),
        ("datumaro_label_me", "Images/train", voc, USED, NAMES),
        ("supervision_coco", "images", lambda f: load_coco(f / "annotations.json"), LISTED, NAMES),
        ("supervision_yolo", "images", load_yolo, LISTED, NAMES),
        ("supervision_voc", "images", voc, USED, NAMES),
        ("supervision_labelme", "images", load_labelme, USED, NAMES),
        ("labelme_flags", ".", load_labelme, LISTED, NAMES),
        ("labelme_shapes", ".", load_labelme, USED, NAMES),
        ("fiftyone_classification", "data", load_fiftyone, USED, LOOKED_AT),
        ("fiftyone_classification_listed", "data", load_fiftyone, LISTED, LOOKED_AT),
        ("fiftyone_detection_listed", "data", load_fiftyone, LISTED, NAMES),
        ("label_studio_json", "upload/1", lambda f: label_studio(f, "result.json"), USED, UPLOADS),
        ("label_studio_json", ".", lambda f: label_studio(f, "result.json"), USED, NAMES),
        ("label_studio_coco", "photos", lambda f: uploaded_coco(f), LISTED, NAMES),
        ("label_studio_coco", "photos/upload/1", lambda f: uploaded_coco(f), LISTED, UPLOADS),
        ("label_studio_yolo", "images/upload", load_yolo, LISTED, UPLOADS),
    ],
)
def test_exports_give_the_labels(name, photos, read, classes, names, tmp_path):
    folder = exported(name, tmp_path, photos)
    if name == "label_studio_yolo":  # its photos are in no folder below
        for photo in (folder / photos).iterdir():
            photo.rename(folder / "images" / photo.name)
    found = read(folder)
    assert shown(found) == names
    assert found.target_names == classes


def label_studio(folder, name):
    return load_label_studio(folder / name)


def uploaded_coco(folder):
    return load_coco(folder / "result.json", images=folder / "photos")


@pytest.mark.parametrize(
    ("name", "file", "read", "message"),
    [
        ("datumaro_datumaro", "train.json", load_coco, 'Datumaro. Export "COCO" or "CVAT'),
        ("supervision_createml", "annotations.json", load_coco, 'CreateML. Export "COCO"'),
        (
            "labelme_flags",
            "soup_014.json",
            load_coco,
            "of labelme. Read its folder by load_labelme",
        ),
        ("labelme_flags", "soup_014.json", load_label_studio, "by load_labelme"),
        ("fiftyone_classification", "labels.json", load_coco, "by load_fiftyone"),
        ("label_studio_json", "result.json", load_coco, "by load_label_studio"),
        ("supervision_coco", "annotations.json", load_fiftyone, "by load_coco"),
        ("label_studio_json_min", "result.json", load_label_studio, 'JSON-MIN.*Export "JSON"'),
        ("label_studio_csv", "result.csv", load_csv, 'Label Studio. Export "JSON"'),
        ("label_studio_boxes", "result.json", load_label_studio, "rectanglelabels.*as COCO"),
        (
            "datumaro_open_images",
            "train-annotations-human-imagelabels.csv",
            load_csv,
            "of Open Images.*observed= and y",
        ),
        ("globox_open_images", "labels.csv", load_csv, "of Open Images.*observed= and y"),
        ("globox_via", "via.json", load_coco, 'of VIA. Export annotations as "COCO"'),
        ("datumaro_cvat_tags", "annotations.xml", load_coco, "is not JSON"),
        ("datumaro_cvat_tags", "", voc, "holds <annotations>.*load_cvat"),
        ("labelme_flags", "", load_cvat, "no file .*annotations.xml.*CVAT for images"),
    ],
)
def test_what_is_for_another_reader_or_for_none_says_so(name, file, read, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        read(EXPORTS / name / file)
    assert str(EXPORTS / name) in str(caught.value)


@pytest.mark.parametrize("name", ["label_studio_csv/result.csv", "datumaro_open_images"])
def test_labels_for_observed_and_y_say_so_too(name):
    path = next((EXPORTS / name).parent.rglob("*.csv")) if name.endswith("csv") else None
    path = path or next((EXPORTS / name).glob("*.csv"))
    with pytest.raises(ValueError, match=r"Label Studio|Open Images"):
        read_targets(path, LISTED, list(NAMES))


def test_tables_of_open_images_become_labels_by_the_function_of_the_page(tmp_path):
    pd = pytest.importorskip("pandas")
    page = Path(__file__).parents[2] / "docs" / "labels.rst"
    if not page.exists():
        pytest.skip("this test reads a checkout of the source")
    (code,) = [code for code in python_blocks(page) if "def open_images_table" in code]
    scope = {"pd": pd}
    exec(code, scope)
    csv = EXPORTS / "datumaro_open_images" / "train-annotations-human-imagelabels.csv"
    table = csv.read_text().replace("breakfast_001,,tea pot,1", "soup_014,,tea pot,0")
    (tmp_path / "labels.csv").write_text(table)
    (tmp_path / "classes.csv").write_text("cup,Cup\ntea pot,Tea pot\n")
    paths = (tmp_path / "labels.csv", tmp_path / "classes.csv")
    table = scope["open_images_table"](*paths, ["Tea pot", "Cup"])
    read = read_targets(table, ["Cup", "Tea pot"], [f"photos/{name}" for name in NAMES])
    np.testing.assert_array_equal(read, [[1, np.nan], [np.nan, 0], [1, np.nan]])


def test_roboflows_tables_of_several_classes_are_read(tmp_path):
    text = "filename, cup, spoon, tea pot\nbreakfast_001.jpg, 1, 0, 1\nsoup_014.jpg, 0, 0, 0\n"
    (tmp_path / "_classes.csv").write_text(text + "table_022.jpg, 1, 0, 0\n")
    write_photos(tmp_path, NAMES)
    found = load_csv(tmp_path / "_classes.csv")
    assert shown(found) == NAMES
    assert found.target_names == LISTED
    read = read_targets(tmp_path / "_classes.csv", LISTED, list(NAMES))
    assert read.tolist() == [[1, 0, 1], [0, 0, 0], [1, 0, 0]]


def test_roboflows_tables_with_a_row_an_object_are_read(tmp_path):
    """Which TensorFlow's examples have, too."""
    rows = [f"{name},40,30,{one},11,12,19,19" for name, names in NAMES.items() for one in names]
    header = "filename,width,height,class,xmin,ymin,xmax,ymax"
    (tmp_path / "_annotations.csv").write_text("\n".join([header, *rows]))
    write_photos(tmp_path, LOOKED_AT)
    found = load_csv(tmp_path / "_annotations.csv")
    assert shown(found) == LOOKED_AT
    assert found.target_names == USED


def test_roboflows_coco_has_a_category_that_groups_the_others(tmp_path):
    categories = [{"id": 0, "name": "food-xyz", "supercategory": "none"}]
    categories += [
        {"id": number, "name": name, "supercategory": "food-xyz"}
        for number, name in enumerate(LISTED, 1)
    ]
    images = [{"id": i, "license": 1, "file_name": name} for i, name in enumerate(NAMES)]
    annotations = [
        {"id": 10 * i + j, "image_id": i, "category_id": LISTED.index(one) + 1, "iscrowd": 0}
        for i, names in enumerate(NAMES.values())
        for j, one in enumerate(names)
    ]
    content = {"images": images, "categories": categories, "annotations": annotations}
    path = tmp_path / "_annotations.coco.json"
    path.write_text(json.dumps(content))
    write_photos(tmp_path, NAMES)
    found = load_coco(path)
    assert shown(found) == NAMES
    assert found.target_names == LISTED
    annotations[0]["category_id"] = 0  # used, so it is a class
    path.write_text(json.dumps(content))
    assert load_coco(path).target_names == ["food-xyz", *LISTED]


def test_roboflows_masks_say_what_to_export(tmp_path):
    (tmp_path / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, cup")
    for read in (load_csv, lambda path: read_targets(path, LISTED, list(NAMES))):
        with pytest.raises(ValueError, match=r'_classes.csv is of the masks of Roboflow. .*"COCO"'):
            read(tmp_path / "_classes.csv")


def test_vias_coco_is_read_and_its_own_forms_say_so(tmp_path):
    images = [
        {"id": number, "width": 40, "height": 30, "file_name": name, "license": 0}
        | {"flickr_url": name, "coco_url": name, "date_captured": ""}
        for number, name in enumerate(NAMES, 1)
    ]
    annotations = [
        {"segmentation": [[1, 2, 9, 2, 9, 9, 1, 9]], "area": 56, "bbox": [1, 2, 8, 7], "iscrowd": 0}
        | {"id": 7, "image_id": number, "category_id": LISTED.index(one) + 1}
        for number, names in enumerate(NAMES.values(), 1)
        for one in names
    ]
    categories = [{"supercategory": "food", "id": i, "name": n} for i, n in enumerate(LISTED, 1)]
    content = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
    content |= {"licenses": [{"id": 0, "name": "Unknown License", "url": ""}]}
    (tmp_path / "coco.json").write_text(json.dumps(content))
    write_photos(tmp_path, NAMES)
    assert shown(load_coco(tmp_path / "coco.json")) == NAMES

    photo = {"filename": "a.jpg", "size": 1, "regions": [], "file_attributes": {"cup": "yes"}}
    own = {"_via_settings": {}, "_via_img_metadata": {"a.jpg1": photo}, "_via_attributes": {}}
    for name, each in {"project": own, "annotations": own["_via_img_metadata"]}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(each))
        for read in (load_coco, load_label_studio, load_fiftyone):
            with pytest.raises(ValueError, match=rf'{name}.json is .*VIA\. Export .*"COCO"'):
                read(tmp_path / f"{name}.json")
    columns = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes"
    (tmp_path / "via.csv").write_text(
        f'{columns},region_attributes\na.jpg,1,"{{}}",0,0,"{{}}","{{}}"'
    )
    with pytest.raises(ValueError, match=r'via.csv is of VGG Image Annotator. Export "COCO"'):
        load_csv(tmp_path / "via.csv")


def cvat_file(folder, images, labels="<label><name>cup</name></label>"):
    meta = f"<meta><project><labels>{labels}</labels></project></meta>"
    text = f"<annotations><version>1.1</version>{meta}{images}</annotations>"
    (folder / "annotations.xml").write_text(text, encoding="utf-8")
    return folder / "annotations.xml"


def test_cvats_projects_have_subsets_and_skeletons(tmp_path):
    images = "".join(
        f'<image id="{number}" name="a.jpg" subset="{subset}" task_id="{number}">{shape}</image>'
        for number, (subset, shape) in enumerate(
            {"train": '<skeleton label="man"><points label="hand"/></skeleton>', "val": ""}.items()
        )
    )
    labels = "<label><name>man</name></label><label><name>hand</name><parent>man</parent></label>"
    path = cvat_file(tmp_path, images, labels)
    with pytest.raises(FileNotFoundError, match="2 of 2 photos"):
        load_cvat(path)
    write_photos(tmp_path / "images", ["a.jpg"])
    with pytest.raises(ValueError, match=r"a\.jpg in two subsets"):
        load_cvat(path)
    for subset in ("train", "val"):
        write_photos(tmp_path / "images" / subset, ["a.jpg"])
    found = load_cvat(tmp_path)
    assert found.target.tolist() == [[1], [0]]
    assert (found.target_names, found.split.tolist()) == (["man"], ["train", "val"])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("", "has no <image>"),
        ('<track id="0" label="cup"></track>', "tracks of a video"),
        ('<image id="0" name="a.jpg"></image>', "No image .* has a tag or a shape"),
        ('<image id="0" name=""><tag label="cup"/></image>', "without a name"),
        ('<image id="0" name="a.jpg"><tag/></image>', "without a name or a label"),
        ('<image id="0" name="a.jpg"><tag label="pan"/></image>', "'pan'.*not among classes"),
    ],
)
def test_wrong_files_of_cvat_are_named(images, message, tmp_path):
    with pytest.raises(ValueError, match=message) as caught:
        load_cvat(cvat_file(tmp_path, images))
    assert "annotations.xml" in str(caught.value)


def labelme_file(folder, name="a", **content):
    content = {"imagePath": f"{name}.jpg", "flags": {}, "shapes": []} | content
    (folder / f"{name}.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"flags": {"cup": 1}}, "the flag 1. Expected true or false"),
        ({"shapes": [{"label": 3}]}, "the label 3. Expected text"),
        ({"shapes": ["cup"]}, "Expected text"),
        ({"imagePath": None}, "is not of labelme"),
        ({"shapes": {}}, "is not of labelme"),
        ({"flags": {"cup": True}, "shapes": [{"label": "cup"}]}, "flags and shapes.*source="),
        ({}, "No photo in the files shows a class"),
    ],
)
def test_wrong_files_of_labelme_are_named(content, message, tmp_path):
    write_photos(tmp_path, ["a.jpg"])
    labelme_file(tmp_path, **content)
    with pytest.raises(ValueError, match=message):
        load_labelme(tmp_path)


def test_labelme_takes_what_is_asked_for_and_paths_of_windows(tmp_path):
    write_photos(tmp_path, ["a.jpg"])
    shapes = [{"label": "pan"}]
    labelme_file(tmp_path, flags={"cup": True}, shapes=shapes)
    assert shown(load_labelme(tmp_path, source="flags")) == {"a.jpg": ["cup"]}
    both = load_labelme(tmp_path, source="shapes", classes=["cup", "pan"])
    assert shown(both) == {"a.jpg": ["pan"]}
    (tmp_path / "labels").mkdir()
    labelme_file(tmp_path / "labels", imagePath="..\\a.jpg", shapes=shapes)
    (tmp_path / "a.json").unlink()
    assert shown(load_labelme(tmp_path)) == {"a.jpg": ["pan"]}


@pytest.mark.parametrize("path", ["/srv/a.jpg", "C:\\photos\\a.jpg", "../../elsewhere/a.jpg"])
def test_labelme_files_that_were_moved_have_the_photo_of_their_name(path, tmp_path):
    write_photos(tmp_path, ["a.jpg"])
    labelme_file(tmp_path, imagePath=path, shapes=[{"label": "pan"}])
    assert shown(load_labelme(tmp_path)) == {"a.jpg": ["pan"]}
    (tmp_path / "a.json").rename(tmp_path / "b.json")
    with pytest.raises(FileNotFoundError, match="1 of 1 photos"):
        load_labelme(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"classes": ["cup"], "labels": {"a": 1}}, "photo 'a', has the label 1"),
        ({"classes": ["cup"], "labels": {"a": True}}, "has the label True"),
        ({"classes": None, "labels": {"a": 0}}, "has the label 0"),
        ({"classes": ["cup"], "labels": {"a": None}}, "No photo of .* has a label"),
        ({"classes": ["cup"], "labels": {}}, "has no labels of photos"),
        ({"classes": "cup", "labels": {"a": 0}}, "has no labels of photos"),
        ({"classes": [1], "labels": {"a": 0}}, "has the label 1"),
        ({"samples": []}, "FiftyOneDataset. Export FiftyOneImageClassificationDataset"),
        ([], "has no labels of photos"),
    ],
)
def test_wrong_files_of_fiftyone_are_named(content, message, tmp_path):
    (tmp_path / "labels.json").write_text(json.dumps(content))
    write_photos(tmp_path / "data", ["a.jpg"])
    with pytest.raises(ValueError, match=message) as caught:
        load_fiftyone(tmp_path)
    assert "labels.json" in str(caught.value)


def test_fiftyones_names_without_endings_may_be_of_one_photo_only(tmp_path):
    (tmp_path / "labels.json").write_text(json.dumps({"classes": None, "labels": {"a": "cup"}}))
    write_photos(tmp_path / "data", ["a.JPG"])
    assert shown(load_fiftyone(tmp_path)) == {"a.JPG": ["cup"]}
    write_photos(tmp_path / "data", ["a.png"])
    with pytest.raises(ValueError, match=r"photo a may be .*a\.\w+ or .*a\.\w+"):
        load_fiftyone(tmp_path / "labels.json")
