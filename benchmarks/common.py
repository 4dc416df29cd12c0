"""What the benchmarks share: options, photos, labels of another CLIP, figures, times and tables."""

import argparse
import json
import os
import platform
import re
import sys
import time
from datetime import date
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image
from sklearn.metrics import f1_score

from sklearn_cdul import CLIPPseudoLabeler, __version__
from sklearn_cdul._utils.show_versions import _cpu_instructions, _packages, _versions
from sklearn_cdul.datasets import load_coco, load_nus_wide, load_voc
from sklearn_cdul.labels import combine_labels, softmax_similarities
from sklearn_cdul.metrics import mean_average_precision

# Before a script imports onnxruntime, which sends events of use to its makers unless told not to.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# The official splits. Name: (reader, its settings, training split, test split, vocabulary).
SPLITS = {
    "voc2007": (load_voc, {"year": "2007"}, "trainval", "test", "voc"),
    "voc2012": (load_voc, {"year": "2012"}, "train", "val", "voc"),
    "coco2014": (load_coco, {}, "train2014", "val2014", "coco"),
    "coco2017": (load_coco, {}, "train2017", "val2017", "coco"),
    "nus-wide": (load_nus_wide, {"missing": "skip"}, "train", "test", "nus-wide"),
}
OPTIONS = {
    "dataset": {"choices": SPLITS, "default": "voc2012"},
    "data": {"type": Path, "metavar": "DIR", "required": True, "help": "its folder"},
    "photo-set": {"metavar": "NAME", "help": "what the heading calls it, else by its folder"},
    "max-photos": {"type": int, "help": "take this many of each split, at random"},
    "min-positives": {"type": int, "default": 10, "help": "mAP leaves out classes with fewer"},
    "memory": {"type": Path, "metavar": "DIR", "help": "where embeddings are kept"},
    "features": {
        "type": Path,
        "metavar": "DIR",
        "required": True,
        "help": "made once for these photos",
    },
    "similarities": {"type": Path, "metavar": "FILE", "help": "stored, of another CLIP"},
    "temperature": {"type": float, "default": 0.03, "help": "for --similarities"},
    "image-size": {
        "type": lambda text: text if text == "auto" else int(text),
        "default": "auto",
        "metavar": "PIXELS",
        "help": "side of the network's input",
    },
    "epochs": {"type": int, "default": 3},
    "seeds": {"type": int, "default": 3, "help": "how often to train, or to draw"},
    "repeats": {"type": int, "default": 5, "help": "how often to time"},
    "json": {"type": Path, "metavar": "FILE", "help": "write the tables there as JSON, too"},
}
# What a mixed folder of food and VOC may show; some of it is on few photos.
MIXED = ["dog", "cat", "car", "person", "pizza", "cup", "bicycle", "bird", "boat", "horse", "train"]
MIXED += ["chair", "potted plant", "salad", "cake"]
PHOTOS = ("dataset", "data", "photo-set", "max-photos")

# The temperature of the softmax in files of stored similarities, see aggregation.py.
STORED_TEMPERATURE = 4.605170


def parser(text, *names, **defaults):
    """Parser with some of the OPTIONS; a script may add its own."""
    result = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in names:
        result.add_argument(f"--{name}", **OPTIONS[name])
    result.set_defaults(**defaults)
    return result


def parse(parser):
    """Options of the command line, after a heading that says on what the figures depend."""
    options = parser.parse_args()
    print(f"{Path(sys.argv[0]).name}, sklearn_cdul {__version__}, torch {torch.__version__}")
    print(f"{platform.machine()}, {_cpu_instructions()}", end="")
    print(f", threads {torch.get_num_threads()}", end="")
    print(f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else "")
    texts = {name: shown(value) for name, value in vars(options).items()}
    print(", ".join(f"{name} {text}" for name, text in texts.items() if text))
    return options


def shown(value):
    """An option's value as text: of a path its name alone, nothing of one that is not given."""
    if value is None or value is False:
        return ""
    if isinstance(value, list):
        return " ".join(map(shown, value))
    return value.name if isinstance(value, Path) else re.sub(r"(^|:)/(.*/)?", r"\1", str(value))


def load(options):
    """Training photos, test photos (two Bunches) and the name of their vocabulary."""
    read, settings, *splits, vocabulary = SPLITS[options.dataset]
    train, test = parts = [read(options.data, split=split, **settings) for split in splits]
    take_few(parts, options)
    name = options.photo_set or options.data.name
    print(f"{name}: {len(train.data)} training and {len(test.data)} test photos", end="")
    print(f", longer side {longer_side(train.data)} px")
    return train, test, vocabulary


def take_few(parts, options):
    """Leave --max-photos of each Bunch, drawn at random."""
    for part in parts if options.max_photos else []:
        few = np.random.default_rng(0).permutation(len(part.data))[: options.max_photos]
        part.data, part.target = [part.data[index] for index in few], part.target[few]


def longer_side(paths):
    """Pixels of the longer side, median of the first photos."""
    sides = []
    for path in paths[:50]:
        with Image.open(path) as photo:
            sides.append(max(photo.size))
    return round(median(sides))


def bound(network, before, device):
    """The best rate that the network and the CPU's work before it can reach together."""
    if device.type == "cuda":  # which works meanwhile
        return min(network, before)
    return 1 / (1 / network + 1 / before)


def scaled_photos(paths, pixels, folder):
    """The photos as JPEG files of so many pixels on the longer side, in the folder."""
    result = []
    for number, path in enumerate(paths):
        with Image.open(path) as photo:
            photo = photo.convert("RGB")
            scale = pixels / max(photo.size)
            size = [max(round(side * scale), 1) for side in photo.size]
            result.append(Path(folder) / f"{number}.jpg")
            photo.resize(size, Image.Resampling.BICUBIC).save(result[-1], quality=90)
    return result


def stored_cosines(stored, *views):
    """Cosines, up to a constant a view, from the softmax values of a file."""
    return [np.log(stored[view].astype(np.float64)) * STORED_TEMPERATURE for view in views]


class StoredLabeler(CLIPPseudoLabeler):
    """Labels from stored similarities by the photo's file name, not from its embeddings."""

    table = {}

    def _embed(self, photos, *arguments, **settings):
        self.photos = photos
        return super()._embed(photos, *arguments, **settings)

    def aggregate(self, embeddings):
        assert len(embeddings) == len(self.photos)
        rows = [self.table[Path(path).stem] for path in self.photos]
        whole, snippets = np.stack(rows).swapaxes(0, 1)
        views = [softmax_similarities(cosines, self.temperature) for cosines in (whole, snippets)]
        return combine_labels(*views, self.global_weight).astype(np.float32)


def make_labeler(options, vocabulary):
    """The bundled encoder's labeler; with --similarities one whose labels are the stored ones."""
    if not options.similarities:
        return CLIPPseudoLabeler(vocabulary, memory=options.memory)
    stored = np.load(options.similarities)
    cosines = np.stack(stored_cosines(stored, "global_", "alpha"), axis=1)
    names = [Path(str(name)).stem for name in stored["names"]]
    StoredLabeler.table = dict(zip(names, cosines, strict=True))
    return StoredLabeler(
        vocabulary, temperature=options.temperature, memory=options.memory, grid_size=1
    )


def percent_map(target, scores, min_positives=1):
    """Mean average precision in percent, over the classes with enough positives."""
    return 100 * mean_average_precision(target, scores, min_positives=min_positives)


def f1_of_shown(target, predicted, average="macro"):
    """F1 in [0, 1] over the classes that occur."""
    shown = target.any(axis=0)
    return f1_score(target[:, shown], predicted[:, shown], average=average, zero_division=0)


def timed(function, *arguments, clock=time.perf_counter, **settings):
    """Result of a call, and its seconds."""
    start = clock()
    result = function(*arguments, **settings)
    return result, clock() - start


def median_seconds(ways, repeats):
    """Median seconds of each way, a function, called in turn; the first round warms up."""
    seconds = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, way in ways.items():
            seconds[name].append(timed(way)[1])
    return {name: median(values[1:]) for name, values in seconds.items()}


class Table:
    """Rows that are printed as they come; ``columns`` has the format of each column's figures."""

    made: list["Table"] = []

    def __init__(self, title, columns, width=44):
        self.title, self.columns, self.width = title, columns, width
        self.rows = {}
        Table.made.append(self)
        self._print(f"\n{title:<{width + 1}}", columns)

    def row(self, name, *cells):
        """Of a list the mean is shown and, if it is longer, the standard deviation."""
        formats = self.columns.values()
        self.rows[name] = dict(zip(self.columns, cells, strict=True))
        texts = [self._text(cell, form) for cell, form in zip(cells, formats, strict=True)]
        self._print(f"{name:<{self.width}}", texts)

    def _text(self, cell, form):
        if isinstance(cell, list):
            spread = f"±{np.std(cell):{form}}" if len(cell) > 1 else ""
            return f"{np.mean(cell):{form}}{spread}"
        return cell if isinstance(cell, str) else format(cell, form)

    def _print(self, name, texts):
        widths = [max(len(column), 11) for column in self.columns]
        cells = [f"  {text:>{width}}" for text, width in zip(texts, widths, strict=True)]
        print(name + "".join(cells), flush=True)


def machine():
    """On what the figures depend, besides the options."""
    return {
        "date": date.today().isoformat(),
        "machine": platform.machine(),
        "instructions": _cpu_instructions(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "sklearn_cdul": __version__,
        **_versions(_packages()[0]),
    }


def write_tables(options):
    """Write the tables so far as JSON, if ``--json`` names a file."""
    if options.json:
        command = " ".join([Path(sys.argv[0]).name, *map(shown, sys.argv[1:])])
        tables = [{"title": table.title, "rows": table.rows} for table in Table.made]
        content = {"command": command, "machine": machine(), "tables": tables}
        options.json.write_text(json.dumps(content, indent=1))
