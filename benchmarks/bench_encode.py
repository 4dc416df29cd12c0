"""Speed of encoding photos in ten views, against the encoder alone and against a plain loop.

Four ways are timed in turn within one run, and medians are compared:

1. ours: ``encode_images`` on JPEG paths, with a 3 x 3 grid;
2. limit: the image tower alone on tensors that are ready, in torch at the best of several batch
   sizes, and on a CPU in ONNX Runtime, if that can run it;
3. loop: open each photo, crop it, run open_clip's own preprocessing on each view, and encode the
   ten views of one photo at a time in float32;
4. one crop at a time: the same with a pass for each view, as the public reproduction of the paper
   does.

"Of limit" compares with 2, "of bound" with 2 after the views of all photos were made, which nobody
can leave out: "views alone".

Then the embeddings of 1 are compared with those of 3; with ``--labels``, the mean average
precision of both as well. The labels are a CSV file with the columns filename, labels (separated
by semicolons) and split:

    python benchmarks/bench_encode.py --data photos/ --labels labels.csv --split test
"""

import csv
import functools
import tempfile
from pathlib import Path

import common
import numpy as np
import open_clip
import torch
from PIL import Image

from sklearn_cdul.compute.devices import autocast, resolve_precision
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.encoders.embedding import _views_per_batch as views_per_batch
from sklearn_cdul.encoders.embedding import embed_photos
from sklearn_cdul.encoders.loading import BUNDLED_FOLDER, load_encoder
from sklearn_cdul.encoders.texts import encode_classes
from sklearn_cdul.images.reading import map_images
from sklearn_cdul.images.views import make_views, required_size, snippet_boxes
from sklearn_cdul.labels import soft_labels

GRID_SIZE = 3
N_VIEWS = 1 + GRID_SIZE**2
LIMIT_BATCH_SIZES = {"cpu": (10, 40), "cuda": (80, 320, 1280)}


class Loop:
    """The plain loop: nothing but Pillow and open_clip."""

    def __init__(self, model_name, pretrained, device):
        self.per_pass = N_VIEWS
        name = f"local-dir:{BUNDLED_FOLDER}" if model_name == "bundled" else model_name
        model, _, self.preprocess = open_clip.create_model_and_transforms(name, pretrained)
        self.model = model.eval().to(device)
        self.device = device

    @torch.inference_mode()
    def __call__(self, paths):
        """Embeddings (n, n_views, d) of the photos."""
        return np.stack([self.encode(path) for path in paths])

    def encode(self, path):
        """Embeddings (n_views, d) of one photo."""
        image = Image.open(path).convert("RGB")
        boxes = [(0, 0, *image.size), *snippet_boxes(*image.size, GRID_SIZE)]
        views = torch.stack([self.preprocess(image.crop(box)) for box in boxes])
        batches = views.to(self.device).split(self.per_pass)
        return (
            torch.cat([self.model.encode_image(b, normalize=True) for b in batches]).cpu().numpy()
        )

    def by_crop(self, paths):
        """Do the same with one view a pass."""
        self.per_pass = 1
        try:
            return self(paths)
        finally:
            self.per_pass = N_VIEWS


class Limit:
    """The image tower alone, in torch with the same precision and in ONNX Runtime."""

    def __init__(self, loop, encoder, model_name, pretrained):
        self.engine = None
        if encoder.device.type == "cpu":
            options = {"device": "cpu", "precision": "float32"}
            self.engine = load_encoder(model_name, pretrained, **options)._engine
        self.model = Loop(model_name, pretrained, loop.device).model
        self.model.visual.to(memory_format=torch.channels_last)
        self.device, self.dtype = encoder.device, encoder.dtype
        height, width = encoder.preprocessing.image_size
        largest = max(LIMIT_BATCH_SIZES[self.device.type])
        pixels = torch.randn(largest, 3, height, width, device=self.device)
        self.pixels = pixels.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, batch_size, n_batches, dtype=None):
        with autocast(self.device, dtype or self.dtype):
            for _ in range(n_batches):
                self.model.encode_image(self.pixels[:batch_size])
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def run_engine(self, batch_size, n_batches):
        pixels = self.pixels[:batch_size].contiguous().numpy()
        for _ in range(n_batches):
            self.engine.run(pixels)


def read_labels(path, data, split):
    """Paths, true labels (n, k) and class names from the CSV file."""
    with open(path, newline="") as file:
        rows = [row for row in csv.DictReader(file) if not split or row["split"] == split]
    names = sorted({name for row in rows for name in row["labels"].split(";") if name})
    target = np.array([[name in row["labels"].split(";") for name in names] for row in rows])
    return [data / row["filename"] for row in rows], target.astype(int), names


def make_all_views(options, preprocessing, paths):
    """What `encode_images` does before the encoder."""
    cut = functools.partial(make_views, grid_size=GRID_SIZE, preprocessing=preprocessing)
    needed = required_size(GRID_SIZE, preprocessing)
    for _ in map_images(cut, paths, n_jobs=options.n_jobs, min_size=needed):
        pass


def report_speed(options, encoder, loop, paths):
    tower = Limit(loop, encoder, options.model_name, options.pretrained)
    loops = {"loop": lambda: loop(paths), "one crop at a time": lambda: loop.by_crop(paths)}
    n_views = dict.fromkeys(("ours", *loops, "views alone"), len(paths) * N_VIEWS)
    ways = {
        "ours": lambda: embed_photos(encoder, paths, grid_size=GRID_SIZE, n_jobs=options.n_jobs),
        **loops,
        "views alone": lambda: make_all_views(options, encoder.preprocessing, paths),
    }
    for size in LIMIT_BATCH_SIZES[encoder.device.type]:
        name, n_batches = f"limit, torch, batches of {size}", max(n_views["ours"] // size, 1)
        ways[name] = lambda size=size, n_batches=n_batches: tower(size, n_batches)
        n_views[name] = size * n_batches
    if tower.engine is not None:
        size = min(views_per_batch(encoder, "auto"), len(tower.pixels), n_views["ours"])
        n_batches = n_views["ours"] // size
        ways["limit, ONNX Runtime"] = lambda: tower.run_engine(size, n_batches)
        n_views["limit, ONNX Runtime"] = size * n_batches
        if resolve_precision("auto", encoder.device) == torch.bfloat16:
            name = "limit, torch, bfloat16"
            ways[name] = lambda: tower(N_VIEWS, len(paths), torch.bfloat16)
            n_views[name] = n_views["ours"]
    seconds = common.median_seconds(ways, options.repeats)
    speeds = {name: n_views[name] / N_VIEWS / seconds[name] for name in ways}
    limit = max(speed for name, speed in speeds.items() if name.startswith("limit"))
    bound = common.bound(limit, speeds["views alone"], encoder.device)
    by_crop = speeds["one crop at a time"]
    heads = {"images/s": ".2f", "views/s": ".1f", "of limit": ".2f", "of bound": ".2f"}
    heads["by crop = 1"] = ".1f"
    table = common.Table(f"encode, {common.longer_side(paths)} px", heads, width=29)
    for name, speed in speeds.items():
        table.row(name, speed, speed * N_VIEWS, speed / limit, speed / bound, speed / by_crop)


def report_agreement(encoder, loop, paths):
    ours, reference = embed_photos(encoder, paths, grid_size=GRID_SIZE), loop(paths)
    cosines = (ours * reference).sum(axis=-1)
    print(f"cosine with open_clip in float32: mean {cosines.mean():.4f}, min {cosines.min():.4f}")
    return ours, reference


def report_precision(options, encoder, loop):
    paths, target, names = read_labels(options.labels, options.data, options.split)
    text = encode_classes(encoder, [[f"a photo of a {name}"] for name in names])
    print(f"{len(paths)} labelled photos, {len(names)} classes")
    for name, images in zip(("ours", "loop"), report_agreement(encoder, loop, paths), strict=True):
        final = soft_labels(images, text, temperature=encoder.temperature)
        print(f"{name}: mAP {common.percent_map(target, final, min_positives=10):.2f}")


def report(options, encoder, loop, folder):
    found = sorted(options.data.glob("*.jpg")) if options.data else load_food_photos().data
    paths = found[:: max(len(found) // options.n_images, 1)][: options.n_images]
    if options.pixels:
        paths = common.scaled_photos(paths, options.pixels, folder)
    side = f"longer side {common.longer_side(paths)} px"
    engine = "torch" if encoder._engine is None else "ONNX Runtime"
    place = f"{encoder.device}, {encoder.dtype}, {engine}"
    print(f"{len(paths)} photos, {side}, {options.model_name}, {place}")
    if options.repeats:
        report_speed(options, encoder, loop, paths)
        report_agreement(encoder, loop, paths)
    if options.labels:
        report_precision(options, encoder, loop)


def main():
    parser = common.parser(__doc__, "photo-set", "repeats", "json")
    parser.add_argument("--data", type=Path, help="folder of JPEG files; default: bundled photos")
    parser.add_argument("--labels", type=Path, help="CSV file; adds mean average precision")
    parser.add_argument("--split", help="use only these rows of the CSV file")
    parser.add_argument("--pixels", type=int, help="scale the photos to this longer side first")
    parser.add_argument("--n-images", type=int, default=24)
    parser.add_argument("--model-name", default="bundled")
    parser.add_argument("--pretrained")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--n-jobs", type=int)
    options = common.parse(parser)
    if options.labels and not options.data:
        parser.error("--labels needs --data")

    encoder = load_encoder(options.model_name, options.pretrained, device=options.device)
    loop = Loop(options.model_name, options.pretrained, encoder.device)
    with tempfile.TemporaryDirectory() as folder:
        report(options, encoder, loop, folder)
    common.write_tables(options)


if __name__ == "__main__":
    main()
