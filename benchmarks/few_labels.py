"""What 10, 25, 50 or 100 labelled photos add, chosen at random or by `suggest_photos`.

All classes of a chosen photo are labelled, as somebody who looks at it would. The labels are passed
to a new fit as ``observed=``, or to ``fit_thresholds`` of the fit without labels; figures are of
the test photos. Besides, two simple ways to choose: the photos with the highest mean doubt
("uncertain"), and those nearest to the centres of as many clusters of k-means ("diverse").

The network is the bundled one with frozen layers, as by default. What its output layer receives of
each photo is read once and kept in --features, so that a fit takes a second. Without --data it runs
on the bundled photos.
"""

from pathlib import Path

import common
import numpy as np
import torch
from scipy.special import entr, expit, logit
from sklearn.cluster import KMeans

from sklearn_cdul import CLIPPseudoLabeler, classifier
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.images.items import check_images
from sklearn_cdul.labels import apply_thresholds, smooth_labels
from sklearn_cdul.labels.calibration import calibrate
from sklearn_cdul.labels.neighbors import place_observed
from sklearn_cdul.review.suggestions import rank_by_worth
from sklearn_cdul.training import RidgeTraining
from sklearn_cdul.training.alignment import LabelState, Trained
from sklearn_cdul.training.batches import PhotoSource
from sklearn_cdul.training.features import read_sample
from sklearn_cdul.training.linear_probe import LinearProbe
from sklearn_cdul.training.ridge import head_logits

COUNTS = (10, 25, 50, 100)


class Bench:
    def __init__(self, options):
        self.options = options
        if options.data:
            self.train, self.test, vocabulary = common.load(options)
        else:
            self.train, self.test = (load_food_photos(subset=name) for name in ("train", "test"))
            vocabulary = self.train.target_names
        labeler = CLIPPseudoLabeler(vocabulary, memory=options.memory).fit()
        embeddings = labeler.embed(self.train.data)
        self.labels, self.whole = labeler.aggregate(embeddings), embeddings[:, 0]
        self.train_features = self.features(self.train, "train")
        self.test_features = self.features(self.test, "test")
        self.probe = LinearProbe(self.train_features)
        self.enough = self.test.target.sum(axis=0) >= options.min_positives

    def features(self, part, name):
        file = self.options.features / f"{name}-320-2.npy"  # as benchmarks/ablations.py calls it
        if not file.exists():
            settings = {"image_size": 320, "device": torch.device("cpu")}
            source = PhotoSource(check_images(part.data), **settings)
            network = source.build_network("bundled", 1, regions=2)
            np.save(file, read_sample(network, source, np.arange(len(source)), None))
        return np.load(file)

    def fit(self, rows=()):
        """Logits of training and test photos, calibration and thresholds, with some labels."""
        start, targets, observed = self.labels, None, None
        if len(rows):
            observed = np.full(start.shape, np.nan)
            observed[rows] = self.train.target[rows]
            start, targets = place_observed(start, observed)
        start = smooth_labels(start, self.whole)
        state = LabelState.of(start, targets, slice(None), torch.device("cpu"))
        heads, unseen, history = RidgeTraining()._fit(
            self.probe, state, torch.empty(0), verbose=False
        )
        seen, test = (
            head_logits(heads[-1:], features)[:, 0].numpy()
            for features in (self.train_features, self.test_features)
        )
        trained = Trained(history, start, np.arange(len(start)), seen, unseen)
        return seen, test, *classifier._find_decisions(trained, observed)

    def f1(self, logits, found, thresholds):
        predicted = apply_thresholds(expit(calibrate(logits, found)), thresholds)
        return 100 * common.f1_of_shown(self.test.target[:, self.enough], predicted[:, self.enough])

    def figures(self, rows):
        """Test mAP and F1 with these photos labelled, and F1 if only cuts are moved."""
        _, logits, *decisions = self.fit(rows)
        precision = common.percent_map(self.test.target, logits, self.options.min_positives)
        seen, test, *automatic = self.base
        moved = classifier._learn_decisions(
            *automatic, self.train.target[rows].astype(float), seen[rows], seen[rows]
        )
        return precision, self.f1(logits, *decisions), self.f1(test, *moved)


def at_random(bench, n, seed):
    return np.random.default_rng(seed).permutation(len(bench.labels))[:n]


def uncertain(bench, n, seed):
    logits, _, found, thresholds = bench.base
    margins = calibrate(logits, found) - logit(thresholds)
    expected = expit(2 * margins / margins.std(axis=0))
    return np.argsort(-(entr(expected) + entr(1 - expected)).mean(axis=1))[:n]


def diverse(bench, n, seed):
    distances = KMeans(n, n_init=1, random_state=seed).fit_transform(bench.whole)
    return np.unique(distances.argmin(axis=0))


def suggested(bench, n, seed):
    logits, _, found, thresholds = bench.base
    return rank_by_worth(calibrate(logits, found) - logit(thresholds), n)


WAYS = {
    "at random": at_random,
    "uncertain": uncertain,
    "diverse": diverse,
    "suggest_photos": suggested,
}
DRAWN = ("at random", "diverse")


def main():
    names = ("dataset", "photo-set", "max-photos", "min-positives", "memory", "seeds", "features")
    parser = common.parser(__doc__, *names)
    parser.add_argument("--data", type=Path, metavar="DIR", help="a folder of --dataset")
    options = common.parse(parser)
    options.features.mkdir(parents=True, exist_ok=True)
    bench = Bench(options)
    bench.base = bench.fit()
    columns = dict.fromkeys(("mAP", "F1", "F1, cuts only"), ".1f")
    table = common.Table("labelled photos", columns, width=22)
    _, logits, *decisions = bench.base
    f1 = bench.f1(logits, *decisions)
    table.row("0", common.percent_map(bench.test.target, logits, options.min_positives), f1, f1)
    for n in [n for n in COUNTS if n < len(bench.labels)]:
        for name, way in WAYS.items():
            seeds = range(options.seeds if name in DRAWN else 1)
            results = [bench.figures(way(bench, n, seed)) for seed in seeds]
            table.row(f"{n} {name}", *np.transpose(results).tolist())


if __name__ == "__main__":
    main()
