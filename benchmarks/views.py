"""What snippets, windows of one pass, and both cost and gain: mAP of the labels, time per photo.

--data DIR is a data set's folder. --model-name and --pretrained name any model of open_clip whose
tower can be read (see docs/method.rst); the bundled one needs no download.

Time is that of `encode_images` on some test photos, decoding included, in seconds a photo (median,
turn and turn about), and in parts of that of the grid of 3 x 3.
"""

import common

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.encoders.embedding import embed_photos
from sklearn_cdul.encoders.loading import load_encoder

WAYS = {
    "whole photo": (1, "grid"),
    "grid 2 x 2": (2, "grid"),
    "grid 3 x 3": (3, "grid"),
    "dense": (3, "dense"),
    "grid 3 x 3 and dense": (3, "grid+dense"),
}


def main():
    parser = common.parser(__doc__, *common.PHOTOS, "min-positives", "memory", "repeats")
    parser.add_argument("--timed", type=int, default=24, help="photos to time")
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
    columns = {"train mAP": ".1f", "test mAP": ".1f", "s/photo": ".3f", "of 3 x 3": ".2f"}
    table = common.Table("looked at", columns, width=24)
    labeler = CLIPPseudoLabeler(vocabulary, memory=options.memory, **model)
    for name, (grid_size, views) in WAYS.items():
        labeler.set_params(grid_size=grid_size, views=views).fit()
        figures = [
            common.percent_map(part.target, labeler.transform(part.data), options.min_positives)
            for part in (train, test)
        ]
        cost = seconds[name] / len(few)
        table.row(name, *figures, cost, seconds[name] / seconds["grid 3 x 3"])


if __name__ == "__main__":
    main()
