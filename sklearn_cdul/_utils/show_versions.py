"""Print what a bug report needs: versions, processor and devices."""

import platform
import re
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version

from sklearn_cdul._utils.cpu import cpu_flags

_FOR_DEVELOPERS = re.compile(r"extra == ['\"](docs|dev)")
# What decides the speed: vector width, and arithmetic in 8 bits and in bfloat16.
_INSTRUCTIONS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")


def show_versions() -> None:
    """Print what a bug report needs.

    These are the versions of Python, of this package and of those that it uses, which of them are
    missing, what the processor can do and which GPUs there are. Nothing is sent anywhere.
    """
    system = {
        **_versions(["sklearn-cdul"]),
        "python": sys.version.replace("\n", " "),
        "platform": platform.platform(),
    }
    required, optional = _packages()
    for title, rows in (
        ("System", system),
        ("Required packages", _versions(required)),
        ("Optional packages", _versions(optional)),
        ("Computing", _computing()),
    ):
        print(f"\n{title}:")
        width = max(map(len, rows))
        for name, value in rows.items():
            print(f"{name:>{width}}: {value}")


def _packages() -> tuple[list[str], list[str]]:
    """Names in pip of the packages that this one requires, and of those that extras bring."""
    required, optional = [], {"huggingface-hub"}  # by which open_clip downloads weights
    try:
        lines = requires("sklearn-cdul") or []
    except PackageNotFoundError:  # a copy that was not installed
        lines = ["numpy", "scikit-learn", "torch", "open-clip-torch", "onnxruntime", "pillow"]
    for line in lines:
        name = re.split(r"[^\w.-]", line)[0]
        if "extra ==" not in line:
            required.append(name)
        elif not _FOR_DEVELOPERS.search(line):
            optional.add(name)
    return required, sorted(optional - {"sklearn-cdul"})


def _versions(packages: Iterable[str]) -> dict[str, str]:
    """Version of each package, read from its metadata without importing it."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _computing() -> dict[str, str]:
    import torch

    try:
        gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    except RuntimeError as error:  # a driver that is too old, for instance
        gpus = [str(error)]
    return {
        "torch threads": str(torch.get_num_threads()),
        "torch on the CPU": torch.backends.cpu.get_cpu_capability(),
        "CPU instructions": _cpu_instructions(),
        "CUDA of torch": torch.version.cuda or "none",
        "ROCm of torch": torch.version.hip or "none",
        "CUDA devices": "; ".join(gpus) or "none",
        "MPS": "yes" if torch.backends.mps.is_available() else "no",
    }


def _cpu_instructions() -> str:
    """Those of `_INSTRUCTIONS` that Linux lists."""
    return ", ".join(name for name in _INSTRUCTIONS if name in cpu_flags()) or "none known"
