"""What snippets, windows of one pass, and both cost and gain: mAP of the labels, time per photo.

--data DIR is a data set's folder. The bundled food photos are labelled too, and with --words DIR
the photos in DIR/images; DIR/labels.csv has columns filename and labels, words with ; between, and
each word that enough of the photos have is a class. --model-name and --pretrained name any model of
open_clip whose tower can be read (see docs/method.rst); the bundled one needs no download.

"passes" are the pixels that the model sees, in parts of those of the whole photo. Time is that of
encoding some test photos, decoding included, in seconds a photo (median, turn and turn about), and
in parts of that of the grid of 3 x 3.
"""

from math import prod
from pathlib import Path

import common
import numpy as np

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.datasets import load_csv, load_food_photos
from sklearn_cdul.encoders.embedding import embed_photos, ways_to_look
from sklearn_cdul.encoders.loading import load_encoder
from sklearn_cdul.images.views import n_views

WAYS = {
    "whole photo": (1, "grid"),
    "grid 2 x 2": (2, "grid"),
    "grid 3 x 3": (3, "grid"),
    "dense": (3, "dense"),
    "grid 3 x 3 and dense": (3, "grid+dense"),
}


def sets(options, train, test, vocabulary):
    """Photos, labels, classes and the fewest positives of a class, of each set by its name."""
    fewest = options.min_positives
    result = {
        name: (part.data, part.target, vocabulary, fewest)
        for name, part in {"train": train, "test": test}.items()
    }
    food = load_food_photos()
    for split in ("train", "test"):
        rows = np.flatnonzero(food.split == split)[: options.max_photos]
        data = [food.data[row] for row in rows]
        result[f"food {split}"] = data, food.target[rows], food.target_names, min(fewest, 5)
    if options.words:
        photos = load_csv(options.words / "labels.csv", root=options.words / "images")
        rows = np.random.default_rng(0).permutation(len(photos.data))[: options.max_photos]
        data, target = [photos.data[row] for row in rows], photos.target[rows]
        often = target.sum(axis=0) >= fewest
        names = [name for name, kept in zip(photos.target_names, often, strict=True) if kept]
        result["words"] = data, target[:, often], names, fewest
    return result


def passes(encoder, grid_size, views):
    """Pixels of all passes in parts of those of one view."""
    area = prod(encoder.preprocessing.image_size)
    result = 0.0
    for way in ways_to_look(encoder, grid_size, views):
        size = prod(way.preprocessing.image_size)
        result += n_views(way.pieces) * size / area
        result += way.whole and size != area  # the whole photo once more, as small as a view
    return result


def main():
    parser = common.parser(__doc__, *common.PHOTOS, "min-positives", "memory", "repeats")
    parser.add_argument("--timed", type=int, default=24, help="photos to time")
    parser.add_argument("--words", type=Path, metavar="DIR", help="photos with words")
    parser.add_argument("--model-name", default="bundled")
    parser.add_argument("--pretrained")
    options = common.parse(parser)
    train, test, vocabulary = common.load(options)
    model = {"model_name": options.model_name, "pretrained": options.pretrained}
    encoder = load_encoder(**model)
    few = test.data[: options.timed]

    def encode(grid_size, views):
        return lambda: embed_photos(encoder, few, grid_size=grid_size, views=views)

    ways = {name: encode(*way) for name, way in WAYS.items()}
    seconds = common.median_seconds(ways, options.repeats)
    measured = sets(options, train, test, vocabulary)
    costs = {"passes": ".1f", "s/photo": ".3f", "of 3 x 3": ".2f"}
    table = common.Table("looked at", dict.fromkeys(measured, ".1f") | costs, width=20)
    for name, (grid_size, views) in WAYS.items():
        figures = []
        for data, target, classes, fewest in measured.values():
            labeler = CLIPPseudoLabeler(
                classes, grid_size=grid_size, views=views, memory=options.memory, **model
            )
            figures.append(common.percent_map(target, labeler.fit_transform(data), fewest))
        cost = seconds[name] / len(few)
        share = seconds[name] / seconds["grid 3 x 3"]
        table.row(name, *figures, passes(encoder, grid_size, views), cost, share)


if __name__ == "__main__":
    main()
