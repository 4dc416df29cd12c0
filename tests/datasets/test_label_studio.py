"""What Label Studio exports."""

import json
import shutil
from pathlib import Path

import pytest

from sklearn_cdul.datasets import load_label_studio
from tests.datasets.common import check_own, write_photos
from tests.datasets.trees import write_photo


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


def test_label_studio_takes_a_ground_truth_before_later_annotations(tmp_path):
    write_photos(tmp_path / "my photos")
    tasks = [
        task("a.jpg", annotation(["cup", "tea pot"], ground_truth=True), annotation(["cup"])),
        task("b.png", annotation([])),
        task("c.jpg", annotation("cup")),  # a single choice
    ]
    tasks[0]["data"] = {"number": 7, "photo": tasks[0]["data"]["image"].replace("/a.", "%5Ca.")}
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    check_own(load_label_studio(tmp_path / "export.json"), "all")


def test_label_studio_unites_the_tasks_of_a_photo(tmp_path):
    write_photos(tmp_path / "my photos")
    shown = [("a.jpg", ["cup"]), ("b.png", []), ("a.jpg", ["tea pot"]), ("c.jpg", ["cup"])]
    tasks = [task(name, annotation(names)) for name, names in shown]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    check_own(load_label_studio(tmp_path / "export.json"), "all")


def test_label_studio_results_that_are_no_choices_for_a_photo_are_refused(tmp_path):
    write_photos(tmp_path / "my photos")
    place = {"x": 1, "y": 2, "width": 3, "height": 4, "rotation": 0}
    box = {"type": "rectanglelabels", "value": {**place, "rectanglelabels": ["cup"]}}
    of_region = {"type": "choices", "value": {**place, "choices": ["broken"]}}
    path = tmp_path / "export.json"
    for results, types in (([box], "rectanglelabels"), ([box, of_region], "choices, rectangle")):
        path.write_text(json.dumps([task("a.jpg", {"result": results})]))
        with pytest.raises(ValueError, match=f"Task 0 of .* has an annotation of {types}"):
            load_label_studio(path)
    whole = annotation(["cup"])["result"]
    path.write_text(json.dumps([task("c.jpg", {"result": [box, *whole, of_region]})]))
    check_own(load_label_studio(path), "all", ["cup"], {"c.jpg": ["cup"]})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "is not JSON"),
        ("[" * 100_000, "can't be read as JSON"),
        ("[" + "7" * 5000 + "]", "can't be read as JSON"),
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


def choices(names, control="labels", **more):
    return {"from_name": control, "type": "choices", "value": {"choices": names}, **more}


def export(path, *results, address="/data/local-files/?d=my%20photos/a.jpg", **data):
    data = data or {"image": address}
    path.write_text(json.dumps([{"data": data, "annotations": [{"result": results}]}]))
    return path


def test_label_studio_answers_to_two_questions_are_kept_apart(tmp_path):
    write_photos(tmp_path / "my photos")
    path = export(tmp_path / "export.json", choices(["cup"]), choices(["yes"], "sharp"))
    with pytest.raises(ValueError, match=r"choices of the controls 'labels', 'sharp'\. Say which"):
        load_label_studio(path)
    for control, name in (("labels", "cup"), ("sharp", "yes")):
        check_own(load_label_studio(path, control=control), "all", [name], {"a.jpg": [name]})
    with pytest.raises(ValueError, match=r"as control=, got 'label'"):
        load_label_studio(path, control="label")
    taxonomy = {"from_name": "kind", "type": "taxonomy", "value": {"taxonomy": [["pot"]]}}
    export(path, choices(["cup"]), taxonomy)
    with pytest.raises(ValueError, match=r"Task 0 of .* an annotation of taxonomy"):
        load_label_studio(path)
    check_own(load_label_studio(path, control="labels"), "all", ["cup"], {"a.jpg": ["cup"]})


def test_label_studio_choices_of_a_region_are_none_of_the_photo(tmp_path):
    write_photos(tmp_path / "my photos")
    place = {"x": 1, "y": 2, "radiusX": 3, "radiusY": 4}
    ellipse = {"id": "r", "type": "ellipse", "value": place}
    for of_region in (
        choices(["broken"], id="r"),
        {"id": "r", "type": "choices", "value": {**place, "choices": ["broken"]}},
    ):
        relation = {"from_id": "r", "to_id": "p", "type": "relation", "direction": "right"}
        path = tmp_path / "export.json"
        export(path, ellipse, of_region, choices(["cup"], id="p"), relation)
        check_own(load_label_studio(path), "all", ["cup"], {"a.jpg": ["cup"]})
        with pytest.raises(ValueError, match=r"annotation of choices, ellipse, but no choices"):
            load_label_studio(export(path, ellipse, of_region))


@pytest.mark.parametrize("names", [[["cup", "mug"]], None, [7]])
def test_label_studio_choices_that_are_no_names_are_refused(tmp_path, names):
    with pytest.raises(ValueError, match="Task 0 of "):
        load_label_studio(export(tmp_path / "export.json", choices(names)))


@pytest.mark.parametrize("server", ["", "https://host:8080"])
@pytest.mark.parametrize("there", ["a.jpg", "ab12cd34-a.jpg", "upload/1/ab12cd34-a.jpg"])
def test_label_studio_uploads_are_found_by_their_names(tmp_path, there, server):
    write_photos(tmp_path, {there: []})
    address = f"{server}/data/upload/1/ab12cd34-a.jpg"
    path = export(tmp_path / "export.json", choices("cup"), photo=address, note="x")
    assert load_label_studio(path).data == [str(tmp_path / there)]
    tasks = json.loads(path.read_text()) * 2
    tasks[1] = json.loads(json.dumps(tasks[1]).replace("ab12cd34", "00000000"))
    path.write_text(json.dumps(tasks))
    if there == "a.jpg":
        with pytest.raises(ValueError, match=r"Task 1 .*/00000000-a\.jpg, but .*ab12cd34-a\.jpg"):
            load_label_studio(path)
    export(path, choices("cup"), photo=address, other=address.replace("a.jpg", "b.jpg"))
    with pytest.raises(ValueError, match=r"Task 0 of .* Expected one, a file"):
        load_label_studio(path)


@pytest.mark.parametrize(
    "address",
    [
        "s3://bucket/shop/a.jpg",
        "gs://bucket/shop/a.jpg",
        "https://example.org/shop/a.jpg?token=1",
        "https://example.org/a%2Ejpg",
        "C:\\photos\\shop\\a.jpg",
        "/srv/shop/a.jpg",
    ],
)
def test_label_studio_photos_from_elsewhere_are_found_in_the_root_that_is_given(address, tmp_path):
    write_photo(tmp_path / "photos" / ("shop/a.jpg" if "shop" in address else "a.jpg"))
    result = [{"from_name": "labels", "type": "choices", "value": {"choices": ["cup"]}}]
    task = {"data": {"image": address, "shop": "north"}, "annotations": [{"result": result}]}
    (tmp_path / "export.json").write_text(json.dumps([task]))
    with pytest.raises(ValueError, match=r"Task 0 of .* give the folder of the photos as root="):
        load_label_studio(tmp_path / "export.json")
    found = load_label_studio(tmp_path / "export.json", root=tmp_path / "photos")
    assert [Path(path).name for path in found.data] == ["a.jpg"]
    assert found.target.tolist() == [[1]]


def test_label_studio_messages_stay_short_whatever_a_type_is_called(tmp_path):
    result = [{"from_name": "a", "type": f"{n}{'x' * 9999}", "value": {}} for n in range(99)]
    task = {"data": {"image": "/data/local-files/?d=a.jpg"}, "annotations": [{"result": result}]}
    (tmp_path / "export.json").write_text(json.dumps([task]))
    with pytest.raises(ValueError, match=r"Task 0 of .*no choices for the photo") as caught:
        load_label_studio(tmp_path / "export.json")
    assert len(str(caught.value)) < 2000
