"""Read damaged and hostile files of every kind that the package reads, and count what comes of it.

    python tools/fuzz.py --seconds 20 [--kinds png,coco] [--seed 1] [--keep broken]

Each file is a mutant of a sound one: bytes are changed, cut out, doubled or put in from another,
numbers and words are replaced by those that parsers stumble over. It is read in a process of its
own kind, whose memory and time are watched. Allowed are an answer and an `ImageError`, `ValueError`
or `OSError` that names the file (or its folder) in at most 2,000 characters. All else is broken,
and so is what takes more than the bounds below; with --keep such files are written to a folder.
A store of `memory=` and a checkpoint may warn, but must give what was stored or nothing. Needs
Linux and the extra "onnx".
"""

import argparse
import io
import itertools
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import struct
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sklearn.utils  # noqa: F401  so that not every process needs to import it
from PIL import Image

from sklearn_cdul import datasets
from sklearn_cdul.exceptions import ImageError

SECONDS = 20  # for one file; the machine may be busy
MEGABYTES = {"image": 1600, "text": 400, "model": 400}
MOST_CHARACTERS = 2000
MUTANTS_PER_PROCESS = 400
PHOTOS = ("a.jpg", "b.jpg")
NASTY = [
    *("null", "true", "-1", "1e400", "NaN", "Infinity", '""', "[]", "{}", "[[]]", "0.5", "''"),
    *(
        "9" * 5000,
        "1e999999999",
        "[" * 100_000,
        '{"a":' * 20_000,
        "\0",
        "\ufeff",
        "\u202e",
        "\x1b[2J",
    ),
    *(
        "../../../etc/passwd",
        "/dev/zero",
        "C:\\a.jpg",
        "a" * 300_000,
        "~",
        "*",
        "\ud800",
        '"',
        ";",
        ",",
    ),
    *("&a", "*a", "!!python/object:os.system", "<<: *a", "0x7fffffffffffffff", "2026-99-99", "---"),
    *("<!DOCTYPE a [<!ENTITY b 'c'>]>", "&lt;", "</annotation>", "<![CDATA[", "\\ud800", "1_000"),
]
YAML = "train: photos\nval: photos\nnc: 2\nnames: [cup, egg]\n"
ALIASES = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1},' * 9}]\n" for n in range(1, 30))
ENTITIES = "<!DOCTYPE a [<!ENTITY e0 'x'>" + "".join(
    f"<!ENTITY e{n} '{f'&e{n - 1};' * 9}'>" for n in range(1, 30)
)


def encoded(kind, mode="RGB", **options):
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 4), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(file, kind, **options)
    return file.getvalue()


def read_image(path):
    from sklearn_cdul.images.checking import check_files
    from sklearn_cdul.images.decoding import load_image

    try:
        check_files([str(path)])
    finally:
        load_image(str(path), 0, min_size=(64, 64))


def image_seeds():
    """Kind -> sound files."""
    kinds = {
        "jpeg": [("JPEG", "RGB", {}), ("JPEG", "RGB", {"progressive": True}), ("JPEG", "CMYK", {})],
        "png": [("PNG", m, {}) for m in ("RGB", "RGBA", "P", "I;16", "LA")],
        "webp": [("WEBP", "RGB", {}), ("WEBP", "RGBA", {"lossless": True})],
        "tiff": [
            ("TIFF", "RGB", {"compression": c})
            for c in (None, "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
        ],
        "gif": [("GIF", "P", {})],
        "bmp": [("BMP", "RGB", {}), ("BMP", "P", {})],
        "avif": [("AVIF", "RGB", {})],
        "jpeg2000": [("JPEG2000", "RGB", {})],
        "others": [("PPM", "RGB", {}), ("TGA", "RGB", {}), ("PCX", "RGB", {}), ("ICO", "RGBA", {})],
    }
    known = set(Image.registered_extensions().values())
    return {
        name: [encoded(kind, mode, **options) for kind, mode, options in files if kind in known]
        for name, files in kinds.items()
    }


def text_seeds(folder):
    """Kind -> (file to change, reader of the folder, texts); the folder has all photos."""
    photos = [f"photos/{name}" for name in PHOTOS]
    labels, names = [["cup", "egg"], ["cup"]], ["cup", "egg"]
    texts = {}
    for name, dump in {
        "coco": datasets.dump_coco,
        "label_studio": datasets.dump_label_studio,
        "fiftyone": datasets.dump_fiftyone,
        "csv": datasets.dump_csv,
    }.items():
        (folder / "photos").mkdir(exist_ok=True)
        inside = [shutil.copy(folder / name, folder / "photos") for name in PHOTOS]
        dump(inside, labels, names, folder / "labels.json")
        texts[name] = (folder / "labels.json").read_text()
        (folder / "labels.json").unlink()
    texts["label_studio"] = texts["label_studio"].replace("predictions", "annotations")
    one = "<object><name>cup</name><difficult>0</difficult></object>"
    voc = f"<annotation><filename>a.jpg</filename>{one}</annotation>"
    cvat = '<annotations><image id="0" name="a.jpg"><tag label="cup"/></image></annotations>'
    lm = {"imagePath": "a.jpg", "flags": {"cup": True}, "shapes": [], "imageData": None}
    datasets.dump_xmp([folder / "a.jpg"], [["cup"]], names)
    xmp = (folder / "a.jpg.xmp").read_text().replace("cup", "pan")
    (folder / "a.jpg.xmp").unlink()
    wide = "path,cup,egg\nphotos/a.jpg,1,0\nphotos/b.jpg,1,1\n"
    from sklearn_cdul.cli.inputs import read_classes
    from sklearn_cdul.targets import read_targets

    def voc_of(path):
        datasets.load_voc(path.parent, split=None, classes=None)

    def sidecar(path):
        datasets.dump_xmp([path.with_suffix("")], [["cup"]], names)

    bomb = ENTITIES + "]>"
    deep = xmp.replace("pan", "<a>" * 5000 + "</a>" * 5000)
    return {
        "csv": ("labels.csv", datasets.load_csv, [texts["csv"], wide]),
        "observed": ("labels.csv", lambda p: read_targets(p, names, photos), [texts["csv"], wide]),
        "coco": ("labels.json", datasets.load_coco, [texts["coco"]]),
        "label_studio": ("labels.json", datasets.load_label_studio, [texts["label_studio"]]),
        "fiftyone": ("labels.json", datasets.load_fiftyone, [texts["fiftyone"]]),
        "labelme": ("a.json", lambda p: datasets.load_labelme(p.parent), [json.dumps(lm)]),
        "voc": ("a.xml", voc_of, [voc, bomb + voc.replace("cup", "&e29;")]),
        "cvat": ("a.xml", datasets.load_cvat, [cvat, bomb + cvat.replace("/>", ">&e29;</tag>")]),
        "xmp": ("a.jpg.xmp", sidecar, [xmp, bomb + xmp.replace("pan", "&e29;"), deep]),
        "yolo_yaml": ("data.yaml", datasets.load_yolo, [YAML, ALIASES + YAML + "extra: *a29\n"]),
        "yolo_labels": (
            "photos/a.txt",
            lambda p: datasets.load_yolo(p.parents[1]),
            ["0 0.5 0.5 0.1 0.1\n1 0.1 0.1 0.2 0.2\n"],
        ),
        "names": ("names.txt", lambda p: read_classes(str(p)), ["cup\negg\n# tea\n"]),
        "names_json": ("names.json", lambda p: read_classes(str(p)), ['["cup", "egg"]']),
    }


def read_onnx(path):
    from sklearn_cdul import load_onnx

    model = load_onnx(path, n_jobs=1)
    with suppress(FloatingPointError):  # of weights that were made NaN
        model.predict_names(np.ones((2, model.n_features_in_), np.float32))


def onnx_seed(path):
    """A small classifier of embeddings."""
    from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler

    names = ["cup", "egg"]
    vectors = np.concatenate([CLIPPseudoLabeler(names).fit().text_embeddings_] * 20)
    vectors += np.random.default_rng(0).normal(scale=0.05, size=vectors.shape)
    labeler = CLIPPseudoLabeler(names, input="embeddings")
    model = CDULClassifier(pseudo_labeler=labeler, random_state=0).fit(vectors.astype(np.float32))
    model.export_onnx(path)
    return path.read_bytes()


def store_seeds(folder):
    from sklearn_cdul.memory.store import Store

    with Store(folder) as store:
        store.put({bytes([n]) * 8: bytes([n]) * 50 for n in range(20)})
    return sorted(folder.iterdir())


def read_store(path):
    from sklearn_cdul.memory import store

    store._idle.clear()
    with store.Store(path.parent) as opened:
        for n in range(20):
            assert opened.get(bytes([n]) * 8) in (None, bytes([n]) * 50), "another value"


def checkpoint(folder):
    from sklearn_cdul.training.checkpoint import Checkpoint

    return Checkpoint(folder, lambda: ["fuzz"])


def checkpoint_seed(folder):
    import torch

    with checkpoint(folder) as kept:
        kept.save(lambda: {"epoch": 3, "weights": torch.arange(50.0)}, is_last=True)
    (path,) = folder.glob("*/epochs.pt")
    return path


def read_checkpoint(path):
    with checkpoint(path.parents[1]) as kept:
        found = kept.load()
    assert found is None or found["weights"].tolist() == list(range(50)), "another state"


class Kind(NamedTuple):
    """Files of one kind: how they are called, sound ones, and what reads them."""

    name: str
    group: str
    path: Path
    seeds: list[Any]
    read: Callable[[Path], Any]


def kinds(folder):
    for name, seeds in image_seeds().items():
        yield Kind(name, "image", folder / f"photo.{name}", seeds, read_image)
    for name in PHOTOS:
        (folder / name).write_bytes(encoded("JPEG"))
    for name, (file, read, texts) in text_seeds(folder).items():
        own = folder / name
        shutil.copytree(folder / "photos", own / "photos")
        for photo in PHOTOS:
            shutil.copy(folder / photo, own)
        if name == "yolo_labels":
            (own / "data.yaml").write_text(YAML)
        if name == "yolo_yaml":
            (own / "photos/a.txt").write_text("0 0.5 0.5 0.1 0.1\n")
        yield Kind(name, "text", own / file, texts, read)
    for name in ("onnx", "store", "checkpoint"):
        (folder / name).mkdir()
    path = folder / "onnx" / "model.onnx"
    yield Kind("onnx", "model", path, [onnx_seed(path)], read_onnx)
    for path in store_seeds(folder / "store"):
        name = f"store{path.suffix.replace('.', '_')}"
        yield Kind(name, "model", path, [path.read_bytes()], read_store)
    path = checkpoint_seed(folder / "checkpoint")
    yield Kind("checkpoint", "model", path, [path.read_bytes()], read_checkpoint)


# Mutants


def mutant_of_bytes(data, others, draw):
    data = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 5, 20))):
        place = draw.randrange(len(data)) if data else 0
        if draw.random() < 0.5:
            place %= 200  # heads are where sizes and kinds are
        length = draw.choice((1, 2, 4, 16, 200))
        change = draw.randrange(8)
        if change == 0:
            del data[place:]
        elif change == 1:
            del data[place : place + length]
        elif change == 2:
            data[place:place] = data[place : place + length] * draw.choice((1, 2, 50))
        elif change == 3:
            other = draw.choice(others)
            data[place : place + length] = other[place : place + length]
        elif change == 4:
            number = draw.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1, 65535, 40_000, 2**24))
            data[place : place + 4] = struct.pack(draw.choice("<>") + "I", number)
        elif change == 5:
            data[place : place + length] = draw.randbytes(length)
        elif data and place < len(data):
            data[place] ^= 1 << draw.randrange(8)
    if data[:4] == b"\x89PNG" and draw.random() < 0.7:
        data = with_checksums(bytes(data))
    return bytes(data)


def with_checksums(data):
    """A PNG file whose parts are taken as they come, so that not the checksums alone are tried."""
    result, place = data[:8], 8
    while place + 12 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        part = data[place + 4 : place + 8 + length]
        result += data[place : place + 4] + part + struct.pack(">I", zlib.crc32(part))
        place += 12 + length
    return result + data[place:]


def mutant_of_text(text, others, draw):
    if draw.random() < 0.3:
        data = mutant_of_bytes(text.encode(), [other.encode() for other in others], draw)
        return draw.choice((b"", b"", b"\xef\xbb\xbf", b"\xff\xfe")) + data
    for _ in range(draw.choice((1, 1, 2, 3))):
        tokens = [match.span() for match in re.finditer(r'"[^"]*"|[\w.]+|[^\w\s]', text)]
        if not tokens:
            break
        start, end = draw.choice(tokens)
        change = draw.randrange(5)
        if change == 0:
            other = draw.choice(tokens)
            new = text[slice(*other)]
        elif change == 1:
            new = ""
        else:
            new = draw.choice(NASTY)
            new = f'"{new}"' if text[start] == '"' and draw.random() < 0.5 else new
        text = text[:start] + new + text[end:]
    encoding = draw.choice(("utf-8",) * 6 + ("utf-16", "cp1252", "utf-8-sig"))
    return text.encode(encoding, "replace" if encoding == "cp1252" else "surrogatepass")


# A process that reads


def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) // 1024


def serve(pipe, read):
    warnings.simplefilter("ignore")
    limit = (status("VmSize") + 4000) << 20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    while (path := pipe.recv()) is not None:
        Path("/proc/self/clear_refs").write_text("5")  # forgets the highest memory so far
        before, start, outcome = status("VmRSS"), time.perf_counter(), "read"
        try:
            read(Path(path))
        except (ImageError, ValueError, OSError) as error:
            text, outcome = str(error), "refused"
            if os.path.dirname(path) not in text and os.path.basename(path) not in text:
                outcome = f"not named: {type(error).__name__}: {text[:150]!r}"
            elif len(text) > MOST_CHARACTERS:
                outcome = f"a message of {len(text)} characters: {text[:100]!r}"
        except BaseException as error:
            outcome = f"{type(error).__name__}: {str(error)[:150]!r}"
        seconds = time.perf_counter() - start
        pipe.send((outcome, seconds, status("VmHWM") - before))


class Process:
    """A process that reads files of one kind, and is begun anew when it ended or hangs."""

    def __init__(self, read):
        self._read = read
        self._process = None

    def read(self, path):
        """What came of a file, the seconds, and the megabytes."""
        if self._process is None:
            context = multiprocessing.get_context("fork")
            self._pipe, other = context.Pipe()
            self._process = context.Process(target=serve, args=(other, self._read), daemon=True)
            self._process.start()
            other.close()
            self._left = MUTANTS_PER_PROCESS
        try:
            self._pipe.send(str(path))
            is_done = self._pipe.poll(3 * SECONDS)
            result = self._pipe.recv() if is_done else ("hangs", 3.0 * SECONDS, 0)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self._process.join()
            result = f"the process ended: {self._process.exitcode}", 0.0, 0
        self._left -= 1
        if result[0] not in ("read", "refused") or not self._left:
            self.end()
        return result

    def end(self):
        """End the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def fuzz(kind, seconds, seed, keep):
    """Read mutants of one kind for a while; counts, and the worst time and memory."""
    draw, counts, slowest, most = random.Random(f"{seed} {kind.name}"), Counter(), 0.0, 0
    make = mutant_of_text if kind.group == "text" else mutant_of_bytes
    process, end = Process(kind.read), time.monotonic() + seconds
    for number in itertools.count():
        if number < len(kind.seeds):  # sound, but for bombs
            data = kind.seeds[number]
            data = data.encode() if isinstance(data, str) else data
        elif time.monotonic() > end:
            break
        else:
            data = make(draw.choice(kind.seeds), kind.seeds, draw)
        kind.path.write_bytes(data)
        outcome, took, megabytes = process.read(kind.path)
        if outcome in ("read", "refused"):
            if took > SECONDS:
                outcome = f"{took:.1f} s"
            elif megabytes > MEGABYTES[kind.group]:
                outcome = f"{megabytes} MB"
        counts[outcome if outcome in ("read", "refused") else "broken"] += 1
        slowest, most = max(slowest, took), max(most, megabytes)
        if outcome not in ("read", "refused"):
            print(f"{kind.name} {number}: {outcome}", flush=True)
            if keep is not None:
                keep.mkdir(exist_ok=True)
                (keep / f"{kind.name}-{number}{kind.path.suffix}").write_bytes(data)
    process.end()
    return counts, slowest, most


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10, help="for each kind")
    parser.add_argument("--kinds", default="", help="some of them, with commas between")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for files that broke something")
    options = parser.parse_args()
    chosen = set(filter(None, options.kinds.split(",")))
    row = "{:<14}{:>9}{:>9}{:>9}{:>9}{:>11}{:>9}"
    print(row.format("kind", "mutants", "read", "refused", "broken", "slowest, s", "most, MB"))
    total = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for kind in kinds(Path(folder)):
            if chosen and kind.name not in chosen:
                continue
            counts, slowest, most = fuzz(kind, options.seconds, options.seed, options.keep)
            cells = (sum(counts.values()), counts["read"], counts["refused"], counts["broken"])
            print(row.format(kind.name, *cells, f"{slowest:.2f}", most), flush=True)
            total += counts
    cells = (sum(total.values()), total["read"], total["refused"], total["broken"])
    print(row.format("all", *cells, "", ""))


if __name__ == "__main__":
    main()
