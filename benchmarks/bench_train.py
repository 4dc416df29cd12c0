"""Speed of training and prediction in bfloat16 and float32, photos a second, on a CPU.

Random pixels in memory, so that nothing but the network is timed; medians over the repetitions.
Bfloat16 is left out where the CPU has no instructions for it.
The networks have random weights. "default" is how CDULClassifier predicts with precision="auto": in
float32 by ONNX Runtime where that can run the network, else in torch, in bfloat16 where the CPU has
instructions for it. "default / torch" is that against torch in float32.
"""

import functools
from types import SimpleNamespace

import common
import timm
import torch

from sklearn_cdul.compute.devices import resolve_precision
from sklearn_cdul.training.building import build_photo_network
from sklearn_cdul.training.logits import fastest, forward, prediction_precision

CPU = torch.device("cpu")


def speeds(network, pixels, precision, repeats):
    """Photos a second of a training step, of a prediction, and of one by the fastest way."""
    optimizer = torch.optim.AdamW(network.parameters())

    def train():
        loss = forward(network, pixels, precision).sigmoid().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def predict(way):
        with torch.inference_mode():
            forward(way, pixels, precision)

    result = []
    for mode, step in (
        (True, train),
        (False, lambda: predict(network)),
        (False, lambda: predict(fastest(network, CPU, precision))),
    ):
        network.train(mode)
        result.append(len(pixels) / common.median_seconds({"step": step}, repeats)["step"])
    return result


def main():
    parser = common.parser(__doc__, "image-size", "repeats", "json", image_size=320, repeats=3)
    parser.add_argument("--networks", nargs="+", default=["bundled", "resnet18", "convnext_atto"])
    parser.add_argument("--batch-size", type=int, default=16)
    options = common.parse(parser)
    heads = ("train bf16", "train fp32", "pred. bf16", "pred. fp32", "default")
    columns = dict.fromkeys(heads, ".1f") | {"default / torch": ".2f"}
    table = common.Table("train and predict, photos/s", columns, width=28)
    shape = (options.batch_size, 3, options.image_size, options.image_size)
    auto = resolve_precision("auto", CPU)
    has_half = auto == torch.bfloat16
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8)
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    for name in options.networks:
        make = name if name == "bundled" else functools.partial(timm.create_model, name)
        network = build_photo_network(make, 20).to(memory_format=torch.channels_last)
        half, full = [
            speeds(network, pixels, precision, options.repeats) if timed else ["", "", ""]
            for precision, timed in ((torch.bfloat16, has_half), (torch.float32, True))
        ]
        source = SimpleNamespace(device=CPU, is_precision_given=False, precision=auto)
        is_half = prediction_precision(network, source) == torch.bfloat16
        default = half[2] if is_half else full[2]
        table.row(name, half[0], full[0], half[1], full[1], default, default / full[1])
    common.write_tables(options)


if __name__ == "__main__":
    main()
