"""
Look, correct, train again
==========================

A person looks at few photos, where it pays most, and the network learns from that. This example
goes once around: a report to look at, a suggestion which photos to label, and a new training with
these labels. The labels of the bundled photos play the person.
"""

# %%
# A report to look at
# -------------------
# ``LabelReport`` is a page in one HTML file that any browser opens: of each class the surest and
# the most doubtful photos, histograms, classes that are never found. In the page a person says of
# photos whether they show the class, and saves that as a CSV file.

from pathlib import Path
from tempfile import gettempdir, mkdtemp

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.metrics import f1_score

from sklearn_cdul import CDULClassifier
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.displays import AveragePrecisionDisplay, PhotosDisplay
from sklearn_cdul.metrics import mean_average_precision
from sklearn_cdul.review import LabelReport, suggest_photos

train, test = load_food_photos(subset="train"), load_food_photos(subset="test")
names = train.target_names
memory = Path(gettempdir(), "sklearn_cdul_examples")  # all examples share it
model = CDULClassifier(names, image_size=224, memory=memory, random_state=0)  # small: quick
model.fit(train.data)

report = LabelReport.from_estimator(model, train.data)
page = Path(mkdtemp(), "report.html")
report.save(page)
print(f"{page.name}: {page.stat().st_size / 1e6:.1f} MB")
pd.DataFrame(report.per_class).round(3).head()

# %%
# Which photos to label
# ---------------------
# Not those that the network is sure of, and not the same photo ten times: ``suggest_photos`` takes
# doubtful photos of rare classes, and no copies. Four of them:

rows = suggest_photos(model, train.data, 50)
PhotosDisplay.from_estimator(model, [train.data[row] for row in rows[:4]], order="given")
plt.show()

# %%
# Train again
# -----------
# What the person said goes in as ``observed``: names for each photo, here as a mapping from paths
# to names. The file that the page saves is given in the same way, by its path. These labels stay as
# they are; those of the other photos are still CLIP's.


def names_of(row):
    """What a person would write down for a photo."""
    return [name for name, shown in zip(names, train.target[row], strict=True) if shown]


def measure(classifier):
    """mAP and macro-F1 on the test photos, in percent, and the scores."""
    scores = classifier.predict_proba(test.data)
    answers = scores >= classifier.thresholds_
    precision = mean_average_precision(test.target, scores, min_positives=5)
    return [100 * precision, 100 * f1_score(test.target, answers, average="macro")], scores


results = {}
results["no labels"], before = measure(model)
for n_labelled in (25, 50):
    observed = {train.data[row]: names_of(row) for row in rows[:n_labelled]}
    model.fit(train.data, observed=observed)
    results[f"{n_labelled} photos labelled"], after = measure(model)
pd.DataFrame.from_dict(results, "index", columns=["mAP", "macro-F1"]).round(1)

# %%
# With so few test photos, differences of two or three points are chance. Which classes gained:

options = {"class_names": names, "min_positives": 5}
display = AveragePrecisionDisplay.from_predictions(test.target, before, name="no labels", **options)
AveragePrecisionDisplay.from_predictions(
    test.target, after, name="50 photos labelled", ax=display.ax_, **options
)
plt.show()
