"""A training that was killed goes on from its folder, to the result of one that was not."""

import functools
import io
import json
import os
import signal
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import timm
from numpy.testing import assert_allclose

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.memory.store import Store
from sklearn_cdul.training import GradientTraining, RidgeTraining
from sklearn_cdul.training.checkpoint import Checkpoint
from sklearn_cdul.training.features import _FeatureReader
from tests.training import fit_process
from tests.training.conftest import photo_source, train, vector_problem

# Where it does not matter which network is trained.
SMALL = {"network": functools.partial(timm.create_model, "test_resnet")}
STEPS = {"learning_rate": 1e-3, "head_learning_rate": 1e-2, "batch_size": 8}


class Stopped(Exception):
    """Stands for the end of a process."""


@pytest.fixture(scope="module")
def photos(food_photos):
    return food_photos.data[:24]


@pytest.fixture(scope="module")
def undisturbed(photos, food_labels):
    return train(GradientTraining(**STEPS), photo_source(photos), food_labels[:24], regions=1)


@pytest.fixture(autouse=True)
def _save_after_each_epoch(monkeypatch):
    monkeypatch.setattr("sklearn_cdul.training.checkpoint._SAVE_SHARE", 0)


def stopped(monkeypatch, folder, source, labels, epoch=3, **options):
    """Start a training that ends at the start of an epoch, as far as a test can end it."""
    step_a, calls = GradientTraining._step_a, []

    def counted(self, *arguments):
        calls.append(arguments)
        if len(calls) == epoch:
            raise Stopped
        return step_a(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(GradientTraining, "_step_a", counted)
        train(GradientTraining(**STEPS, checkpoint=folder), source, labels, **options)


def assert_same(result, other):
    (network, trained), (network_2, trained_2) = result, other
    for name, value in network_2.state_dict().items():
        assert_allclose(network.state_dict()[name], value, atol=1e-5, err_msg=name)
    assert_allclose(trained.labels, trained_2.labels, atol=1e-5)
    assert_allclose(trained.logits, trained_2.logits, atol=1e-5)
    for record, record_2 in zip(trained.history, trained_2.history, strict=True):
        assert record == pytest.approx(record_2, abs=1e-5)


def unfinished(folder):
    return [path for path in Path(folder).glob("fit-*") if not (path / "finished").exists()]


def test_a_training_that_was_stopped_goes_on_to_the_same_result(
    photos, food_labels, undisturbed, tmp_path, monkeypatch
):
    source, labels = photo_source(photos), food_labels[:24]
    stopped(monkeypatch, tmp_path, source, labels, regions=1)
    assert len(unfinished(tmp_path)) == 1
    epochs, step_a = [], GradientTraining._step_a
    monkeypatch.setattr(
        GradientTraining, "_step_a", lambda *given: epochs.append(1) or step_a(*given)
    )
    training = GradientTraining(**STEPS, checkpoint=tmp_path)
    assert_same(train(training, source, labels, regions=1), undisturbed)
    assert len(epochs) == 1
    assert not unfinished(tmp_path)


def test_a_training_on_vectors_goes_on_too(tmp_path, monkeypatch):
    source, labels = vector_problem()
    validation = source, (labels > 0.5).astype(int)
    stopped(monkeypatch, tmp_path, source, labels, validation=validation)
    training = GradientTraining(**STEPS, checkpoint=tmp_path)
    result = train(training, source, labels, validation=validation)
    assert_same(result, train(GradientTraining(**STEPS), source, labels, validation=validation))


@pytest.mark.parametrize("damage", ["empty", "cut", "changed", "another archive"])
def test_a_damaged_checkpoint_is_deleted_and_training_begins_anew(damage, tmp_path, monkeypatch):
    source, labels = vector_problem()
    stopped(monkeypatch, tmp_path, source, labels)
    (path,) = tmp_path.glob("fit-*/epochs.pt")
    whole = path.read_bytes()
    weight = whole.index(source.embeddings.mean(dim=0).numpy().tobytes())  # of the network
    changed = whole[:weight] + bytes(8) + whole[weight + 8 :]
    another = io.BytesIO()
    with zipfile.ZipFile(another, "w") as archive:
        archive.writestr("a.txt", "a")
    damaged = {"empty": b"", "cut": whole[:-100], "changed": changed}
    path.write_bytes((damaged | {"another archive": another.getvalue()})[damage])
    training = GradientTraining(**STEPS, checkpoint=tmp_path)
    with pytest.warns(UserWarning, match=r"epochs\.pt is damaged.*begins anew"):
        result = train(training, source, labels)
    assert_same(result, train(GradientTraining(**STEPS), source, labels))
    assert not unfinished(tmp_path)


@pytest.mark.parametrize(
    "changed", ["photos", "parameters", "regions", "observed labels", "validation"]
)
def test_another_training_starts_anew_and_says_so_once(
    changed, photos, food_labels, tmp_path, monkeypatch
):
    n, source = 9, photo_source(photos[:9], image_size=64)
    stopped(monkeypatch, tmp_path, source, food_labels[:n], epoch=2, **SMALL)
    observed = np.full((n, 3), np.nan)
    observed[0] = 1
    options = {
        "regions": {"regions": 1},
        "observed labels": {"observed": observed},
        "validation": {"validation": (source.select([0, 1, 2]), np.eye(3, dtype=int))},
    }.get(changed, {})
    if changed == "photos":
        source = photo_source(photos[1 : n + 1], image_size=64)
    epochs = 2 if changed == "parameters" else 3
    training = GradientTraining(epochs, **STEPS, checkpoint=tmp_path)
    with pytest.warns(UserWarning, match=r"1 unfinished fits of other .* fit-\w+\. .* Delete") as w:
        train(training, source, food_labels[:n], **SMALL, **options)
    assert len(w) == 1
    assert len(unfinished(tmp_path)) == 1  # of the first, which may still go on


def test_a_photo_that_was_replaced_is_another_training(photos, food_labels, tmp_path, monkeypatch):
    paths = [tmp_path / f"{number}.jpg" for number in range(9)]
    for path, photo in zip(paths, photos, strict=False):
        path.write_bytes(Path(photo).read_bytes())
    stopped(monkeypatch, tmp_path / "run", photo_source(paths), food_labels[:9], epoch=2, **SMALL)
    paths[0].write_bytes(Path(photos[1]).read_bytes())
    training = GradientTraining(**STEPS, checkpoint=tmp_path / "run")
    with pytest.warns(UserWarning, match="unfinished"):
        train(training, photo_source(paths), food_labels[:9], **SMALL)


def test_a_training_of_the_same_in_use_elsewhere_keeps_no_checkpoint(tmp_path):
    with Checkpoint(tmp_path, lambda: [b"one"]) as first:
        with pytest.warns(UserWarning, match=r"running in another process.*keeps no checkpoint"):
            second = Checkpoint(tmp_path, lambda: [b"one"])
        second.save(dict)
        assert second.load() is None
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # candidates of a search share the folder in peace
            with Checkpoint(tmp_path, lambda: [b"two"]) as third:
                third.finish()
        assert len(unfinished(tmp_path)) == 1
        first.finish()
    assert not unfinished(tmp_path)


def test_a_finished_training_is_kept_until_another_one_begins(tmp_path, monkeypatch):
    source, labels = vector_problem()
    training = GradientTraining(**STEPS, checkpoint=tmp_path)
    first = train(training, source, labels)
    with monkeypatch.context() as patch:  # the same fit need not train again
        patch.setattr(GradientTraining, "_step_a", lambda *_: pytest.fail("trained again"))
        assert_same(train(training, source, labels), first)
    train(GradientTraining(2, **STEPS, checkpoint=tmp_path), source, labels)
    assert len(list(tmp_path.glob("fit-*"))) == 1


def test_a_checkpoint_that_cannot_be_saved_ends_no_training(tmp_path):
    with Checkpoint(tmp_path, lambda: [b"one"]) as checkpoint:
        (own,) = tmp_path.glob("fit-*")
        (own / "epochs.pt.new").mkdir()
        with pytest.warns(UserWarning, match=r"can't be saved.*goes on without") as caught:
            checkpoint.save(dict)
            checkpoint.save(dict)
        assert len(caught) == 1


def test_saving_costs_a_twentieth_of_the_time_at_most(tmp_path, monkeypatch):
    saved, clock = [], [0.0]

    def slow():
        clock[0] += 10
        saved.append(1)
        return {}

    monkeypatch.setattr("sklearn_cdul.training.checkpoint._SAVE_SHARE", 20)
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    with Checkpoint(tmp_path, lambda: [b"one"]) as checkpoint:
        for _ in range(100):
            checkpoint.save(slow)
            clock[0] += 10
    assert clock[0] == 1000 + 10 * len(saved)
    assert 4 <= len(saved) <= 6


def test_a_folder_that_cannot_be_used_is_refused_before_training(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match=r"checkpoint='.*file' can't be used: .* Set it to a folder"):
        GradientTraining(checkpoint=tmp_path / "file").check(None)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
@pytest.mark.parametrize("at", ["features", "epochs"])
def test_kill_9_changes_nothing_but_the_time(at, photos, food_labels, undisturbed, tmp_path):
    np.save(tmp_path / "labels.npy", food_labels[:24])
    is_ridge = at == "features"
    job = {
        "training": ["RidgeTraining", {}]
        if is_ridge
        else ["GradientTraining", STEPS | {"checkpoint": str(tmp_path / "run")}],
        "paths": [str(photo) for photo in photos],
        "labels": str(tmp_path / "labels.npy"),
        "memory": str(tmp_path / "memory"),
        "output": str(tmp_path / "result"),
    }

    # In the third of three batches of features, or in the last of three epochs.
    command = [sys.executable, fit_process.__file__, json.dumps(job | {"kill": [at, 3]})]
    assert subprocess.run(command, timeout=300).returncode == -signal.SIGKILL
    with Store(tmp_path / "memory") as store:
        assert len(list(store)) == (20 if is_ridge else 24)
    fit_process.main(**job, kill=None)
    result = np.load(tmp_path / "result-alone.npz")
    if is_ridge:
        undisturbed = train(RidgeTraining(), photo_source(photos), food_labels[:24], regions=1)
    network, trained = undisturbed
    for name, value in network.state_dict().items():
        assert_allclose(result[name], value, atol=1e-5, err_msg=name)
    assert_allclose(result["labels"], trained.labels, atol=1e-5)
    assert_allclose(result["logits"], trained.logits, atol=1e-5)


@pytest.mark.skipif(os.name == "nt", reason="SIGINT")
@pytest.mark.parametrize("at", ["embeddings", "features", "epochs"])
def test_ctrl_c_leaves_the_classifier_as_it_was(at, photos, tmp_path, monkeypatch):
    training = GradientTraining(**STEPS) if at == "epochs" else RidgeTraining()
    labeler = CLIPPseudoLabeler(["pizza", "cake"], grid_size=1, memory=tmp_path, batch_size=10)
    model = CDULClassifier(pseudo_labeler=labeler, image_size=32, training=training)
    model.fit(photos[12:])
    before = dict(vars(model))
    steps = {"embeddings": (Store, "put"), "features": (_FeatureReader, "forward")}
    kind, name = steps.get(at, (GradientTraining, "_step_a"))
    function, calls = getattr(kind, name), []

    def counted(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return function(*arguments)

    monkeypatch.setattr(kind, name, counted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(photos)
    after = vars(model)
    assert after.keys() == before.keys()
    assert all(after[name] is value for name, value in before.items())
