"""Sizes of saved classifiers, and what the preprocessing before an ONNX file does to the answers.

A classifier is trained on the bundled training photos, for each size of its input. It is saved in
each form that docs/persistence.rst describes, and the files are measured. Then the ONNX file is
run on all bundled photos, prepared in several ways, and its probabilities are compared with those
of ``predict_proba`` in float32.

It needs ``pip install -e ".[test]"`` and takes some minutes on two cores. The longer side of the
bundled photos has 384 pixels. With an input of 320 Pillow's draft mode does nothing, because it
only halves, and they are not twice as large. With 64 they are reduced about as much as a photo of
1,900 pixels is for an input of 320.
"""

import pickle
import tempfile
from pathlib import Path

import common
import joblib
import numpy as np
import onnxruntime
import skops.io
from PIL import Image, ImageOps

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.training import RidgeTraining

BICUBIC, BILINEAR = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR
# Draft mode, filter and reducing_gap.
PREPARATIONS = {
    "as the package does": (True, BICUBIC, 3),
    "without draft": (False, BICUBIC, 3),
    "without draft and reducing_gap": (False, BICUBIC, None),
    "draft, bilinear, no reducing_gap": (True, BILINEAR, None),
}


def save(model, folder):
    """Write each kind of file; return its path by its name in the table."""
    paths = {
        "pickle": folder / "model.pickle",
        "joblib": folder / "model.joblib",
        "joblib, compress=3": folder / "model.joblib.z",
        "skops": folder / "model.skops",
        "ONNX": folder / "model.onnx",
    }
    paths["pickle"].write_bytes(pickle.dumps(model))
    joblib.dump(model, paths["joblib"])
    joblib.dump(model, paths["joblib, compress=3"], compress=3)
    skops.io.dump(model, paths["skops"])
    model.export_onnx(paths["ONNX"])
    return paths


def pixels(path, size, draft, resample, reducing_gap):
    """One photo as the ONNX graph takes it, uint8 of shape (3, size, size)."""
    with Image.open(path) as image:
        if draft:
            image.draft(None, (size, size))
        image = ImageOps.exif_transpose(image).convert("RGB")
    image = image.resize((size, size), resample, reducing_gap=reducing_gap)
    return np.asarray(image).transpose(2, 0, 1)


def main():
    parser = common.parser(__doc__, "epochs", epochs=5)
    parser.add_argument("--image-sizes", type=int, nargs="+", default=[320, 64])
    arguments = common.parse(parser)
    photos, train = load_food_photos(), load_food_photos(subset="train").data
    for image_size in arguments.image_sizes:
        model = CDULClassifier(
            photos.target_names,
            pseudo_labeler=CLIPPseudoLabeler(grid_size=1),
            image_size=image_size,
            training=RidgeTraining(arguments.epochs),
            precision="float32",
            random_state=0,
        ).fit(train)
        n_bytes = sum(value.nbytes for value in model.network_.state_dict().values())
        print(f"\nimage_size={image_size}. The network's arrays: {n_bytes / 1e6:.2f} MB")
        with tempfile.TemporaryDirectory() as folder:
            paths = save(model, Path(folder))
            table = common.Table("saved as", {"MB": ".2f"}, width=34)
            for name, path in paths.items():
                table.row(name, path.stat().st_size / 1e6)
            session = onnxruntime.InferenceSession(paths["ONNX"])
            expected = model.predict_proba(photos.data)
            columns = {"largest": ".1e", "mean": ".1e", "answers changed": ".2%"}
            table = common.Table("photos prepared", columns, width=34)
            for name, how in PREPARATIONS.items():
                batch = np.stack([pixels(path, image_size, *how) for path in photos.data])
                found = session.run(None, {"pixels": batch})[0]
                error = np.abs(found - expected)
                changed = ((found >= model.thresholds_) != (expected >= model.thresholds_)).mean()
                table.row(name, error.max(), error.mean(), changed)


if __name__ == "__main__":
    main()
