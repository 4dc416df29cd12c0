"""Run the setting of the paper on a full data set: RN50x64 labels, ResNet-101, 3 x 3 snippets.

Needs the weights of CLIP RN50x64 (openai, through open_clip) and of timm's resnet101, which are
downloaded once, the data set's folder, and for a run in hours a GPU. --model-name, --pretrained and
--network take others, for instance the ones in this package. --views dense reads the snippets off
one pass.

The run goes in steps, and each keeps its result in --out: the embeddings (image by image), then the
network of each variant and seed. Started again with the same --out, it takes up after the last
finished one; a training that was interrupted begins anew. Other parameters need another --out.
"""

import json
from pathlib import Path

import common
import joblib
import numpy as np
from sklearn.base import clone

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.images.views import VIEWS
from sklearn_cdul.metrics import mean_average_precision

# mAP in percent and where it was read. The paper's own figures on VOC are missing: they were not
# found in a source that could be checked.
PUBLISHED = {
    "voc2007": [
        ("TagCLIP (AAAI 2024), no training", 92.8, "its README"),
        ("PIAA (ICML 2026), no training", 92.5, "its README"),
        ("CLIP ViT-B/32, whole photo", 76.3, "CLIP_benchmark's README"),
    ],
    "voc2012": [
        ("CCD (CVPR 2025)", 90.1, "a summary of the paper"),
        ("PIAA (ICML 2026), no training", 92.2, "its README"),
    ],
    "coco2014": [
        ("CLIP, whole photo", 65.3, "a summary of the CDUL paper"),
        ("CDUL (ICCV 2023)", 69.2, "a summary of the paper"),
        ("TagCLIP (AAAI 2024), no training", 68.8, "its README"),
        ("PIAA (ICML 2026), no training", 74.6, "its README"),
    ],
    "nus-wide": [("PIAA (ICML 2026), no training", 50.6, "its README")],
}


def parse_arguments():
    names = (*common.PHOTOS, "image-size", "epochs", "seeds")
    parser = common.parser(__doc__, *names, image_size=224, epochs=100, seeds=1)
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="for the results")
    parser.add_argument("--model-name", default="RN50x64")
    parser.add_argument("--pretrained", default="openai", help='"" for none')
    parser.add_argument("--network", default="resnet101")
    parser.add_argument("--views", choices=VIEWS, default="grid")
    parser.add_argument("--device", default="auto")
    return common.parse(parser)


def check_folder(options):
    """Refuse a folder with results of other parameters."""
    options.out.mkdir(parents=True, exist_ok=True)
    free = ("out", "seeds", "photo_set")
    settings = {key: value for key, value in vars(options).items() if key not in free}
    settings["data"] = str(options.data)
    file = options.out / "settings.json"
    if file.exists() and json.loads(file.read_text()) != settings:
        raise SystemExit(f"{file} names other parameters. Choose another --out.")
    file.write_text(json.dumps(settings, indent=2))


def label_rows(labeler, train, test):
    """MAP of CLIP's labels on both parts."""
    for name, weight in (("CLIP, whole photo", 1.0), ("pseudo labels", 0.5)):
        labeler.set_params(global_weight=weight).fit()
        parts = ((part.target, labeler.transform(part.data)) for part in (train, test))
        yield name, *(common.percent_map(*part) for part in parts)


def variants(options):
    """Parameters of the networks: the paper's, and what differs from these."""
    paper = CDULClassifier.paper_settings() | {
        "network": options.network,
        "image_size": options.image_size,
    }
    paper["training"].set_params(epochs=options.epochs)
    fixed, ours = clone(paper["training"]), clone(paper["training"])
    fixed.set_params(update_interval=0)
    ours.set_params(cumulative_updates=False, update_rate=0.5, head_init="ridge")
    return {
        "network, the paper's updates": paper,
        "network, fixed labels": paper | {"training": fixed},
        "network, updates and start of this package": paper
        | {"training": ours, "n_neighbors": CDULClassifier().n_neighbors},
    }


def network_rows(options, labeler, train, test):
    """MAP of each variant, mean over the seeds; what is finished is read from --out."""
    for number, (name, parameters) in enumerate(variants(options).items()):
        figures = []
        for seed in range(options.seeds):
            file = options.out / f"network_{number}_{seed}.joblib"
            if not file.exists():
                print(f"{name}, seed {seed}")
                classifier = CDULClassifier(
                    pseudo_labeler=labeler,
                    random_state=seed,
                    device=options.device,
                    verbose=True,
                    **parameters,
                ).fit(train.data)
                result = {
                    "classifier": classifier,
                    "train labels": mean_average_precision(train.target, classifier.pseudo_labels_),
                    "test": classifier.score(test.data, test.target),
                }
                unfinished = file.with_suffix(".part")
                joblib.dump(result, unfinished)
                unfinished.replace(file)
            result = joblib.load(file)
            figures.append([100 * result["train labels"], 100 * result["test"]])
        yield name, *np.mean(figures, axis=0)


def main():
    options = parse_arguments()
    check_folder(options)
    train, test, vocabulary = common.load(options)
    labeler = CLIPPseudoLabeler(
        vocabulary,
        model_name=options.model_name,
        pretrained=options.pretrained or None,
        views=options.views,
        memory=options.out / "embeddings",
        device=options.device,
        verbose=True,
    )
    rows = [*label_rows(labeler, train, test), *network_rows(options, labeler, train, test)]
    table = common.Table("mAP", {"train labels": ".1f", "test": ".1f", "read in": ""})
    for row in rows:
        table.row(*row, "")
    print("published, on this data set's usual test split:")
    for name, figure, source in PUBLISHED.get(options.dataset, []):
        table.row(name, "", figure, source)


if __name__ == "__main__":
    main()
