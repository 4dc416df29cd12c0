"""
Labels that move
================

Gradient alignment trains the network and the pseudo labels in turn: the network learns the labels,
and the labels move toward what the network predicts. Here are the labels of the bundled photos on
their way, photos whose labels were corrected, and photos whose labels were spoilt. The true labels
serve to tell which is which; nothing else sees them.

To be quick, the network is one linear layer on CLIP's embeddings of the whole photos, with a high
and constant learning rate. It fits the labels closely, so they move little. Two processor cores
take half a minute.
"""

# %%
# Both ways to update
# -------------------
# The paper lets each update start from where the one before left the labels. The default here lets
# each start from the first labels, so that they move only so far.

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.metrics import mean_average_precision
from sklearn_cdul.training.alignment import GradientSteps, LabelState, align, latents_from_labels
from sklearn_cdul.training.batches import EmbeddingSource, epoch
from sklearn_cdul.training.network import EmbeddingNetwork
from sklearn_cdul.training.trainer import start_from_priors

EPOCHS = 20
photos = load_food_photos(subset="train")
names = photos.target_names
labeler = CLIPPseudoLabeler(names).fit()
embeddings = labeler.embed(photos.data)
first_labels = CLIPPseudoLabeler(names, input="embeddings").fit_transform(embeddings)


def train(cumulative_updates):
    """Return the labels (epochs + 1, n, k) before the training and after each epoch."""
    torch.manual_seed(0)
    labels = torch.from_numpy(first_labels)
    network = EmbeddingNetwork(torch.from_numpy(embeddings[:, 0]), len(names))
    start_from_priors(network, labels)
    state = LabelState(latents_from_labels(labels))
    source = EmbeddingSource(embeddings[:, 0], device=torch.device("cpu"))
    snapshots = [first_labels]
    step_a = GradientSteps(
        network,
        torch.optim.AdamW(network.parameters(), lr=3e-3),
        lambda: epoch(source, batch_size=16),
        forward=lambda network, inputs: network(inputs),
    )
    align(
        step_a,
        state,
        epochs=EPOCHS,
        warmup_epochs=2,
        update_interval=1,
        update_rate=1.0,
        sigma=1.0,
        cumulative_updates=cumulative_updates,
        on_epoch=lambda record: snapshots.append(state.labels().numpy()),
    )
    return np.stack(snapshots)


bounded, cumulative = train(False), train(True)

# %%
# The mean average precision of the labels tells whether they get better.


def precision(labels):
    """Mean average precision of the labels, in percent."""
    return 100 * mean_average_precision(photos.target, labels, min_positives=5)


figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for title, course in (("from the first labels (default)", bounded), ("cumulative", cumulative)):
    curve = [precision(labels) for labels in course]
    print(f"{title}: {curve[0]:.1f} before, {max(curve):.1f} at best, {curve[-1]:.1f} at the end")
    left.plot(curve, label=title)
    right.plot(np.abs(course - course[0]).mean(axis=(1, 2)), label=title)
left.set(xlabel="epoch", ylabel="mAP of the pseudo labels")
right.set(xlabel="epoch", ylabel="mean distance from CLIP's labels")
left.legend()
plt.show()

# %%
# Corrected and spoilt
# --------------------
# Labels whose distance from the truth changed most, one a photo.

change = np.abs(bounded[-1] - photos.target) - np.abs(first_labels - photos.target)


def show(title, sign):
    """Photos with the largest change of one sign, and that label before and after."""
    figure, axes = plt.subplots(1, 5, figsize=(13, 3.2), layout="constrained")
    for axis, row in zip(axes, np.argsort((sign * change).max(axis=1))[::-1], strict=False):
        column = (sign * change)[row].argmax()
        axis.imshow(Image.open(photos.data[row]))
        axis.set_title(
            f"{names[column]}: {first_labels[row, column]:.2f} to {bounded[-1, row, column]:.2f}\n"
            f"in the photo: {'yes' if photos.target[row, column] else 'no'}",
            fontsize=9,
        )
        axis.set_axis_off()
    figure.suptitle(title)
    plt.show()


show("Corrected", -1)

# %%
#

show("Spoilt", 1)
better, worse = (change < -0.02).sum(), (change > 0.02).sum()
print(f"labels that moved by more than 0.02: {better} toward the truth, {worse} away from it")
