"""
Label while the model learns
============================

:func:`~sklearn_cdul.review.review` serves a page on which a person labels photos while the model
learns from the answers. Here a program stands in for the person: it answers with the labels of the
bundled photos, through the same requests as the page. It needs the extra ``review``.

.. figure:: ../_static/review_photo.jpg
   :alt: A photo of a meal, beside it nine classes with their probabilities, some of them marked
   :width: 100%

   What a person sees: the classes that the model predicts are marked.
"""

# %%
# Start a review
# --------------
# The photos are encoded, the classifier is fitted without labels, and the page has an address on
# this machine. In a notebook the last line of a cell, ``page``, shows it below the cell.

import json
import time
import urllib.request
from pathlib import Path
from tempfile import gettempdir, mkdtemp

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

from sklearn_cdul import CDULClassifier
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.metrics import mean_average_precision
from sklearn_cdul.review import review

train, test = load_food_photos(subset="train"), load_food_photos(subset="test")
names = train.target_names
memory = Path(gettempdir(), "sklearn_cdul_examples")  # all examples share it
model = CDULClassifier(names, image_size=224, memory=memory, random_state=0)  # small, to be fast
answers = Path(mkdtemp(), "answers.csv")
page = review(model, train.data, answers=answers, open_browser=False)

# %%
# Answer
# ------
# The page asks for a photo, shows its classes and sends those that the person has marked. The
# answer is on disk before the next photo comes. The model learns in the background.


def ask(path, **said):
    """Send what the page sends when a person clicks."""
    body = json.dumps({"tab": "example", **said}).encode()
    request = urllib.request.Request(page.url + path, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def overview():
    """What the page shows of the whole review."""
    with urllib.request.urlopen(page.url + "overview") as response:
        return json.load(response)


def measure():
    """mAP and macro-F1 of the model of this moment on the test photos, in percent."""
    better = page.model
    scores = better.predict_proba(test.data)
    predicted = scores >= better.thresholds_
    precision = mean_average_precision(test.target, scores, min_positives=5)
    return 100 * precision, 100 * f1_score(test.target, predicted, average="macro")


counts, changed = (0, 10, 25, 50, 100), 0
results = {0: measure()}
card = ask("next")["card"]
for count in range(1, max(counts) + 1):
    row = card["photo"]
    shown = np.flatnonzero(train.target[row]).tolist()
    changed += set(shown) != set(card["shown"])
    card = ask("answer", photo=row, version=card["version"], shown=shown)["card"]
    while count % 3 == 0 and overview()["learning"]:  # a person needs longer than the model
        time.sleep(0.1)
    if count in counts:
        results[count] = measure()

print(f"{changed} of {max(counts)} photos were not right as they were shown.")
table = pd.DataFrame.from_dict(results, "index", columns=["mAP", "macro-F1"]).round(1)
table.rename_axis("answers")

# %%
# How good it is by now
# ---------------------
# One photo of five is drawn at random and kept apart. On these alone the page measures the model,
# so a person who has no test photos sees how good it is. F1 is over all labels here, and the band
# is an interval of 95 %.

curve = overview()["curve"]
points = [point["answers"] for point in curve]
low, high = np.transpose([point["f1_interval"] for point in curve])

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.fill_between(points, low, high, alpha=0.2, label="95 % interval")
ax.plot(points, [point["f1"] for point in curve], ".-", label="photos kept apart, F1 of all labels")
ax.plot(table.index, table["macro-F1"] / 100, "o--", label="test photos, macro-F1")
ax.set(xlabel="answers", ylabel="F1", ylim=(0, 1))
ax.legend(loc="lower right")
plt.show()

# %%
# Keep
# ----
# ``page.model`` has learned from all answers, those kept apart too, and predicts new photos. The
# answers are a CSV file that ``observed=`` takes, and another review with this file goes on.

page.stop()
pd.read_csv(answers).iloc[:4, :6]
