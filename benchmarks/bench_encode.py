"""Speed of encoding photos in ten views, against the encoder alone and against a plain loop.

Three ways are timed in turn within one run, and medians are compared:

1. ours: ``encode_images`` on JPEG paths, with a 3 x 3 grid;
2. limit: the image tower alone on tensors that are ready, at the best of several batch sizes;
3. loop: open each photo, crop it, run open_clip's own preprocessing on each view, and encode the
   ten views of one photo at a time in float32.

Then the embeddings of 1 are compared with those of 3; with ``--labels``, the mean average
precision of both as well. The labels are a CSV file with the columns filename, labels (separated
by semicolons) and split.

    python benchmarks/bench_encode.py
    python benchmarks/bench_encode.py --data photos/ --labels labels.csv --split test
"""

import argparse
import csv
import time
from pathlib import Path
from statistics import median

import numpy as np
import open_clip
import torch
from PIL import Image

from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.devices import autocast
from sklearn_cdul.encoders.loading import EMBEDDED_FOLDER, load_encoder
from sklearn_cdul.images.views import snippet_boxes
from sklearn_cdul.labels import soft_labels
from sklearn_cdul.metrics import mean_average_precision

GRID_SIZE = 3
N_VIEWS = 1 + GRID_SIZE**2
LIMIT_BATCH_SIZES = {"cpu": (10, 20, 40, 80), "cuda": (80, 320, 1280)}


class Loop:
    """The plain loop: nothing but Pillow and open_clip."""

    def __init__(self, model_name, pretrained, device):
        name = f"local-dir:{EMBEDDED_FOLDER}" if model_name == "embedded" else model_name
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
        batch = torch.stack([self.preprocess(image.crop(box)) for box in boxes])
        return self.model.encode_image(batch.to(self.device), normalize=True).cpu().numpy()


class Limit:
    """The image tower alone, as fast as it gets with the same precision."""

    def __init__(self, loop, encoder, model_name, pretrained):
        self.model = Loop(model_name, pretrained, loop.device).model
        self.model.visual.to(memory_format=torch.channels_last)
        self.device, self.dtype = encoder.device, encoder.dtype
        height, width = encoder.preprocessing.image_size
        largest = max(LIMIT_BATCH_SIZES[self.device.type])
        pixels = torch.randn(largest, 3, height, width, device=self.device)
        self.pixels = pixels.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, batch_size, n_images):
        """Encode about as many views as the photos have; return how many photos that makes."""
        n_batches = max(n_images * N_VIEWS // batch_size, 1)
        with autocast(self.device, self.dtype):
            for _ in range(n_batches):
                self.model.encode_image(self.pixels[:batch_size])
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return n_batches * batch_size / N_VIEWS


def seconds_per_image(function, *arguments, n_images):
    start = time.perf_counter()
    done = function(*arguments)
    elapsed = time.perf_counter() - start
    return elapsed / (done if isinstance(done, float) else n_images)


def time_in_turn(ways, repeats):
    """Median images per second of each way; the first round warms up and is left out."""
    times = {name: [] for name in ways}
    for round_ in range(repeats + 1):
        for name, run in ways.items():
            elapsed = run()
            if round_:
                times[name].append(elapsed)
    return {name: 1 / median(values) for name, values in times.items()}


def read_labels(path, data, split):
    """Paths, true labels (n, k) and class names from the CSV file."""
    with open(path, newline="") as file:
        rows = [row for row in csv.DictReader(file) if not split or row["split"] == split]
    names = sorted({name for row in rows for name in row["labels"].split(";") if name})
    target = np.array([[name in row["labels"].split(";") for name in names] for row in rows])
    return [data / row["filename"] for row in rows], target.astype(int), names


def report_speed(options, encoder, loop, paths):
    limit = Limit(loop, encoder, options.model_name, options.pretrained)
    n = len(paths)

    def ours():
        return seconds_per_image(
            lambda: encoder.encode_images(paths, grid_size=GRID_SIZE, n_jobs=options.n_jobs),
            n_images=n,
        )

    ways = {"ours": ours, "loop": lambda: seconds_per_image(loop, paths, n_images=n)}
    for size in LIMIT_BATCH_SIZES[encoder.device.type]:
        ways[f"limit, batches of {size}"] = lambda size=size: seconds_per_image(
            limit, size, n, n_images=n
        )
    speeds = time_in_turn(ways, options.repeats)
    print(f"{'':24}images/s   views/s")
    for name, speed in speeds.items():
        print(f"{name:24}{speed:8.2f}  {speed * N_VIEWS:8.1f}")
    best = max(speed for name, speed in speeds.items() if name.startswith("limit"))
    print(f"ours / limit: {speeds['ours'] / best:.2f}")
    print(f"ours / loop:  {speeds['ours'] / speeds['loop']:.2f}")


def report_agreement(encoder, loop, paths):
    ours, reference = encoder.encode_images(paths, grid_size=GRID_SIZE), loop(paths)
    cosines = (ours * reference).sum(axis=-1)
    print(f"cosine with open_clip in float32: mean {cosines.mean():.4f}, min {cosines.min():.4f}")
    return ours, reference


def report_precision(options, encoder, loop):
    paths, target, names = read_labels(options.labels, options.data, options.split)
    text = encoder.encode_classes([[f"a photo of a {name}"] for name in names])
    print(f"{len(paths)} labelled photos, {len(names)} classes")
    for name, images in zip(("ours", "loop"), report_agreement(encoder, loop, paths), strict=True):
        final = soft_labels(images, text, temperature=encoder.temperature)
        score = 100 * mean_average_precision(target, final, min_positives=10)
        print(f"{name}: mAP {score:.2f}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of JPEG files; default: bundled photos")
    parser.add_argument("--labels", type=Path, help="CSV file; adds mean average precision")
    parser.add_argument("--split", help="use only these rows of the CSV file")
    parser.add_argument("--n-images", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--model-name", default="embedded")
    parser.add_argument("--pretrained")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--n-jobs", type=int)
    options = parser.parse_args()
    if options.labels and not options.data:
        parser.error("--labels needs --data")

    encoder = load_encoder(options.model_name, options.pretrained, device=options.device)
    loop = Loop(options.model_name, options.pretrained, encoder.device)
    found = sorted(options.data.glob("*.jpg")) if options.data else load_food_photos().data
    paths = found[:: max(len(found) // options.n_images, 1)][: options.n_images]
    print(f"{len(paths)} photos, {options.model_name}, {encoder.device}, {encoder.dtype}")
    if options.repeats:
        report_speed(options, encoder, loop, paths)
        report_agreement(encoder, loop, paths)
    if options.labels:
        report_precision(options, encoder, loop)


if __name__ == "__main__":
    main()
