"""
Save, export and serve
======================

After training only the small network is needed. Save it with joblib to go on with it, or as an ONNX
file, which predicts without PyTorch and scikit-learn.
"""

# %%
# A file of the whole classifier
# ------------------------------
# The file contains the network, the class names and the thresholds, not CLIP and no photos. Load
# only files that you trust: loading a pickle can run arbitrary code.

from pathlib import Path
from tempfile import gettempdir, mkdtemp
from time import perf_counter

import joblib
import numpy as np

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler, load_onnx
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.displays import PhotosDisplay

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
# A file for prediction
# ---------------------
# Besides the network it contains class names, thresholds and what becomes of photos before. Writing
# it needs the extra ``sklearn-cdul[onnx]``. Loading it needs NumPy, Pillow and onnxruntime; a
# process that imports nothing else is ready sooner and needs less memory.

model.export_onnx(folder / "model.onnx")
light = load_onnx(folder / "model.onnx")
print(light.predict_names(test.data[:2]))

# %%
# A service
# ---------
# A web service needs one function from the bytes of an upload to names and scores.


def classify(upload):
    """Return names and probabilities of the classes in a photo."""
    (scores,) = light.predict_proba([upload])
    return {
        name: round(float(score), 3)
        for name, score, threshold in zip(
            light.class_names_, scores, light.thresholds_, strict=True
        )
        if score >= threshold
    }


for path in test.data[:3]:
    print(Path(path).name, classify(Path(path).read_bytes()))

# %%
# The displays draw what it predicts, as they do for the classifier.

PhotosDisplay.from_estimator(light, test.data, n_photos=4)

# %%
# Its probabilities are those of the classifier.

for name, each in {"joblib": loaded, "ONNX": light}.items():
    start = perf_counter()
    each.predict_proba(test.data)
    print(f"{name}: {len(test.data) / (perf_counter() - start):.0f} images/s")
difference = np.abs(light.predict_proba(test.data) - loaded.predict_proba(test.data)).max()
print(f"largest difference: {difference:.0e}")

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
