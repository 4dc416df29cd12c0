"""Time and memory of a process that predicts one photo, from a joblib and from an ONNX file.

A classifier is trained on the bundled training photos and saved both ways. "cold start" is the time
of a fresh process from its start to its end, with one photo predicted; "peak" the most memory that
it held, on Linux alone; medians of processes that run in turn. Files are in the system's cache by
then. "limit" is the ONNX file run by a few lines with NumPy, Pillow and onnxruntime alone.

The second table has one process that is warm: seconds for one photo, and photos per second.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import common
import joblib
import numpy as np

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler, load_onnx
from sklearn_cdul.datasets import load_food_photos

# What a fresh process runs, with a file and a photo as its arguments.
LOADERS = {
    "joblib": "import joblib; model = joblib.load(sys.argv[1])",
    "load_onnx": "from sklearn_cdul import load_onnx; model = load_onnx(sys.argv[1])",
    "limit": """
import json, numpy as np, onnxruntime
from PIL import Image
session = onnxruntime.InferenceSession(sys.argv[1])
size = json.loads(session.get_modelmeta().custom_metadata_map["image_size"])
class model:
    def predict(paths):
        image = Image.open(paths[0]).convert("RGB")
        image = image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3)
        session.run(None, {"pixels": np.asarray(image).transpose(2, 0, 1)[None]})
""",
}
PROCESS = """
import sys, time
start = time.perf_counter()
{loader}
ready = time.perf_counter()
model.predict(sys.argv[2:])
end = time.perf_counter()
peak = 0
if sys.platform == "linux":
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(ready - start, end - ready, peak * 1024 / 1e6)
"""


def start(loader, file, photo):
    """Seconds of a fresh process, those of loading and of predicting in it, and its peak in MB."""
    command = [sys.executable, "-c", PROCESS.format(loader=loader), str(file), photo]
    output, seconds = common.timed(subprocess.check_output, command, text=True)
    return seconds, *map(float, output.split())


def main():
    parser = common.parser(__doc__, "image-size", "repeats", "json")
    parser.add_argument("--photos", type=int, default=100, help="of the second table")
    options = common.parse(parser)
    photos, train = load_food_photos(), load_food_photos(subset="train").data
    model = CDULClassifier(
        photos.target_names,
        pseudo_labeler=CLIPPseudoLabeler(grid_size=1),
        image_size=options.image_size,
        random_state=0,
    ).fit(train)
    with tempfile.TemporaryDirectory() as folder:
        files = {"joblib": Path(folder, "model.joblib"), "load_onnx": Path(folder, "model.onnx")}
        joblib.dump(model, files["joblib"])
        model.export_onnx(files["load_onnx"])
        files["limit"] = files["load_onnx"]
        light = load_onnx(files["load_onnx"])
        figures = {name: [] for name in LOADERS}
        for _ in range(options.repeats + 1):  # the first round warms up
            for name, loader in LOADERS.items():
                figures[name].append(start(loader, files[name], photos.data[0]))
    columns = {"seconds": ".2f", "loading": ".2f", "predicting": ".3f", "peak, MB": ".0f"}
    table = common.Table("cold start", columns | {"times faster": ".1f", "times smaller": ".1f"})
    medians = {name: np.median(rows[1:], axis=0) for name, rows in figures.items()}
    for name, row in medians.items():
        seconds, *_, peak = medians["joblib"] / np.maximum(row, 1e-9)
        table.row(name, *row, seconds, peak)

    X = photos.data[: options.photos]
    difference = np.abs(light.predict_proba(X) - model.predict_proba(X)).max()
    table = common.Table("warm", {"one photo, ms": ".1f", "photos/s": ".1f"})
    ways = {"joblib": model, "load_onnx": light}
    alone = common.median_seconds(
        {n: lambda m=m: [m.predict_proba(X[:1]) for _ in range(20)] for n, m in ways.items()},
        options.repeats,
    )
    many = common.median_seconds(
        {name: lambda m=m: m.predict_proba(X) for name, m in ways.items()}, options.repeats
    )
    for name in ways:
        table.row(name, alone[name] / 20 * 1000, len(X) / many[name])
    print(f"\nlargest difference of the probabilities: {difference:.1e}")
    common.write_tables(options)


if __name__ == "__main__":
    main()
