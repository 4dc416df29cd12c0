"""Hours for many photos, from rates that the other benchmarks print.

CLIP labels at most --labelled photos, and the network is trained on these: a part of the photos is
enough to learn from. The network then predicts all. Labelling and prediction can be divided among
as many machines as there are; hours are those of one.
"""

import argparse

import common

PHOTOS = (10_000, 1_000_000, 100_000_000)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--name", default="", help="of the machine and the encoder, for the heading"
    )
    parser.add_argument("--label", type=float, required=True, help="photos/s of CLIP, all views")
    parser.add_argument("--read", type=float, required=True, help="photos/s of frozen layers, fit")
    parser.add_argument("--predict", type=float, required=True, help="photos/s of predict")
    parser.add_argument("--fit", type=float, default=0, help="seconds of the rest of fit")
    parser.add_argument("--labelled", type=int, default=50_000, help="photos to learn from")
    options = parser.parse_args()
    columns = {name: ",.1f" for name in ("label, h", "train, h", "predict, h", "all, h")}
    table = common.Table(options.name, columns, width=32)
    for n in PHOTOS:
        learned = min(n, options.labelled)
        train = learned / options.read + options.fit * learned / options.labelled
        seconds = [learned / options.label, train, n / options.predict]
        hours = [value / 3600 for value in seconds]
        table.row(f"{n:,} photos, {learned:,} labelled", *hours, sum(hours))


if __name__ == "__main__":
    main()
