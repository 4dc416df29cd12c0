"""
What CLIP sees, and where
=========================

The first labels come from CLIP, which compares a photo and nine snippets of it with each class
name. This example looks at these comparisons, and at what other words for a class change.
"""

# %%
# A photo and its snippets
# ------------------------
# Each view is compared with all names, and a softmax shares it among them. The bright snippets are
# where CLIP sees the class most. The label of the photo is the mean of the whole and of the best
# snippet: the cup and the spoon, hardly there in the whole photo, come from snippets.

from pathlib import Path
from tempfile import gettempdir

import matplotlib.pyplot as plt

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.displays import AveragePrecisionDisplay, PhotosDisplay, SimilarityDisplay

photos = load_food_photos()
names = photos.target_names
memory = Path(gettempdir(), "sklearn_cdul_examples")  # all examples share it
labeler = CLIPPseudoLabeler(names, memory=memory).fit()

breakfast = next(path for path in photos.data if path.endswith("0000102.jpg"))
SimilarityDisplay.from_estimator(labeler, breakfast, classes=["cup", "spoon", "meat"])
plt.show()

# %%
# Without ``classes`` the display takes those that CLIP sees most. CLIP errs, too: there is no soup.

SimilarityDisplay.from_estimator(labeler, breakfast, n_classes=3)
plt.show()

# %%
# What the snippets are worth
# ---------------------------
# The labels of all 242 photos, from the whole photo and with snippets. A dot is the average
# precision of a class: 1 if all photos that show it come before all others.

whole = CLIPPseudoLabeler(names, grid_size=1, memory=memory).fit()
display = AveragePrecisionDisplay.from_estimator(
    whole, photos.data, photos.target, name="whole photo"
)
AveragePrecisionDisplay.from_estimator(
    labeler, photos.data, photos.target, name="with snippets", ax=display.ax_
)
plt.show()

# %%
# What words are worth
# --------------------
# CLIP knows words, not classes. Here eggs are mostly fried, and of a person a hand is all one sees.
# Words for what a class looks like say more than its name; their embeddings are averaged. The
# photos are not encoded again. (These words were chosen with a look at the labels of these photos.
# On others they may gain less.)

words = {name: [name] for name in names}
words |= {
    "egg": ["fried egg", "boiled egg", "omelette"],
    "person": ["person", "hand"],
    "bowl": ["bowl", "soup bowl", "mixing bowl"],
    "cup": ["coffee mug", "tea cup", "glass of juice"],
}
worded = CLIPPseudoLabeler(words, memory=memory).fit()
display = AveragePrecisionDisplay.from_estimator(labeler, photos.data, photos.target, name="names")
AveragePrecisionDisplay.from_estimator(
    worded, photos.data, photos.target, name="words", ax=display.ax_
)
plt.show()

# %%
# If a class does badly, its photos tell why: the surest ones, and those where label and score
# differ most.

PhotosDisplay.from_estimator(
    worded, photos.data, photos.target, class_name="person", order=["surest", "wrong"]
)
plt.show()
