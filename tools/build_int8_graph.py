"""Write the graph of the bundled encoder's image tower in int8, with its weights.

    python tools/build_int8_graph.py

It takes the graph that `build_cpu_graph.py` makes, folds batch normalisation into the weights, and
measures on 40 views of the bundled training photos between which bounds each layer's numbers lie.
Then layers and sums become ONNX Runtime's in 8 bits:

* The first layer stays in float32, which costs next to nothing.
* Weights have a scale for each channel that a layer gives, and 7 of the 8 bits. CPUs with AVX2 but
  without VNNI add two products in 16 bits, which would overflow with all 8: so all CPUs agree.
* Rounding a layer's weights shifts the mean of what it gives. The bias takes that back.

The graph takes normalised pixels (b, 3, h, w) of any size and gives the feature map
(b, 1280, i, j), as the other does. Needs the extra "onnx"; takes half a minute.
"""

from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
from build_cpu_graph import build
from onnx import ModelProto, helper, numpy_helper

from sklearn_cdul.compute.cpu_engine import INT8_GRAPH
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.encoders.loading import load_encoder
from sklearn_cdul.images.reading import map_images
from sklearn_cdul.images.views import make_views

PATH = Path(__file__).parents[1] / f"sklearn_cdul/compute/graphs/{INT8_GRAPH}.onnx"
N_VIEWS = 40
LARGEST_WEIGHT = 63  # in 7 bits
LARGEST = 255  # of what layers give


def folded():
    """Nodes of the graph without batch normalisation, and the weights and biases by name."""
    weights = load_encoder(device="cpu", precision="float32")._model.visual.trunk.state_dict()
    weights = {name: tensor.double().numpy() for name, tensor in weights.items()}
    nodes, values = [], {"zero": np.array(0.0), "six": np.array(6.0)}
    for node in build().graph.node:
        if node.op_type == "BatchNormalization":
            conv = nodes[-1]
            gain, shift, mean, variance = (weights[name] for name in node.input[1:])
            gain = gain / np.sqrt(variance + node.attribute[0].f)
            weight = conv.input[1]
            bias = weight.replace("weight", "bias")
            values[weight] = weights[weight] * gain[:, None, None, None]
            values[bias] = shift - mean * gain
            conv.input.append(bias)
            conv.output[0] = node.output[0]
        else:
            nodes.append(node)
    return nodes, values


def model(nodes, values, outputs):
    """A model of the nodes; ``values`` are arrays by name."""
    original = build().graph
    given = [numpy_helper.from_array(value, name) for name, value in values.items()]
    graph = helper.make_graph(nodes, INT8_GRAPH, list(original.input), outputs, given)
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=sets, ir_version=8)


def calibration_pixels():
    """Normalised pixels of views of the bundled training photos, drawn at random."""
    encoder = load_encoder(device="cpu", precision="float32")
    random = np.random.default_rng(0)
    photos = random.permutation(load_food_photos(subset="train").data)[:N_VIEWS]
    cut = partial(make_views, grid_size=3, preprocessing=encoder.preprocessing)
    for views in map_images(cut, list(photos)):
        yield encoder._pixels(views[[random.integers(len(views))]]).numpy()


def statistics(nodes, values, names):
    """Lowest and highest number, and the mean of each channel, by the tensor's name."""
    outputs = [helper.make_empty_tensor_value_info(name) for name in names]
    single = {name: value.astype(np.float32) for name, value in values.items()}
    whole = model(nodes, single, outputs).SerializeToString()
    session = onnxruntime.InferenceSession(whole, providers=["CPUExecutionProvider"])
    runs = [
        [(a.min(), a.max(), a.mean(axis=(0, 2, 3))) for a in session.run(None, {"pixels": pixels})]
        for pixels in calibration_pixels()
    ]
    result = {}
    for name, seen in zip(names, zip(*runs, strict=True), strict=True):
        lows, highs, means = zip(*seen, strict=True)
        result[name] = min(0, *lows), max(0, *highs), np.mean(means, axis=0)
    return result


class Quantizer:
    """The graph in 8 bits, as its nodes are met."""

    def __init__(self, ranges):
        self.ranges = ranges  # what `statistics` returns
        self.nodes, self.values = [], {}

    def scale(self, name):
        """What a step of a tensor's integers stands for."""
        low, high, _ = self.ranges[name]
        return (high - low) / LARGEST

    def places(self, name):
        """Names of a tensor's scale and of the integer that stands for 0."""
        scale = self.scale(name)
        self.values[f"{name}/scale"] = np.float32(scale)
        self.values[f"{name}/zero"] = np.uint8(round(-self.ranges[name][0] / scale))
        return [f"{name}/scale", f"{name}/zero"]

    def layer(self, conv, output, weight, bias):
        """A convolution of integers; where it gives 0 to 6, bounds make it a ReLU6."""
        x, name = conv.input[0], conv.input[1]
        # No bias is so large against the scale that it leaves 32 bits, dead channels' neither.
        scale = np.abs(weight).max(axis=(1, 2, 3)) / LARGEST_WEIGHT
        scale = np.maximum(scale, np.abs(bias) / (2**30 * self.scale(x)))
        rounded = np.rint(weight / scale[:, None, None, None])
        shift = (rounded * scale[:, None, None, None] - weight).sum(axis=(2, 3))
        means = self.ranges[x][2]
        depthwise = weight.shape[1] == 1
        bias = bias - (shift[:, 0] * means if depthwise else shift @ means)
        self.values[name] = rounded.astype(np.int8)
        self.values[f"{name}/scale"] = scale.astype(np.float32)
        self.values[f"{name}/zero"] = np.zeros(len(scale), np.int8)
        self.values[conv.input[2]] = np.rint(bias / (scale * self.scale(x))).astype(np.int32)
        of_weights = [name, f"{name}/scale", f"{name}/zero"]
        inputs = [x, *self.places(x), *of_weights, *self.places(output), conv.input[2]]
        node = helper.make_node("QLinearConv", inputs, [output])
        node.attribute.extend(conv.attribute)
        self.nodes.append(node)

    def sum(self, add):
        """A sum of integers."""
        inputs = [part for x in add.input for part in (x, *self.places(x))]
        inputs += self.places(add.output[0])
        node = helper.make_node("QLinearAdd", inputs, add.output, domain="com.microsoft")
        self.nodes.append(node)


def build_int8() -> ModelProto:
    """Make the graph."""
    nodes, values = folded()
    activated = {node.input[0]: node.output[0] for node in nodes if node.op_type == "Clip"}
    given = [node.output[0] for node in nodes if node.output[0] not in activated]
    quantizer = Quantizer(statistics(nodes, values, given))
    stem, relu6, *layers = nodes
    first = relu6.output[0]
    relu6.output[0] = f"{first}/float"
    for name in (*stem.input[1:], *relu6.input[1:]):
        quantizer.values[name] = values[name].astype(np.float32)
    start = helper.make_node("QuantizeLinear", [*relu6.output, *quantizer.places(first)], [first])
    quantizer.nodes += [stem, relu6, start]
    for node in layers:
        if node.op_type == "Conv":
            output = activated.get(node.output[0], node.output[0])
            quantizer.layer(node, output, values[node.input[1]], values[node.input[2]])
        elif node.op_type == "Add":
            quantizer.sum(node)
    end = helper.make_node("DequantizeLinear", ["map", *quantizer.places("map")], ["map/float"])
    result = model([*quantizer.nodes, end], quantizer.values, list(build().graph.output))
    result.graph.output[0].name = "map/float"
    return result


if __name__ == "__main__":
    PATH.write_bytes(build_int8().SerializeToString())
    print(f"{PATH.name}: {PATH.stat().st_size / 1e6:.1f} MB")
