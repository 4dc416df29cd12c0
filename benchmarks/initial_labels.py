"""Other ways to make the first labels, compared by mAP on two encoders.

--similarities FILE has stored similarities of a large CLIP (see benchmarks/aggregation.py); --data
DIR is a data set's folder, whose training photos are encoded with the bundled encoder. A way
counts as better if it is so on both. Temperatures are multiples of 0.03 and of the encoder's own.
"""

import common
import numpy as np
from scipy.special import expit, log_softmax, logit, softmax
from sklearn.linear_model import Ridge

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.labels import cosine_similarities, smooth_labels


class Views:
    """Cosines of whole photos (n, k) and of snippets (n, s, k), a temperature, true labels."""

    def __init__(self, whole, snippets, temperature, target, vectors, min_positives):
        self.whole, self.snippets, self.temperature = whole, snippets, temperature
        self.target, self.vectors, self.min_positives = target, vectors, min_positives

    def precision(self, scores):
        return common.percent_map(self.target, scores, self.min_positives)

    def labels(self, factor=1.0, weight=0.5, offset=0.0, snippet_factor=1.0):
        """Final labels; ``offset`` times each class's median cosine is taken off."""
        tau = factor * self.temperature
        whole = self.whole - offset * np.median(self.whole, axis=0)
        snippets = self.snippets - offset * np.median(self.snippets, axis=(0, 1))
        local = softmax(snippets / (snippet_factor * tau), axis=-1).max(axis=1)
        return weight * softmax(whole / tau, axis=-1) + (1 - weight) * local

    def strongest(self):
        return self.snippets.max(axis=1)

    def mean_cosine(self, offset=0.0):
        cosines = (self.whole + self.strongest()) / 2
        return cosines - offset * cosines.mean(axis=1, keepdims=True)

    def geometric(self, weight=0.5):
        local = log_softmax(self.snippets / self.temperature, axis=-1).max(axis=1)
        return weight * log_softmax(self.whole / self.temperature, axis=-1) + (1 - weight) * local

    def standardised(self):
        """Each class's cosines brought to the same mean and spread."""
        mean, spread = self.snippets.mean(axis=(0, 1)), self.snippets.std(axis=(0, 1))
        scale = spread.mean() / spread
        scaled = [(cosines - mean) * scale for cosines in (self.whole, self.snippets)]
        return Views(*scaled, self.temperature, None, None, 1).labels()

    def several_temperatures(self, factors, **settings):
        return np.mean([self.labels(factor, **settings) for factor in factors], axis=0)

    def regression(self, labels, weight=0.5):
        """Mix the labels with a ridge regression of them on the labels of all classes."""
        features = np.hstack(
            [
                log_softmax(cosines / (2 * self.temperature), axis=-1)
                for cosines in (self.whole, self.strongest())
            ]
        )
        features = (features - features.mean(axis=0)) / features.std(axis=0)
        goal = logit(labels.clip(1e-6, 1 - 1e-6))
        return expit(
            weight * Ridge(alpha=10).fit(features, goal).predict(features) + (1 - weight) * goal
        )


WAYS = {
    "whole photo": lambda v: v.labels(weight=1.0),
    "final (default)": lambda v: v.labels(),
    "final, temperature x 0.5": lambda v: v.labels(0.5),
    "final, temperature x 1.5": lambda v: v.labels(1.5),
    "final, weight of whole 0.4": lambda v: v.labels(weight=0.4),
    "final, weight of whole 0.6": lambda v: v.labels(weight=0.6),
    "final, snippets' temperature x 2": lambda v: v.labels(snippet_factor=2),
    "mean of three temperatures": lambda v: v.several_temperatures([0.7, 1.7, 7]),
    "median off, half": lambda v: v.labels(offset=0.5),
    "median off": lambda v: v.labels(offset=1.0),
    "classes standardised": lambda v: v.standardised(),
    "mean cosine": lambda v: v.mean_cosine(),
    "mean cosine, photo's mean off": lambda v: v.mean_cosine(1.0),
    "geometric mean": lambda v: v.geometric(),
    "geometric mean, weight of whole 0.3": lambda v: v.geometric(0.3),
    "final, regression": lambda v: v.regression(v.labels()),
    "median off, regression": lambda v: v.regression(v.labels(offset=1.0)),
    "three temperatures, median off, regression": lambda v: v.regression(
        v.several_temperatures([0.7, 1.7, 7], offset=1.0)
    ),
    "final, neighbours": lambda v: smooth_labels(v.labels(), v.vectors),
    "median off, neighbours": lambda v: smooth_labels(v.labels(offset=1.0), v.vectors),
}


def main():
    parser = common.parser(__doc__, *common.PHOTOS, "min-positives", "memory")
    parser.add_argument("--similarities", required=True, **common.OPTIONS["similarities"])
    options = common.parse(parser)

    stored = np.load(options.similarities)
    whole, snippets = common.stored_cosines(stored, "global_", "alpha")
    # There are no embeddings: neighbours are those with like similarities.
    vectors = np.hstack([whole, snippets])
    sources = {
        "stored": Views(whole, snippets[:, np.newaxis], 0.03, stored["y"].astype(int), vectors, 1)
    }
    train, _, vocabulary = common.load(options)
    labeler = CLIPPseudoLabeler(vocabulary, memory=options.memory).fit()
    embeddings = labeler.embed(train.data)
    cosines = cosine_similarities(embeddings, labeler.text_embeddings_)
    sources["bundled"] = Views(
        cosines[:, 0],
        cosines[:, 1:],
        labeler.temperature_,
        train.target,
        embeddings[:, 0],
        options.min_positives,
    )
    table = common.Table("mAP", dict.fromkeys(sources, ".2f"))
    for way, make in WAYS.items():
        table.row(way, *(source.precision(make(source)) for source in sources.values()))


if __name__ == "__main__":
    main()
