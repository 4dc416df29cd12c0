"""Each image is encoded once for a folder, whoever comes first, and no number is ever wrong."""

import contextlib
import json
import os
import pickle
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.encoders.clip import CLIPEncoder
from sklearn_cdul.encoders.loading import EMBEDDED_FOLDER, load_encoder
from sklearn_cdul.exceptions import ImageError

NAMES = ["pizza", "cake", "coffee"]
# One view an image, and no rounding that depends on what else is in a batch.
SETTINGS = {"classes": NAMES, "grid_size": 1, "precision": "float32", "device": "cpu"}
N_PHOTOS = 12


@pytest.fixture(scope="module")
def photos(food_photos):
    return food_photos.data[:N_PHOTOS]


@pytest.fixture(scope="module")
def expected(photos):
    """The embeddings that are right, computed without a folder."""
    return CLIPPseudoLabeler(**SETTINGS).embed(photos)


@pytest.fixture
def labeler(tmp_path):
    return CLIPPseudoLabeler(**SETTINGS, memory=tmp_path / "cache")


@pytest.fixture
def encoded(monkeypatch):
    """How many views each forward pass of the encoder had, in this process."""
    counts = []
    encode_views = CLIPEncoder.encode_views

    def count(self, views):
        counts.append(len(views))
        return encode_views(self, views)

    monkeypatch.setattr(CLIPEncoder, "encode_views", count)
    return counts


@pytest.fixture
def own_photos(photos, tmp_path):
    """Copies that a test may change."""
    return [shutil.copy(path, tmp_path) for path in photos[:4]]


def database(folder, number=0):
    return Path(folder, f"embeddings-1-{number:03d}.sqlite")


def rows_in(folder):
    with contextlib.closing(sqlite3.connect(database(folder))) as connection:
        return connection.execute("SELECT count(*) FROM embeddings").fetchone()[0]


# the same numbers, and less work


def test_embeddings_are_the_same_to_the_bit_with_and_without_a_folder(labeler, photos, expected):
    assert_array_equal(labeler.embed(photos), expected)
    assert_array_equal(labeler.embed(photos), expected)


def test_a_second_labeler_encodes_nothing(labeler, photos, expected, encoded):
    labeler.embed(photos[:8])
    assert_allclose(clone(labeler).embed(photos[::-1]), expected[::-1], atol=1e-5)
    assert sum(encoded) == N_PHOTOS


def test_the_default_keeps_nothing(photos, encoded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        CLIPPseudoLabeler(**SETTINGS).embed(photos[:2])
    assert sum(encoded) == 4
    assert not list(tmp_path.iterdir())


def test_equal_images_in_one_list_are_encoded_once(labeler, photos, expected, encoded):
    order = [0, 1, 0, 0, 2, 1]
    assert_allclose(labeler.embed([photos[i] for i in order]), expected[order], atol=1e-5)
    assert sum(encoded) == 3


def test_only_what_changes_an_embedding_asks_for_a_new_one(labeler, photos, encoded):
    labeler.fit().transform(photos[:3])
    encoded.clear()
    same = {
        "classes": ["tea", "bread"],
        "prompt_template": "a {}",
        "temperature": 0.5,
        "local_threshold": 0.3,
        "global_weight": 0.1,
        "batch_size": 2,
        "n_jobs": 1,
    }
    clone(labeler).set_params(**same).fit().transform(photos[:3])
    assert encoded == []
    clone(labeler).set_params(grid_size=2).embed(photos[:3])
    assert sum(encoded) == 3 * 5
    clone(labeler).set_params(precision="bfloat16").embed(photos[:3])
    assert sum(encoded) == 3 * 5 + 3


def test_other_weights_ask_for_new_embeddings(labeler, photos, expected, encoded, tmp_path):
    shutil.copytree(EMBEDDED_FOLDER, tmp_path / "other")
    file = tmp_path / "other" / "open_clip_model.safetensors"
    weights = load_file(file)
    name = next(n for n in weights if n.startswith("visual.") and n.endswith("weight"))
    weights[name][0] += 0.1
    save_file(weights, file)
    other = clone(labeler).set_params(model_name=f"local-dir:{tmp_path / 'other'}")
    assert_allclose(labeler.embed(photos[:2]), expected[:2], atol=1e-5)
    assert np.abs(other.embed(photos[:2]) - expected[:2]).max() > 1e-4
    assert sum(encoded) == 4


def test_a_fingerprint_is_the_same_for_an_encoder_loaded_again():
    first = load_encoder(device="cpu", precision="float32")
    again = CLIPEncoder(
        first._model,
        first._tokenizer,
        first.preprocessing,
        device=first.device,
        dtype=first.dtype,
    )
    assert again.fingerprint == first.fingerprint
    assert load_encoder(device="cpu", precision="bfloat16").fingerprint != first.fingerprint


def test_embeddings_as_input_need_no_folder(expected, tmp_path):
    labeler = CLIPPseudoLabeler(NAMES, input="embeddings", memory=tmp_path / "cache")
    labeler.fit_transform(expected)
    assert not (tmp_path / "cache").exists()


def test_a_pickled_labeler_finds_the_folder_again(labeler, photos, encoded):
    labeler.embed(photos[:2])
    state = pickle.dumps(labeler)
    assert len(state) < 2000
    pickle.loads(state).embed(photos[:2])
    assert sum(encoded) == 2


# an entry belongs to the content


def test_a_changed_photo_under_the_same_path_is_encoded_anew(
    labeler, own_photos, photos, expected, encoded
):
    labeler.embed(own_photos)
    shutil.copyfile(photos[7], own_photos[1])
    assert_allclose(labeler.embed(own_photos), expected[[0, 7, 2, 3]], atol=1e-5)
    assert sum(encoded) == 5


def test_a_copy_under_another_path_is_not_encoded_again(labeler, photos, tmp_path, encoded):
    labeler.embed(photos[:3])
    labeler.embed([shutil.copy(path, tmp_path / f"{i}.jpg") for i, path in enumerate(photos[:3])])
    assert sum(encoded) == 3


def test_pictures_in_memory_are_known_by_their_pixels(labeler, photos, expected, encoded):
    pictures = [Image.open(path) for path in photos[:3]]
    assert_allclose(labeler.embed(pictures), expected[:3], atol=1e-5)
    labeler.embed([np.asarray(picture.convert("RGB")) for picture in pictures])
    assert sum(encoded) == 3
    labeler.embed([picture.rotate(180) for picture in pictures])
    assert sum(encoded) == 6


def test_the_orientation_is_part_of_a_picture(labeler, photos, tmp_path, encoded):
    picture = Image.open(photos[0])
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.png", exif=exif)
    picture.save(tmp_path / "upright.png", exif=Image.Exif())
    labeler.embed([Image.open(tmp_path / name) for name in ("turned.png", "upright.png")])
    assert sum(encoded) == 2


def test_a_photo_that_changes_meanwhile_is_not_stored_as_what_it_was(
    labeler, own_photos, photos, expected, monkeypatch
):
    iter_embeddings = CLIPEncoder.iter_embeddings

    def change_first(self, *args, **kwargs):
        shutil.copyfile(photos[9], own_photos[0])
        return iter_embeddings(self, *args, **kwargs)

    with monkeypatch.context() as context:
        context.setattr(CLIPEncoder, "iter_embeddings", change_first)
        # own_photos[0] and photos[0] are equal when they are read.
        result = labeler.embed([own_photos[0], own_photos[1], photos[0]])
    assert_allclose(result, expected[[9, 1, 0]], atol=1e-5)
    assert_allclose(labeler.embed(photos), expected, atol=1e-5)


def test_unreadable_images_are_named_and_never_stored(labeler, own_photos, expected, encoded):
    good = Path(own_photos[1]).read_bytes()
    Path(own_photos[1]).write_bytes(good[:500])
    with pytest.raises(ImageError) as caught:
        labeler.embed(own_photos)
    assert (caught.value.index, caught.value.path) == (1, own_photos[1])
    forgiving = clone(labeler).set_params(on_error="nan")
    X = [*own_photos, own_photos[1], "missing.jpg"]
    for _ in range(2):
        with pytest.warns(UserWarning, match="3 of 6 images"):
            result = forgiving.embed(X)
        assert np.isnan(result).any(axis=(1, 2)).tolist() == [False, True, False, False, True, True]
    assert sum(encoded) == 3
    Path(own_photos[1]).write_bytes(good)
    assert_allclose(labeler.embed(own_photos), expected[:4], atol=1e-5)


def test_a_missing_file_fails_before_anything_is_encoded(labeler, photos, encoded):
    with pytest.raises(ImageError, match=r"X\[3\] \(missing.jpg\)"):
        labeler.embed([*photos[:3], "missing.jpg"])
    assert encoded == []


def test_an_error_does_not_cost_what_was_encoded(labeler, own_photos, encoded):
    Path(own_photos[3]).write_bytes(b"no image")
    labeler.set_params(batch_size=1)
    with pytest.raises(ImageError):
        labeler.embed(own_photos)
    assert rows_in(labeler.memory) == sum(encoded) >= 1
    labeler.embed(own_photos[:3])
    assert sum(encoded) == 3


# searches and estimators


def test_a_search_encodes_each_image_once_and_the_next_one_nothing(labeler, food_photos, encoded):
    grid = {
        "global_weight": [0.0, 0.5, 1.0],
        "local_threshold": [0.0, 0.5],
        "temperature": [None, 0.1],
    }
    labeler.set_params(classes=food_photos.target_names, grid_size=2)
    photos, targets = food_photos.data[:20], food_photos.target[:20]
    scores = []
    for _ in range(2):
        search = GridSearchCV(labeler, grid, cv=KFold(5), error_score="raise")
        scores.append(search.fit(photos, targets).cv_results_["mean_test_score"])
    assert len(scores[0]) == 12
    assert len(np.unique(scores[0])) > 3
    assert_array_equal(scores[0], scores[1])
    assert sum(encoded) == 20 * 5


def test_the_classifier_passes_the_folder_on(labeler, photos, encoded):
    classifier = CDULClassifier(
        pseudo_labeler=clone(labeler).set_params(memory=None),
        image_size=32,
        epochs=1,
        warmup_epochs=1,
        random_state=0,
    )
    classifier.set_params(pseudo_labeler__memory=labeler.memory)
    first = classifier.fit(photos[:6]).initial_pseudo_labels_
    again = classifier.set_params(random_state=1).fit(photos[:6]).initial_pseudo_labels_
    assert sum(encoded) == 6
    assert_array_equal(first, again)


def test_threads_share_the_work(labeler, photos, expected, encoded):
    orders = [np.random.default_rng(seed).permutation(N_PHOTOS) for seed in range(4)]
    with joblib.parallel_config("threading", n_jobs=4):
        results = joblib.Parallel()(
            joblib.delayed(clone(labeler).embed)([photos[i] for i in order]) for order in orders
        )
    assert sum(encoded) == N_PHOTOS
    for result, order in zip(results, orders, strict=True):
        assert_allclose(result, expected[order], atol=1e-5)


# processes


class Processes:
    """Runs cache_process.py several times at once, and reads what was encoded."""

    def __init__(self, folder, memory):
        self.folder, self.memory, self.running = folder, memory, []

    def start(self, paths, **settings):
        labeler = {**SETTINGS, "batch_size": 1, "memory": str(self.memory)}
        settings = {"labeler": labeler, "log": str(self.folder), "paths": paths, **settings}
        settings["labeler"].update(settings.pop("changes", {}))
        script = Path(__file__).with_name("cache_process.py")
        process = subprocess.Popen([sys.executable, script, json.dumps(settings)])
        self.running.append(process)
        return process

    def wait(self):
        for process in self.running:
            assert process.wait(timeout=300) == 0
        self.running.clear()

    def counts(self):
        """How many views each process encoded."""
        logs = self.folder.glob("*.log")
        return [sum(int(n) for n in path.read_text().splitlines()) for path in logs]


@pytest.fixture
def processes(tmp_path):
    (tmp_path / "logs").mkdir()
    processes = Processes(tmp_path / "logs", tmp_path / "cache")
    yield processes
    for process in processes.running:
        process.kill()
        process.wait()


def wait_until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_kill_9_loses_one_batch_at_most_and_the_next_run_resumes(
    processes, labeler, photos, expected, encoded
):
    victim = processes.start(photos, pause=0.3)
    wait_until(lambda: processes.counts() and processes.counts()[0] >= 4)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    processes.running.clear()
    begun, stored = processes.counts()[0], rows_in(labeler.memory)
    assert begun - 1 <= stored < N_PHOTOS
    start = time.monotonic()
    assert_allclose(labeler.embed(photos), expected, atol=1e-5)
    assert time.monotonic() - start < 20  # the claims of the dead hold nobody up
    assert sum(encoded) == N_PHOTOS - stored
    assert sorted(path.name for path in labeler.memory.iterdir()) == [
        database("").name,
        "opening.lock",
    ]


@pytest.mark.slow
def test_four_processes_lose_and_duplicate_nothing(processes, food_photos, tmp_path):
    photos = food_photos.data[:40]
    plain = CLIPPseudoLabeler(**SETTINGS).embed(photos)
    orders = [np.random.default_rng(seed).permutation(40) for seed in range(4)]
    for number, order in enumerate(orders):
        paths = [photos[i] for i in order]
        output = str(tmp_path / f"{number}.npy")
        processes.start(paths, start=str(tmp_path / "go"), output=output, pause=0.05)
    wait_until(lambda: len(list(processes.folder.glob("*.ready"))) == 4)
    (tmp_path / "go").touch()
    processes.wait()
    counts = processes.counts()
    assert sum(counts) == 40
    assert len(counts) > 1, "one process did it all"
    for number, order in enumerate(orders):
        assert_allclose(np.load(tmp_path / f"{number}.npy"), plain[order], atol=1e-5)


@pytest.mark.slow
def test_a_search_in_two_processes_encodes_each_image_once(processes, food_photos, tmp_path):
    paths, targets = food_photos.data[:20], food_photos.target[:20].tolist()
    changes = {"classes": list(food_photos.target_names), "grid_size": 2, "batch_size": "auto"}
    scores = []
    for session in range(2):
        output = tmp_path / f"{session}.npy"
        processes.start(
            paths,
            search={"targets": targets, "n_jobs": 2},
            changes=changes,
            output=str(output),
        )
        processes.wait()
        scores.append(np.load(output))
        # The second session adds nothing.
        assert sum(processes.counts()) == 20 * 5
    assert_array_equal(scores[0], scores[1])


# damage, and places that can't be written


def truncate(content):
    return content[: len(content) // 2]


def scribble(content):
    """Overwrite a tenth of the file, the first page aside."""
    content = bytearray(content)
    rng = np.random.default_rng(0)
    for position in rng.integers(4096, len(content), len(content) // 10):
        content[position] = rng.integers(256)
    return bytes(content)


@pytest.mark.parametrize(
    ("damage", "warns"),
    [
        (truncate, True),
        (scribble, True),
        (lambda content: b"no database" * 1000, True),
        (lambda content: bytes(100) + content[100:], True),
        (lambda content: b"", False),
    ],
    ids=["truncated", "scribbled", "something else", "without its header", "empty"],
)
def test_a_damaged_file_is_replaced_and_numbers_stay_right(
    damage, warns, labeler, photos, expected
):
    labeler.embed(photos)
    file = database(labeler.memory)
    file.write_bytes(damage(file.read_bytes()))
    context = pytest.warns(UserWarning, match=rf"{file.name} is damaged")
    with context if warns else contextlib.nullcontext():
        assert_allclose(labeler.embed(photos), expected, atol=1e-5)
    labeler.embed(photos)  # some were read before the damage was found
    with contextlib.ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setattr(
            CLIPEncoder, "encode_views", lambda *_: pytest.fail("encoded again")
        )
        assert_allclose(labeler.embed(photos), expected, atol=1e-5)


def test_one_damaged_embedding_is_recomputed_alone(labeler, photos, expected, encoded):
    labeler.embed(photos)
    file = database(labeler.memory)
    content = bytearray(file.read_bytes())
    position = content.index(expected[5].tobytes())
    content[position + 100] ^= 1  # the last bits of one float
    file.write_bytes(content)
    assert_allclose(labeler.embed(photos), expected, atol=1e-5)
    assert sum(encoded) == N_PHOTOS + 1
    labeler.embed(photos)
    assert sum(encoded) == N_PHOTOS + 1


def test_a_folder_that_is_a_file_is_an_error_before_anything_is_encoded(labeler, photos, encoded):
    Path(labeler.memory).write_text("a file")
    with pytest.raises(OSError, match=r"can't be stored in the folder memory='.*cache'"):
        labeler.embed(photos)
    assert encoded == []


@pytest.fixture
def as_nobody():
    """A folder in which the user may write, and a context in which the user may not."""
    if not hasattr(os, "geteuid"):
        pytest.skip("needs the permissions of POSIX")
    # The folders of pytest can't be entered by others.
    folder = Path(tempfile.mkdtemp())
    user = os.geteuid()

    @contextlib.contextmanager
    def context():
        folder.chmod(0o555)
        if user == 0:  # permissions don't hold for root
            os.seteuid(65534)
        try:
            yield
        finally:
            if user == 0:
                os.seteuid(0)
            folder.chmod(0o755)

    yield folder, context
    shutil.rmtree(folder)


def test_a_read_only_folder_is_read_and_new_embeddings_are_used(
    labeler, photos, expected, encoded, as_nobody
):
    folder, read_only = as_nobody
    labeler.set_params(memory=folder)
    pictures = [Image.open(path).convert("RGB") for path in photos]
    labeler.embed(pictures[:10])
    with read_only(), pytest.warns(UserWarning, match="can't be written"):
        assert_allclose(labeler.embed(pictures), expected, atol=1e-5)
    assert sum(encoded) == N_PHOTOS
    assert rows_in(folder) == 10


def test_a_folder_that_can_never_be_written_is_an_error(labeler, photos, as_nobody):
    folder, read_only = as_nobody
    labeler.set_params(memory=folder / "cache")
    pictures = [Image.open(path).convert("RGB") for path in photos[:2]]
    with read_only(), pytest.raises(OSError, match="folder that you may write to"):
        labeler.embed(pictures)


def test_a_full_disk_is_a_warning_and_costs_no_result(labeler, photos, expected, encoded):
    resource = pytest.importorskip("resource")
    labeler.embed(photos[:2])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file may grow beyond this, which SQLite meets like a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    try:
        with pytest.warns(UserWarning, match="not stored"):
            result = labeler.set_params(batch_size=1).embed(photos)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_allclose(result, expected, atol=1e-5)
    assert sum(encoded) == N_PHOTOS
    assert_allclose(labeler.embed(photos), expected, atol=1e-5)
