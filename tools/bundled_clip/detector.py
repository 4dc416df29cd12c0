"""NanoDet, an object detector of 80 classes, run with PyTorch from its TensorFlow.js files."""

import base64
import json
import math

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from sklearn_cdul.class_names.vocabularies import VOCABULARIES

SIZE = 416  # its input in pixels
MEAN, STD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)  # of blue, green and red
CLASSES = list(VOCABULARIES["coco"])


class NanoDet:
    """What ``nanodet.json`` and the weights beside it describe, up to the confidences."""

    def __init__(self, path):
        model = json.loads(path.read_text())
        self.nodes = {node["name"]: node for node in model["modelTopology"]["node"]}
        self.weights = {}
        (group,) = model["weightsManifest"]
        data, start = b"".join((path.parent / name).read_bytes() for name in group["paths"]), 0
        for weight in group["weights"]:
            stored = np.dtype(weight.get("quantization", weight)["dtype"])
            values = np.frombuffer(data, stored, math.prod(weight["shape"]), start)
            start += values.nbytes
            values = values.reshape(weight["shape"]).astype(weight["dtype"])
            self.weights[weight["name"]] = torch.from_numpy(values)
        self.outputs = [name for name, node in self.nodes.items() if node["op"] == "Sigmoid"]

    @torch.inference_mode()
    def __call__(self, path):
        """How sure it is that the photo of a file shows each of CLASSES, (80,)."""
        with Image.open(path) as image:
            pixels = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        pixels = (np.asarray(pixels, np.float32)[..., ::-1] - MEAN) / STD
        found = {"input_1": torch.from_numpy(pixels.astype(np.float32).transpose(2, 0, 1)[None])}
        maps = [self._compute(name, found) for name in self.outputs]
        return np.max([cells.amax(dim=(0, 2, 3)).numpy() for cells in maps], axis=0)

    def _compute(self, name, found):
        """The output of a node, and in ``found`` that of all it needs."""
        name, _, part = name.partition(":")
        if name not in found:
            node = self.nodes[name]
            inputs = [self._compute(other, found) for other in node.get("input", [])]
            found[name] = self.weights[name] if node["op"] == "Const" else _apply(node, *inputs)
        result = found[name]
        return result[int(part or 0)] if isinstance(result, tuple) else result


def _apply(node, x, *others):
    """What an operation of TensorFlow makes of its inputs."""
    operation, attributes = node["op"], node["attr"]
    if operation in ("Add", "AddV2"):
        return x + others[0]
    if operation == "Transpose":
        return x.permute(others[0].tolist())
    if operation == "ConcatV2":
        return torch.cat([x, *others[:-1]], int(others[-1]))
    if operation == "SplitV":
        return x.split(others[0].tolist(), int(others[1]))
    if operation in ("Pad", "PadV2"):
        widths = others[0].flip(0).flatten().tolist()
        return functional.pad(x, widths, value=float(others[1]) if others[1:] else 0.0)
    if operation == "LeakyRelu":
        return functional.leaky_relu(x, attributes["alpha"]["f"])
    if operation == "Sigmoid":
        return x.sigmoid()
    return _on_images(operation, attributes, x.permute(0, 3, 1, 2), *others).permute(0, 2, 3, 1)


def _on_images(operation, attributes, x, *others):
    """The same, for images with channels first."""
    if operation == "ResizeBilinear":
        return functional.interpolate(x, tuple(others[0].tolist()), mode="bilinear")
    if base64.b64decode(attributes["padding"]["s"]) != b"VALID":
        raise ValueError("this network pads in its convolutions")
    strides = [int(size) for size in attributes["strides"]["list"]["i"][1:3]]
    if operation == "MaxPool":
        kernel = [int(size) for size in attributes["ksize"]["list"]["i"][1:3]]
        return functional.max_pool2d(x, kernel, strides)
    if operation != "Conv2D":
        raise ValueError(f"unknown operation {operation}")
    kernels = others[0].permute(3, 2, 0, 1)
    return functional.conv2d(x, kernels, stride=strides, groups=x.shape[1] // kernels.shape[1])
