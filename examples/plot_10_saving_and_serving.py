"""
Save, export and serve
======================

After training only the small network is needed. Save it with joblib for your own programs, or as an
ONNX file, which needs neither this package nor PyTorch.
"""

# %%
# A file for your own programs
# ----------------------------
# The file contains the network, the class names and the thresholds, not CLIP and no photos. Load
# only files that you trust: loading a pickle can run arbitrary code.

import io
import json
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from time import perf_counter

import joblib
import numpy as np
import onnxruntime
from PIL import Image, ImageOps

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.datasets import load_food_photos

train, test = load_food_photos(subset="train"), load_food_photos(subset="test")
memory = Path(gettempdir(), "sklearn_cdul_examples")  # all examples share it
labeler = CLIPPseudoLabeler(train.target_names, memory=memory)
model = CDULClassifier(pseudo_labeler=labeler, precision="float32", random_state=0)
model.fit(train.data)

folder = Path(mkdtemp())
joblib.dump(model, folder / "model.joblib", compress=3)
loaded = joblib.load(folder / "model.joblib")
print(f"{(folder / 'model.joblib').stat().st_size / 1e6:.1f} MB")
print(loaded.predict_names(test.data[:2]))

# %%
# A file for other programs
# -------------------------
# The graph takes square images and gives probabilities; class names, thresholds and image size are
# in its metadata. Writing it needs the extra ``sklearn-cdul[onnx]``.

model.export_onnx(folder / "model.onnx")
session = onnxruntime.InferenceSession(folder / "model.onnx")
stored = session.get_modelmeta().custom_metadata_map
size = json.loads(stored["image_size"])
names = json.loads(stored["class_names"])
thresholds = np.array(json.loads(stored["thresholds"]))

# %%
# A service
# ---------
# A web service needs one function from the bytes of an upload to names and scores. It uses NumPy,
# Pillow and ONNX Runtime.


def classify(upload):
    """Return names and probabilities of the classes in a photo."""
    with Image.open(io.BytesIO(upload)) as image:
        if image.format in ("JPEG", "MPO"):
            image.draft(None, (size, size))  # decodes at 1/2, 1/4 or 1/8 of the size
        image = ImageOps.exif_transpose(image).convert("RGB")
    image = image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3)
    pixels = np.asarray(image).transpose(2, 0, 1)[np.newaxis]
    (scores,) = session.run(None, {"pixels": pixels})[0]
    return {
        name: round(float(score), 3)
        for name, score, threshold in zip(names, scores, thresholds, strict=True)
        if score >= threshold
    }


for path in test.data[:3]:
    print(Path(path).name, classify(Path(path).read_bytes()))

# %%
# Its probabilities are those of ``predict_proba``. It takes one photo at a time:

scores = loaded.predict_proba(test.data[:20])
start = perf_counter()
results = [classify(Path(path).read_bytes()) for path in test.data[:20]]
print(f"{20 / (perf_counter() - start):.0f} images/s")
largest = max(
    abs(found[name] - row[names.index(name)])
    for found, row in zip(results, scores, strict=True)
    for name in found
)
print(f"largest difference between the (rounded) probabilities: {largest:.4f}")

# %%
# The service itself, for example with FastAPI:
#
# .. code-block:: python
#
#    from fastapi import FastAPI, UploadFile
#
#    app = FastAPI()
#
#
#    @app.post("/names")
#    def names_of(photo: UploadFile):
#        return classify(photo.file.read())
