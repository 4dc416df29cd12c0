r"""Learn from photos where words lie that ImageNet has no class for: people, and what scenes show.

A direction is a ridge regression of "the photo shows it" on the mean embedding of the photo's ten
views in the bundled encoder. Who says what a photo shows:

* "person": an object detector. It looks at each view of the photos of ``--photos``, whose labels
  are not read; a photo shows a person if it is at least half sure in one view. The detector comes
  with the npm package ``@mediapipe/objectron``: ``npm pack @mediapipe/objectron``, unpacked.
* Scenes: the words of the photos of ``--scenes``. They come from compact discs of similar photos,
  whose number is the file's in thousands; whole discs are held out to measure a word.

A folder holds ``images/`` and ``labels.csv`` with the columns filename and labels (joined by
``;``).

Needs, besides the package: ``pip install ai-edge-litert``.

    python tools/learn_directions.py --detector objectron_solution_packed_assets.data \
        --photos DIR --photos DIR --scenes DIR

It writes ``tools/data/directions.npz``, which ``build_bundled_clip.py`` reads, and prints what each
scene word gains on discs that it was not learnt from. Takes a quarter of an hour on two cores.
"""

import argparse
import csv
from collections import Counter
from pathlib import Path

import numpy as np
from bundled_clip.files import DIRECTIONS
from bundled_clip.taught import moved
from bundled_clip.texts import plural
from evaluate_bundled_clip import average_precisions, pseudo_labels, views
from PIL import Image

from sklearn_cdul import CLIPPseudoLabeler

RIDGE = 3.0
SURE = 0.5  # how sure the detector is of a person
LABELS_END = 184  # bytes of the packed file before the detector, a TFLite model
PERSON = 4  # its class
SIZE = 300  # its input in pixels
# Words for what fills a photo and is no thing, so ImageNet has no class of its looks. Each gained
# at least five points on discs that it was not learnt from.
SCENES = [
    *("water", "sky", "tree", "grass", "building", "mountain", "flower", "cloud", "snow", "rock"),
    *("field", "sand", "stone", "beach", "sunset", "city", "skyline", "forest", "reflection"),
    "branch",
]
PER_DISC = 1000  # numbers of photos
FOLDS = 10
COMMON = 25  # words that compete when the gain is measured
SCALE = 12


def read_photos(folder):
    """Paths and sets of words of the photos in a folder."""
    with open(folder / "labels.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    words = [set(row["labels"].split(";")) for row in rows]
    return [folder / "images" / row["filename"] for row in rows], words


def sees_people(detector, paths):
    """Whether the detector is sure of a person in one of the views of each photo."""
    from ai_edge_litert.interpreter import Interpreter

    network = Interpreter(model_content=detector.read_bytes()[LABELS_END:])
    network.allocate_tensors()
    (given,) = network.get_input_details()
    boxes_and_classes = network.get_output_details()

    def score(view):
        pixels = np.asarray(view.resize((SIZE, SIZE), Image.Resampling.BILINEAR), np.float32)
        network.set_tensor(given["index"], pixels[np.newaxis] / 127.5 - 1)
        network.invoke()
        return network.get_tensor(boxes_and_classes[1]["index"])[0, :, PERSON].max()

    found = []
    for path in paths:
        with Image.open(path) as image:
            found.append(max(map(score, views(image))))
    return 1 / (1 + np.exp(-np.array(found))) > SURE


def direction(parts):
    """Unit directions (d, k) of ridge regression; each part has its own mean.

    A part is embeddings (n, d) and whether each of k things is shown (n, k).
    """
    x = np.concatenate([x - x.mean(axis=0) for x, _ in parts])
    y = np.concatenate([y - y.mean(axis=0) for _, y in parts])
    found = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ y)
    return found / np.maximum(np.linalg.norm(found, axis=0), 1e-9)


def shown(words, labels):
    """Whether the labels of each photo have each word or its plural, (n, k)."""
    return np.array([[bool({w, plural(w)} & each) for w in words] for each in labels])


def print_gains(model, embeddings, labels, discs, person):
    """Average precision of the commonest words before and after, on discs that taught nothing."""
    counts = Counter(word for each in labels for word in each)
    names = [word for word, _ in counts.most_common(COMMON)]
    y = np.array([[name in each for name in names] for each in labels], int)
    places = CLIPPseudoLabeler(names, model_name=model).fit().text_embeddings_
    goals = {i: next((w for w in SCENES if n in (w, plural(w))), None) for i, n in enumerate(names)}
    after = np.zeros(y.shape)
    _, rank = np.unique(discs, return_inverse=True)
    fold = (np.random.default_rng(0).permutation(rank.max() + 1) % FOLDS)[rank]
    for k in range(FOLDS):
        learn, test = fold != k, fold == k
        found = direction(
            [(embeddings[learn].mean(axis=1), shown(SCENES, labels[learn]).astype(float))]
        )
        texts = places.copy()
        for i, word in goals.items():
            if word:
                texts[i] = moved(places[i], found[:, SCENES.index(word)])
        texts[names.index("people")] = moved(places[names.index("people")], person)
        after[test] = pseudo_labels(embeddings[test], texts, SCALE)[1]
    before = average_precisions(y, pseudo_labels(embeddings, places, SCALE)[1], 1)
    after = average_precisions(y, after, 1)
    print("| word | photos | AP before | AP after |\n|---|---|---|---|")
    for i, name in enumerate(names):
        print(f"| {name} | {y[:, i].sum()} | {before[i]:.1f} | {after[i]:.1f} |")
    for label, columns in (
        ("mean of words taught", [i for i in goals if goals[i]]),
        ("mean", goals),
    ):
        means = (np.mean([values[i] for i in columns]) for values in (before, after))
        print(f"| {label} | | " + " | ".join(f"{mean:.1f}" for mean in means), "|")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--detector", type=Path, required=True, help="the packed file of npm")
    parser.add_argument("--photos", type=Path, action="append", required=True, help="folder")
    parser.add_argument("--scenes", type=Path, required=True, help="folder")
    parser.add_argument("--model", default="bundled", help="the encoder before step 4 of its build")
    parser.add_argument("--memory", help="folder for embeddings")
    args = parser.parse_args()
    encoder = CLIPPseudoLabeler(["cat", "dog"], model_name=args.model, memory=args.memory).fit()
    parts = []
    for folder in args.photos:
        paths, _ = read_photos(folder)
        seen = sees_people(args.detector, paths)
        print(f"{folder.name}: people on {seen.mean():.1%} of {len(seen)} photos", flush=True)
        parts.append((encoder.embed(paths).mean(axis=1), seen[:, np.newaxis].astype(float)))
    person = direction(parts)[:, 0]
    paths, labels = read_photos(args.scenes)
    embeddings, labels = encoder.embed(paths), np.array(labels)
    scenes = direction([(embeddings.mean(axis=1), shown(SCENES, labels).astype(float))])
    found = np.vstack([person, scenes.T]).astype(np.float16)
    np.savez(DIRECTIONS, names=np.array(["person", *SCENES]), directions=found)
    discs = np.array([int(path.stem) // PER_DISC for path in paths])
    print_gains(args.model, embeddings, labels, discs, person)


if __name__ == "__main__":
    main()
