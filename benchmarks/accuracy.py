"""Accuracy of each step: CLIP alone, pseudo labels, and the network trained on them.

Trains networks end to end on the photos of a data set. Labels are used to measure, and to train
the upper bound. Mean average precision is over the classes with enough positives
(--min-positives) in the split.

With --similarities FILE, a file as benchmarks/aggregation.py describes it, the labels come from the
stored similarities of a larger CLIP; all training photos must be in it. Their neighbours are found
with the embedded encoder.
"""

import argparse
import platform
import time
from pathlib import Path

import numpy as np
import photo_data
import torch
from sklearn.metrics import f1_score

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.labels import (
    apply_thresholds,
    combine_labels,
    find_thresholds,
    softmax_similarities,
)
from sklearn_cdul.metrics import mean_average_precision


class StoredLabeler(CLIPPseudoLabeler):
    """Labels from stored similarities of the photo's file name, not from its embeddings."""

    table = {}

    def embed(self, X):
        self._names = [Path(path).stem for path in X]
        return super().embed(X)

    def _soft_labels(self, embeddings):
        whole, snippets = np.stack([self.table[name] for name in self._names]).swapaxes(0, 1)
        labels = combine_labels(
            softmax_similarities(whole, self.temperature),
            softmax_similarities(snippets, self.temperature),
            self.global_weight,
        )
        return labels.astype(np.float32)


def stored_labeler(file, vocabulary, memory, temperature):
    stored = np.load(file)
    whole, snippets = photo_data.stored_cosines(stored, "global_", "alpha")
    names = [Path(str(name)).stem for name in stored["names"]]
    StoredLabeler.table = dict(zip(names, np.stack([whole, snippets], axis=1), strict=True))
    return StoredLabeler(vocabulary, temperature=temperature, memory=memory, grid_size=1)


class Report:
    def __init__(self, train, test, min_positives):
        self.train, self.test, self.min_positives = train, test, min_positives
        print(f"{'':44}{'train labels':>16}{'test mAP':>16}{'test F1':>16}{'seconds':>10}")

    def precision(self, target, scores):
        return 100 * mean_average_precision(target, scores, min_positives=self.min_positives)

    def row(self, name, *, labels=(), scores=(), predicted=(), seconds=()):
        """One row of means and standard deviations; each argument holds one item a seed."""
        shown = self.test.target.any(axis=0)
        columns = [
            [self.precision(self.train.target, item) for item in labels],
            [self.precision(self.test.target, item) for item in scores],
            [
                100 * f1_score(self.test.target[:, shown], item[:, shown], average="macro")
                for item in predicted
            ],
        ]
        text = "".join(
            f"{np.mean(c):>11.1f}{f'±{np.std(c):.1f}' if len(c) > 1 else '':<5}" if c else " " * 16
            for c in columns
        )
        print(f"{name:<44}{text}{f'{np.mean(seconds):>10.0f}' if len(seconds) else ''}", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    photo_data.add_arguments(parser)
    parser.add_argument("--similarities", metavar="FILE", help="labels of another CLIP")
    parser.add_argument("--temperature", type=float, default=0.03, help="for --similarities")
    parser.add_argument("--memory", metavar="DIR", help="where embeddings are kept")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--precision", default="auto", help="of the network")
    parser.add_argument("--min-positives", type=int, default=10)
    parser.add_argument("--networks", type=int, nargs="+", help="only these rows, from 0")
    options = parser.parse_args()

    train, test, vocabulary = photo_data.load(options)
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{len(train.data)} training and {len(test.data)} test photos, {options}")
    report = Report(train, test, options.min_positives)

    if options.similarities:
        labeler = stored_labeler(
            options.similarities, vocabulary, options.memory, options.temperature
        )
    else:
        labeler = CLIPPseudoLabeler(vocabulary, memory=options.memory)
    for name, weight in (("CLIP, whole photo", 1.0), ("pseudo labels", labeler.global_weight)):
        labeler.set_params(global_weight=weight).fit()
        start = time.perf_counter()
        labels = labeler.transform(train.data)
        seconds = time.perf_counter() - start
        rest = {}
        if not options.similarities:
            scores = labeler.transform(test.data)
            predicted = apply_thresholds(scores, find_thresholds(labels))
            rest = {"scores": [scores], "predicted": [predicted]}
        report.row(name, labels=[labels], seconds=[seconds], **rest)

    fixed = {"update_interval": 0, "n_neighbors": 0}
    # Without the probe three epochs need a higher rate of the output layer.
    unprobed = {"linear_probe": False, "head_learning_rate": 1e-3}
    variants = {
        "network, fixed labels, no probe": fixed | unprobed,
        "network, fixed labels": fixed,
        "network, gradient alignment": {"n_neighbors": 0},
        "network, alignment and neighbours (default)": {},
        "the same, pretrained layers frozen": {"learning_rate": 0},
        "network, the paper's updates, no probe": {
            "n_neighbors": 0,
            "cumulative_updates": True,
            "update_rate": 1,
            **unprobed,
        },
        "network, true labels": fixed,
        "default, learning rate 0.00001": {"learning_rate": 1e-5},
        "default, learning rate 0.0001": {"learning_rate": 1e-4},
        "default, learning rate 0.0003": {"learning_rate": 3e-4},
    }
    for number in options.networks or range(len(variants)):
        name, parameters = list(variants.items())[number]
        results = {"labels": [], "scores": [], "predicted": [], "seconds": []}
        for seed in range(options.seeds):
            classifier = CDULClassifier(
                pseudo_labeler=labeler,
                image_size=options.image_size,
                epochs=options.epochs,
                precision=options.precision,
                random_state=seed,
                **parameters,
            )
            observed = train.target if name == "network, true labels" else None
            start = time.perf_counter()
            classifier.fit(train.data, observed=observed)
            results["seconds"].append(time.perf_counter() - start)
            results["labels"].append(classifier.pseudo_labels_)
            results["scores"].append(classifier.decision_function(test.data))
            results["predicted"].append(classifier.predict(test.data))
        report.row(name, **results)


if __name__ == "__main__":
    main()
