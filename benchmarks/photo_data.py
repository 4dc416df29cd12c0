"""Labelled photos for the benchmarks: the official splits, read from their folders."""

from functools import partial

import numpy as np

from sklearn_cdul.datasets import load_coco, load_nus_wide, load_voc

# name: (training split, test split, vocabulary)
SPLITS = {
    "voc2007": (
        partial(load_voc, year="2007", split="trainval"),
        partial(load_voc, year="2007", split="test"),
        "voc",
    ),
    "voc2012": (
        partial(load_voc, year="2012", split="train"),
        partial(load_voc, year="2012", split="val"),
        "voc",
    ),
    "coco2014": (
        partial(load_coco, split="train2014"),
        partial(load_coco, split="val2014"),
        "coco",
    ),
    "coco2017": (
        partial(load_coco, split="train2017"),
        partial(load_coco, split="val2017"),
        "coco",
    ),
    "nus-wide": (
        partial(load_nus_wide, split="train", missing="skip"),
        partial(load_nus_wide, split="test", missing="skip"),
        "nus-wide",
    ),
}


def add_arguments(parser):
    parser.add_argument("--dataset", choices=SPLITS, default="voc2012")
    parser.add_argument("--data", metavar="DIR", required=True, help="its folder")
    parser.add_argument("--max-photos", type=int, help="take this many of each split, at random")


def load(options):
    """Training photos, test photos (two Bunches) and the name of their vocabulary."""
    *readers, vocabulary = SPLITS[options.dataset]
    parts = [read(options.data) for read in readers]
    if options.max_photos:
        for part in parts:
            few = np.random.default_rng(0).permutation(len(part.data))[: options.max_photos]
            part.data, part.target = [part.data[index] for index in few], part.target[few]
    return *parts, vocabulary


# The temperature of the softmax in files of stored similarities, see aggregation.py.
STORED_TEMPERATURE = 4.605170


def stored_cosines(stored, *views):
    """Cosines, up to a constant a view, from the softmax values of a file."""
    return [np.log(stored[view].astype(np.float64)) * STORED_TEMPERATURE for view in views]
