"""Encoding, training and prediction on a GPU or CPU, each against its network alone.

Weights are random: speed does not depend on them. All ways of a table are timed in turn, and
medians are compared. "Of network" is the share of the speed that the network alone reaches on
tensors that are ready on the device. "Of bound" adds what the CPU must do before: where the device
is a GPU it works meanwhile, and the slower of both counts; a CPU has to do one after the other.

"memory" are decoded photos that are cut into ten views, "files" the same as JPEG files of 500
pixels, "ready" photos of the encoder's input size in memory, one view each. The bare loop of
training crops and flips pictures that are kept in memory by torchvision, a photo at a time.

    python benchmarks/bench_limits.py --device cuda

On a CPU leave out the encoders with ``--parts train predict``; bench_encode.py times the bundled
one. ``--tiny`` runs everything with small models and few photos, to test the script.
"""

import functools
import tempfile
import time
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import common
import numpy as np
import open_clip
import timm
import torch
from PIL import Image
from torchvision.transforms import v2

from sklearn_cdul.compute.devices import autocast, memory_format, resolve_device, resolve_precision
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.encoders.clip import CLIPEncoder
from sklearn_cdul.encoders.embedding import embed_photos
from sklearn_cdul.images.items import check_images
from sklearn_cdul.images.pictures import PictureCache
from sklearn_cdul.images.reading import map_images, read_pictures
from sklearn_cdul.images.views import Preprocessing, make_views, required_size
from sklearn_cdul.training import GradientTraining
from sklearn_cdul.training.alignment import LabelState, kl_divergence, latents_from_labels
from sklearn_cdul.training.batches import PhotoSource
from sklearn_cdul.training.features import read_sample
from sklearn_cdul.training.gradients import parameter_groups
from sklearn_cdul.training.logits import fastest, forward, predict_logits, prediction_precision

ENCODERS = ("ViT-B-32", "ViT-L-14", "RN50x64")
TINY_CLIP = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
N_CLASSES = 20


def rates(options, ways):
    """Units a second of each way, a pair (function, units a call), median of the rounds."""
    found = {name: [] for name in ways}
    for _ in range(options.repeats + 1):  # the first warms up
        for name, (way, n_units) in ways.items():
            n_calls, start = 0, time.perf_counter()
            while not n_calls or time.perf_counter() - start < options.seconds:
                way()
                if options.device.type == "cuda":
                    torch.cuda.synchronize()
                n_calls += 1
            found[name].append(n_calls * n_units / (time.perf_counter() - start))
    return {name: median(values[1:]) for name, values in found.items()}


def report(options, title, unit, ways, network, before):
    """Time the ways and print them; ``before`` names the CPU's part of those that have one."""
    found = rates(options, ways)
    alone = max(rate for name, rate in found.items() if name.startswith(network))
    heads = {f"{unit}/s": ".1f", "of network": ".2f", "of bound": ".2f"}
    table = common.Table(title, heads)
    for name, rate in found.items():
        share = ""
        if name in before:
            share = rate / common.bound(alone, found[before[name]], options.device)
        table.row(name, rate, "" if name in before.values() else rate / alone, share)


def photos(count, size):
    """Decoded photos (size, size * 3/4, 3)."""
    paths = load_food_photos().data[:count]
    return [
        np.asarray(Image.open(path).convert("RGB").resize((size * 3 // 4, size))) for path in paths
    ]


def files(folder, arrays):
    """Photos as JPEG files."""
    paths = [Path(folder) / f"{number}.jpg" for number in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        Image.fromarray(array).save(path, quality=90)
    return paths


def cycled(items, count):
    return [items[index % len(items)] for index in range(count)]


def repeated(function, count):
    """A function that calls the other so often."""

    def call():
        for _ in range(count):
            function()

    return call


def make_encoder(name, options):
    """An encoder of random weights, made on its device."""
    config = TINY_CLIP if options.tiny else open_clip.get_model_config(name)
    with torch.device(options.device):
        model = open_clip.CLIP(**config).eval().requires_grad_(False)
    size = config["vision_cfg"]["image_size"]
    mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    return CLIPEncoder(
        model,
        open_clip.get_tokenizer("ViT-B-32"),
        Preprocessing((size, size), "shortest", mean=mean, std=std),
        device=options.device,
        dtype=resolve_precision("auto", options.device),
    )


def encode(options):
    for name in options.encoders:
        encoder = make_encoder(name, options)
        size = encoder.preprocessing.image_size
        batch = 20 if options.tiny else 320
        count = batch if options.tiny else 8 * batch  # the device is idle during the first
        ready = [photo[: size[0], : size[1]].copy() for photo in photos(40, 2 * size[0])]
        decoded = photos(2 if options.tiny else 64, 500)

        @torch.inference_mode()
        def alone(pixels, encoder=encoder):
            with autocast(options.device, encoder.dtype):
                encoder._model.encode_image(pixels)

        def ours(images, grid_size, encoder=encoder):
            return lambda: embed_photos(encoder, images, grid_size=grid_size)

        def views(images, grid_size, encoder=encoder, batch=batch):
            cut = functools.partial(
                make_views, grid_size=grid_size, preprocessing=encoder.preprocessing
            )
            needed = required_size(grid_size, encoder.preprocessing)
            return lambda: list(
                map(len, map_images(cut, images, min_size=needed, look_ahead=2 * batch))
            )

        with tempfile.TemporaryDirectory() as folder:
            kinds = {
                "memory": (cycled(decoded, count // 10), 3),
                "files": (cycled(files(folder, decoded), count // 10), 3),
                "ready": (cycled(ready, count), 1),
            }
            ways = {}
            for n in (batch // 4, batch):
                pixels = torch.randn(n, 3, *size, device=options.device)
                pixels = pixels.to(memory_format=torch.channels_last)
                once = functools.partial(alone, pixels)
                ways[f"network alone, batches of {n}"] = (repeated(once, count // n), count)
            ways |= {kind: (ours(*images), count) for kind, images in kinds.items()}
            ways |= {f"views alone, {kind}": (views(*kinds[kind]), count) for kind in kinds}
            before = {kind: f"views alone, {kind}" for kind in kinds}
            title = f"encode, {name}, {encoder.dtype}"
            report(options, title, "views", ways, "network alone", before)


def train(options):
    resnet = functools.partial(timm.create_model, "resnet101")
    tasks = [("bundled", "bundled", 320, 16)]
    if options.tiny:
        tasks = [("bundled", "bundled", 64, 4)]
    elif options.device.type == "cuda":
        tasks += [("bundled", "bundled", 320, 64), ("resnet101", resnet, 448, 16)]
    for task in tasks:
        train_one(options, *task)


def train_one(options, name, network, size, batch_size):
    """Time a network's step alone, a bare loop around it, and our training."""
    n_steps = 32 if options.device.type == "cuda" else 2
    n_photos = n_steps * batch_size
    training = GradientTraining(batch_size=batch_size)
    larger, size = training.picture_sizes(size)
    cache = PictureCache(n_photos, [larger])
    source = PhotoSource(
        check_images(cycled(photos(min(n_photos, 64), 480), n_photos)),
        image_size=size,
        device=options.device,
        cache=cache,
    )
    network = source.build_network(network, N_CLASSES, regions=2)
    labels = torch.rand(n_photos, N_CLASSES)
    state = LabelState(latents_from_labels(labels).to(options.device))
    optimizer = torch.optim.AdamW(parameter_groups(network, 1e-4, 1e-4), weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
    bar = SimpleNamespace(update=lambda: None)
    steps = functools.partial(training._step_a, network, source, state, optimizer, scheduler, bar)
    steps()  # decodes the pictures and keeps them
    pictures = [torch.from_numpy(cache.get(index, larger)) for index in range(n_photos)]
    targets = labels[:batch_size].to(options.device)
    batch = functools.partial(augmented, crop=random_crop(size), device=options.device)

    def step(inputs):
        logits = forward(network, inputs, source.training_precision)
        optimizer.zero_grad(set_to_none=True)
        kl_divergence(targets, logits).mean().backward()
        optimizer.step()

    def bare():
        for first in range(0, n_photos, batch_size):
            step(batch(pictures[first : first + batch_size]))

    ready = functools.partial(step, batch(pictures[:batch_size]))
    ways = {
        "step alone": (repeated(ready, n_steps), n_steps),
        "bare loop": (bare, n_steps),
        "ours": (steps, n_steps),
    }
    found = rates(options, ways)
    heads = {"steps/s": ".2f", "of network": ".2f", "of bare loop": ".2f"}
    table = common.Table(f"train, {name}, {size} px, batches of {batch_size}", heads)
    for way, rate in found.items():
        table.row(way, rate, rate / found["step alone"], rate / found["bare loop"])


def random_crop(size):
    """What torchvision has for cropping and flipping a picture at random."""
    crop = v2.RandomResizedCrop(size, scale=(0.5, 1.0), antialias=True)
    return v2.Compose([crop, v2.RandomHorizontalFlip()])


def augmented(pictures, crop, device):
    """A batch on the device, cropped a picture at a time."""
    batch = torch.stack([crop(picture) for picture in pictures])
    if device.type == "cuda":
        batch = batch.pin_memory()
    there = batch.to(device, non_blocking=True)
    return there.contiguous(memory_format=memory_format(device))


def predict(options):
    size = 64 if options.tiny else 320
    batch = 256 if options.device.type == "cuda" else 10
    count = 4 * batch
    decoded = photos(min(count, 64), 480)

    def source_of(images, cache=None):
        images = check_images(images)
        return PhotoSource(images, image_size=size, device=options.device, cache=cache)

    kept = source_of(cycled(decoded, count), PictureCache(count, [size]))
    network = kept.build_network("bundled", N_CLASSES, regions=2).eval()
    precision = prediction_precision(network, kept)
    way = fastest(network, options.device, precision)
    predict_logits(network, kept)  # now its pictures are kept
    ready = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8, device=options.device)
    ready = ready.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def alone():
        forward(way, ready, precision)

    with tempfile.TemporaryDirectory() as folder:
        paths = cycled(files(folder, photos(len(decoded), 500)), count)

        def read():
            for _ in read_pictures(check_images(paths), size, indices=range(count)):
                pass

        ways = {
            "network alone": (repeated(alone, 4), count),
            "pictures kept": (lambda: predict_logits(network, kept), count),
            "features of kept pictures": (
                lambda: read_sample(network, kept, np.arange(count), None),
                count,
            ),
            "files": (lambda: predict_logits(network, source_of(paths)), count),
            "decoding alone": (read, count),
        }
        title = f"predict, bundled, {size} px, {precision}"
        report(options, title, "photos", ways, "network alone", {"files": "decoding alone"})


PARTS = {"encode": encode, "train": train, "predict": predict}


def main():
    parser = common.parser(__doc__, "repeats", "json", repeats=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS))
    parser.add_argument("--seconds", type=float, default=0.5, help="a way and round, at least")
    parser.add_argument("--tiny", action="store_true", help="to test this script")
    options = common.parse(parser)
    options.device = resolve_device(options.device)
    if options.tiny:
        options.encoders, options.seconds, options.repeats = options.encoders[:1], 0, 1
    torch.manual_seed(0)
    for part in options.parts:
        PARTS[part](options)
    common.write_tables(options)


if __name__ == "__main__":
    main()
