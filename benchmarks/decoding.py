"""Speed of JPEG decoders, whole and at a reduced scale, and how far their pixels differ.

Photos are scaled to each size and saved at quality 90. Each decoder makes a PIL image of the bytes
of a file: of the whole photo, or at the smallest of the scales 1, 1/2, 1/4 and 1/8 at which both
sides still have ``--least`` pixels; torchvision has no scales. The decoders take turns, and medians
are compared. Differences are those to Pillow's pixels, of 255, over all photos.

    pip install simplejpeg
    python benchmarks/decoding.py --data DIR
"""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import common
import numpy as np
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg

from sklearn_cdul.datasets import load_food_photos


def by_pillow(data, least):
    image = Image.open(BytesIO(data))
    if least:
        image.draft(None, (least, least))
    return image.convert("RGB")


def by_simplejpeg(data, least):
    import simplejpeg

    settings = {}
    if least:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        scale = next(scale for scale in (8, 4, 2, 1) if min(height, width) >= least * scale)
        settings = {"min_height": -(-height // scale), "min_width": -(-width // scale)}
    return Image.fromarray(simplejpeg.decode_jpeg(data, "RGB", **settings))


def by_torchvision(data, least):
    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    pixels = decode_jpeg(encoded, ImageReadMode.RGB)
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())


DECODERS = {"Pillow": by_pillow, "simplejpeg": by_simplejpeg, "torchvision": by_torchvision}


def differences(decoder, files, least):
    """Mean and largest difference to Pillow's pixels."""
    means, largest = [], 0
    for data in files:
        pixels = np.asarray(decoder(data, least), dtype=int) - np.asarray(by_pillow(data, least))
        means.append(np.abs(pixels).mean())
        largest = max(largest, np.abs(pixels).max())
    return np.mean(means), largest


def report(files, pixels, least, n_threads, repeats):
    def way(decoder):
        def decode_all():
            with ThreadPoolExecutor(n_threads) as pool:
                list(pool.map(lambda data: decoder(data, least).size, files))

        return decode_all

    decoders = {n: d for n, d in DECODERS.items() if not (least and n == "torchvision")}
    seconds = common.median_seconds({n: way(d) for n, d in decoders.items()}, repeats)
    scale = f"reduced to {least} px or more" if least else "whole"
    heads = {"photos/s": ".1f", "of Pillow": ".2f", "mean diff.": ".2f", "largest": ".0f"}
    table = common.Table(f"{pixels} px, {scale}, threads {n_threads}", heads)
    for name, decoder in decoders.items():
        speed = len(files) / seconds[name]
        ratio = seconds["Pillow"] / seconds[name]
        table.row(name, speed, ratio, *differences(decoder, files, least))


def main():
    parser = common.parser(__doc__, "photo-set", "repeats", "json")
    parser.add_argument("--data", type=Path, help="folder of JPEG files; default: bundled photos")
    parser.add_argument("--pixels", nargs="+", type=int, default=[320, 500, 1500])
    parser.add_argument("--least", type=int, default=320)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--n-images", type=int, default=16)
    options = common.parse(parser)
    found = sorted(options.data.glob("*.jpg")) if options.data else load_food_photos().data
    paths = found[:: max(len(found) // options.n_images, 1)][: options.n_images]
    for pixels in options.pixels:
        with tempfile.TemporaryDirectory() as folder:
            files = [p.read_bytes() for p in common.scaled_photos(paths, pixels, folder)]
        for n_threads in options.threads:
            report(files, pixels, None, n_threads, options.repeats)
            if 2 * options.least <= 3 * pixels // 4:  # else no scale is small enough
                report(files, pixels, options.least, n_threads, options.repeats)
    common.write_tables(options)


if __name__ == "__main__":
    main()
