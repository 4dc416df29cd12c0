"""Photos with several labels each: readers of data sets and of labels, and writers of labels."""

from sklearn_cdul.datasets._coco import dump_coco, load_coco
from sklearn_cdul.datasets._csv import dump_csv, load_csv
from sklearn_cdul.datasets._cvat import load_cvat
from sklearn_cdul.datasets._fiftyone import dump_fiftyone, load_fiftyone
from sklearn_cdul.datasets._folders import list_photos, load_folders
from sklearn_cdul.datasets._food import load_food_photos
from sklearn_cdul.datasets._label_studio import dump_label_studio, load_label_studio
from sklearn_cdul.datasets._labelme import load_labelme
from sklearn_cdul.datasets._links import dump_folders
from sklearn_cdul.datasets._nus_wide import load_nus_wide
from sklearn_cdul.datasets._sidecars import dump_xmp
from sklearn_cdul.datasets._voc import load_voc
from sklearn_cdul.datasets._yolo import load_yolo

__all__ = [
    "dump_coco",
    "dump_csv",
    "dump_fiftyone",
    "dump_folders",
    "dump_label_studio",
    "dump_xmp",
    "list_photos",
    "load_coco",
    "load_csv",
    "load_cvat",
    "load_fiftyone",
    "load_folders",
    "load_food_photos",
    "load_label_studio",
    "load_labelme",
    "load_nus_wide",
    "load_voc",
    "load_yolo",
]
