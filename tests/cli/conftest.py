"""A folder of photos in which a user works at a shell, with a classifier that was trained there."""

import os
import shutil
from pathlib import Path

import joblib
import pytest

from sklearn_cdul.cli import main

NAMES = ["bread", "cake", "salad"]
FAST = ["--set", "grid_size=1"]
FAST_TRAINING = ["--set", "pseudo_labeler__grid_size=1", "--set", "image_size=64"]


@pytest.fixture(scope="session")
def made(food_photos, tmp_path_factory):
    """A folder with photos, names and a classifier that the command line trained."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "photos" / "deep").mkdir(parents=True)
    for path in food_photos.data[:5]:
        shutil.copy(path, folder / "photos")
    shutil.copy(food_photos.data[5], folder / "photos" / "deep" / "a photo.jpg")
    (folder / "names.txt").write_text("bread\n\n# sweet\ncake\n  salad \n")
    here = Path.cwd()
    os.chdir(folder)
    try:
        command = ["train", "photos", "--classes", "names.txt", "--out", "model.joblib"]
        assert main(command + FAST_TRAINING) == 0
    finally:
        os.chdir(here)
    return folder


@pytest.fixture(scope="session")
def onnx_file(made, exported):
    """Two files more in that folder: of one classifier of other photos, both kinds."""
    shutil.copy(exported[1], made / "model.onnx")
    joblib.dump(exported[0], made / "same.joblib")


def _copy(path, other):
    # Tests write other names into the text file; the rest is 20 MB.
    (shutil.copy if str(path).endswith(".txt") else os.link)(path, other)


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True, copy_function=_copy)
    monkeypatch.chdir(tmp_path)
    return tmp_path
