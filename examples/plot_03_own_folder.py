"""
From a folder of photos to a table of labels
============================================

The usual job: a folder with photos, some of them in folders of their own and one of them damaged, a
list of what they may show, and a table with the answers at the end.
"""

# %%
# The folder
# ----------
# It is made here from bundled photos. Yours is there already.

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
    place = folder / f"album {index % 3}" / Path(path).name
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, place)
(folder / "album 0" / "broken.jpg").write_bytes(b"not a photo")

paths = list_photos(folder)
print(f"{len(paths)} photos")

# %%
# The names
# ---------
# A class is a name, or a name with the words that stand for it. ``background_classes`` are things
# that the photos show, too, and that need no column: they keep CLIP from seeing a class in
# everything.

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
    on_error="nan",  # leave damaged photos out, and say so
)
model = CDULClassifier(pseudo_labeler=labeler, random_state=0).fit(paths)

# %%
# A look before the answers are used
# ----------------------------------
# A class can be trusted if its surest photos show it and its most doubtful ones are worth a doubt.

display = PhotosDisplay.from_estimator(model, paths, class_name="meat")
plt.show()

# %%
# Coffee is not: what stands in a glass is taken for coffee, since no name fits it better.

display.plot(class_name="coffee")
plt.show()

# %%
# So such things are named, too. The photos need not be encoded again.

others += ["glass of juice", "glass of beer", "dessert in a glass", "jar", "drink"]
model.set_params(pseudo_labeler__background_classes=others).fit(paths)
display = PhotosDisplay.from_estimator(model, paths, class_name="coffee")
plt.show()

# %%
# The scores of a class that can be told from the others lie on both sides of the cut, with little
# in between.

scores = display.scores
options = {"class_names": model.class_names_, "thresholds": model.thresholds_}
ScoreHistogramDisplay.from_predictions(scores, n_columns=3, **options)
plt.show()

# %%
# The table
# ---------
# Photos that can't be read have no scores. They are left out of the table.

readable = ~np.isnan(scores).any(axis=1)
good_paths = [path for path, is_good in zip(paths, readable, strict=True) if is_good]
labels = scores[readable] >= model.thresholds_
dump_csv(good_paths, labels, model.class_names_, folder / "labels.csv", scores=scores[readable])

table = pd.read_csv(folder / "labels.csv")
table.head()

# %%
# How often each class was found:

pd.Series(labels.sum(axis=0), index=model.class_names_, name="photos").to_frame()
