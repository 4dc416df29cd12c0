"""
Photos that show nothing listed
===============================

Real folders have photos that show none of the classes, and blank frames; real lists have names that
no photo shows. This example labels such a folder with a closed list of names and with the default,
which may find nothing. Then it names what else the photos show, and uses the labels of 30 photos.
"""

# %%
# A folder and a list that do not match
# -------------------------------------
# The photos are of food, and so are three of the names; nothing shows the others. Three frames are
# blank, as of a covered camera.

from pathlib import Path
from tempfile import gettempdir

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.displays import PhotosDisplay

food = load_food_photos(subset="train")
folder = food.data + [Image.new("RGB", (320, 240), c) for c in ("black", "silver", "skyblue")]
names = ["pizza", "coffee", "cake", "dog", "cat", "bicycle", "car", "boat", "mountain"]

table = pd.DataFrame(food.target, columns=food.target_names)
truth = table.reindex(index=range(len(folder)), columns=names, fill_value=0).to_numpy()
shows_none = ~truth.any(axis=1)
print(f"{shows_none.sum()} of {len(folder)} photos show none of the {len(names)} names.")

# %%
# Four ways to label it
# ---------------------
# With ``zero_shot_weight=0`` the names are compared with each other only. The default compares them
# with some 2,000 other names, too; names that no photo seems to show are in ``absent_classes_``.

memory = Path(gettempdir(), "sklearn_cdul_examples")  # all examples share it
options = {"image_size": 224, "memory": memory, "random_state": 0}  # small, to be fast
results = {}


def predict(title, model):
    """Keep probabilities and thresholds."""
    results[title] = model.predict_proba(folder), model.thresholds_


predict("closed list", CDULClassifier(names, zero_shot_weight=0, **options).fit(folder))
model = CDULClassifier(names, **options).fit(folder)
predict("default", model)
print("absent:", ", ".join(model.absent_classes_))

# %%
# Background classes are names of what else there is. They compete with the classes and get no
# column.

others = ["bread", "salad", "pasta", "meat", "fruit", "sandwich", "soup", "cookie"]
labeler = CLIPPseudoLabeler(names, background_classes=others)
model = CDULClassifier(pseudo_labeler=labeler, **options).fit(folder)
predict("default, background classes", model)

# %%
# Labels of 30 photos, drawn at random, move the thresholds. What follows looks at the others.

shuffled = np.random.default_rng(0).permutation(len(food.data))
labelled, rest = shuffled[:30], np.r_[shuffled[30:], len(food.data) : len(folder)]
model.fit_thresholds([folder[row] for row in labelled], truth[labelled])
predict("default, background classes, labels of 30 photos", model)

# %%
# Before and after
# ----------------
# Two photos that show a name, two that show none and get none by default, two that show none and
# still get one, and two blank frames: the first of each kind.

scores, thresholds = results["default"]
named = (scores >= thresholds).any(axis=1)
photos = rest[:-3]
kinds = ~shows_none[photos], (shows_none & ~named)[photos], (shows_none & named)[photos]
rows = np.concatenate([*(photos[kind][:2] for kind in kinds), rest[-2:]])
figure, axes = plt.subplots(len(results), len(rows), figsize=(14, 8))
figure.subplots_adjust(0.01, 0.08, 0.99, 0.96, wspace=0.06, hspace=0.75)
for row_of_axes, (title, (scores, thresholds)) in zip(axes, results.items(), strict=True):
    PhotosDisplay.from_predictions(
        [folder[row] for row in rows],
        scores[rows],
        truth[rows],
        class_names=names,
        thresholds=thresholds,
        order="given",
        n_photos=len(rows),
        ax=row_of_axes,
    )
    row_of_axes[0].set_title(title, loc="left", fontweight="bold")
figure.savefig("open_world.jpg", dpi=80, pil_kwargs={"quality": 90})
plt.show()

# %%
# All of them, in percent: "all right" are photos whose names are all right, "none named" photos of
# none of the names that get one. "Absent names" is how many names a photo gets that nothing shows.

rates = {}
for title, (scores, thresholds) in results.items():
    found, shown = (scores >= thresholds)[rest], truth[rest]
    right = (found * shown).sum()
    rates[title] = {
        "precision": 100 * right / found.sum(),
        "recall": 100 * right / shown.sum(),
        "all right": 100 * (found == shown).all(axis=1).mean(),
        "none named": 100 * found[shows_none[rest]].any(axis=1).mean(),
        "absent names": found[:, 3:].sum(axis=1).mean(),
    }
pd.DataFrame.from_dict(rates, "index").round(2)
