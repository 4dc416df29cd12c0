"""Starting a review, in Python and from a shell."""

import json
import sys
import urllib.error
import urllib.request

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.cli import main
from sklearn_cdul.review import review

NAMES = ["pizza", "cake", "coffee"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    labeler = CLIPPseudoLabeler(NAMES, grid_size=1, memory=tmp_path_factory.mktemp("memory"))
    return CDULClassifier(pseudo_labeler=labeler, image_size=64)


@pytest.fixture
def start(model, food_photos, tmp_path):
    def start(model=model, photos=food_photos.data[:12], **options):
        options = {"answers": tmp_path / "answers.csv", "open_browser": False, **options}
        return review(model, photos, **options)

    return start


def ask(page, path, data=None):
    body = None if data is None else json.dumps({"tab": "t", **data}).encode()
    kind = {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(page.url + path, body, kind)) as response:
        return json.load(response)


def test_answers_go_into_the_model_and_into_the_next_review(start):
    with start() as page:
        for _ in range(4):
            card = ask(page, "next", {})["card"]
            said = {"photo": card["photo"], "version": card["version"], "shown": [1]}
            ask(page, "answer", said)
        order = page._session.answers.order
        assert page.model.initial_pseudo_labels_[order].tolist() == [[0, 1, 0]] * 4
        assert page.url in repr(page) and page.url in page._repr_html_()
    with pytest.raises(urllib.error.URLError):
        ask(page, "overview")
    with start(CDULClassifier(pseudo_labeler=page.model.pseudo_labeler, image_size=64)) as again:
        assert ask(again, "overview")["answered"] == 4
        assert again.url != page.url


def test_photos_in_memory_can_be_reviewed(start):
    photos = [np.full((80, 80, 3), shade, np.uint8) for shade in range(12)]
    with start(photos=photos) as page:
        card = ask(page, "next", {})["card"]
        said = {"photo": card["photo"], "version": card["version"], "shown": [1]}
        ask(page, "answer", said)
        assert card["name"] == str(card["photo"])


def test_what_can_be_known_is_said_before_photos_are_encoded(start, model, tmp_path, monkeypatch):
    monkeypatch.setattr("sklearn_cdul.labeler.embed_photos", None)
    (tmp_path / "answers.csv").write_text("path,dog\na.jpg,1\n")
    with pytest.raises(ValueError, match="dog"):
        start()
    (tmp_path / "answers.csv").unlink()
    with pytest.raises(OSError, match="can't be served"):
        start(host="no.such.host.invalid")
    with pytest.raises(OSError, match="can't be served"):
        start(port=99_999)
    with pytest.raises(ValueError, match=r"\.csv"):
        start(answers=tmp_path / "answers.txt")
    monkeypatch.setitem(sys.modules, "starlette", None)
    with pytest.raises(ImportError, match=r"sklearn-cdul\[review\]"):
        start()


def test_a_port_that_is_taken_is_named(start):
    with start() as page:
        port = int(page.url.split(":")[2].split("/")[0])
        with pytest.raises(OSError, match=f"port {port}"):
            start(port=port, answers="other.csv")


@pytest.mark.parametrize(
    "options, message",
    [
        ([], "give --classes"),
        (["--classes", "names.txt", "--model", "m.joblib"], "give --classes"),
        (["--model", "m.onnx"], "can't learn"),
        (["--model", "m.joblib"], "no file m.joblib"),
        (["--classes", "names.txt", "--answers", "names.txt"], "another part"),
        (["--classes", "names.txt", "--answers", "answers.json"], ".csv"),
    ],
)
def test_a_wrong_command_fails_before_the_work(
    options, message, food_photos, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    assert main(["review", food_photos.data[0], "--no-browser", *options]) == 1
    assert message in capsys.readouterr().err.splitlines()[-1]
