"""Does it pay to run the bundled encoder in int8: its speed, its embeddings and labels' mAP.

"Alone" is the image tower on pixels that are ready, in batches of ten views; "photos" is
`encode_images` from files, decoding included. "Times as fast" as float32 is the median of the
ratios of runs that took turns. Then all photos are encoded in ten views, and the labels' mAP
compared. Without --data the photos are the bundled ones.
"""

import common
import numpy as np

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.encoders.embedding import embed_photos
from sklearn_cdul.encoders.loading import load_encoder

PRECISIONS = ("float32", "int8")
PARTS = ["speed", "accuracy"]
N_VIEWS = 10


def report_speed(options, encoders, paths):
    height, width = encoders["int8"].preprocessing.image_size
    pixels = np.random.default_rng(0).standard_normal((N_VIEWS, 3, height, width), np.float32)
    works = {
        "alone": (N_VIEWS, lambda encoder: encoder._engine.run(pixels)),
        "photos": (N_VIEWS * len(paths), lambda encoder: embed_photos(encoder, paths, grid_size=3)),
    }
    heads = {"float32, views/s": ".1f", "int8, views/s": ".1f", "times as fast": ".2f"}
    table = common.Table("speed", heads, width=12)
    for name, (n_views, work) in works.items():
        runs = [
            [common.timed(work, encoders[precision])[1] for precision in PRECISIONS]
            for _ in range(options.repeats + 1)
        ]
        seconds = np.array(runs[1:])  # the first warms up
        speeds = n_views / np.median(seconds, axis=0)
        table.row(name, *speeds, np.median(seconds[:, 0] / seconds[:, 1]))


def report_accuracy(options, encoders, parts, classes):
    embeddings = {
        precision: [embed_photos(encoder, part.data, grid_size=3) for part in parts.values()]
        for precision, encoder in encoders.items()
    }
    pairs = zip(*embeddings.values(), strict=True)
    cosines = np.concatenate([(ours * others).sum(axis=-1).ravel() for ours, others in pairs])
    print(f"\ncosines of {len(cosines)} views with float32: mean {cosines.mean():.4f}, ", end="")
    print(f"hundredth {np.quantile(cosines, 0.01):.4f}, smallest {cosines.min():.4f}")
    labeler = CLIPPseudoLabeler(classes, input="embeddings").fit()
    table = common.Table("labels", {f"{name} mAP": ".2f" for name in parts}, width=12)
    for precision, arrays in embeddings.items():
        figures = [
            common.percent_map(part.target, labeler.transform(array), options.min_positives)
            for part, array in zip(parts.values(), arrays, strict=True)
        ]
        table.row(precision, *figures)


def main():
    names = [*common.PHOTOS, "min-positives", "repeats", "json"]
    parser = common.parser(__doc__, *names, repeats=11)
    next(a for a in parser._actions if a.dest == "data").required = False
    parser.add_argument("--timed", type=int, default=4, help="photos to time")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    options = common.parse(parser)
    if options.data:
        train, test, classes = common.load(options)
    else:
        train, test = (load_food_photos(subset=subset) for subset in ("train", "test"))
        classes = train.target_names
    encoders = {p: load_encoder(device="cpu", precision=p) for p in PRECISIONS}
    if "speed" in options.parts:
        report_speed(options, encoders, test.data[: options.timed])
    if "accuracy" in options.parts:
        report_accuracy(options, encoders, {"train": train, "test": test}, classes)
    common.write_tables(options)


if __name__ == "__main__":
    main()
