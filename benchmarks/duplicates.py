"""How many altered copies `find_duplicates` finds, and how many pairs of different photos.

Copies of every fourth photo are made in several ways. A row says from which share of the copies the
mean cosine over the views reaches the similarity, and how many pairs of photos in the folder reach
it among themselves. Runs on the bundled photos, or on those of a folder.
"""

import io
from pathlib import Path

import common
import numpy as np
from PIL import Image, ImageEnhance

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.datasets import list_photos, load_food_photos
from sklearn_cdul.images.decoding import load_image

SIMILARITIES = (0.65, 0.7, 0.75, 0.8, 0.85)


def compressed(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=40)
    return Image.open(file).convert("RGB")


def cropped(image, left, upper, right, lower):
    width, height = image.size
    return image.crop((left * width, upper * height, right * width, lower * height))


COPIES = {
    "JPEG quality 40": compressed,
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "5 % cropped per side": lambda image: cropped(image, 0.05, 0.05, 0.95, 0.95),
    "15 % cropped, 2 sides": lambda image: cropped(image, 0.15, 0.15, 1, 1),
    "30 % brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "without colours": lambda image: image.convert("L").convert("RGB"),
}


def main():
    parser = common.parser(__doc__, "memory")
    parser.add_argument("--photos", type=Path, metavar="DIR", help="photos of a folder")
    options = common.parse(parser)
    paths = list_photos(options.photos) if options.photos else load_food_photos().data
    labeler = CLIPPseudoLabeler(memory=options.memory)

    def embed(photos):
        """Vectors whose scalar product is the mean cosine over the views."""
        views = labeler.embed(photos)
        return views.reshape(len(views), -1) / np.sqrt(views.shape[1])

    photos = embed(paths)
    pairs = (photos @ photos.T)[np.triu_indices(len(photos), 1)]
    columns = {f"{similarity}": ".2f" for similarity in SIMILARITIES}
    table = common.Table(f"{len(paths)} photos, from a similarity of", columns, width=24)
    table.row("pairs in the folder", *(str((pairs >= s).sum()) for s in SIMILARITIES))
    for name, alter in COPIES.items():
        copies = embed([alter(load_image(path, 0)) for path in paths[::4]])
        cosines = (copies * photos[::4]).sum(axis=1)
        table.row(name, *(float((cosines >= s).mean()) for s in SIMILARITIES))


if __name__ == "__main__":
    main()
