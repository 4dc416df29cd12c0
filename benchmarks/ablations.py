"""Which settings of the labels and of the network matter, with frozen layers.

The network is the bundled EfficientNet-Lite2. What its output layer receives of each photo is read
once for each input size, so that a training takes a second and many settings can be tried. That is
what CDULClassifier does by default; use benchmarks/accuracy.py for networks of which all layers
are trained.

mAP is over the classes with enough positives (--min-positives), F1 over all that occur. With
--similarities FILE the labels come from a larger CLIP, as in benchmarks/accuracy.py; then the
tables on temperature, views and weights are left out.
"""

from unittest import mock

import common
import numpy as np
import torch
from scipy.special import expit
from sklearn.base import clone

from sklearn_cdul.images.items import check_images
from sklearn_cdul.labels import (
    apply_thresholds,
    find_thresholds,
    smooth_labels,
    softmax_similarities,
)
from sklearn_cdul.training import RidgeTraining
from sklearn_cdul.training.alignment import LabelState
from sklearn_cdul.training.batches import PhotoSource
from sklearn_cdul.training.features import read_sample
from sklearn_cdul.training.linear_probe import LinearProbe
from sklearn_cdul.training.regions import mix_views

FIXED = {"epochs": 1}
PAPER = {"cumulative_updates": True, "update_rate": 1.0}
SIZES = (224, 288, 320, 384, 448)


class Bench:
    def __init__(self, options):
        self.options = options
        self.train, self.test, self.vocabulary = common.load(options)
        self.image_size, self.regions = 320, 2

    def features(self, part, name):
        """What the output layer receives, read once and then kept in --features."""
        file = self.options.features / f"{name}-{self.image_size}-{self.regions}.npy"
        if not file.exists():
            settings = {"image_size": self.image_size, "device": torch.device("cpu")}
            source = PhotoSource(check_images(part.data), **settings)
            network = source.build_network("bundled", 1, regions=self.regions)
            np.save(file, read_sample(network, source, np.arange(len(source)), None))
        return np.load(file)

    def fit(self, labels, *, views=slice(None), seen=False, snippets=None, **parameters):
        """Labels after training, logits and predictions of the test photos.

        With `seen` the labels follow what the head says of photos that it has seen, as in the
        paper. With `snippets`, labels of shape (n, regions, k), the head is also fitted to CLIP's
        labels of snippets, each read off the region at its place.
        """
        training = RidgeTraining(**parameters)
        features = self.features(self.train, "train")[:, views]
        state = LabelState.of(labels, None, slice(None), torch.device("cpu"))
        targets, more = features, np.empty((0, labels.shape[1]))
        if snippets is not None:
            regions = features[:, 1:].reshape(-1, 1, features.shape[2])
            targets = np.concatenate([features[:, :1], regions])
            more = snippets.reshape(len(regions), -1)
        probe = LinearProbe(targets)
        for epoch in range(1, training.epochs + 1):
            y = state.labels().numpy()
            weight, bias, leave_one_out = probe.fit(np.concatenate([y, more]))
            leave_one_out = leave_one_out[: len(y)]
            again = mix_views(features @ weight.T.astype(np.float32) + bias.astype(np.float32))
            if epoch < training.epochs:
                training._update(state, torch.from_numpy(again if seen else leave_one_out))
        thresholds = find_thresholds(expit((leave_one_out + again) / 2))
        test = self.features(self.test, "test")[:, views]
        logits = mix_views(test @ weight.T.astype(np.float32) + bias.astype(np.float32))
        return state.labels().numpy(), logits, apply_thresholds(expit(logits), thresholds)

    def precision(self, target, scores):
        return common.percent_map(target, scores, self.options.min_positives)

    def title(self, name):
        columns = dict.fromkeys(("labels", "after", "test mAP", "test F1"), ".1f")
        self.table = common.Table(name, columns)

    def row(self, name, labels, **settings):
        refined, logits, predicted = self.fit(labels, **settings)
        on_train = (self.precision(self.train.target, table) for table in (labels, refined))
        f1 = 100 * common.f1_of_shown(self.test.target, predicted)
        self.table.row(name, *on_train, self.precision(self.test.target, logits), f1)


def label_tables(bench, labeler):
    """Tables of the settings that make the labels; neighbours and training keep their defaults."""
    labeler.fit()

    def embed(grid_size, views="grid"):
        return labeler.set_params(grid_size=grid_size, views=views).embed(bench.train.data)

    def row(name, embeddings, views, **settings):
        labels = clone(labeler).set_params(views=views, **settings).fit().aggregate(embeddings)
        bench.row(name, smooth_labels(labels, embeddings[:, 0]))

    crops = {size: embed(size) for size in {1, 2, 3, *bench.options.grid_sizes}}
    bench.title("grid size")
    for size in sorted(crops):
        title = f"{size} x {size}" if size > 1 else "whole photo alone"
        row(title, crops[size], "grid", grid_size=size)
    bench.title("views")
    windows = embed(3, "dense")
    both = np.concatenate([crops[3], windows[:, 1:]], axis=1)
    for kind, embeddings in {"grid": crops[3], "dense": windows, "grid+dense": both}.items():
        row(kind, embeddings, kind, grid_size=3)
    bench.title("temperature")
    for temperature in (0.02, 0.03, 0.05, 0.083, 0.1, 0.2):
        row(str(temperature), windows, "dense", temperature=temperature)
    bench.title("zeta (local_threshold)")
    for zeta in (0.0, 0.1, 0.2, 0.4):
        row(str(zeta), windows, "dense", local_threshold=zeta)
    bench.title("lambda (global_weight)")
    for weight in (0.0, 0.3, 0.5, 0.7, 1.0):
        row(str(weight), windows, "dense", global_weight=weight)
    bench.title("snippets' labels, too (2 x 2)")
    labels = labeler.set_params(views="dense").aggregate(windows)
    smoothed = smooth_labels(labels, windows[:, 0])
    labeler.set_params(views="auto")
    cosines = crops[2][:, 1:] @ labeler.text_embeddings_.T
    snippets = softmax_similarities(cosines, labeler.temperature_).astype(np.float32)
    bench.row("labels of photos", smoothed, **FIXED)
    bench.row("and of their snippets", smoothed, snippets=snippets, **FIXED)


def network_tables(bench, labels):
    """Tables of what the network looks at, with the labels given and with the true ones."""
    for title, start, settings in (
        ("what the network looks at", labels, {}),
        ("the same, true labels", bench.train.target, FIXED),
    ):
        bench.title(title)
        for bench.image_size in SIZES:
            for bench.regions in (2, 3):
                name = f"{bench.image_size} px, whole"
                if bench.regions == 2:
                    bench.row(f"{name} alone", start, views=slice(1), **settings)
                bench.row(f"{name} and {bench.regions} x {bench.regions}", start, **settings)
    bench.image_size, bench.regions = 320, 2
    bench.title("weight of the whole map")
    for weight in (0.3, 0.5, 0.7, 0.9):
        with mock.patch("sklearn_cdul.training.regions.WHOLE_WEIGHT", weight):
            bench.row(str(weight), labels)


def training_tables(bench, labels, embeddings):
    """Tables of the settings of the training, from the labels given."""
    neighbours = smooth_labels(labels, embeddings)
    bench.title("labels and updates")
    for name, start in (("", labels), (", neighbours", neighbours)):
        bench.row("fixed" + name, start, **FIXED)
        bench.row("updates" + name, start)
        bench.row("updates, photos seen" + name, start, seen=True)
        bench.row("the paper's updates" + name, start, seen=True, **PAPER)
    bench.row("true labels", bench.train.target, **FIXED)
    bench.title("neighbours")
    for count in (10, 20, 40):
        for weight in (0.3, 0.4, 0.5):
            smoothed = smooth_labels(labels, embeddings, n_neighbors=count, weight=weight)
            bench.row(f"{count}, weight {weight}", smoothed)
    bench.title("updates (with neighbours)")
    for changes in [
        *({"update_rate": rate} for rate in (0.25, 0.5, 1.0, 1.5, 2.5)),
        *({"sigma": sigma, "update_rate": sigma / 2} for sigma in (0.2, 0.5)),
        *({"epochs": epochs} for epochs in (2, 3, 5, 10)),
        {"cumulative_updates": True, "update_rate": 0.25},
    ]:
        text = ", ".join(f"{key} {value}" for key, value in changes.items())
        bench.row(text, neighbours, **changes)


def main():
    parser = common.parser(
        __doc__,
        *(*common.PHOTOS, "min-positives", "similarities", "temperature", "memory", "features"),
    )
    parser.add_argument("--grid-sizes", type=int, nargs="*", default=[], help="besides 1, 2, 3")
    options = common.parse(parser)
    options.features.mkdir(parents=True, exist_ok=True)
    bench = Bench(options)
    labeler = common.make_labeler(options, bench.vocabulary)
    if not options.similarities:
        label_tables(bench, labeler)
    embeddings = labeler.fit().embed(bench.train.data)[:, 0]
    labels = labeler.transform(bench.train.data)
    network_tables(bench, smooth_labels(labels, embeddings))
    training_tables(bench, labels, embeddings)


if __name__ == "__main__":
    main()
