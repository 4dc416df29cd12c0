"""Speed on a GPU: encoding, training and prediction, each against the network alone.

Weights are random: speed does not depend on them. Each part runs in a process of its own with a
time limit, so that one that fails loses no other, and within a part all ways are timed in turn and
medians are compared. ``views`` are views that were made before, so that no thread works beside
the one that feeds the GPU; ``ready`` are photos of the encoder's input size in memory, of which
nothing has to be decoded or resized; ``memory`` are decoded photos, to be cut into ten views;
``files`` are JPEG files. They are timed over eight batches at least, because the GPU is idle while
the first is made; "two batches" tells what that costs. Where the CPU makes fewer views than the GPU
takes, the ratio to the slower counts.

    python benchmarks/bench_gpu.py --out results/

``--tiny`` runs everything with small models and few photos, on a CPU too, to test the script.
"""

import argparse
import cProfile
import functools
import json
import os
import platform
import pstats
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

ENCODERS = ("ViT-B-32", "ViT-L-14", "RN50x64")
# Seconds until a part is stopped; the order is that of running.
PARTS = {
    "encode ViT-L-14": 75,
    "train": 90,
    "predict": 60,
    "encode ViT-B-32": 75,
    "encode RN50x64": 90,
    "decode": 75,
    "compile": 110,
}
TINY_CLIP = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
PACKAGES = ("sklearn-cdul", "torch", "torchvision", "open_clip_torch", "timm", "pillow", "numpy")


class Part:
    """What the parts share: the device, how long to measure, photos, and the figures so far."""

    def __init__(self, options):
        self.options = options
        self.device = torch.device(options.device)
        self.seconds = 0.05 if options.tiny else options.seconds
        self.rounds = 1 if options.tiny else options.rounds
        self.figures = {}

    def sync(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def note(self, name, value, unit=""):
        self.figures[name] = value
        text = f"{value:.3f}" if isinstance(value, float) else str(value)
        print(f"  {name}: {text} {unit}", flush=True)
        part_file(self.options, self.options.part).write_text(json.dumps(self.figures))

    def rates(self, ways, unit):
        """Units a second of each way, a tuple (function of a count, step of counts[, least])."""
        counts, rates = {}, {}
        for name, (way, step, *least) in ways.items():
            way(step)  # warms up
            start = time.perf_counter()
            way(step)
            self.sync()
            share = self.seconds / (time.perf_counter() - start)
            counts[name] = max(step * min(max(round(share), 1), 1000), *least, 1)
            rates[name] = []
        for _ in range(self.rounds):
            for name, (way, *_) in ways.items():
                start = time.perf_counter()
                way(counts[name])
                self.sync()
                rates[name].append(counts[name] / (time.perf_counter() - start))
        found = {name: median(values) for name, values in rates.items()}
        for name, rate in found.items():
            self.note(f"{name}, {unit}/s", rate)
        return found

    def profile(self, name, function):
        """Write which functions of the main thread take the time."""
        profiler = cProfile.Profile()
        profiler.runcall(function)
        with open(self.options.out / "profiles.txt", "a") as file:
            print(f"\n== {name}", file=file)
            pstats.Stats(profiler, stream=file).sort_stats("tottime").print_stats(14)

    def photos(self, count, size):
        """Decoded photos (size * 3/4, size, 3)."""
        from sklearn_cdul.datasets import load_food_photos

        shape = (size, size * 3 // 4)
        paths = load_food_photos().data[:count]
        return [np.asarray(Image.open(path).convert("RGB").resize(shape)) for path in paths]

    def files(self, folder, count, size):
        """Photos as JPEG files."""
        paths = []
        for number, photo in enumerate(self.photos(count, size)):
            paths.append(Path(folder) / f"{size}_{number}.jpg")
            Image.fromarray(photo).save(paths[-1], quality=90)
        return paths


def part_file(options, name):
    """Where a part leaves its figures, as it goes."""
    return options.out / f"{name.replace(' ', '_')}.part.json"


def cycled(items, count):
    return [items[index % len(items)] for index in range(count)]


def make_encoder(name, part):
    """An encoder of random weights, made on its device."""
    import open_clip

    from sklearn_cdul.devices import resolve_precision
    from sklearn_cdul.encoders.clip import CLIPEncoder
    from sklearn_cdul.images.views import Preprocessing

    config = TINY_CLIP if part.options.tiny else open_clip.get_model_config(name)
    torch.manual_seed(0)
    with torch.device(part.device):
        model = open_clip.CLIP(**config).eval().requires_grad_(False)
    size = config["vision_cfg"]["image_size"]
    mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    preprocessing = Preprocessing((size, size), "shortest", mean=mean, std=std)
    return CLIPEncoder(
        model,
        open_clip.get_tokenizer("ViT-B-32"),
        preprocessing,
        device=part.device,
        dtype=resolve_precision("float32" if part.options.tiny else "auto", part.device),
    )


def encode_alone(encoder, part, batch_size):
    """The image tower on a batch that is ready on the device, as a function of a count of views."""
    from sklearn_cdul.devices import autocast

    pixels = torch.randn(batch_size, 3, *encoder.preprocessing.image_size, device=part.device)
    pixels = pixels.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def way(count):
        with autocast(part.device, encoder.dtype):
            for _ in range(max(count // batch_size, 1)):
                encoder._model.encode_image(pixels)

    return way


def encode(part, name):
    from sklearn_cdul.encoders.batches import _start_batches
    from sklearn_cdul.images.reading import map_images
    from sklearn_cdul.images.views import make_views, required_size
    from sklearn_cdul.transfers import ahead

    tiny = part.options.tiny
    encoder = make_encoder(name, part)
    size = encoder.preprocessing.image_size[0]
    part.note("precision", str(encoder.dtype))
    ready = part.photos(2 if tiny else 40, 2 * size)
    ready = [photo[:size, :size].copy() for photo in ready]
    decoded = part.photos(2 if tiny else 64, 500)
    views = functools.partial(make_views, grid_size=3, preprocessing=encoder.preprocessing)
    needed = required_size(3, encoder.preprocessing)
    batch = 20 if tiny else 320
    batches = (20,) if tiny else (160, 320) if name == "RN50x64" else (80, 320)
    many = batch if tiny else 8 * batch

    def make(images, n_jobs, grid_size=3):
        def way(count):
            photos = cycled(images, count // (1 if grid_size == 1 else 10))
            function = functools.partial(views, grid_size=grid_size)
            for _ in map_images(
                function, photos, n_jobs=n_jobs, min_size=needed, look_ahead=2 * batch
            ):
                pass

        return way

    def ours(images, per_photo, **settings):
        grid_size = 1 if per_photo == 1 else 3
        return lambda count: encoder.encode_images(
            cycled(images, count // per_photo), grid_size=grid_size, **settings
        )

    made = [views(Image.fromarray(photo)) for photo in decoded]

    def given(count):
        rows = enumerate(cycled(made, count // 10))
        started = _start_batches(encoder, rows, max(batch // 10, 1), batch)
        for _, finish in ahead(started, part.device):
            finish()

    def switching_often(way):
        def other(count):
            before = sys.getswitchinterval()
            sys.setswitchinterval(1e-4)
            try:
                way(count)
            finally:
                sys.setswitchinterval(before)

        return other

    with tempfile.TemporaryDirectory() as folder:
        files = part.files(folder, len(decoded), 500)
        ways = {f"limit, batches of {b}": (encode_alone(encoder, part, b), b) for b in batches}
        ways |= {
            "views": (given, batch, many),
            "memory": (ours(decoded, 10), batch, many),
            "views alone, memory": (make(decoded, None), batch),
        }
        if name != "RN50x64":  # where a batch takes longer than all that
            ways |= {
                "memory, two batches": (ours(decoded, 10), 2 * batch),
                "memory, switch interval 0.1 ms": (
                    switching_often(ours(decoded, 10)),
                    batch,
                    many,
                ),
                "files": (ours(files, 10), batch, many),
                "ready": (ours(ready, 1), batch, many),
                "ready, n_jobs=1": (ours(ready, 1, n_jobs=1), batch, many),
                "views alone, files": (make(files, None), batch),
                "views alone, ready": (make(ready, None, 1), batch, many),
            }
        rates = part.rates(ways, "views")
        for way in ("views", "memory", "ready"):
            if way in ways:
                where_time_goes(encoder, part, way, lambda way=way: ways[way][0](many))
    limit = max(rate for way, rate in rates.items() if way.startswith("limit"))
    for way in ways:
        if not way.startswith(("limit", "views alone")):
            bound = rates.get(f"views alone, {way.split(',')[0]}", rates["views alone, memory"])
            bound = limit if way == "views" else min(limit, bound)
            part.note(f"{way} / limit", rates[way] / limit)
            part.note(f"{way} / slower of limit and views alone", rates[way] / bound)
    check_ahead(encoder, part, ready)


def where_time_goes(encoder, part, way, run):
    """Note how long the thread that feeds the GPU does what, a batch."""
    from sklearn_cdul.encoders import batches as batches_module

    spent = dict.fromkeys(("collecting", "launching", "waiting for the device"), 0.0)
    n_batches = 0

    def timed(function, what):
        def other(*arguments):
            start = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                spent[what] += time.perf_counter() - start

        return other

    start_views, concatenate = encoder.start_views, batches_module._concatenate

    def start_timed(views):
        nonlocal n_batches
        n_batches += 1
        return timed(timed(start_views, "launching")(views), "waiting for the device")

    encoder.start_views, batches_module._concatenate = start_timed, timed(concatenate, "collecting")
    try:
        start = time.perf_counter()
        run()
        total = time.perf_counter() - start
    finally:
        del encoder.start_views
        batches_module._concatenate = concatenate
    for what, seconds in spent.items():
        part.note(f"{way}, ms a batch {what}", 1000 * seconds / n_batches)
    part.note(f"{way}, ms a batch", 1000 * total / n_batches)


def check_ahead(encoder, part, photos):
    """Batches that overlap must give what single ones give."""
    many = encoder.encode_images(photos, grid_size=1, batch_size=7)
    single = np.concatenate([encoder.encode_images([p], grid_size=1) for p in photos[:5]])
    part.note("smallest cosine with single photos", float((many[:5] * single).sum(-1).min()))


def trainer_of(part, network, image_size, batch_size, n_photos):
    """A trainer, its source with kept pictures, and labels."""
    from sklearn_cdul.devices import resolve_precision
    from sklearn_cdul.images.reading import check_images
    from sklearn_cdul.training.batches import PhotoSource
    from sklearn_cdul.training.trainer import Trainer, TrainingSettings

    photos = check_images(cycled(part.photos(min(n_photos, 64), 480), n_photos))
    source = PhotoSource(
        photos, image_size=image_size, device=part.device, keep="training", n_jobs=-1
    )
    settings = TrainingSettings(
        epochs=3,
        warmup_epochs=1,
        update_interval=1,
        update_rate=0.5,
        sigma=1.0,
        cumulative_updates=False,
        linear_probe=False,
        batch_size=batch_size,
        learning_rate=1e-4,
        head_learning_rate=1e-4,
        weight_decay=1e-4,
        verbose=False,
    )
    fresh = source.build_network(network, 20, regions=2)
    assert source.precision == resolve_precision("auto", part.device)
    labels = np.random.default_rng(0).random((n_photos, 20), dtype=np.float32)
    return Trainer(fresh, settings), source, labels


def train(part):
    from torchvision.transforms import v2

    from sklearn_cdul.devices import memory_format
    from sklearn_cdul.training.alignment import LabelState, kl_divergence, latents_from_labels
    from sklearn_cdul.training.crops import cut_together, draw_crop
    from sklearn_cdul.training.network import forward

    tiny = part.options.tiny
    resnet = functools.partial(__import__("timm").create_model, "resnet101")
    tasks = [("embedded", "embedded", 320, 16), ("embedded", "embedded", 320, 64)]
    tasks.append(("resnet101", resnet, 448, 16))
    if tiny:
        tasks = [("embedded", "embedded", 64, 4)]
    for name, network, size, batch_size in tasks:
        n_photos = 2 * batch_size if tiny else 512
        trainer, source, labels = trainer_of(part, network, size, batch_size, n_photos)
        state = LabelState(latents_from_labels(torch.tensor(labels)).to(part.device))
        step_a, _ = trainer._gradient_steps(trainer.network, source)
        step_a.scheduler = None
        n_steps = n_photos // batch_size
        step_a(state)  # decodes and keeps the pictures
        keep = source._training_size
        pictures = [torch.from_numpy(source.photos.picture(i, keep)) for i in range(n_photos)]
        there = torch.stack(pictures[:batch_size]).to(part.device)
        crop = v2.Compose(
            [
                v2.RandomResizedCrop(size, scale=(0.5, 1.0), antialias=True),
                v2.RandomHorizontalFlip(),
            ]
        )
        targets = torch.rand(batch_size, 20, device=part.device)
        layout = memory_format(part.device)
        ready = torch.stack([crop(p) for p in pictures[:batch_size]]).to(part.device)
        ready = ready.contiguous(memory_format=layout)

        def step(inputs, trainer=trainer, source=source, targets=targets):
            logits = forward(trainer.network, inputs, source.training_precision)
            loss = kl_divergence(targets, logits).mean()
            trainer._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            trainer._optimizer.step()

        def alone(count, step=step, ready=ready):
            for _ in range(count):
                step(ready)

        def bare(count, step=step, crop=crop, pictures=pictures, batch_size=batch_size):
            for number in range(count):
                first = number * batch_size % len(pictures)
                batch = [crop(picture) for picture in pictures[first : first + batch_size]]
                batch = torch.stack(batch)
                if part.device.type == "cuda":
                    batch = batch.pin_memory()
                batch = batch.to(part.device, non_blocking=True)
                step(batch.contiguous(memory_format=torch.channels_last))

        def augment(count, crop=crop, pictures=pictures, batch_size=batch_size):
            for _ in range(count):
                torch.stack([crop(picture) for picture in pictures[:batch_size]])

        def augment_there(count, there=there, size=size):
            for _ in range(count):
                cut_together(there, [draw_crop(picture) for picture in there], size)

        def ours(count, step_a=step_a, state=state, n_steps=n_steps):
            for _ in range(max(count // n_steps, 1)):
                step_a(state)

        title = f"{name}, {size} px, batches of {batch_size}"
        print(title, flush=True)
        rates = part.rates(
            {
                f"{title}, step alone": (alone, 4),
                f"{title}, bare loop": (bare, 4),
                f"{title}, ours": (ours, n_steps),
                f"{title}, augmentation alone, CPU": (augment, 4),
                f"{title}, augmentation alone, on the device": (augment_there, 4),
            },
            "steps",
        )
        part.note(
            f"{title}, ours / bare loop", rates[f"{title}, ours"] / rates[f"{title}, bare loop"]
        )
        part.note(
            f"{title}, ours / step alone", rates[f"{title}, ours"] / rates[f"{title}, step alone"]
        )
        part.profile(f"train {title}", lambda ours=ours, n=n_steps: ours(n))
        start = time.perf_counter()
        trainer.train(source, labels, None)
        part.note(
            f"{title}, Trainer.train with {3 * n_steps} steps, s", time.perf_counter() - start
        )


def predict(part):
    from sklearn_cdul.images.reading import check_images, read_pictures
    from sklearn_cdul.training.batches import PhotoSource
    from sklearn_cdul.training.network import forward, output_layer, predict_logits
    from sklearn_cdul.training.trainer import read_features

    tiny = part.options.tiny
    size = 64 if tiny else 320
    count = 8 if tiny else 1024
    batch = 4 if tiny else 256
    decoded = part.photos(4 if tiny else 64, 480)

    def source_of(images, n_jobs=-1, keep=None):
        return PhotoSource(
            check_images(images), image_size=size, device=part.device, n_jobs=n_jobs, keep=keep
        )

    kept = source_of(cycled(decoded, count), keep="prediction")
    network = kept.build_network("embedded", 20, regions=2).eval()
    predict_logits(network, kept, kept.precision)  # now its pictures are kept
    ready = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8, device=part.device)
    ready = ready.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def alone(n):
        for _ in range(max(n // batch, 1)):
            forward(network, ready, kept.precision)

    with tempfile.TemporaryDirectory() as folder:
        files = cycled(part.files(folder, len(decoded), 500), count)

        def read(n):
            photos = check_images(files[:n])
            for _ in read_pictures(photos, size, indices=range(n), n_jobs=-1):
                pass

        def times(function):
            return lambda n: [function() for _ in range(n // count)]

        layer, precision = output_layer(network), kept.precision
        ways = {
            "pictures kept in memory": lambda: predict_logits(network, kept, precision),
            "features of kept pictures": lambda: read_features(network, layer, kept),
            "files, n_jobs=-1": lambda: predict_logits(network, source_of(files), precision),
            "files, n_jobs=None": lambda: predict_logits(
                network, source_of(files, None), precision
            ),
            "files brought to the device, n_jobs=-1": lambda: list(
                map(len, source_of(files).prediction({}))
            ),
            "decoding alone, n_jobs=-1": lambda: read(count),
        }
        ways = {name: (times(function), count) for name, function in ways.items()}
        rates = part.rates({"network alone": (alone, batch)} | ways, "photos")
    for name in ("pictures kept in memory", "features of kept pictures"):
        part.note(f"{name} / network alone", rates[name] / rates["network alone"])
    slower = min(rates["network alone"], rates["decoding alone, n_jobs=-1"])
    part.note("files / slower of network and decoding", rates["files, n_jobs=-1"] / slower)
    part.profile("predict, kept", lambda: predict_logits(network, kept, kept.precision))


def decode(part):
    from torchvision.io import ImageReadMode, decode_jpeg, read_file
    from torchvision.transforms.v2 import functional

    from sklearn_cdul.images.photos import make_picture
    from sklearn_cdul.images.reading import map_images
    from sklearn_cdul.images.views import Preprocessing, make_views, snippet_boxes

    tiny = part.options.tiny
    preprocessing = Preprocessing((224, 224), "shortest")
    views = functools.partial(make_views, grid_size=3, preprocessing=preprocessing)
    picture = functools.partial(make_picture, size=320)
    n_cores = os.cpu_count()
    for size in (320,) if tiny else (320, 500, 1500):
        with tempfile.TemporaryDirectory() as folder:
            paths = part.files(folder, 2 if tiny else 64, size)
            data = [read_file(str(path)) for path in paths]

            def mapped(function, n_jobs, least, paths=paths):
                def way(count):
                    photos = cycled(paths, count)
                    for _ in map_images(function, photos, n_jobs=n_jobs, min_size=least):
                        pass

                return way

            def torch_on(device, data=data):
                def way(count):
                    for start in range(0, count, 32):
                        some = cycled(data, min(32, count - start))
                        if device == "cpu":
                            [decode_jpeg(jpeg, ImageReadMode.RGB) for jpeg in some]
                        else:
                            decode_jpeg(some, ImageReadMode.RGB, device=device)

                return way

            def views_there(images):
                all_views = []
                for image in images:
                    height, width = image.shape[1:]
                    for left, top, right, bottom in (
                        (0, 0, width, height),
                        *snippet_boxes(width, height, 3),
                    ):
                        view = image[:, top:bottom, left:right]
                        view = functional.resize(
                            view, [224], functional.InterpolationMode.BICUBIC, antialias=True
                        )
                        all_views.append(functional.center_crop(view, [224, 224]))
                return torch.stack(all_views)

            def all_there(count, data=data, views_there=views_there):
                for start in range(0, count, 32):
                    some = cycled(data, min(32, count - start))
                    views_there(decode_jpeg(some, ImageReadMode.RGB, device=str(part.device)))

            ways = {}
            for n_jobs in (1, n_cores):
                ways[f"{size} px, picture of 320, {n_jobs} threads"] = (
                    mapped(picture, n_jobs, (320, 320)),
                    2 if tiny else 64,
                )
                ways[f"{size} px, ten views of 224, {n_jobs} threads"] = (
                    mapped(views, n_jobs, (672, 672)),
                    2 if tiny else 64,
                )
            ways[f"{size} px, torchvision on the CPU, whole, 1 thread"] = (
                torch_on("cpu"),
                2 if tiny else 32,
            )
            if part.device.type == "cuda":
                ways[f"{size} px, nvJPEG, whole"] = (torch_on(str(part.device)), 64)
                ways[f"{size} px, nvJPEG and ten views on the GPU"] = (all_there, 64)
            part.rates(ways, "photos")
            if part.device.type == "cuda":
                mine = views(Image.open(paths[0]).convert("RGB")).astype(int)
                decoded = decode_jpeg([data[0]], ImageReadMode.RGB, device=str(part.device))
                theirs = views_there(decoded).permute(0, 2, 3, 1).cpu().numpy().astype(int)
                part.note(
                    f"{size} px, mean difference of GPU views", float(np.abs(mine - theirs).mean())
                )
                part.note(f"{size} px, largest difference", int(np.abs(mine - theirs).max()))


def compile_(part):
    """What torch.compile and weights in half precision would bring."""
    import copy

    from sklearn_cdul.devices import autocast

    for name in ENCODERS[:1] if part.options.tiny else ("ViT-L-14", "ViT-B-32"):
        encoder = make_encoder(name, part)
        batch = 4 if part.options.tiny else 320
        size = encoder.preprocessing.image_size
        pixels = torch.randn(batch, 3, *size, device=part.device)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        tower = encoder._model.visual
        half = copy.deepcopy(tower).to(encoder.dtype)
        compiled = torch.compile(tower)

        def run(network, inputs, cast, batch=batch, encoder=encoder):
            @torch.inference_mode()
            def way(count):
                with autocast(part.device, encoder.dtype if cast else torch.float32):
                    for _ in range(max(count // batch, 1)):
                        network(inputs)

            return way

        start = time.perf_counter()
        run(compiled, pixels, True)(batch)
        part.sync()
        part.note(f"{name}, seconds to compile", time.perf_counter() - start)
        part.rates(
            {
                f"{name}, autocast": (run(tower, pixels, True), batch),
                f"{name}, weights in {encoder.dtype}": (
                    run(half, pixels.to(encoder.dtype), False),
                    batch,
                ),
                f"{name}, compiled": (run(compiled, pixels, True), batch),
            },
            "views",
        )


def run_part(options):
    part = Part(options)
    started = time.perf_counter()
    try:
        kind, _, name = options.part.partition(" ")
        if kind == "encode":
            encode(part, name)
        else:
            {"train": train, "predict": predict, "decode": decode, "compile": compile_}[kind](part)
    finally:
        if part.device.type == "cuda":
            part.note("peak GPU memory, GB", torch.cuda.max_memory_allocated() / 1e9)
        part.note("part took, s", time.perf_counter() - started)


def machine(options):
    facts = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "device": options.device,
    }
    for package in PACKAGES:
        try:
            facts[package] = version(package)
        except ImportError:
            facts[package] = "from source"
    if torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
        facts["cuda"] = torch.version.cuda
    return facts


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("."), metavar="DIR", help="for gpu.json")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seconds", type=float, default=0.4, help="a way and round, at least")
    parser.add_argument("--rounds", type=int, default=2, help="of which the median is taken")
    parser.add_argument("--total", type=float, default=500, help="seconds after which none begins")
    parser.add_argument("--tiny", action="store_true", help="to test this script")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.part:
        run_part(options)
        return
    began = time.perf_counter()
    results = {"machine": machine(options), "parts": {}, "errors": {}}
    print(json.dumps(results["machine"]), flush=True)
    for name in options.parts:
        left = options.total - (time.perf_counter() - began)
        if left < 20:
            results["errors"][name] = "no time left"
            continue
        print(f"\n{name}", flush=True)
        command = [sys.executable, __file__, "--part", name, "--out", str(options.out)]
        command += ["--device", options.device, "--seconds", str(options.seconds)]
        command += ["--rounds", str(options.rounds)]
        command += ["--tiny"] if options.tiny else []
        try:
            code = subprocess.run(command, timeout=min(PARTS[name], left)).returncode
            if code:
                results["errors"][name] = f"ended with {code}"
        except subprocess.TimeoutExpired:
            results["errors"][name] = "took too long"
        file = part_file(options, name)
        if file.exists():
            results["parts"][name] = json.loads(file.read_text())
            file.unlink()
        (options.out / "gpu.json").write_text(json.dumps(results, indent=1))
    print(f"\n{time.perf_counter() - began:.0f} s; errors: {results['errors'] or 'none'}")


if __name__ == "__main__":
    main()
