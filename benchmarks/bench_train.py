"""Speed of training and prediction in bfloat16 and float32, photos a second, on a CPU.

Random pixels in memory, so that nothing but the network is timed; medians over the repetitions.
The networks have random weights.
"""

import argparse
import functools
import platform
import statistics
import time

import timm
import torch

from sklearn_cdul.training.network import build_photo_network, forward


def speeds(network, pixels, precision, repeats):
    """Photos a second of a training step and of a prediction."""
    optimizer = torch.optim.AdamW(network.parameters())

    def train():
        loss = forward(network, pixels, precision).sigmoid().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def predict():
        with torch.inference_mode():
            forward(network, pixels, precision)

    result = []
    for mode, step in ((True, train), (False, predict)):
        network.train(mode)
        step()
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
        result.append(len(pixels) / statistics.median(seconds))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=["embedded", "resnet18", "convnext_atto"])
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(
        f"{'photos/s':<18}{'train bf16':>12}{'train fp32':>12}{'pred. bf16':>12}{'pred. fp32':>12}"
    )
    shape = (options.batch_size, 3, options.image_size, options.image_size)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8)
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    for name in options.networks:
        make = name if name == "embedded" else functools.partial(timm.create_model, name)
        network = build_photo_network(make, 20).to(memory_format=torch.channels_last)
        columns = [
            speeds(network, pixels, precision, options.repeats)
            for precision in (torch.bfloat16, torch.float32)
        ]
        figures = [column[mode] for mode in (0, 1) for column in columns]
        print(f"{name:<18}" + "".join(f"{figure:>12.1f}" for figure in figures), flush=True)


if __name__ == "__main__":
    main()
