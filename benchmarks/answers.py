"""Probabilities and thresholds before and after a person's answers, and counts of photos.

Four sets: the bundled food photos, photos of VOC, both with fifteen names of which some are on few
photos or none ("mixed"), and a folder of 150 of these. Labels that a set lacks count as 0.

First, the two numbers of the calibration without labels are fitted on each set and judged on all,
and the offsets of classes that do not stand out are lowered by several factors.
Then a person answers for 16 photos of each class, as a report shows them (the surest, and those
nearest to the threshold; "doubtful"), or for all classes of as many photos drawn at random as make
the same number of answers. They are passed to `fit_thresholds`, or to a new fit as ``observed=``.

Calibration error: mean difference, over 15 bins of equal width, of probability and share. Counts
are right if they are within 30 % or 5 photos. Without --data the bundled photos alone.
"""

from pathlib import Path

import common
import numpy as np
import torch
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.compute.devices import OwnRandomState
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.images.items import check_images
from sklearn_cdul.labels import calibration, smooth_labels
from sklearn_cdul.labels.absent import find_absent
from sklearn_cdul.labels.decisions import find_decisions, update_decisions
from sklearn_cdul.labels.neighbors import place_observed
from sklearn_cdul.review.findings import pick_photos
from sklearn_cdul.training import RidgeTraining
from sklearn_cdul.training.batches import FeatureSource, PhotoSource
from sklearn_cdul.training.features import read_sample
from sklearn_cdul.training.network import output_layer
from sklearn_cdul.training.ridge import head_logits
from sklearn_cdul.training.zero_shot import join, read_labels

FOLDER = 150
SHOWN = 8  # photos of each class and kind in a report


class Part:
    """Embeddings, features and labels by name of some photos."""

    def __init__(self, bunch, name, options):
        options.features.mkdir(parents=True, exist_ok=True)
        file = options.features / f"{name}-{len(bunch.data)}-320-2.npy"
        if not file.exists():
            settings = {"image_size": 320, "device": torch.device("cpu")}
            source = PhotoSource(check_images(bunch.data), **settings)
            network = source.build_network("bundled", 1, regions=2)
            np.save(file, read_sample(network, source, np.arange(len(source)), None))
        self.paths, self.features = list(bunch.data), np.load(file)
        self.columns = dict(zip(bunch.target_names, bunch.target.T, strict=True))

    def target(self, names):
        none = np.zeros(len(self.paths), dtype=int)
        return np.stack([self.columns.get(name, none) for name in names], axis=1)


def bundled_parts(options):
    """Class names of the bundled photos, and their training and test part."""
    parts = [load_food_photos(subset=name) for name in ("train", "test")]
    common.take_few(parts, options)
    return parts[0].target_names, [Part(p, f"food-{n}", options) for n, p in enumerate(parts)]


def parts_of(options):
    """Class names of the photos in --data, and their training and test part."""
    parts, name = common.load(options)[:2], options.dataset
    return parts[0].target_names, [Part(p, f"{name}-{n}", options) for n, p in enumerate(parts)]


class Bench:
    """Training and test photos with some names, and what a classifier makes of them."""

    def __init__(self, parts, names, options, n_photos=None):
        train, test = zip(*parts, strict=True)
        paths = [path for part in train for path in part.paths]
        rows = np.arange(len(paths))
        if n_photos:
            rows = np.random.default_rng(1).permutation(len(paths))[:n_photos]
        labeler = CLIPPseudoLabeler(names, memory=options.memory).fit()
        embeddings = labeler.embed([paths[row] for row in rows])
        self.labels, self.whole = labeler.aggregate(embeddings), embeddings[:, 0]
        self.train, self.test = (
            np.concatenate([part.features for part in parts]) for parts in (train, test)
        )
        self.y, self.y_test = (
            np.concatenate([part.target(names) for part in parts]) for parts in (train, test)
        )
        self.train, self.y = self.train[rows], self.y[rows]
        self.source = FeatureSource(self.train, device=torch.device("cpu"))
        self.labeler, self.photos = labeler, check_images(paths[:1])
        self.base = self.fit()

    def fit(self, observed=None):
        """As `CDULClassifier.fit`: logits, calibration and thresholds."""
        start, targets = self.labels, None
        if observed is not None:
            start, targets = place_observed(start, observed)
        start = smooth_labels(start, self.whole)
        source = PhotoSource(self.photos, image_size=320, device=self.source.device)
        network = source.build_network("bundled", len(self.y[0]), regions=2)
        CDULClassifier()._keep_texts(network, self.labeler, self.labeler._encoder())
        random = OwnRandomState(0, source.device)
        trained = RidgeTraining().train(
            network, self.source, start, random=random, observed=targets
        )
        layer = output_layer(network)
        raw = head_logits([(layer.weight, layer.bias)], self.test)[:, 0]
        test = join(network, raw, read_labels(network, self.test))
        found, thresholds = find_decisions(
            trained.logits, trained.seen, trained.thresholds, observed
        )
        absent = find_absent(trained.open_labels, observed)
        return trained.seen, test, found, np.where(absent, 1, thresholds)

    def answer(self, seen, test, found, thresholds, labels):
        """As `CDULClassifier.fit_thresholds`."""
        rows = np.isfinite(labels).any(axis=1)
        told = found, thresholds, labels[rows], seen[rows], seen[rows]
        found, moved = update_decisions(*told)
        still_absent = (thresholds == 1) & ~(labels == 1).any(axis=0)
        return seen, test, found, np.where(still_absent, 1, moved)

    def doubtful(self, seed):
        seen, _, found, thresholds = self.base
        logits, labels = calibration.calibrate(seen, found), np.full(self.y.shape, np.nan)
        nobody = np.zeros(len(labels), dtype=bool)
        for j, at in enumerate(logit(thresholds)):
            for rows in pick_photos(logits[:, j], at, None, nobody, SHOWN).values():
                labels[rows, j] = self.y[rows, j]
        return labels

    def at_random(self, seed):
        labels = np.full(self.y.shape, np.nan)
        rows = np.random.default_rng(seed).permutation(len(labels))[: 2 * SHOWN]
        labels[rows] = self.y[rows]
        return labels


def calibration_error(probabilities, target):
    p, y = probabilities.ravel(), target.ravel()
    bins = np.minimum((p * 15).astype(int), 14)
    return sum(abs((p - y)[bins == b].sum()) for b in range(15)) / len(p)


def brier(probabilities, target):
    return float(((probabilities - target) ** 2).mean())


def quality(bench, state):
    """Figures of the test photos."""
    _, logits, found, thresholds = state
    p, y = expit(calibration.calibrate(logits, found)), bench.y_test
    count, low, high = calibration.count_photos(logits, found)
    truth, named = y.sum(axis=0), p >= thresholds
    right = np.abs(count - truth) <= np.maximum(5, 0.3 * truth)
    hits = (named & (y == 1)).sum()
    return (
        calibration_error(p, y),
        brier(p, y),
        100 * right.mean(),
        100 * ((low <= truth) & (truth <= high)).mean(),
        hits / max(named.sum(), 1),
        hits / y.sum(),
        common.f1_of_shown(y, named),
        common.f1_of_shown(y, named, "micro"),
    )


def obeyed(bench, state, labels):
    """Answers that are contradicted, those of them that are no, and names of other cells."""
    seen, _, found, thresholds = state
    named = expit(calibration.calibrate(seen, found)) >= thresholds
    wrong, others = (named != labels) & ~np.isnan(labels), np.isnan(labels) & named
    counts = wrong, wrong & (labels == 0), others & (bench.y == 0), others & (bench.y == 1)
    return [int(cells.sum()) for cells in counts]


def fit_constants(benches):
    """Two numbers from each set, and how they do on all."""
    columns = dict.fromkeys(benches, "s") | {"slope": ".2f", "offset": ".2f"}
    table = common.Table("fitted on; error and Brier score on", columns)
    inputs = {}
    for name, bench in benches.items():
        _, logits, found, _ = bench.base
        scaled = calibration.calibrate(logits, found)
        inputs[name] = (scaled - calibration.OFFSET) / calibration._SLOPE

    def judge(title, slope, offset):
        cells = []
        for name, bench in benches.items():
            p = expit(slope * inputs[name] + offset)
            cells.append(f"{calibration_error(p, bench.y_test):.3f} {brier(p, bench.y_test):.4f}")
        table.row(title, *cells, slope, offset)

    for name, bench in benches.items():
        line = LogisticRegression(C=1e6).fit(inputs[name].reshape(-1, 1), bench.y_test.ravel())
        judge(name, line.coef_.item(), line.intercept_.item())
    judge("the package", calibration._SLOPE, calibration.OFFSET)


def lower_offsets(benches):
    """How far offsets of classes that do not stand out are lowered."""
    columns = dict.fromkeys(benches, "s")
    table = common.Table("lowered by; right counts in % and Brier score on", columns)
    chosen = calibration._FAINT
    for factor in (0, chosen / 2, chosen, 2 * chosen):
        calibration._FAINT = factor
        figures = [quality(bench, bench.fit()) for bench in benches.values()]
        cells = [f"{counts:.0f} {score:.4f}" for _, score, counts, *_ in figures]
        table.row(f"{factor:g} times the difference", *cells)
    calibration._FAINT = chosen


def main():
    names = ("dataset", "photo-set", "max-photos", "memory", "seeds", "features")
    parser = common.parser(__doc__, *names)
    parser.add_argument("--data", type=Path, metavar="DIR", help="a folder of --dataset, a VOC")
    options = common.parse(parser)
    names, food = bundled_parts(options)
    benches = {"food": Bench([food], names, options)}
    if options.data:
        names, voc = parts_of(options)
        benches["VOC"] = Bench([voc], names, options)
        benches["mixed"] = Bench([voc, food], common.MIXED, options)
        benches["folder"] = Bench([voc, food], common.MIXED, options, FOLDER)
    fit_constants(benches)
    lower_offsets(benches)
    columns = {"error": ".3f", "Brier": ".4f", "counts %": ".0f", "interval %": ".0f"}
    columns |= dict.fromkeys(("precision", "recall", "F1", "micro-F1"), ".2f")
    columns |= dict.fromkeys(("answers", "contradicted", "of no", "others false", "right"), ".0f")
    for name, bench in benches.items():
        rates = np.broadcast_to(bench.y_test.mean(axis=0), bench.y_test.shape)
        print(f"\n{name}: Brier score of the class rates alone {brier(rates, bench.y_test):.4f}")
        table = common.Table(name, columns, width=26)
        for way, ask in {"doubtful": bench.doubtful, "at random": bench.at_random}.items():
            rows = {"none": [], "fit_thresholds": [], "observed": []}
            for seed in range(options.seeds if way == "at random" else 1):
                labels = ask(seed)
                states = bench.base, bench.answer(*bench.base, labels), bench.fit(labels)
                for row, state in zip(rows.values(), states, strict=True):
                    told = np.count_nonzero(~np.isnan(labels)), *obeyed(bench, state, labels)
                    row.append((*quality(bench, state), *told))
            for title, results in rows.items():
                table.row(f"{way}, {title}", *np.mean(results, axis=0).tolist())


if __name__ == "__main__":
    main()
