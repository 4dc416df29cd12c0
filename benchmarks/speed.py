"""All figures of speed in one run: encoding, training, prediction, a grid search, growth.

Runs the scripts that measure them, one after the other. Each table holds ratios between its own
rows, which were timed in turn:

- "of limit", "of network": with the network alone on tensors that are ready;
- "of bound": with that and the decoding of the photos, which nobody can leave out;
- "of bare loop": with a training loop of a few lines that does the same;
- "by crop = 1": with one crop at a time in float32, as the public reproduction of the paper does;
- "ratio", "CPU ratio": cost of a grid search in that of embedding the photos once;
- "default / torch": of prediction, with that by torch in float32.

    python benchmarks/speed.py --out speed.json

This takes tens of minutes on two cores. On a machine with a GPU add ``--device cuda``.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import common


def scripts(options):
    """Scripts to run, with their arguments."""
    device = ["--device", options.device]
    if options.tiny:
        few = [
            *("--networks", "bundled", "--batch-size", "2"),
            *("--image-size", "64", "--repeats", "1"),
        ]
        return [
            ["bench_encode.py", "--pixels", "96", "--n-images", "1", "--repeats", "1", *device],
            ["bench_limits.py", "--tiny", *device],
            ["bench_train.py", *few],
            ["bench_search.py", "--photos", "10", "--rounds", "1", "--entries", "20"],
            ["growth.py", "--what", "neighbors", "--values", "200"],
        ]
    sizes = ("320", "500", "1500")
    encode = ["bench_encode.py", "--n-images", "12", "--repeats", "5", *device]
    parts = [] if options.device.startswith("cuda") else ["--parts", "train", "predict"]
    return [
        *([*encode, "--pixels", size] for size in sizes),
        ["bench_limits.py", *parts, *device],
        ["bench_train.py"],
        ["bench_search.py"],
        ["growth.py"],
    ]


def run(script, arguments):
    """Run a script, which prints its tables, and return what it writes."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tables.json"
        command = [sys.executable, str(Path(__file__).with_name(script)), *arguments]
        print(f"\n== {' '.join([script, *arguments])}\n", flush=True)
        subprocess.run([*command, "--json", str(file)], check=True)
        return json.loads(file.read_text())


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write all of it there as JSON")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tiny", action="store_true", help="to test this script")
    options = common.parse(parser)
    results = []
    for script, *arguments in scripts(options):
        results.append(run(script, arguments))
        if options.out:  # what was measured is kept, whatever comes next
            content = {"machine": common.machine(), "scripts": results}
            options.out.write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
