"""Lay out a folder of labelled photos as Pascal VOC 2012, for scripts that read VOC folders.

The folder of photos holds images/*.jpg and labels.csv with the columns filename, labels (names of
VOC classes, as VOC writes them, with ; between) and split (train or test). The photos of train
become the VOC split "train", those of test become "val". They are linked, or copied where links are
not possible. The boxes in the annotations are the whole photo, since the table has none; do not
measure detection with them.
"""

import csv
import os
import shutil
from pathlib import Path
from xml.etree import ElementTree

import common
from PIL import Image

from sklearn_cdul.class_names.vocabularies import VOCABULARIES
from sklearn_cdul.datasets import load_voc

CLASSES = [name.replace(" ", "") for name in VOCABULARIES["voc"]]
SPLITS = {"train": "train", "test": "val"}


def read_table(photos):
    """Rows of (path, set of names, VOC split), in the order of the file names."""
    rows = []
    with open(photos / "labels.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            names = {name for name in row["labels"].split(";") if name}
            if unknown := names - set(CLASSES):
                raise SystemExit(f"{row['filename']}: not classes of VOC: {sorted(unknown)}")
            rows.append((photos / "images" / row["filename"], names, SPLITS[row["split"]]))
    return sorted(rows, key=lambda row: row[0].name)


def annotation(photo, names):
    """The XML of one photo, with one object for each name."""
    with Image.open(photo) as image:
        width, height = image.size
    entries = {
        "folder": "VOC2012",
        "filename": photo.name,
        "source": {"database": "made from labels.csv", "annotation": "PASCAL VOC", "image": "n/a"},
        "size": {"width": width, "height": height, "depth": 3},
        "segmented": 0,
    }
    root = fill(ElementTree.Element("annotation"), entries)
    for name in sorted(names):
        box = {"xmin": 1, "ymin": 1, "xmax": width, "ymax": height}
        entries = {"name": name, "pose": "Unspecified", "truncated": 0, "difficult": 0}
        fill(ElementTree.SubElement(root, "object"), {**entries, "bndbox": box})
    ElementTree.indent(root, "\t")
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def fill(parent, entries):
    for tag, value in entries.items():
        child = ElementTree.SubElement(parent, tag)
        if isinstance(value, dict):
            fill(child, value)
        else:
            child.text = str(value)
    return parent


def place(photo, target):
    try:
        os.symlink(photo.resolve(), target)
    except OSError:
        shutil.copyfile(photo, target)


def write_tree(photos, out):
    """Write the folder and return the path of VOCdevkit."""
    rows = read_table(photos)
    devkit = out / "VOCdevkit"
    year = devkit / "VOC2012"
    lists = year / "ImageSets" / "Main"
    for folder in (year / "JPEGImages", year / "Annotations", lists):
        folder.mkdir(parents=True)
    for photo, names, _ in rows:
        place(photo, year / "JPEGImages" / photo.name)
        (year / "Annotations" / f"{photo.stem}.xml").write_text(
            annotation(photo, names), encoding="utf-8"
        )
    for split, parts in {"train": {"train"}, "val": {"val"}, "trainval": {"train", "val"}}.items():
        chosen = [(photo.stem, names) for photo, names, part in rows if part in parts]
        (lists / f"{split}.txt").write_text("".join(f"{stem}\n" for stem, _ in chosen))
        for name in CLASSES:
            lines = [f"{stem} {1 if name in names else -1:2d}\n" for stem, names in chosen]
            (lists / f"{name}_{split}.txt").write_text("".join(lines))
    return devkit


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="folder with labels.csv")
    parser.add_argument("--out", type=Path, required=True, help="folder that gets VOCdevkit")
    arguments = parser.parse_args()
    devkit = write_tree(arguments.photos, arguments.out)
    for split in ("train", "val"):
        photos = load_voc(devkit, split=split)
        shown = [
            f"{name} {count}"
            for name, count in zip(photos.target_names, photos.target.sum(axis=0), strict=True)
            if count
        ]
        print(f"{split}: {len(photos.data)} photos; {', '.join(shown)}")


if __name__ == "__main__":
    main()
