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
# CLIP knows words, not classes. Where the name of a class is vague, words for what it looks like
# say more; their embeddings are averaged. The photos are not encoded again.

words = {name: [name] for name in names}
words |= {
    "person": ["person", "hand", "cook"],
    "vegetable": ["vegetable", "tomatoes", "carrots", "cucumber", "broccoli"],
    "fruit": ["fruit", "berries", "oranges", "apples"],
    "meat": ["meat", "steak", "sausages", "bacon", "chicken"],
}
worded = CLIPPseudoLabeler(words, memory=memory).fit()
display = AveragePrecisionDisplay.from_estimator(labeler, photos.data, photos.target, name="names")
AveragePrecisionDisplay.from_estimator(
    worded, photos.data, photos.target, name="words", ax=display.ax_
)
plt.show()

# %%
# The photos to look at first, if a class does badly: those where label and score differ most.

PhotosDisplay.from_estimator(
    worded, photos.data, photos.target, class_name="person", order=["surest", "wrong"]
)
plt.show()
