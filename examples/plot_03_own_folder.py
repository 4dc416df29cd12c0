"""
From a folder of photos to a table of labels
============================================

A typical job: a folder with subfolders and one damaged file, a list of classes, and a table of
labels as the result.
"""

# %%
# The folder
# ----------
# This one is made from bundled photos.

import shutil
from pathlib import Path
from tempfile import gettempdir, mkdtemp

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.datasets import dump_csv, list_photos, load_food_photos
from sklearn_cdul.displays import PhotosDisplay, ScoreHistogramDisplay

folder = Path(mkdtemp(), "my photos")
for index, path in enumerate(load_food_photos(subset="train").data):
    copy = folder / f"album {index % 3}" / Path(path).name
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, copy)
(folder / "album 0" / "broken.jpg").write_bytes(b"not a photo")

paths = list_photos(folder)
print(f"{len(paths)} photos")

# %%
# The names
# ---------
# A class is a name, or a name with its wordings. ``background_classes`` are other things in the
# photos. They get no column, but compete with the classes, so that not everything is labelled as
# one of these.

classes = {
    "coffee": ["coffee", "espresso", "cappuccino"],
    "cake": ["cake", "muffin", "cookies"],
    "fruit": ["fruit", "berries"],
    "meat": ["meat", "steak", "sausages"],
    "salad": ["salad"],
    "pizza": ["pizza"],
}
others = ["vegetables", "bread", "pasta", "soup", "table", "cutlery", "person"]
labeler = CLIPPseudoLabeler(
    classes,
    background_classes=others,
    memory=Path(gettempdir(), "sklearn_cdul_examples"),  # all examples share it
    on_error="nan",  # leave damaged photos out, with a warning
)
model = CDULClassifier(pseudo_labeler=labeler, random_state=0).fit(paths)

# %%
# Check the labels
# ----------------
# A class is good if its most certain photos show it and the most doubtful ones are borderline.

display = PhotosDisplay.from_estimator(model, paths, class_name="meat")
plt.show()

# %%
# Coffee is not good: drinks in a glass are labelled as coffee, because no other name fits better.

display.plot(class_name="coffee")
plt.show()

# %%
# So such things become background classes. The photos are not encoded again.

others += ["glass of juice", "glass of beer", "dessert in a glass", "jar", "drink"]
model.set_params(pseudo_labeler__background_classes=others).fit(paths)
display = PhotosDisplay.from_estimator(model, paths, class_name="coffee")
plt.show()

# %%
# If the scores separate a class well, they lie on both sides of the threshold with few in between.

scores = display.scores
options = {"class_names": model.class_names_, "thresholds": model.thresholds_}
ScoreHistogramDisplay.from_predictions(scores, n_columns=3, **options)
plt.show()

# %%
# The table
# ---------
# Photos that can't be read have no scores. They are not in the table.

readable = ~np.isnan(scores).any(axis=1)
good_paths = [path for path, is_good in zip(paths, readable, strict=True) if is_good]
labels = scores[readable] >= model.thresholds_
dump_csv(good_paths, labels, model.class_names_, folder / "labels.csv", scores=scores[readable])

table = pd.read_csv(folder / "labels.csv")
table.head()

# %%
# The number of photos per class:

pd.Series(labels.sum(axis=0), index=model.class_names_, name="photos").to_frame()
