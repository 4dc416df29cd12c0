"""
How training moves the labels
=============================

Training starts from CLIP's labels. They are mixed with those of similar photos, and then network
and labels are updated in turn: the network is fitted to the labels, and the labels move toward its
predictions. This example compares the labels of the bundled photos before and after. The true
labels are only used to show what was corrected.
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
from sklearn_cdul.training import RidgeTraining

photos, test = load_food_photos(subset="train"), load_food_photos(subset="test")
names = photos.target_names
memory = Path(gettempdir(), "sklearn_cdul_examples")  # all examples share it
model = CDULClassifier(names, memory=memory, random_state=0).fit(photos.data)

# %%
# Each point is a label. Names that CLIP gave lie to the right of the centre, names after training
# above it. Most points lie flatter than the dotted line: certain labels became less certain.

display = LabelMovementDisplay.from_estimator(model, photos.data, photos.target, kind="scatter")
plt.show()

# %%
# Photos that gained or lost a name, the largest changes first:

display.plot(kind="photos")
plt.show()

# %%
# The gain
# --------
# How well the labels of each class rank the training photos, before and after:

options = {"class_names": names, "min_positives": 5}
first = AveragePrecisionDisplay.from_predictions(
    photos.target, model.initial_pseudo_labels_, name="before", **options
)
AveragePrecisionDisplay.from_predictions(
    photos.target, model.pseudo_labels_, name="after", ax=first.ax_, **options
)
plt.show()

# %%
# Each step can be switched off: ``n_neighbors=0`` mixes no labels, and with ``epochs=1`` the
# network is fitted once and the labels do not move. With ``cumulative_updates`` each update starts
# from the labels of the one before, as in the paper. mAP in percent, over classes with at least
# five photos:


def measure(**parameters):
    """Train with these parameters; return the mAP of the labels and of the network."""
    trained = CDULClassifier(names, memory=memory, random_state=0, **parameters).fit(photos.data)
    return [
        100 * mean_average_precision(target, scores, min_positives=5)
        for target, scores in (
            (photos.target, trained.pseudo_labels_),
            (test.target, trained.decision_function(test.data)),
        )
    ]


rows = {
    "CLIP's labels": measure(n_neighbors=0, training=RidgeTraining(epochs=1)),
    "and neighbours": measure(training=RidgeTraining(epochs=1)),
    "and updates (default)": measure(),
    "cumulative updates": measure(training=RidgeTraining(cumulative_updates=True)),
}
pd.DataFrame.from_dict(rows, "index", columns=["labels", "network, test photos"]).round(1)

# %%
# The labels of the training photos gain two points. With so few test photos, differences between
# the networks are chance.
