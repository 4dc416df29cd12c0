"""Write the graph of the bundled encoder's image tower that ONNX Runtime runs, without weights.

    python tools/build_cpu_graph.py

It walks through timm's EfficientNet-Lite2 and writes to `sklearn_cdul/compute/graphs/`. The graph
takes normalised pixels (b, 3, h, w) of any size and gives the feature map (b, 1280, i, j). Each
weight has the name that it has in timm and is marked as stored elsewhere: `compute/cpu_engine.py`
hands over the weights of a network when it starts ONNX Runtime. torch's own exporter takes minutes
where height and width are left open, and its graph holds the weights. Needs the extra "onnx"; takes
a second.
"""

from pathlib import Path

import timm
from onnx import ModelProto, TensorProto, helper
from torch import nn

ARCHITECTURE = "tf_efficientnet_lite2"
PATH = Path(__file__).parents[1] / f"sklearn_cdul/compute/graphs/{ARCHITECTURE}.onnx"
FLOAT = TensorProto.FLOAT


class Graph:
    """Nodes and weights of the graph of a network, as they are met."""

    def __init__(self, network):
        self.names = {module: name for name, module in network.named_modules()}
        self.nodes = []
        # The bounds of ReLU6.
        self.weights = [
            helper.make_tensor("zero", FLOAT, [], [0]),
            helper.make_tensor("six", FLOAT, [], [6]),
        ]

    def node(self, kind, inputs, output, **attributes):
        """Add a node with one output."""
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def weight(self, module, name):
        """A weight that is stored elsewhere, by its name in timm."""
        tensor = TensorProto(name=f"{self.names[module]}.{name}", data_type=FLOAT)
        tensor.dims.extend(getattr(module, name).shape)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="-")
        self.weights.append(tensor)
        return tensor.name

    def convolution(self, x, conv, norm):
        """A convolution, batch normalisation and, where timm has one, the activation."""
        assert conv.bias is None and conv.dilation == (1, 1)
        # timm's stride 1 pads as many zeros on all sides; that is the same.
        assert type(conv).__name__ == "Conv2dSame" or conv.stride == (1, 1)
        name = self.names[conv]
        x = self.node(
            "Conv",
            [x, self.weight(conv, "weight")],
            name,
            auto_pad="SAME_UPPER",
            kernel_shape=conv.kernel_size,
            strides=conv.stride,
            group=conv.groups,
        )
        values = [self.weight(norm, n) for n in ("weight", "bias", "running_mean", "running_var")]
        x = self.node("BatchNormalization", [x, *values], f"{name}/norm", epsilon=norm.eps)
        if isinstance(norm.act, nn.Identity):
            return x
        assert isinstance(norm.act, nn.ReLU6)
        return self.node("Clip", [x, "zero", "six"], f"{name}/act")

    def block(self, x, block):
        """A block of stages 0 to 6; the first stage has two convolutions, the others three."""
        y = x
        if hasattr(block, "conv_pwl"):
            y = self.convolution(y, block.conv_pw, block.bn1)
            y = self.convolution(y, block.conv_dw, block.bn2)
            y = self.convolution(y, block.conv_pwl, block.bn3)
        else:
            y = self.convolution(y, block.conv_dw, block.bn1)
            y = self.convolution(y, block.conv_pw, block.bn2)
        return self.node("Add", [x, y], self.names[block]) if block.has_skip else y


def build() -> ModelProto:
    """Make the graph."""
    network = timm.create_model(ARCHITECTURE).eval()
    graph = Graph(network)
    x = graph.convolution("pixels", network.conv_stem, network.bn1)
    for stage in network.blocks:
        for block in stage:
            x = graph.block(x, block)
    x = graph.convolution(x, network.conv_head, network.bn2)
    graph.nodes[-1].output[0] = "map"
    pixels = helper.make_tensor_value_info("pixels", FLOAT, ["b", 3, "h", "w"])
    features = helper.make_tensor_value_info("map", FLOAT, ["b", network.num_features, "i", "j"])
    return helper.make_model(
        helper.make_graph(graph.nodes, ARCHITECTURE, [pixels], [features], graph.weights),
        opset_imports=[helper.make_opsetid("", 17)],  # old enough for ONNX Runtime 1.19
        ir_version=8,
    )


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_bytes(build().SerializeToString())
    print(f"{PATH.name}: {PATH.stat().st_size / 1000:.0f} kB")
