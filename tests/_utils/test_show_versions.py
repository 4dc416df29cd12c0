"""show_versions prints what is really installed, and works where packages are missing."""

import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version

import pytest
import torch

import sklearn_cdul
from sklearn_cdul._utils import show_versions as module


def shown(capsys):
    """What show_versions prints, as a dict of each line's name to its value."""
    sklearn_cdul.show_versions()
    lines = capsys.readouterr().out.splitlines()
    return dict(line.strip().split(": ", 1) for line in lines if ": " in line)


def test_it_shows_the_versions_that_are_installed(capsys):
    found = shown(capsys)
    assert found["sklearn-cdul"] == sklearn_cdul.__version__
    assert found["python"].startswith(platform.python_version())
    assert found["platform"] == platform.platform()
    assert found["torch"] == version("torch")
    assert found["scikit-learn"] == version("scikit-learn")
    assert found["torch threads"] == str(torch.get_num_threads())
    if not torch.cuda.is_available():
        assert found["CUDA devices"] == "none"


def test_it_lists_every_package_that_pip_installs_with_this_one_or_an_extra(capsys):
    found = shown(capsys)
    for requirement in requires("sklearn-cdul"):
        name = re.match(r"[\w.-]+", requirement)[0]
        for_developers = re.search(r"extra == ['\"](test|docs|dev)", requirement)
        assert name in found or for_developers, requirement


def test_a_missing_package_is_shown_as_missing(capsys, monkeypatch):
    def no_onnx(name):
        if name.startswith("onnx"):
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(module, "version", no_onnx)
    found = shown(capsys)
    assert {found[name] for name in ("onnx", "onnxscript", "onnxruntime")} == {"not installed"}
    assert found["numpy"] == version("numpy")


@pytest.mark.parametrize(
    ("name_of", "expected"),
    [
        (lambda index: f"GPU {index}", "GPU 0; GPU 1"),
        (
            lambda index: exec("raise RuntimeError('The driver is too old')"),
            "The driver is too old",
        ),
    ],
)
def test_it_shows_each_gpu_or_why_it_cant_be_used(name_of, expected, capsys, monkeypatch):
    """A stand-in: no GPU here."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", name_of)
    assert shown(capsys)["CUDA devices"] == expected
