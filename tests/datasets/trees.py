"""Writes small folders in the exact formats of VOC, COCO and NUS-WIDE, for tests."""

import json

from PIL import Image

from sklearn_cdul.class_names.vocabularies import VOCABULARIES

VOC, COCO, NUS = (VOCABULARIES[name] for name in ("voc", "coco", "nus-wide"))
# Numbers from 1 to 90 that MS-COCO does not use.
COCO_GAPS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
COCO_IDS = [number for number in range(1, 91) if number not in COCO_GAPS]


def write_photo(path, shade=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), (shade, 90, 200)).save(path, "JPEG")


OBJECT = """\
	<object>
		<name>{name}</name>
		<pose>Frontal</pose>
		<truncated>1</truncated>
		<occluded>0</occluded>
		<bndbox>
			<xmin>53.5</xmin>
			<ymin>87</ymin>
			<xmax>471</xmax>
			<ymax>420</ymax>
		</bndbox>
		<difficult>{difficult}</difficult>
		<part>
			<name>head</name>
			<bndbox>
				<xmin>158</xmin>
				<ymin>44</ymin>
				<xmax>289</xmax>
				<ymax>167</ymax>
			</bndbox>
		</part>
		<actions>
			<jumping>0</jumping>
			<other>1</other>
		</actions>
	</object>
"""

ANNOTATION = """\
<annotation>
	<folder>VOC2012</folder>
	<filename>{identifier}.jpg</filename>
	<source>
		<database>The VOC2008 Database</database>
		<annotation>PASCAL VOC2008</annotation>
		<image>flickr</image>
		<flickrid>341012865</flickrid>
	</source>
	<owner>
		<flickrid>somebody</flickrid>
		<name>?</name>
	</owner>
	<size>
		<width>500</width>
		<height>442</height>
		<depth>3</depth>
	</size>
	<segmented>0</segmented>
{objects}</annotation>
"""

VOC_PHOTOS = {
    "2008_000008": [("horse", 0), ("person", 0), ("person", 1)],
    "2008_000015": [("diningtable", 1), ("bottle", 1), ("bottle", 0)],
    "2008_000019": [],
    "2008_000023": [("tvmonitor", 0), ("pottedplant", 1)],
}
VOC_LISTS = {
    "train": ["2008_000015", "2008_000008"],
    "val": ["2008_000019", "2008_000023"],
    "trainval": list(VOC_PHOTOS),
    "test": ["2008_000001"],
}


def write_voc(root):
    """VOCdevkit/VOC2012; its test photos have no annotations, as in 2012."""
    year = root / "VOCdevkit" / "VOC2012"
    (year / "Annotations").mkdir(parents=True)
    (year / "ImageSets" / "Main").mkdir(parents=True)
    for shade, (identifier, objects) in enumerate(VOC_PHOTOS.items()):
        write_photo(year / "JPEGImages" / f"{identifier}.jpg", shade)
        text = "".join(OBJECT.format(name=name, difficult=flag) for name, flag in objects)
        (year / "Annotations" / f"{identifier}.xml").write_text(
            ANNOTATION.format(identifier=identifier, objects=text)
        )
    write_photo(year / "JPEGImages" / "2008_000001.jpg")
    for split, identifiers in VOC_LISTS.items():
        (year / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(identifiers) + "\n")


def coco_content():
    def image(number, licence):
        name = f"{number:012d}.jpg"
        return {
            "license": licence,
            "file_name": name,
            "coco_url": f"http://images.cocodataset.org/val2017/{name}",
            "height": 30,
            "width": 40,
            "date_captured": "2013-11-14 17:02:52",
            "flickr_url": f"http://farm7.staticflickr.com/6116/{number}_z.jpg",
            "id": number,
        }

    def annotation(number, image_id, name, crowd=0):
        outline = [[5.1, 6.2, 7.3, 8.4, 9.5, 1.6]]
        return {
            "segmentation": {"counts": [272, 2, 4], "size": [30, 40]} if crowd else outline,
            "area": 702.1,
            "iscrowd": crowd,
            "image_id": image_id,
            "bbox": [473.07, 395.93, 38.65, 28.67],
            "category_id": COCO_IDS[COCO.index(name)],
            "id": number,
        }

    return {
        "info": {"description": "COCO 2017 Dataset", "version": "1.0", "year": 2017},
        "licenses": [
            {"url": "http://creativecommons.org/licenses/by/2.0/", "id": 4, "name": "Attribution"},
            {"url": "http://flickr.com/commons/usage/", "id": 7, "name": "No known restrictions"},
        ],
        "images": [image(632, 4), image(139, 7), image(285, 4)],
        "annotations": [
            annotation(1768, 632, "toothbrush"),
            annotation(1769, 632, "person"),
            annotation(1770, 632, "person"),
            annotation(1771, 632, "person", crowd=1),
            annotation(900100, 139, "banana", crowd=1),
            annotation(1773, 139, "stop sign"),
        ],
        # The file's own order is that of the numbers; the reader must not depend on it.
        "categories": [
            {"supercategory": "thing", "id": number, "name": name}
            for number, name in reversed(list(zip(COCO_IDS, COCO, strict=True)))
        ],
    }


def write_json(root, content):
    path = root / "annotations" / "instances_val2017.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def write_coco(root):
    content = coco_content()
    for image in content["images"]:
        write_photo(root / "val2017" / image["file_name"])
    write_json(root, content)


NUS_PHOTOS = {
    "Train": {
        r"actor\0001_2124494179.jpg": ["person", "sky"],
        r"administrative_assistant\0002_258761806.jpg": [],
        r"zebra\0499_2291103045.jpg": ["animal", "grass", "zebra"],
    },
    "Test": {r"actor\0002_174174086.jpg": ["airport"]},
}


def write_nus_wide(root):
    labels = root / "Groundtruth" / "TrainTestLabels"
    labels.mkdir(parents=True)
    (root / "ImageList").mkdir()
    for part, photos in NUS_PHOTOS.items():
        lines = "".join(f"{name}\r\n" for name in photos)
        (root / "ImageList" / f"{part}Imagelist.txt").write_bytes(lines.encode())
        for name in photos:
            write_photo(root / "Flickr" / name.replace("\\", "/"))
        for concept in NUS:
            lines = "".join(f"{int(concept in names)}\r\n" for names in photos.values())
            (labels / f"Labels_{concept}_{part}.txt").write_bytes(lines.encode())
