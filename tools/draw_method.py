"""Draw the pictures of docs/method.rst from the bundled photos and the bundled encoder.

    python tools/draw_method.py

Writes `docs/_static/method_*.png`. Needs the extra "plot"; takes two minutes on two cores.
"""

from pathlib import Path
from tempfile import gettempdir

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from PIL import Image
from sklearn.base import clone

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.displays import LabelMovementDisplay, ScoreHistogramDisplay
from sklearn_cdul.labels import aggregate_snippets, cosine_similarities, softmax_similarities

FOLDER = Path(__file__).parents[1] / "docs/_static"
WIDTH = 9  # inches
SHOWN = 6


def save(figure, name):
    """Write a picture with few colours lost."""
    path = FOLDER / f"method_{name}.png"
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)
    with Image.open(path) as image:
        image.convert("RGB").quantize(192).save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


def snippets(labeler, path, similarities, grid=3):
    """The photo beside its snippets, each with the class that it speaks for most."""
    picture = Image.open(path).convert("RGB")
    width, height = picture.size
    figure = plt.figure(figsize=(WIDTH, 0.5 * WIDTH * height / width + 0.7))
    left, right = figure.subfigures(1, 2, wspace=0.02)
    ax = left.subplots()
    names = np.array(labeler.class_names_)
    ax.imshow(picture)
    ax.set_title(f"the whole: {names[similarities[0].argmax()]}")
    ax.set_axis_off()
    for j, ax in enumerate(right.subplots(grid, grid).flat):
        row, column = divmod(j, grid)
        box = (column * width // grid, row * height // grid)
        box += ((column + 1) * width // grid, (row + 1) * height // grid)
        ax.imshow(picture.crop(box))
        ax.set_title(names[similarities[j + 1].argmax()], fontsize=9, pad=2)
        ax.set_axis_off()
    save(figure, "views")


def labels(labeler, similarities):
    """Bars of what whole, snippets and their mean say of the classes that matter."""
    whole, parts = similarities[0], aggregate_snippets(similarities[np.newaxis, 1:])[0]
    final = (whole + parts) / 2
    top = np.argsort(-final)[:SHOWN][::-1]
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 2.6), sharey=True, layout="constrained")
    titles = ("the whole photo", "the strongest snippet", "the label: their mean")
    for ax, values, title in zip(axes, (whole, parts, final), titles, strict=True):
        ax.barh(np.array(labeler.class_names_)[top], values[top], color="tab:blue")
        ax.set(title=title, xlim=(0, 1))
        ax.spines[["top", "right"]].set_visible(False)
    save(figure, "labels")


def main():
    """Label, train, draw."""
    photos = load_food_photos(subset="train")
    memory = Path(gettempdir()) / "draw_method"  # for the next time
    labeler = CLIPPseudoLabeler(photos.target_names, memory=memory, verbose=True).fit()
    row = int(photos.target.sum(axis=1).argmax())
    crops = clone(labeler).set_params(views="grid").embed(photos.data[row : row + 1])[0]
    cosines = cosine_similarities(crops, labeler.text_embeddings_)
    similarities = softmax_similarities(cosines, labeler.temperature_)
    snippets(labeler, photos.data[row], similarities)
    labels(labeler, similarities)

    classifier = CDULClassifier(pseudo_labeler=labeler, random_state=0, verbose=True)
    classifier.fit(photos.data)
    figure, ax = plt.subplots(figsize=(WIDTH * 0.55, WIDTH * 0.5))
    LabelMovementDisplay.from_estimator(classifier, kind="scatter", ax=ax)
    save(figure, "movement")
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 2.6), layout="constrained")
    ScoreHistogramDisplay.from_estimator(
        classifier, photos.data, classes=["pizza", "coffee", "spoon"], ax=axes
    )
    save(figure, "thresholds")


if __name__ == "__main__":
    main()
