"""
Review, annotate, train again
=============================

A few annotations of well-chosen photos improve the network. This example goes through one round: a
report, suggestions which photos to annotate, and a fit with the annotations. The labels of the
bundled photos stand in for the person.
"""

# %%
# A report
# --------
# ``LabelReport`` is one HTML file for any browser. For each class it shows the most certain and the
# borderline photos and a histogram; it also lists classes that are never found. A person can mark
# whether a photo shows the class and save the annotations as a CSV file.

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
model = CDULClassifier(names, image_size=224, memory=memory, random_state=0)  # small, to be fast
model.fit(train.data)

report = LabelReport.from_estimator(model, train.data)
page = Path(mkdtemp(), "report.html")
report.save(page)
print(f"{page.name}: {page.stat().st_size / 1e6:.1f} MB")
pd.DataFrame(report.per_class).round(3).head()

# %%
# Which photos to annotate
# ------------------------
# ``suggest_photos`` selects doubtful photos of rare classes, and no near-duplicates. The first
# four:

rows = suggest_photos(model, train.data, 50)
PhotosDisplay.from_estimator(model, [train.data[row] for row in rows[:4]], order="given")
plt.show()

# %%
# Train again
# -----------
# Annotations are passed as ``observed``, here as a mapping from paths to names. For the file that
# the report saves, pass its path. Annotations are never changed; the other photos keep CLIP's
# labels.


def names_of(row):
    """Annotate a photo."""
    return [name for name, shown in zip(names, train.target[row], strict=True) if shown]


def measure(classifier):
    """mAP and macro-F1 on the test photos, in percent, and the scores."""
    scores = classifier.predict_proba(test.data)
    labels = scores >= classifier.thresholds_
    precision = mean_average_precision(test.target, scores, min_positives=5)
    return [100 * precision, 100 * f1_score(test.target, labels, average="macro")], scores


results = {}
results["no annotations"], before = measure(model)
for n_photos in (25, 50):
    observed = {train.data[row]: names_of(row) for row in rows[:n_photos]}
    model.fit(train.data, observed=observed)
    results[f"{n_photos} photos annotated"], after = measure(model)
pd.DataFrame.from_dict(results, "index", columns=["mAP", "macro-F1"]).round(1)

# %%
# With so few test photos, differences of two or three points are chance. The gain per class:

options = {"class_names": names, "min_positives": 5}
display = AveragePrecisionDisplay.from_predictions(
    test.target, before, name="no annotations", **options
)
AveragePrecisionDisplay.from_predictions(
    test.target, after, name="50 photos annotated", ax=display.ax_, **options
)
plt.show()
