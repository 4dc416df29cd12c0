"""What the metadata of an exported ONNX file tell whoever runs it, each value as JSON."""

import json
from collections.abc import Mapping
from typing import Any

# Raise it with any change in the meaning of the values, or if a reader needs to know more.
_FORMAT = 1
_AGAIN = "Export the classifier again with the version of sklearn_cdul that is installed here"


def write_metadata(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts that stand for values, with the number of the format."""
    return {key: json.dumps(value) for key, value in {"format": _FORMAT, **values}.items()}


def read_metadata(texts: Mapping[str, str], path: str) -> dict[str, Any]:
    """Return the values; a file that another program or version wrote is refused."""
    if not {"class_names", "thresholds"} <= set(texts):
        raise ValueError(
            f"{path} was not written by CDULClassifier.export_onnx: its metadata have no class "
            "names and thresholds."
        )
    if texts.get("format") != str(_FORMAT):
        age = "a newer" if texts.get("format", "").isdigit() else "an older"
        raise ValueError(f"{path} was written by {age} version of sklearn_cdul. {_AGAIN}.")
    known = ("class_names", "thresholds", "image_size", "preprocessing", "feature_names", "origin")
    try:
        return {key: json.loads(texts[key]) for key in known if key in texts}
    except ValueError as error:
        raise ValueError(f"The metadata of {path} are damaged: {error}. {_AGAIN}.") from None
