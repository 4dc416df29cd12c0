"""How time and memory grow with photos, classes, snippets, pixels and neighbours.

Each figure comes from a process of its own. "seconds" is the time of its processor cores, so that
other programs disturb little. "peak" is the most memory that the process held at a time, above what
it held before, on Linux alone. Photos are small (96 pixels wide), hard links of the bundled ones,
so the figures of --what photos are those of the package around encoder and network; the encoder
there is free (a few means of pixels), unless --encoder bundled asks for the real one.
"""

import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import common
import numpy as np
from PIL import Image

from sklearn_cdul import BaseEncoder, CDULClassifier, CLIPPseudoLabeler, __version__
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.images import Preprocessing
from sklearn_cdul.labels import find_thresholds, smooth_labels
from sklearn_cdul.training import linear_probe

MB = 1e6
PHOTO_WIDTH = 96
NETWORK_PIXELS = 64
CLASSES = 20
NAMES = [f"thing number {number}" for number in range(20_000)]


class FreeEncoder(BaseEncoder):
    """Costs nothing: means of blocks of pixels, and vectors that the prompts' digests seed."""

    temperature = 0.01
    fingerprint = text_fingerprint = "free"
    preprocessing = Preprocessing((32, 32), resize_mode="squash", interpolation="bicubic")

    def encode_text(self, prompts):
        digests = (hashlib.blake2b(text.encode(), digest_size=8).digest() for text in prompts)
        seeds = (int.from_bytes(digest, "big") for digest in digests)
        return np.stack([np.random.default_rng(seed).standard_normal(192) for seed in seeds])

    def encode_views(self, views):
        blocks = views.reshape(len(views), 8, 4, 8, 4, 3).mean(axis=(2, 4))
        return blocks.reshape(len(views), -1).astype(np.float32) + 1


def memory(kind):
    """Bytes of this process now ("VmRSS") or at its peak ("VmHWM"); 0 where nobody tells."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return 1024 * int(status.split(f"{kind}:")[1].split()[0])


def forget_peak():
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


class Meter:
    """Processor seconds, and peak memory above that at the start, of calls."""

    def __init__(self):
        self.start = memory("VmRSS")
        self.figures = {}

    def call(self, name, function, *arguments, **settings):
        forget_peak()
        result, seconds = common.timed(function, *arguments, clock=time.process_time, **settings)
        peak = max(memory("VmHWM") - self.start, 0)
        self.figures[name] = {"seconds": round(seconds, 3), "peak_mb": round(peak / MB, 1)}
        return result


def link_photos(folder, n):
    """Small photos under n names."""
    originals = []
    for number, path in enumerate(load_food_photos().data[:50]):
        file = folder / f"original{number}.jpg"
        with Image.open(path) as photo:
            height = round(PHOTO_WIDTH * photo.height / photo.width)
            photo.convert("RGB").resize((PHOTO_WIDTH, height)).save(file)
        originals.append(file)
    paths = [f"{folder}/{number}.jpg" for number in range(n)]
    for number, path in enumerate(paths):
        os.link(originals[number % len(originals)], path)
    return paths


def photos(n, encoder, grid=1):
    """Labels, training and prediction of n photos."""
    model_name = FreeEncoder() if encoder == "free" else encoder
    labeler = CLIPPseudoLabeler(NAMES[:CLASSES], model_name=model_name, grid_size=grid)
    model = CDULClassifier(pseudo_labeler=labeler, image_size=NETWORK_PIXELS, random_state=0)
    with tempfile.TemporaryDirectory() as folder:
        paths = link_photos(Path(folder), n)
        labeler.fit().transform(paths[:50])
        model.fit(paths[:50]).predict(paths[:50])  # loads what will be needed
        meter = Meter()
        labels = meter.call("transform", labeler.transform, paths)
        del labels
        meter.call("predict", model.predict, paths)
        meter.call("fit", model.fit, paths)
    return meter.figures


def stored(n, d=192):
    """Labels, training and prediction of n photos that are embedded already, phase by phase."""
    X = np.random.default_rng(0).standard_normal((n, 1, d), dtype=np.float32)
    labeler = CLIPPseudoLabeler(NAMES[:CLASSES], model_name=FreeEncoder(), input="embeddings")
    model = CDULClassifier(pseudo_labeler=labeler, random_state=0)
    model.fit(X[:50]).predict(X[:50])
    meter = Meter()
    labels = meter.call("labels", labeler.fit().transform, X)
    meter.call("neighbours", smooth_labels, labels, X[:, 0], random_state=0)
    meter.call("thresholds", find_thresholds, labels)
    meter.call("fit", model.fit, X)
    meter.call("predict", model.predict, X)
    return meter.figures


def classes(k, n=1000):
    """Names, labels, training and thresholds of k classes, from embeddings of n photos."""
    names = NAMES[:k]
    labeler = CLIPPseudoLabeler(names, model_name=FreeEncoder(), input="embeddings")
    X = np.random.default_rng(0).standard_normal((n, 10, 192)).astype(np.float32)
    few = CLIPPseudoLabeler(NAMES[:2], model_name=FreeEncoder(), input="embeddings")
    CDULClassifier(pseudo_labeler=few).fit(X[:50])
    meter = Meter()
    meter.call("names", labeler.fit)
    labels = meter.call("labels", labeler.transform, X)
    meter.call("thresholds", find_thresholds, labels)
    model = CDULClassifier(pseudo_labeler=labeler, random_state=0)
    meter.call("fit", model.fit, X)
    meter.call("predict", model.predict, X)
    return meter.figures


def grid(g, n=20):
    """Labels of n photos by the bundled encoder, in 1 + g^2 views."""
    food = load_food_photos()
    labeler = CLIPPseudoLabeler(food.target_names, grid_size=g).fit()
    paths = food.data[: n + 2]
    labeler.transform(paths[:2])
    meter = Meter()
    meter.call("transform", labeler.transform, paths[2:])
    return meter.figures


def pixels(size, n=40):
    """Training on n photos, apart from CLIP, and prediction, by the bundled network."""
    paths = load_food_photos().data[:n]
    labeler = CLIPPseudoLabeler(NAMES[:CLASSES], model_name=FreeEncoder(), grid_size=1)
    model = CDULClassifier(pseudo_labeler=labeler, image_size=size, random_state=0)
    model.fit(paths[:20]).predict(paths[:20])
    meter = Meter()
    meter.call("fit", model.fit, paths)
    meter.call("predict", model.predict, paths)
    return meter.figures


def neighbors(n, d=256):
    """Mixing the labels of n photos with those that look alike, and the fit in closed form."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((n, d), dtype=np.float32)
    labels = rng.random((n, CLASSES), dtype=np.float32)
    smooth_labels(labels[:100], vectors[:100])
    meter = Meter()
    meter.call("smooth_labels", smooth_labels, labels, vectors)
    return meter.figures


def closed_form(n, d=1280, views=5):
    """The fit in closed form to what the output layer of the bundled network receives."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((n, views, d), dtype=np.float32)
    labels = rng.random((n, CLASSES), dtype=np.float32)
    linear_probe(features[:100], labels[:100])
    meter = Meter()
    meter.call("linear_probe", linear_probe, features, labels)
    return meter.figures


# Name: (function, its first argument, values of it, in the default order).
WHAT = {
    "photos": (photos, "n", [1000, 10_000]),
    "stored": (stored, "n", [1000, 10_000, 100_000, 1_000_000]),
    "classes": (classes, "k", [20, 80, 1000, 20_000]),
    "grid": (grid, "g", [1, 2, 3, 4]),
    "pixels": (pixels, "size", [224, 288, 320, 384, 448]),
    "neighbors": (neighbors, "n", [2500, 5000, 10_000, 20_000, 40_000]),
    "closed form": (closed_form, "n", [1250, 2500, 5000, 10_000, 20_000]),
}


def measure(what, value, options):
    """Figures of one value, from a process of its own."""
    settings = {"encoder": options.encoder, "grid": options.grid} if what == "photos" else {}
    call = json.dumps([what, value, settings])
    run = subprocess.run([sys.executable, __file__, "--call", call], stdout=subprocess.PIPE)
    if run.returncode:
        sys.exit(f"{what} {value} failed")
    return json.loads(run.stdout.splitlines()[-1])


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--what", nargs="+", choices=WHAT, default=list(WHAT))
    parser.add_argument("--values", nargs="+", type=int, help="of the one that --what names")
    parser.add_argument("--encoder", choices=("free", "bundled"), default="free")
    parser.add_argument("--grid", type=int, default=1, help="of --what photos")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--call", help="used by the script itself")
    if "--call" in sys.argv:
        what, value, settings = json.loads(parser.parse_args().call)
        print(json.dumps(WHAT[what][0](value, **settings)))
        return
    options = common.parse(parser)
    machine = {
        "machine": platform.machine(),
        "instructions": common._cpu_instructions(),
        "cores": os.cpu_count(),
        "sklearn_cdul": __version__,
    }
    results = {"machine": machine, "rows": []}
    for what in options.what:
        _, letter, values = WHAT[what]
        heads = {"seconds": ".2f", "peak, MB": ".0f", "exponent": ".2f"}
        table, last = common.Table(what, heads, width=32), {}
        for value in options.values or values:
            for name, figures in measure(what, value, options).items():
                seconds, exponent = figures["seconds"], ""
                if last.get(name, (0, 0))[1]:
                    before, less = last[name]
                    exponent = np.log(seconds / less) / np.log(value / before)
                last[name] = value, seconds
                table.row(f"{letter} = {value}, {name}", seconds, figures["peak_mb"], exponent)
                row = {"what": what, letter: value, "call": name, **figures}
                results["rows"].append(row)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
