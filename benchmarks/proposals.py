"""Object proposals against the grid: mAP of the labels, cost, and what hiding a part does.

--data DIR is a data set's folder; its photos are labelled with the bundled encoder. It needs
OpenCV: pip install -e ".[proposals]".

"find" is the time of finding the boxes in a decoded photo, "CLIP" that of encoding all views, both
in milliseconds of one core (processor time, median over some photos, turn and turn about).

Then a part of each test photo is hidden: one rectangle in the shape of the photo, at a random
place, in the photo's mean colour. Each draw hides other places. The labels to find stay the same,
though an object may be hidden as a whole. "drop" is the mAP lost by that.
"""

from statistics import median
from time import process_time

import common
import cv2
import numpy as np
import torch
from PIL import Image

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.encoders.loading import load_encoder
from sklearn_cdul.images.proposals import proposal_boxes
from sklearn_cdul.images.views import make_views

SHARES = (0.25, 0.5)  # of the photo's area that is hidden


class Bench:
    def __init__(self, options):
        self.train, self.test, vocabulary = common.load(options)
        self.min_positives = options.min_positives
        self.labeler = CLIPPseudoLabeler(vocabulary, memory=options.memory).fit()
        self.reader = CLIPPseudoLabeler(vocabulary, input="embeddings").fit()

    def embed(self, images, grid_size, views):
        return self.labeler.set_params(grid_size=grid_size, views=views).embed(images)

    def precision(self, embeddings, target):
        labels = self.reader.transform(embeddings)
        return common.percent_map(target, labels, self.min_positives)

    def splits(self, grid_size, views):
        """Precision on training and on test photos."""
        return [
            self.precision(self.embed(part.data, grid_size, views), part.target)
            for part in (self.train, self.test)
        ]

    def ways(self, images):
        """Precision on the test photos, whole or hidden in part, of three ways to look."""
        grid, proposals = [self.embed(images, 3, views) for views in ("grid", "proposals")]
        target = self.test.target
        return np.array([self.precision(e, target) for e in (grid[:, :1], grid, proposals)])


def read(path):
    with Image.open(path) as photo:
        return photo.convert("RGB")


def milliseconds(function, *arguments):
    return 1000 * common.timed(function, *arguments, clock=process_time)[1]


def measure_costs(paths, grid_sizes):
    """Median milliseconds to encode some numbers of views, and to find some numbers of boxes."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    encoder = load_encoder("bundled", None, device="cpu", precision="auto")
    clip, find = [{g: [] for g in grids} for grids in ((1, *grid_sizes), grid_sizes)]
    for path in [paths[0], *paths]:  # the first only warms up
        photo = read(path)
        for grid_size, times in clip.items():
            views = make_views(photo, grid_size, encoder.preprocessing)
            times.append(milliseconds(encoder.encode_views, views))
        for grid_size, times in find.items():
            times.append(milliseconds(proposal_boxes, photo, grid_size**2))
    torch.set_num_threads(n_threads)
    return [{g: median(times[1:]) for g, times in cost.items()} for cost in (clip, find)]


def hide(path, share, random):
    """The pixels of a photo with a rectangle of this share of its area in its mean colour."""
    pixels = np.array(read(path))
    size = np.array(pixels.shape[:2])
    sides = np.rint(size * np.sqrt(share)).astype(int)
    top, left = random.integers(0, size - sides, endpoint=True)
    pixels[top : top + sides[0], left : left + sides[1]] = pixels.mean(axis=(0, 1)).round()
    return pixels


def main():
    parser = common.parser(__doc__, *common.PHOTOS, "min-positives", "memory")
    parser.add_argument("--timed", type=int, default=40, help="photos to time")
    parser.add_argument("--draws", type=int, default=2, help="places to hide, for each photo")
    parser.add_argument("--grid-sizes", type=int, nargs="+", default=[2, 3, 4])
    options = common.parse(parser)
    print(f"OpenCV {cv2.__version__}")
    bench = Bench(options)
    clip, find = measure_costs(bench.test.data[: options.timed], options.grid_sizes)
    rows = [("whole photo", 1, "grid")]
    rows += [(f"grid {g} x {g}", g, "grid") for g in options.grid_sizes]
    rows += [(f"{g * g} proposals", g, "proposals") for g in options.grid_sizes]
    heads = ("train mAP", "test mAP", "find, ms", "CLIP, ms")
    table = common.Table("looked at", dict.fromkeys(heads, ".1f"), width=16)
    for name, grid_size, views in rows:
        cost = [find[grid_size] if views == "proposals" else 0.0, clip[grid_size]]
        table.row(name, *bench.splits(grid_size, views), *cost)

    heads = ("whole photo", "grid 3 x 3", "9 proposals")
    table = common.Table("hidden", dict.fromkeys(heads, ".1f"), width=16)
    full = bench.ways(bench.test.data)
    table.row("nothing", *full)
    for share in SHARES:
        draws = []
        for seed in range(options.draws):
            random = np.random.default_rng(seed)
            draws.append(bench.ways([hide(path, share, random) for path in bench.test.data]))
            table.row(f"{share:.0%}, draw {seed}", *draws[-1])
        table.row(f"{share:.0%}, mean", *np.mean(draws, axis=0))
        table.row(f"{share:.0%}, drop", *(full - np.mean(draws, axis=0)))


if __name__ == "__main__":
    main()
