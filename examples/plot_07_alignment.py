"""
Labels that move
================

CLIP's labels are where training starts. They are mixed with those of photos that look alike, and
then network and labels are updated in turn: the network learns the labels, and the labels move
toward what the network says. Here are the labels of the bundled photos before and after. The true
labels serve to tell what was corrected; nothing else sees them.
"""

# %%
# What changed
# ------------

from pathlib import Path
from tempfile import gettempdir

import matplotlib.pyplot as plt
import pandas as pd

from sklearn_cdul import CDULClassifier
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.displays import AveragePrecisionDisplay, LabelMovementDisplay
from sklearn_cdul.metrics import mean_average_precision

photos, test = load_food_photos(subset="train"), load_food_photos(subset="test")
names = photos.target_names
memory = Path(gettempdir(), "sklearn_cdul_examples")  # all examples share it
model = CDULClassifier(names, memory=memory, random_state=0).fit(photos.data)

# %%
# Each label is a point. To the right of the middle are the names that CLIP gave at first, above it
# those after the training. Most points lie flatter than the dotted line: sure labels got less sure.

display = LabelMovementDisplay.from_estimator(model, photos.data, photos.target, kind="scatter")
plt.show()

# %%
# Photos that gained or lost a name, those with the largest steps first:

display.plot(kind="photos")
plt.show()

# %%
# Whether it was worth it
# -----------------------
# The labels of each class, before and after, as a ranking of the training photos:

options = {"class_names": names, "min_positives": 5}
first = AveragePrecisionDisplay.from_predictions(
    photos.target, model.initial_pseudo_labels_, name="first", **options
)
AveragePrecisionDisplay.from_predictions(
    photos.target, model.pseudo_labels_, name="after training", ax=first.ax_, **options
)
plt.show()

# %%
# The steps can be left out one by one: ``n_neighbors=0`` mixes no labels, ``update_interval=0``
# lets none move, and with ``cumulative_updates`` each update starts from the labels as the one
# before left them, which is the paper's way. mAP in percent, over classes with five or more photos:


def measure(**parameters):
    """Train with other parameters; return mAP of labels and of the network on test photos."""
    trained = CDULClassifier(names, memory=memory, random_state=0, **parameters).fit(photos.data)
    return [
        100 * mean_average_precision(target, scores, min_positives=5)
        for target, scores in (
            (photos.target, trained.pseudo_labels_),
            (test.target, trained.decision_function(test.data)),
        )
    ]


rows = {
    "CLIP's labels": measure(n_neighbors=0, update_interval=0),
    "and neighbours": measure(update_interval=0),
    "and updates (default)": measure(),
    "updates add up": measure(cumulative_updates=True),
}
pd.DataFrame.from_dict(rows, "index", columns=["labels", "network on test photos"]).round(1)

# %%
# The labels of the training photos gain two points. With so few test photos, differences between
# the networks are chance.
