"""show_versions prints what is really installed, and works where packages are missing."""

import os
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
    assert found["sklearn_cdul"] == sklearn_cdul.__version__
    assert found["python"].startswith(platform.python_version())
    assert found["platform"] == platform.platform()
    assert found["torch"] == version("torch")
    assert found["scikit-learn"] == version("scikit-learn")
    assert found["torch threads"] == str(torch.get_num_threads())
    assert found["CUDA devices"] == str(torch.cuda.device_count())


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


def test_it_does_not_start_cuda(capsys):
    before = torch.cuda.is_initialized()
    shown(capsys)
    assert torch.cuda.is_initialized() == before


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for nvidia-smi is a shell script")
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (
            "echo 'GPU A, 8 MiB, 550'; echo 'GPU B, 9 MiB, 550'",
            "GPU A, 8 MiB, 550; GPU B, 9 MiB, 550",
        ),
        ("echo 'no driver' >&2; exit 9", "no driver"),
    ],
)
def test_it_shows_each_gpu_or_why_there_is_none(script, expected, capsys, monkeypatch, tmp_path):
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert shown(capsys)["nvidia-smi"] == expected
