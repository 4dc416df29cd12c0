"""
What CLIP sees, and where
=========================

The first labels come from CLIP, which compares a photo and 25 windows of it with each class name.
This example shows these comparisons and the effect of other wordings.
"""

# %%
# A photo and its windows
# -----------------------
# Each view is compared with all names, and a softmax turns the similarities into shares. Bright
# windows have a high share of the class. The label of the photo is the mean of the whole photo and
# the best window: cup and spoon, which are small in the whole photo, get their labels from windows.
# ``views="grid"`` crops the photo instead, as the paper does.

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
# Without ``classes`` the display takes those with the highest labels. CLIP makes mistakes: there is
# no soup.

SimilarityDisplay.from_estimator(labeler, breakfast, n_classes=3)
plt.show()

# %%
# The gain from windows
# ---------------------
# The labels of all 242 photos, from the whole photo alone and with windows. Each dot is the
# average precision of a class: 1 if all photos that show it are ranked before all others.

whole = CLIPPseudoLabeler(names, grid_size=1, memory=memory).fit()
display = AveragePrecisionDisplay.from_estimator(
    whole, photos.data, photos.target, name="whole photo"
)
AveragePrecisionDisplay.from_estimator(
    labeler, photos.data, photos.target, name="with windows", ax=display.ax_
)
plt.show()

# %%
# The gain from wordings
# ----------------------
# Here eggs are mostly fried, and of a person only a hand is visible. Wordings that describe this
# are closer to the photos than the class name; their embeddings are averaged. The photos are not
# encoded again. (These wordings were chosen with the labels of these photos, so they may gain less
# on others.)

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
    worded, photos.data, photos.target, name="wordings", ax=display.ax_
)
plt.show()

# %%
# For a class with a low score, look at its most certain photos and at those where label and score
# differ most.

PhotosDisplay.from_estimator(
    worded, photos.data, photos.target, class_name="person", order=["surest", "wrong"]
)
plt.show()
