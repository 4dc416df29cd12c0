"""Write the network of a fitted classifier to an ONNX file."""

import copy
import importlib
import os
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_cdul._utils.atomic_write import atomic_write
from sklearn_cdul._utils.onnx_metadata import write_metadata
from sklearn_cdul._utils.origin import origin_of
from sklearn_cdul.images.pictures import PREPROCESSING
from sklearn_cdul.training.network import EmbeddingNetwork

# Before this version of torch its exporter fails with newer onnxscript.
_NEEDED = 2, 9


def export_onnx(classifier: Any, path: str | os.PathLike[str]) -> None:
    """Write the network with its calibration and a sigmoid, see ``CDULClassifier.export_onnx``."""
    onnx = _import_onnx()
    network = classifier.network_
    properties = {
        "class_names": [str(name) for name in classifier.class_names_],
        "thresholds": classifier.thresholds_.tolist(),
        "origin": origin_of(classifier),
    }
    # Two rows: with one the exporter would take the batch axis for a constant.
    if isinstance(network, EmbeddingNetwork):
        name, example = "embeddings", torch.zeros(2, len(network.mean))
        if hasattr(classifier, "feature_names_in_"):
            properties["feature_names"] = classifier.feature_names_in_.tolist()
    else:
        size = classifier.image_size_
        name, example = "pixels", torch.zeros(2, 3, size, size, dtype=torch.uint8)
        properties |= {"image_size": size, "preprocessing": PREPROCESSING}
    model = _convert(nn.Sequential(network, _Calibrated(classifier.calibration_)), name, example)
    _remove_notes(model)
    onnx.helper.set_model_props(model, write_metadata(properties))
    with atomic_write(path) as part:
        part.write_bytes(model.SerializeToString())


class _Calibrated(nn.Module):
    """Probabilities of logits (b, k), by a calibration (k, 3)."""

    slope: Tensor
    offset: Tensor

    def __init__(self, calibration: np.ndarray):
        super().__init__()
        slope, offset, _ = torch.tensor(calibration.T, dtype=torch.float32)
        self.register_buffer("slope", slope)
        self.register_buffer("offset", offset)

    def forward(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(self.slope * logits + self.offset)


def _import_onnx() -> Any:
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < _NEEDED:
        raise ImportError(
            f"Writing ONNX files needs torch 2.9 or newer; {torch.__version__} is installed."
        )
    try:
        importlib.import_module("onnxscript")  # torch's exporter needs it
        return importlib.import_module("onnx")
    except ImportError as error:
        raise ImportError(
            "Writing ONNX files needs the packages onnx and onnxscript. Install them with "
            'pip install "sklearn-cdul[onnx]", or with pip install onnx onnxscript.'
        ) from error


@torch.no_grad()
def _convert(network: nn.Module, name: str, example: Tensor) -> Any:
    """Return a network as an onnx.ModelProto whose batch is free."""
    whole = copy.deepcopy(network).cpu().eval()
    for module in whole.modules():
        if getattr(module, "inplace", False):
            # The result is the same, and the exporter needs a third less time.
            module.inplace = False  # type: ignore[assignment]
    program = torch.onnx.export(
        whole,
        (example,),
        dynamo=True,
        optimize=True,
        verbose=False,  # else it prints its steps
        input_names=[name],
        output_names=["probabilities"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )
    assert program is not None  # it is None only with dynamo=False
    return program.model_proto


def _remove_notes(message: Any) -> None:
    """Remove the exporter's notes: stack traces with paths of this machine, on every node."""
    for field, value in message.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in value if hasattr(value, "__len__") else [value]:
                _remove_notes(part)
