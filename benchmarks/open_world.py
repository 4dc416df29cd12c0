"""What the zero-shot part of the network gains: for photos of no class, and names never shown.

Two sets of photos are unrelated to each other: the bundled photos of food, and --data DIR, a folder
of Pascal VOC. Classes that both may show are left out of VOC's, and unrelated photos show none of
them. The classifier has its defaults but for ``zero_shot_weight``, 0 ("without") and the default
("with"); images go in. Tables:

* Strangers: trained on the set's own photos, or on those of both sets; tested on the set's own test
  photos and on those of the other set. "unrelated named" is the share of the latter in percent that
  get a name, "names each" how many they get, "own without" the share of own photos with a class
  that get none, "mixed F1" the F1 on both.
* Absent names: the other set's classes are listed, too; "absent names" is how many of them a test
  photo gets, "called absent" how many are in ``absent_classes_``.
* A mixed folder: photos of both sets, 15 names of which some are hardly shown. Labels that a set
  lacks count as 0. "all right" is the share of photos whose names are all right. The last rows have
  one threshold for all classes.
* Blank frames: pictures that show nothing, as a camera takes them that is blocked or goes off by
  itself. "plain" are of one colour, "noise" with noise, "blur" of colours that run into each other,
  and "corners" the most even corner, a quarter as wide and high, of each test photo that has an
  even one, enlarged. The cells are the shares in percent that get a name.
* Few photos: trained on some of the set's photos, drawn at random.
"""

import warnings

import common
import numpy as np
from PIL import Image

from sklearn_cdul import CDULClassifier
from sklearn_cdul.datasets import load_food_photos

SHARED = {"person", "bottle", "dining table", "chair", "potted plant"}
FRAMES = 100
THRESHOLDS = (0.3, 0.4, 0.5)  # stricter than those that are found
EVEN = 10  # largest standard deviation of a colour, of 255
WAYS = {"without": 0.0, "with": CDULClassifier().zero_shot_weight}


class Photos:
    """Paths and labels of a set, without the classes in ``left_out``."""

    def __init__(self, parts, left_out):
        names = parts[0].target_names
        kept = [i for i, name in enumerate(names) if name not in left_out]
        shared = [i for i, name in enumerate(names) if name in SHARED]
        self.names = [names[i] for i in kept]
        self.train, self.test = (part.data for part in parts)
        self.y_train, self.y_test = (part.target[:, kept] for part in parts)
        unshared = [~part.target[:, shared].any(axis=1) for part in parts]
        self.strangers = [
            [path for path, good in zip(part.data, rows, strict=True) if good]
            for part, rows in zip(parts, unshared, strict=True)
        ]


def fit(names, paths, weight, options, seed=0):
    model = CDULClassifier(names, zero_shot_weight=weight, memory=options.memory, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of absent classes, which are wanted here
        return model.fit(paths)


def predict(model, paths):
    """Scores and labels of one pass."""
    scores = model.predict_proba(paths)
    return scores, (scores >= model.thresholds_).astype(int)


def strangers(title, own, other, options):
    columns = {"test mAP": ".1f", "F1": ".1f", "unrelated named": ".0f", "names each": ".2f"}
    table = common.Table(f"{title}: strangers", columns | {"own without": ".1f", "mixed F1": ".1f"})
    unrelated_train, unrelated_test = other.strangers
    for kind, paths in (("own", own.train), ("both", [*own.train, *unrelated_train])):
        for way, weight in WAYS.items():
            model = fit(own.names, paths, weight, options)
            scores, found = predict(model, own.test)
            named = model.predict(unrelated_test)
            shown = own.y_test.any(axis=1)
            y_both = np.concatenate([own.y_test, np.zeros_like(named)])
            table.row(
                f"trained on {kind}, {way}",
                common.percent_map(own.y_test, scores, options.min_positives),
                100 * common.f1_of_shown(own.y_test, found),
                100 * named.any(axis=1).mean(),
                named.sum(axis=1).mean(),
                100 * (~found[shown].any(axis=1)).mean(),
                100 * common.f1_of_shown(y_both, np.concatenate([found, named])),
            )


def absent_names(title, own, other, options):
    table = common.Table(
        f"{title}: absent names", {"F1": ".1f", "absent names": ".2f", "called absent": "s"}
    )
    listed = [name for name in other.names if name not in own.names and name not in SHARED]
    k = len(own.names)
    for way, weight in WAYS.items():
        model = fit([*own.names, *listed], own.train, weight, options)
        found = predict(model, own.test)[1]
        right = len(set(listed) & set(model.absent_classes_))
        wrong = len(model.absent_classes_) - right
        table.row(
            way,
            100 * common.f1_of_shown(own.y_test, found[:, :k]),
            found[:, k:].sum(axis=1).mean(),
            f"{right} of {len(listed)}, {wrong} of {k} own",
        )


def labels_of(bunches, names):
    """Labels of these names, 0 where a set lacks a name."""
    parts = []
    for bunch in bunches:
        own = list(bunch.target_names)
        columns = [
            bunch.target[:, own.index(name)] if name in own else np.zeros(len(bunch.data))
            for name in names
        ]
        parts.append(np.stack(columns, axis=1).astype(int))
    return np.concatenate(parts)


def mixed_folder(trains, tests, options):
    columns = {"precision": ".2f", "recall": ".2f", "all right": ".0f", "F1": ".1f"}
    columns |= {"unrelated named": ".0f", "own without": ".0f"}
    table = common.Table("A mixed folder", columns)
    train, test = ([path for part in parts for path in part.data] for parts in (trains, tests))
    y = labels_of(tests, common.MIXED)
    shown = y.any(axis=1)
    for way, weight in WAYS.items():
        model = fit(common.MIXED, train, weight, options)
        scores = model.predict_proba(test)
        stricter = {f"{way}, threshold={t}": t for t in THRESHOLDS} if weight else {}
        for name, thresholds in ({way: model.thresholds_} | stricter).items():
            found = (scores >= thresholds).astype(int)
            right = (found * y).sum()
            table.row(
                name,
                right / max(found.sum(), 1),
                right / y.sum(),
                100 * (found == y).all(axis=1).mean(),
                100 * common.f1_of_shown(y, found),
                100 * found[~shown].any(axis=1).mean(),
                100 * (~found[shown].any(axis=1)).mean(),
            )


def blank_frames(paths):
    """Blank pictures by kind; corners are from these photos."""
    random, frames = np.random.default_rng(0), {"plain": [], "noise": [], "blur": []}
    for _ in range(FRAMES):
        colour = random.integers(0, 256, (1, 1, 3), dtype=np.uint8)
        plain = np.tile(colour, (240, 320, 1))
        noise = plain + random.normal(0, random.uniform(5, 50), plain.shape)
        few = Image.fromarray(random.integers(0, 256, (3, 4, 3), dtype=np.uint8))
        frames["plain"].append(plain)
        frames["noise"].append(noise.clip(0, 255).astype(np.uint8))
        frames["blur"].append(np.asarray(few.resize((320, 240), Image.Resampling.BICUBIC)))
    return frames | {"corners": [corner for path in paths for corner in even_corner(path)]}


def even_corner(path):
    """The most even corner of a photo, or none if all show something."""
    with Image.open(path) as photo:
        pixels = np.asarray(photo.convert("RGB"))
    height, width = (side // 4 for side in pixels.shape[:2])
    rows, columns = (slice(None, height), slice(-height, None)), (slice(width), slice(-width, None))
    corners = [pixels[some, others] for some in rows for others in columns]
    spread = [corner.std(axis=(0, 1)).max() for corner in corners]
    if min(spread) > EVEN:
        return []
    corner = Image.fromarray(corners[int(np.argmin(spread))])
    return [np.asarray(corner.resize((320, 240), Image.Resampling.BICUBIC))]


def blank(title, own, tests, options):
    frames = blank_frames([path for part in tests for path in part.data])
    columns = {f"{kind} ({len(some)})": ".0f" for kind, some in frames.items()}
    table = common.Table(f"{title}: blank frames named", columns)
    for way, weight in WAYS.items():
        model = fit(own.names, own.train, weight, options)
        table.row(way, *[100 * model.predict(some).any(axis=1).mean() for some in frames.values()])


def few_photos(title, own, options):
    table = common.Table(f"{title}: few photos", {"test mAP": ".1f", "F1": ".1f"})
    for count in options.few:
        for way, weight in WAYS.items():
            cells = []
            for seed in range(options.seeds):
                rows = np.random.default_rng(seed).permutation(len(own.train))[:count]
                paths = [own.train[row] for row in rows]
                scores, found = predict(fit(own.names, paths, weight, options, seed), own.test)
                mean = common.percent_map(own.y_test, scores, options.min_positives)
                cells.append((mean, 100 * common.f1_of_shown(own.y_test, found)))
            table.row(f"{count} photos, {way}", *np.transpose(cells).tolist())


def main():
    names = ("data", "photo-set", "max-photos", "min-positives", "memory", "seeds", "json")
    parser = common.parser(__doc__, *names, dataset="voc2012", min_positives=5, seeds=1)
    tables = ("strangers", "absent", "blank", "mixed", "few")
    parser.add_argument("--tables", nargs="+", choices=tables, default=tables)
    parser.add_argument("--few", type=int, nargs="+", default=[30, 100], metavar="PHOTOS")
    options = common.parse(parser)
    food = [load_food_photos(subset=subset) for subset in ("train", "test")]
    common.take_few(food, options)
    voc = common.load(options)[:2]
    sets = {"food": Photos(food, ()), "VOC": Photos(voc, SHARED)}
    for (title, own), other in zip(sets.items(), reversed(sets.values()), strict=True):
        if "strangers" in options.tables:
            strangers(title, own, other, options)
        if "absent" in options.tables:
            absent_names(title, own, other, options)
        if "blank" in options.tables:
            blank(title, own, (food[1], voc[1]), options)
        if "few" in options.tables:
            few_photos(title, own, options)
    if "mixed" in options.tables:
        mixed_folder(*([f, v] for f, v in zip(food, voc, strict=True)), options)
    common.write_tables(options)


if __name__ == "__main__":
    main()
