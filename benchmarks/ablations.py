"""Which settings of the labels and of the training matter, on frozen features.

The network is one linear layer on features of the embedded EfficientNet-Lite2, made once from
whole photos and random crops, so that a training takes a second and many settings can be tried.
The backbone learns nothing here: use benchmarks/accuracy.py for what a full training reaches.

mAP is over the classes with enough positives (--min-positives). With --similarities FILE the labels
come from a larger CLIP, as in benchmarks/accuracy.py; then the tables on temperature, views and
weights are left out.
"""

from pathlib import Path
from unittest import mock

import common
import numpy as np
import torch
from accuracy import UNPROBED

from sklearn_cdul import CDULClassifier
from sklearn_cdul.images.reading import check_images
from sklearn_cdul.labels import smooth_labels, soft_labels
from sklearn_cdul.training.alignment import update_latents
from sklearn_cdul.training.batches import EmbeddingSource, PhotoSource, epoch
from sklearn_cdul.training.network import predict_logits
from sklearn_cdul.training.trainer import Trainer, TrainingSettings

CROPS = 7
CPU = torch.device("cpu")
FIXED = {"update_interval": 0}
PAPER = {"cumulative_updates": True, "update_rate": 1.0}


def photo_features(paths, image_size):
    """Features (n, 1 + CROPS, 1280) of whole photos and of random crops."""
    torch.manual_seed(0)
    photos = check_images(paths)
    source = PhotoSource(photos, image_size=image_size, device=CPU, keep="training")
    network = source.build_network("embedded", 1)
    network.backbone.reset_classifier(0)
    features = [torch.from_numpy(predict_logits(network, source, torch.float32))]
    with torch.inference_mode():
        for _ in range(CROPS):
            features.append(torch.empty_like(features[0]))
            for indices, inputs in epoch(source, 10):
                features[-1][indices] = network(inputs)
    return torch.stack(features, dim=1).numpy()


def load_features(options, train, test):
    file = options.features
    settings = f"{options.dataset}, {options.image_size} px, {options.max_photos}, {train.data[0]}"
    if not file.exists():
        parts = {"train": train, "test": test}
        made = {name: photo_features(p.data, options.image_size) for name, p in parts.items()}
        np.savez(file, settings=settings, **made)
    stored = np.load(file)
    if str(stored["settings"]) != settings:
        raise SystemExit(f"{file} has features of other photos or of another size.")
    return torch.from_numpy(stored["train"]), EmbeddingSource(stored["test"][:, 0], device=CPU)


class StoredCrops(EmbeddingSource):
    """Features: in training those of random crops, else those of the whole photos."""

    def __init__(self, features, crops):
        super().__init__(features[:, 0], device=CPU)
        self.features, self.crops = features, crops

    def training(self, batches):
        for indices in batches:
            crop = torch.randint(1, 1 + CROPS, indices.shape) if self.crops else 0
            yield indices, self.features[indices, crop]


class Bench:
    def __init__(self, options):
        self.options = options
        self.train, self.test, self.vocabulary = common.load(options)
        self.features, self.test_source = load_features(options, self.train, self.test)

    def precision(self, target, scores):
        return common.percent_map(target, scores, self.options.min_positives)

    def fit(self, labels, seed, *, crops=True, clean=False, **parameters):
        """Return test mAP, and mAP of the labels on the training photos after training."""
        torch.manual_seed(seed)
        source = StoredCrops(self.features, crops)
        network = source.build_network(None, labels.shape[1])
        trainer = Trainer(network, TrainingSettings.of(CDULClassifier(**parameters)))

        def step_b(latents, predictions, sigma, rate):
            if clean:  # the package has no such choice: it takes what step A predicted on crops
                predictions = network(source.embeddings).detach()
            return update_latents(latents, predictions, sigma, rate)

        with mock.patch("sklearn_cdul.training.alignment.update_latents", step_b):
            _, refined = trainer.train(source, labels, np.full(labels.shape, np.nan, np.float32))
        scores = predict_logits(network, self.test_source, torch.float32)
        return (
            self.precision(self.test.target, scores),
            self.precision(self.train.target, refined),
        )

    def title(self, name):
        columns = dict.fromkeys(("labels", "refined", "test"), ".1f")
        self.table = common.Table(name, columns)

    def row(self, name, labels, **settings):
        results = [self.fit(labels, seed, **settings) for seed in range(self.options.seeds)]
        test, refined = np.transpose(results).tolist()
        self.table.row(name, self.precision(self.train.target, labels), np.mean(refined), test)


def label_tables(bench, labeler):
    """Tables of the settings that make the labels; the training keeps its defaults."""
    labeler.fit()

    def embed(grid_size):
        return labeler.set_params(grid_size=grid_size).embed(bench.train.data)

    def labels(embeddings, temperature=labeler.temperature_, **settings):
        return soft_labels(
            embeddings, labeler.text_embeddings_, temperature=temperature, **settings
        )

    views = {size: embed(size) for size in (1, 2, 4, 3)}  # the last is left set
    bench.title("grid size")
    for size in (1, 2, 3, 4):
        bench.row(f"{size} x {size}" if size > 1 else "whole photo alone", labels(views[size]))
    bench.row("2 x 2 and 3 x 3", labels(np.concatenate([views[3], views[2][:, 1:]], axis=1)))
    bench.title("temperature")
    for temperature in (0.02, 0.03, 0.05, 0.067, 0.1, 0.2):
        bench.row(str(temperature), labels(views[3], temperature))
    bench.title("zeta (local_threshold)")
    for zeta in (0.0, 0.05, 0.1, 0.2, 0.4):
        bench.row(str(zeta), labels(views[3], local_threshold=zeta))
    bench.title("lambda (global_weight)")
    for weight in (0.0, 0.3, 0.5, 0.7, 1.0):
        bench.row(str(weight), labels(views[3], global_weight=weight))


def training_tables(bench, labels, embeddings):
    """Tables of the settings of the training, from the labels given."""
    neighbours = smooth_labels(labels, embeddings)
    bench.title("labels and updates")
    for name, start in (("", labels), (", neighbours", neighbours)):
        for suffix, probe in (("", {}), (", no probe", UNPROBED)):
            bench.row("fixed" + name + suffix, start, **FIXED, **probe)
            bench.row("updates from the first labels" + name + suffix, start, **probe)
            bench.row("the paper's updates" + name + suffix, start, **PAPER, **probe)
    bench.row("true labels", bench.train.target, **FIXED)
    bench.row("true labels, no probe", bench.train.target, **FIXED, **UNPROBED)
    bench.title("neighbours, fixed labels")
    for count in (5, 10, 20, 40):
        for weight in (0.3, 0.4, 0.5):
            smoothed = smooth_labels(labels, embeddings, n_neighbors=count, weight=weight)
            bench.row(f"{count}, weight {weight}", smoothed, **FIXED)
    for name, settings in {
        "update_rate": [{"update_rate": r} for r in (0.25, 0.5, 1.0, 1.5, 2.5)],
        "sigma, at equal speed where unsure": [
            {"sigma": s, "update_rate": s / 2} for s in (0.1, 0.2, 0.5, 1.0)
        ],
        "update_interval": [{"update_interval": i} for i in (1, 2)],
        "warmup_epochs": [{"warmup_epochs": w} for w in (1, 2)],
        "cumulative updates, by update_rate": [
            {"cumulative_updates": True, "update_rate": r} for r in (0.1, 0.25, 0.5, 1.0)
        ],
        "predictions of step B": [{"clean": False}, {"clean": True}],
        "augmentation": [{"crops": True}, {"crops": False}],
    }.items():
        bench.title(name + " (with neighbours)")
        for changes in settings:
            text = ", ".join(f"{key} {value}" for key, value in changes.items())
            bench.row(text, neighbours, **changes)
    bench.title("learning rate and epochs")
    for suffix, probe in (("", True), (", no probe", False)):
        for rate in (1e-5, 1e-4, 1e-3, 1e-2):
            for epochs in (5, 10, 20):
                shared = {"head_learning_rate": rate, "epochs": epochs, "linear_probe": probe}
                name = f"{rate:g}, {epochs} epochs{suffix}, "
                bench.row(name + "fixed", labels, **shared, **FIXED)
                bench.row(name + "updates", labels, **shared)
                bench.row(name + "both", neighbours, **shared)


def main():
    parser = common.parser(
        __doc__,
        *(*common.PHOTOS, "min-positives", "similarities", "temperature", "memory"),
        *("image-size", "seeds"),
    )
    parser.add_argument(
        "--features", type=Path, metavar="FILE.npz", required=True, help="made if not there"
    )
    options = common.parse(parser)
    bench = Bench(options)
    labeler = common.make_labeler(options, bench.vocabulary)
    if not options.similarities:
        label_tables(bench, labeler)
    embeddings = labeler.fit().embed(bench.train.data)
    training_tables(bench, labeler.transform(bench.train.data), embeddings[:, 0])


if __name__ == "__main__":
    main()
