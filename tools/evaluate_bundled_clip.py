"""Measure the small image-text model in ``sklearn_cdul/encoders/bundled``; print Markdown tables.

A photo folder holds ``images/`` and ``labels.csv`` with the columns filename, labels (joined by
``;``) and split. If all its names are Pascal VOC names, all 20 of those compete.

    python tools/evaluate_bundled_clip.py --photos voc=DIR --photos food=DIR
    python tools/evaluate_bundled_clip.py --photos voc=DIR --classes  # AP of each class, too
    python tools/evaluate_bundled_clip.py --photos voc=DIR --photos food=DIR --kinds  # AP by kind
    python tools/evaluate_bundled_clip.py --words "tv monitor" people cups   # nearest known names
    python tools/evaluate_bundled_clip.py --spellings        # where do other spellings land?

Pseudo labels are made as in the paper: softmax over all class names of the folder, for the whole
photo (global), and half of that plus half of the largest value over 3 x 3 snippets (final).
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import open_clip
import torch
from bundled_clip.files import BUNDLED, normalise
from bundled_clip.places import stored_targets
from bundled_clip.texts import ALIASES, plural, spellings
from bundled_clip.tower import embed_texts
from PIL import Image
from sklearn.metrics import average_precision_score

SCALES = (10, 12, 15, 20, 30)
GRID = 3
KINDS = {
    "people": "person",
    "animals": "bird cat cow dog horse sheep",
    "vehicles": "aeroplane bicycle boat bus car motorbike train",
    "food": "bread cake cheese coffee egg fruit meat pasta pizza salad sandwich soup vegetable",
    "tableware, bottles": "bottle bowl cup fork knife spoon",
    "furniture, screens, plants": "chair diningtable pottedplant sofa tvmonitor",
}
VOC = """aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike
    person pottedplant sheep sofa train tvmonitor"""


def read_folder(folder):
    """Paths (n), 0/1 labels (n, k), class names (k) and splits (n) of a photo folder."""
    with open(folder / "labels.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    labels = [set(row["labels"].split(";")) - {""} for row in rows]
    names = sorted(set().union(*labels))
    names = VOC.split() if set(names) <= set(VOC.split()) else names
    y = np.array([[name in present for name in names] for present in labels], dtype=int)
    paths = [folder / "images" / row["filename"] for row in rows]
    return paths, y, names, np.array([row["split"] for row in rows])


def views(image):
    """The whole image and its GRID x GRID snippets."""
    image = image.convert("RGB")
    x = [round(image.width * i / GRID) for i in range(GRID + 1)]
    y = [round(image.height * i / GRID) for i in range(GRID + 1)]
    snippets = [(x[j], y[i], x[j + 1], y[i + 1]) for i in range(GRID) for j in range(GRID)]
    return [image, *(image.crop(box) for box in snippets)]


@torch.inference_mode()
def embed_photos(model, preprocess, paths):
    """Unit embeddings (n, 1 + GRID * GRID, d) of the views of every photo, in bfloat16."""
    model = model.to(memory_format=torch.channels_last)
    found = []
    for path in paths:
        with Image.open(path) as image:
            batch = torch.stack([preprocess(view) for view in views(image)])
        batch = batch.to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            found.append(model.encode_image(batch).float().numpy())
    return normalise(np.stack(found))


def pseudo_labels(embeddings, texts, scale):
    """Global and final labels, each (n, k)."""
    logits = scale * embeddings @ texts.T
    exps = np.exp(logits - logits.max(axis=-1, keepdims=True))
    soft = exps / exps.sum(axis=-1, keepdims=True)
    return soft[:, 0], 0.5 * soft[:, 0] + 0.5 * soft[:, 1:].max(axis=1)


def average_precisions(y, scores, least):
    """AP in percent of the classes with at least ``least`` positives: a dict of column to AP."""
    columns = np.flatnonzero(y.sum(axis=0) >= least)
    return {j: 100 * average_precision_score(y[:, j], scores[:, j]) for j in columns}


def mean_average_precision(y, scores, least):
    """Mean AP in percent over the classes with at least ``least`` positives."""
    return np.mean(list(average_precisions(y, scores, least).values()))


def exact_targets(names, known, texts):
    """Replace the tower's text embeddings by exact targets where the vocabulary has the name."""
    other = {spelling: target for name, target in known.items() for spelling in spellings(name)}
    for alias, sources in ALIASES.items():
        other[alias] = normalise(np.sum([known[s] for s in sources], axis=0))
    known = other | known
    return np.array([known.get(n, t) for n, t in zip(names, texts, strict=True)])


def print_table(label, model, preprocess, folder, vocabulary, least, classes=False):
    """One row a scale and split: global and final mAP, with the tower and with exact targets.

    With ``classes`` a second table has one row a class, all photos and the model's own scale.
    Returns the name and the final AP of each of these classes.
    """
    paths, y, names, split = read_folder(folder)
    embeddings = embed_photos(model, preprocess, paths)
    towers = embed_texts(model, [f"a photo of a {name}" for name in names])
    exact = exact_targets(names, vocabulary, towers)
    print(f"\n{label}: {len(paths)} photos, {len(names)} names, least positives {least}\n")
    print("| split | classes | scale | global | final | global, exact texts | final, exact texts |")
    print("|---|---|---|---|---|---|---|")
    for part in np.unique(split):
        rows = split == part
        n_classes = int((y[rows].sum(axis=0) >= least).sum())
        for scale in SCALES:
            scores = [
                mean_average_precision(y[rows], labels, least)
                for texts in (towers, exact)
                for labels in pseudo_labels(embeddings[rows], texts, scale)
            ]
            print(
                f"| {part} | {n_classes} | {scale} | " + " | ".join(f"{s:.1f}" for s in scores), "|"
            )
    scale = model.logit_scale.exp().item()
    parts = [
        *pseudo_labels(embeddings, towers, scale),
        pseudo_labels(embeddings, exact, scale)[1],
    ]
    found = [average_precisions(y, labels, least) for labels in parts]
    if classes:
        print(f"\n| class, scale {scale:.0f} | positives | global | final | final, exact texts |")
        print("|---|---|---|---|---|")
        for j in found[0]:
            print(
                f"| {names[j]} | {y[:, j].sum()} | " + " | ".join(f"{f[j]:.1f}" for f in found), "|"
            )
    return [(names[j], ap) for j, ap in found[1].items()]


def print_kinds(found):
    """Mean AP of each kind of thing, from the AP of each class of all folders: (name, AP) pairs."""
    print("\n| kind | classes | mean AP |\n|---|---|---|")
    for kind, names in KINDS.items():
        if values := [ap for name, ap in found if name in names.split()]:
            print(f"| {kind} | {len(values)} | {np.mean(values):.1f} |")


def print_nearest_names(model, vocabulary, words):
    """The three vocabulary names nearest to each word."""
    names = list(vocabulary)
    targets = np.array(list(vocabulary.values()))
    texts = embed_texts(model, [f"a photo of a {word}" for word in words]) if words else []
    for word, text in zip(words, texts, strict=True):
        best = np.argsort(-(targets @ text))[:3]
        print(f"{word}: " + ", ".join(f"{names[i]} {targets[i] @ text:.2f}" for i in best))


def print_spellings(model, vocabulary):
    """Mean and smallest cosine between a name and other ways to write it."""
    ways = {
        "plural": plural,
        "upper case": str.upper,
        "with _": lambda name: name.replace(" ", "_"),
        "CamelCase": lambda name: name.title().replace(" ", ""),
        "with -": lambda name: name.replace(" ", "-"),
    }
    names = [name for name in vocabulary if name.replace(" ", "").isalpha()]
    print("\n| written | names | mean cosine | below 0.9 |\n|---|---|---|---|")
    for label, way in ways.items():
        pairs = [(n, way(n)) for n in names if way(n) != n and way(n) not in vocabulary]
        plain, written = (
            embed_texts(model, [f"a photo of a {text}" for text in texts])
            for texts in zip(*pairs, strict=True)
        )
        cosines = (plain * written).sum(axis=1)
        print(f"| {label} | {len(pairs)} | {cosines.mean():.3f} | {(cosines < 0.9).mean():.1%} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, default=BUNDLED, help="model folder")
    parser.add_argument("--photos", action="append", default=[], metavar="LABEL=DIR[=LEAST]")
    parser.add_argument("--words", nargs="*", default=[], help="print their nearest known names")
    parser.add_argument("--classes", action="store_true", help="print the AP of each class, too")
    parser.add_argument("--kinds", action="store_true", help="print the mean AP of each kind, too")
    parser.add_argument("--spellings", action="store_true", help="compare ways to write a name")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{args.model}")
    model.eval()
    vocabulary = stored_targets()
    print_nearest_names(model, vocabulary, args.words)
    if args.spellings:
        print_spellings(model, vocabulary)
    found = []
    for item in args.photos:
        label, folder, *least = item.split("=")
        least = int(least[0]) if least else 10
        photos = label, model, preprocess, Path(folder)
        found += print_table(*photos, vocabulary, least, args.classes)
    if args.kinds:
        print_kinds(found)


if __name__ == "__main__":
    main()
