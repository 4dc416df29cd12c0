"""A fit that was killed goes on from its folder, to the result of one that was not."""

import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.encoders.clip import CLIPEncoder
from sklearn_cdul.training.alignment import GradientSteps
from sklearn_cdul.training.checkpoint import Checkpoint, KeptRows
from sklearn_cdul.training.network import PhotoNetwork

NAMES = ["pizza", "cake", "coffee"]
QUICK = {"image_size": 32, "epochs": 3, "batch_size": 8, "precision": "float32", "device": "cpu"}
# Layers that are frozen, and layers that are trained.
WAYS = {"features": {}, "epochs": {"learning_rate": 1e-3, "head_learning_rate": 1e-2}}
all_ways = pytest.mark.parametrize("way", WAYS)


class Stopped(Exception):
    """Stands for the end of a process."""


@pytest.fixture(scope="module")
def photos(food_photos):
    return food_photos.data[:24]


@pytest.fixture(scope="module")
def labeler(tmp_path_factory):
    return CLIPPseudoLabeler(NAMES, grid_size=1, memory=tmp_path_factory.mktemp("memory"))


def fit(labeler, photos, way, **changes):
    settings = {**QUICK, **WAYS[way], "pseudo_labeler": labeler} | changes
    return CDULClassifier(**settings).fit(photos)


@pytest.fixture(scope="module")
def undisturbed(labeler, photos):
    return {way: fit(labeler, photos, way, random_state=0) for way in WAYS}


def stop_at(monkeypatch, kind, name, count):
    """Stop the process, as far as a test can, at some call."""
    function, calls = getattr(kind, name), []

    def counted(*arguments):
        calls.append(arguments)
        if len(calls) == count:
            raise Stopped
        return function(*arguments)

    monkeypatch.setattr(kind, name, counted)


def interrupted_fit(monkeypatch, labeler, photos, way, folder, **changes):
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr("sklearn_cdul.training.checkpoint._SAVE_SHARE", 0)  # after each epoch
        # In the third of three batches of features, or in the last of three epochs.
        stop_at(
            patch, *{"features": (KeptRows, "add"), "epochs": (GradientSteps, "__call__")}[way], 3
        )
        fit(labeler, photos, way, checkpoint=folder, **changes)


def assert_same(model, other):
    for name, value in other.network_.state_dict().items():
        assert_array_equal(model.network_.state_dict()[name], value, err_msg=name)
    for name in ("initial_pseudo_labels_", "pseudo_labels_", "thresholds_"):
        assert_array_equal(getattr(model, name), getattr(other, name), err_msg=name)
    assert model.history_ == other.history_


def unfinished(folder):
    return [path.name for path in Path(folder).glob("fit-*")]


@all_ways
def test_a_fit_that_was_stopped_goes_on_to_the_same_result(
    way, labeler, photos, undisturbed, tmp_path, monkeypatch
):
    interrupted_fit(monkeypatch, labeler, photos, way, tmp_path)
    assert len(unfinished(tmp_path)) == 1
    seen = {"pictures": 0, "epochs": 0}
    normalise, train = PhotoNetwork.normalise, GradientSteps.__call__

    def count_pictures(self, pixels):
        seen["pictures"] += len(pixels)
        return normalise(self, pixels)

    def count_epochs(self, state):
        seen["epochs"] += 1
        return train(self, state)

    monkeypatch.setattr(PhotoNetwork, "normalise", count_pictures)
    monkeypatch.setattr(GradientSteps, "__call__", count_epochs)
    model = fit(labeler, photos, way, checkpoint=tmp_path)
    assert_same(model, undisturbed[way])
    # A grey picture is looked at twice to check the network. Of the features two batches of ten
    # were kept; of the epochs all features and two epochs, and at the end comes a pass for scores.
    pictures, epochs = {"features": (2 + 4, 0), "epochs": (2 + 24 + 24, 1)}[way]
    assert seen == {"pictures": pictures, "epochs": epochs}
    assert not unfinished(tmp_path)


@all_ways
def test_a_checkpoint_changes_nothing_and_leaves_embeddings_alone(
    way, labeler, photos, undisturbed, tmp_path
):
    labeler = CLIPPseudoLabeler(**{**labeler.get_params(), "memory": None})
    assert_same(fit(labeler, photos, way, checkpoint=tmp_path), undisturbed[way])
    assert {path.name for path in tmp_path.iterdir()} == {
        "embeddings-1-000.sqlite",
        "opening.lock",
    }


@pytest.mark.parametrize(
    "changed", ["photos", "parameters", "regions", "observed labels", "validation"]
)
def test_another_fit_starts_anew_and_says_so_once(changed, labeler, photos, tmp_path, monkeypatch):
    size = {"image_size": 64} if changed == "regions" else {}  # large enough for regions
    interrupted_fit(monkeypatch, labeler, photos, "features", tmp_path, **size)
    changes = size | {"parameters": {"epochs": 2}, "regions": {"regions": 1}}.get(changed, {})
    model = CDULClassifier(
        **{**QUICK, "pseudo_labeler": labeler, "checkpoint": tmp_path, **changes}
    )
    observed = np.full((len(photos), 3), np.nan)
    observed[0] = 1
    arguments = {
        "observed labels": {"observed": observed},
        "validation": {"X_val": photos[:3], "y_val": np.eye(3, dtype=int)},
    }.get(changed, {})
    X = photos[:-1] if changed == "photos" else photos
    with pytest.warns(UserWarning, match=r"1 unfinished fits of other .* fit-\w+\. .* Delete") as w:
        model.fit(X, **arguments)
    assert len(w) == 1
    assert len(unfinished(tmp_path)) == 1  # of the first, which may still go on


def test_a_photo_that_was_replaced_is_seen_anew(labeler, photos, tmp_path, monkeypatch):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, photo in enumerate(photos):
        (folder / f"{number:02d}.jpg").write_bytes(Path(photo).read_bytes())
    paths = sorted(folder.iterdir())
    interrupted_fit(monkeypatch, labeler, paths, "features", tmp_path / "run")
    paths[0].write_bytes(Path(photos[1]).read_bytes())
    with pytest.warns(UserWarning, match="unfinished"):
        fit(labeler, paths, "features", checkpoint=tmp_path / "run")


def test_a_fit_of_the_same_in_use_elsewhere_keeps_no_checkpoint(tmp_path):
    with (
        Checkpoint(tmp_path) as first,
        Checkpoint(tmp_path) as second,
        Checkpoint(tmp_path) as third,
    ):
        first.begin(lambda: [b"one"])
        with pytest.warns(UserWarning, match=r"running in another process.*keeps no checkpoint"):
            second.begin(lambda: [b"one"])
        assert second.rows("features") is None
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            third.begin(lambda: [b"two"])  # candidates of a search share the folder in peace
        third.finish()
        assert len(unfinished(tmp_path)) == 1
        first.finish()
    assert not unfinished(tmp_path)


def test_a_torn_batch_is_cut_off_and_the_others_are_kept(tmp_path):
    batches = [np.full((2, 3), number, np.float32) for number in range(3)]
    path = tmp_path / "rows.npy"
    for batch in batches:
        KeptRows(path).add(batch)
    whole = path.read_bytes()
    for lost in (1, 20, 100, 150):  # in the numbers, and in the head of the array
        path.write_bytes(whole[:-lost])
        assert_array_equal(list(KeptRows(path).read()), batches[:2])
        KeptRows(path).add(batches[2])
        assert path.read_bytes() == whole


def test_saving_costs_a_twentieth_of_the_time_at_most(tmp_path, monkeypatch):
    class Slow:
        saved = 0

        def state_dict(self):
            clock[0] += 10
            Slow.saved += 1
            return Slow.saved

    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    with Checkpoint(tmp_path) as checkpoint:
        checkpoint.begin(lambda: [b"one"])
        for _ in range(100):
            checkpoint.save({"slow": Slow()})
            clock[0] += 10
    assert clock[0] == 1000 + 10 * Slow.saved
    assert 4 <= Slow.saved <= 6


def test_a_folder_that_cannot_be_used_is_refused_before_anything_is_encoded(
    labeler, photos, tmp_path, monkeypatch
):
    monkeypatch.setattr(CLIPEncoder, "encode_views", None)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match=r"checkpoint='.*file' can't be used: .* Set it to a folder"):
        fit(labeler, photos, "features", checkpoint=tmp_path / "file")


def run(photos, way, folder, at, count, number):
    settings = {**QUICK, **WAYS[way], "checkpoint": str(folder), "random_state": 0}
    arguments = json.dumps([NAMES, [str(photo) for photo in photos], settings, at, count, number])
    script = Path(__file__).with_name("fit_process.py")
    return subprocess.run(
        [sys.executable, script, arguments], capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
@pytest.mark.parametrize(
    "way, at, count",
    [("features", "labels", 3), ("features", "features", 3), ("epochs", "epochs", 3)],
)
def test_kill_9_changes_nothing_but_the_time(way, at, count, photos, undisturbed, tmp_path):
    assert run(photos, way, tmp_path, at, count, signal.SIGKILL).returncode == -signal.SIGKILL
    assert len(unfinished(tmp_path)) == (at != "labels")
    labeler = CLIPPseudoLabeler(NAMES, grid_size=1)
    model = fit(labeler, photos, way, checkpoint=tmp_path, random_state=0)
    assert_same(model, undisturbed[way])


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="SIGINT")
@pytest.mark.parametrize("at, count", [("labels", 2), ("features", 2), ("epochs", 2)])
def test_ctrl_c_leaves_the_estimator_as_it_was(at, count, photos, tmp_path):
    way = "epochs" if at == "epochs" else "features"
    ended = run(photos, way, tmp_path, at, count, signal.SIGINT)
    assert ended.stdout == "as it was\n", ended.stderr
