"""Cost of a grid search over the labels, with a folder for embeddings, against one extraction.

In each round three things are timed in turn, with an encoder that is loaded and warm:

1. extraction: all photos are embedded once, without a folder;
2. search: 12 candidates x 5 folds = 60 fits and scores, with an empty folder;
3. again: the same search in the folder that is full by now.

Medians are compared. The views that the encoder saw are counted: 2 must see as many as 1, and 3
none. Then the folder itself is measured.
"""

import tempfile
from pathlib import Path
from time import process_time

import common
import numpy as np
from sklearn.model_selection import GridSearchCV, KFold

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.encoders.clip import CLIPEncoder
from sklearn_cdul.memory.store import Store

GRID = {
    "global_weight": [0.25, 0.5, 0.75],
    "local_threshold": [0.0, 0.3],
    "temperature": [None, 0.02],
}
N_FITS = 60


class CountedViews:
    """Count the views that all encoders of this process see."""

    def __init__(self):
        self.count = 0
        encode_views = CLIPEncoder.encode_views

        def counted(encoder, views):
            self.count += len(views)
            return encode_views(encoder, views)

        CLIPEncoder.encode_views = counted

    def during(self, function):
        """Wall seconds, CPU seconds and views of one call."""
        before, cpu = self.count, process_time()
        _, wall = common.timed(function)
        return wall, process_time() - cpu, self.count - before


def measure(labeler, photos, targets, n_rounds):
    """Rows of (wall seconds, CPU seconds, views) for extraction, search and search again."""
    views = CountedViews()
    results = {"extraction": [], "search": [], "again": []}
    for _ in range(n_rounds):
        with tempfile.TemporaryDirectory() as folder:
            kept = CLIPPseudoLabeler(**{**labeler.get_params(), "memory": folder})
            search = GridSearchCV(kept, GRID, cv=KFold(5), refit=False, error_score="raise")
            results["extraction"].append(views.during(lambda: labeler.embed(photos)))
            for name in ("search", "again"):
                results[name].append(views.during(lambda s=search: s.fit(photos, targets)))
    return {name: np.median(rows, axis=0) for name, rows in results.items()}


def measure_folder(n_images, n_values):
    """Bytes per image and look-ups per second of a store of random embeddings."""
    rng = np.random.default_rng(0)
    rows = {
        rng.bytes(16): rng.standard_normal(n_values, dtype=np.float32).tobytes()
        for _ in range(n_images)
    }
    keys = list(rows)

    def fill(folder):
        with Store(folder) as store:
            for first in range(0, n_images, 8):
                store.put({key: rows[key] for key in keys[first : first + 8]})

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _, write = common.timed(fill, folder)
        size = sum(path.stat().st_size for path in folder.iterdir())
        rng.shuffle(keys)
        with Store(folder) as store:
            found, read = common.timed(lambda: [store.get(key) == rows[key] for key in keys])
    assert all(found)
    return size / n_images, n_images / write, n_images / read


def main():
    parser = common.parser(__doc__, "json")
    parser.add_argument("--photos", type=int, default=242, help="number of photos")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--entries", type=int, default=20000, help="of the folder that is measured")
    arguments = common.parse(parser)
    data = load_food_photos()
    photos, targets = data.data[: arguments.photos], data.target[: arguments.photos]

    labeler = CLIPPseudoLabeler(list(data.target_names)).fit()
    labeler.embed(photos[:8])
    results = measure(labeler, photos, targets, arguments.rounds)
    base_wall, base_cpu, _ = results["extraction"]
    print(f"{len(photos)} photos, {N_FITS} fits, {arguments.rounds} rounds")
    heads = {"seconds": ".2f", "ratio": ".2f", "CPU s": ".2f", "CPU ratio": ".2f", "views": ".0f"}
    table = common.Table("search", heads, width=18)
    for name, (wall, cpu, views) in results.items():
        table.row(name, wall, wall / base_wall, cpu, cpu / base_cpu, views)

    heads = dict.fromkeys(("bytes", "stored", "10^6, GB", "puts/s", "gets/s"), ".0f")
    n = arguments.entries
    table = common.Table(f"folder of {n:,}", heads | {"10^6, GB": ".1f"}, width=18)
    for n_views, dimension in ((10, 256), (10, 768)):
        size, *speeds = measure_folder(n, n_views * dimension)
        n_bytes = 4 * n_views * dimension
        table.row(f"{n_views} x {dimension} float32", n_bytes, size, size / 1e3, *speeds)
    common.write_tables(arguments)


if __name__ == "__main__":
    main()
