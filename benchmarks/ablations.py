"""Which settings of the labels and of the training matter, on frozen features.

The network is one linear layer on features of the embedded EfficientNet-Lite0, made once from
whole photos and random crops, so that a training takes a second and many settings can be tried.
The backbone learns nothing here: use benchmarks/accuracy.py for what a full training reaches.

mAP is over the classes with enough positives (--min-positives). With --similarities FILE the labels
come from a larger CLIP, as in benchmarks/accuracy.py; then the tables on temperature, views and
weights are left out.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import photo_data
import torch
from accuracy import stored_labeler

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.labels import smooth_labels, soft_labels
from sklearn_cdul.metrics import mean_average_precision
from sklearn_cdul.training.alignment import LabelState, align, latents_from_labels, update_latents
from sklearn_cdul.training.batches import EmbeddingBatches, PhotoBatches
from sklearn_cdul.training.network import (
    EmbeddingNetwork,
    build_photo_network,
    forward,
    start_from_priors,
    start_from_probe,
)

CROPS = 7
CPU = torch.device("cpu")
SCHEDULE = (
    "epochs",
    "warmup_epochs",
    "update_interval",
    "update_rate",
    "sigma",
    "cumulative_updates",
)
DEFAULTS = CDULClassifier().get_params(deep=False)
# Without the probe three epochs need a higher rate, see the last table.
UNPROBED = {"probe": False, "learning_rate": 1e-3}


def photo_features(paths, image_size):
    """Features (n, 1 + CROPS, 1280) of whole photos and of random crops."""
    torch.manual_seed(0)
    network = build_photo_network("embedded", 1).to(memory_format=torch.channels_last).eval()
    network.backbone.reset_classifier(0)
    batches = PhotoBatches(paths, image_size=image_size, batch_size=10, device=CPU)
    with torch.inference_mode():
        whole = [forward(network, inputs, torch.float32) for inputs in batches.prediction([])]
        features = [torch.cat(whole)]
        for _ in range(CROPS):
            features.append(torch.empty_like(features[0]))
            for indices, inputs in batches.training():
                features[-1][indices] = forward(network, inputs, torch.float32)
    return torch.stack(features, dim=1)


def load_features(options, train, test):
    file = Path(options.features)
    settings = f"{options.dataset}, {options.image_size} px, {options.max_photos}, {train.data[0]}"
    if not file.exists():
        parts = {
            name: photo_features(part.data, options.image_size).numpy()
            for name, part in (("train", train), ("test", test))
        }
        np.savez(file, settings=settings, **parts)
    stored = np.load(file)
    if str(stored["settings"]) != settings:
        raise SystemExit(f"{file} has features of other photos or of another size.")
    return torch.from_numpy(stored["train"]), torch.from_numpy(stored["test"])


class Bench:
    def __init__(self, options):
        self.options = options
        self.train, self.test, self.vocabulary = photo_data.load(options)
        self.features, self.test_features = load_features(options, self.train, self.test)

    def precision(self, target, scores):
        return 100 * mean_average_precision(
            target, scores, min_positives=self.options.min_positives
        )

    def fit(
        self,
        labels,
        seed,
        *,
        learning_rate=DEFAULTS["head_learning_rate"],
        probe=DEFAULTS["linear_probe"],
        clean=False,
        crops=True,
        **changes,
    ):
        """Return test mAP, and mAP of the labels on the training photos after training."""
        settings = {name: DEFAULTS[name] for name in SCHEDULE} | changes
        torch.manual_seed(seed)
        labels = torch.tensor(labels, dtype=torch.float32)
        network = EmbeddingNetwork(self.features[:, 0], labels.shape[1])
        start_from_priors(network, labels)
        if probe:
            whole = EmbeddingBatches(self.features[:, 0], batch_size=256, device=CPU)
            start_from_probe(network, whole, labels, torch.float32)
        state = LabelState(latents_from_labels(labels), torch.full_like(labels, torch.nan))
        first = state.latents
        steps = settings["epochs"] * math.ceil(len(labels) / 16)
        optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=1e-4)
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps))
        )

        def batches():
            for indices in torch.randperm(len(labels)).split(16):
                crop = torch.randint(1, 1 + CROPS, indices.shape) if crops else 0
                yield indices, self.features[indices, crop]

        def update_from_whole_photos(record):
            if clean and record["epoch"] < settings["epochs"]:
                with torch.no_grad():
                    logits = network(self.features[:, 0])
                state.latents = update_latents(
                    first, logits, settings["sigma"], settings["update_rate"]
                )

        align(
            network,
            optimizer,
            state,
            batches,
            forward=lambda network, inputs: network(inputs),
            scheduler=scheduler,
            on_epoch=update_from_whole_photos,
            **(settings | ({"update_interval": 0} if clean else {})),
        )
        with torch.no_grad():
            scores = network(self.test_features[:, 0]).numpy()
        return (
            self.precision(self.test.target, scores),
            self.precision(self.train.target, state.labels().numpy()),
        )

    def row(self, name, labels, **settings):
        results = [self.fit(labels, seed, **settings) for seed in range(self.options.seeds)]
        (test, refined), spread = np.mean(results, axis=0), np.std(results, axis=0)[0]
        first = self.precision(self.train.target, labels)
        print(f"{name:<44}{first:>9.1f}{refined:>9.1f}{test:>9.1f}±{spread:.1f}", flush=True)

    def title(self, name):
        print(f"\n{name:<44}{'labels':>9}{'refined':>9}{'test':>9}")


def label_tables(bench, labeler):
    """Tables of the settings that make the labels; the training keeps its defaults."""
    labeler.fit()

    def embed(grid_size):
        return labeler.set_params(grid_size=grid_size).embed(bench.train.data)

    def labels(embeddings, temperature=labeler.temperature_, **settings):
        return soft_labels(
            embeddings, labeler.text_embeddings_, temperature=temperature, **settings
        )

    views = {size: embed(size) for size in (1, 2, 3, 4)}
    bench.title("grid size")
    for size, embeddings in views.items():
        bench.row(f"{size} x {size}" if size > 1 else "whole photo alone", labels(embeddings))
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
    fixed = {"update_interval": 0}
    paper = {"cumulative_updates": True, "update_rate": 1.0}
    bench.title("labels and updates")
    for name, start in (("", labels), (", neighbours", neighbours)):
        for suffix, probe in (("", {}), (", no probe", UNPROBED)):
            bench.row("fixed" + name + suffix, start, **fixed, **probe)
            bench.row("updates from the first labels" + name + suffix, start, **probe)
            bench.row("the paper's updates" + name + suffix, start, **paper, **probe)
    bench.row("true labels", bench.train.target, **fixed)
    bench.row("true labels, no probe", bench.train.target, **fixed, **UNPROBED)
    bench.title("neighbours, fixed labels")
    for count in (5, 10, 20, 40):
        for weight in (0.3, 0.4, 0.5):
            smoothed = smooth_labels(labels, embeddings, n_neighbors=count, weight=weight)
            bench.row(f"{count}, weight {weight}", smoothed, **fixed)
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
                shared = {"learning_rate": rate, "epochs": epochs, "probe": probe}
                name = f"{rate:g}, {epochs} epochs{suffix}, "
                bench.row(name + "fixed", labels, **shared, **fixed)
                bench.row(name + "updates", labels, **shared)
                bench.row(name + "both", neighbours, **shared)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    photo_data.add_arguments(parser)
    parser.add_argument("--similarities", metavar="FILE", help="labels of another CLIP")
    parser.add_argument("--temperature", type=float, default=0.03, help="for --similarities")
    parser.add_argument("--features", metavar="FILE.npz", required=True, help="made if not there")
    parser.add_argument("--memory", metavar="DIR", help="where embeddings are kept")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--min-positives", type=int, default=10)
    options = parser.parse_args()
    bench = Bench(options)
    if options.similarities:
        labeler = stored_labeler(
            options.similarities, bench.vocabulary, options.memory, options.temperature
        )
    else:
        labeler = CLIPPseudoLabeler(bench.vocabulary, memory=options.memory)
        label_tables(bench, labeler)
        labeler.set_params(grid_size=3)
    embeddings = labeler.fit().embed(bench.train.data)
    training_tables(bench, labeler.transform(bench.train.data), embeddings[:, 0])


if __name__ == "__main__":
    main()
