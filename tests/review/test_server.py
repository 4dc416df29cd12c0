"""The server of a review gives nothing to those without its secret, and takes no nonsense."""

import io
import json
import re
import threading

import joblib
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette")
pytest.importorskip("httpx")
from starlette.testclient import TestClient

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.datasets import load_csv
from sklearn_cdul.review.answers import Answers
from sklearn_cdul.review.learner import Learner
from sklearn_cdul.review.server import HEADERS, make_app
from sklearn_cdul.review.session import Session

NAMES = ["pizza", "</script><b>cake</b>", 'tea, "hot"']
HOST = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def learner(food_photos):
    labeler = CLIPPseudoLabeler(NAMES, grid_size=1)
    return Learner(CDULClassifier(pseudo_labeler=labeler, image_size=64), food_photos.data[:24])


@pytest.fixture
def session(learner, food_photos, tmp_path):
    photos = food_photos.data[:24]
    names = learner.class_names
    session = Session(learner, photos, Answers(tmp_path / "answers.csv", photos, names))
    yield session
    session.stop()


@pytest.fixture
def client(session):
    return TestClient(make_app(session, "secret"), base_url=HOST, raise_server_exceptions=False)


def post(client, path, data, **options):
    return client.post(f"/secret/{path}", json={"tab": "t", **data}, **options)


def test_a_photo_is_answered_and_the_next_one_comes(client, session):
    card = post(client, "next", {}).json()["card"]
    said = {"photo": card["photo"], "version": card["version"], "shown": [0]}
    result = post(client, "answer", said).json()
    assert result["answered"] == 1 and result["card"]["photo"] != card["photo"]
    assert session.answers.labels[card["photo"]].tolist() == [1, 0, 0]
    assert post(client, "answer", said).status_code == 409
    assert post(client, "undo", {}).json()["card"]["photo"] == card["photo"]
    assert client.get("/secret/overview").json()["answered"] == 0


@pytest.mark.parametrize(
    "path", ["/", "/overview", "/secre/overview", "/secretx/", "/photo/0/small"]
)
def test_without_the_secret_there_is_nothing(client, path):
    response = client.get(path)
    assert response.status_code == 403 and "pizza" not in response.text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:1", "127.0.0.1.evil.example", ""])
def test_other_host_names_are_refused(client, host):
    assert client.get("/secret/", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost:1", "[::1]:1"])
def test_names_of_this_machine_are_taken(client, host):
    assert client.get("/secret/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:1", HOST + "2"]
)
def test_requests_of_other_pages_are_refused(client, origin):
    assert post(client, "next", {}, headers={"Origin": origin}).status_code == 403
    assert post(client, "next", {}, headers={"Origin": HOST}).status_code == 200


def test_every_answer_has_the_headers_that_keep_it_in(client):
    for path in ("/secret/", "/secret/part/live.js", "/secret/photo/0/small", "/no", "/secret/no"):
        headers = client.get(path).headers
        for name, value in HEADERS.items():
            assert headers[name] == value or (name == "Cache-Control" and "photo" in path)
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy


def test_the_page_has_no_inline_code_and_loads_nothing_from_elsewhere(client):
    page = client.get("/secret/").text
    for inline in (r"<script(?![^>]*\bsrc=)", r"\bon\w+=", r"<style", r"\bstyle="):
        assert not re.search(inline, page)
    loaded = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert loaded and all(name.startswith(("part/", "data:")) for name in loaded)
    for name in loaded:
        if name.startswith("part/"):
            response = client.get(f"/secret/{name}")
            assert response.status_code == 200
            assert not re.search(
                r"https?://(?!www\.w3\.org/2000/svg)|@import|innerHTML", response.text
            )


@pytest.mark.parametrize(
    "path",
    ["part/page.py", "part/..%2fpage.py", "part/%2e%2e/report.py", "photo/..%2f..%2fetc/small"]
    + ["photo/0/..", "photo/0/huge", "photo/-1/small", "photo/99/small", "card/99", "grid/3"]
    + ["photo/%2fetc%2fpasswd/small", "photo/99999999999999999999/small"],
)
def test_photos_go_by_number_and_parts_by_name_alone(client, path):
    response = client.get(f"/secret/{path}")
    assert response.status_code in (400, 404), response.text
    assert "import" not in response.text


def test_a_photo_goes_out_as_pixels_alone(client, session, food_photos):
    for size, side in (("small", 240), ("large", 1280)):
        response = client.get(f"/secret/photo/3/{size}")
        assert response.headers["content-type"] == "image/jpeg"
        image = Image.open(io.BytesIO(response.content))
        assert max(image.size) <= side and not image.getexif()


def test_photos_that_cannot_be_read_any_more_are_an_error_of_their_own(client, session, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"<svg onload=alert(1)>")
    session.photos[5] = str(bad)
    try:
        response = client.get("/secret/photo/5/small")
        assert response.status_code == 404 and "svg" not in response.text
        bad.unlink()
        assert client.get("/secret/photo/5/large").status_code == 404
    finally:
        session.photos[5] = session.photos[6]


@pytest.mark.parametrize(
    "path, data",
    [
        ("answer", {}),
        ("answer", {"photo": "0", "version": 0, "shown": []}),
        ("answer", {"photo": True, "version": 0, "shown": []}),
        ("answer", {"photo": 0, "version": 0, "shown": "0"}),
        ("answer", {"photo": 0, "version": 0, "shown": [-1]}),
        ("answer", {"photo": 0, "version": 0, "shown": [3]}),
        ("answer", {"photo": 99, "version": 0, "shown": []}),
        ("answer", {"photo": 1e99, "version": 0, "shown": []}),
        ("answer", {"tab": 3, "photo": 0, "version": 0, "shown": []}),
        ("answer-grid", {"class": 0, "photos": [[0, 0, 2]]}),
        ("answer-grid", {"class": 0, "photos": [[0]]}),
        ("answer-grid", {"class": 9, "photos": []}),
        ("class", {"name": ""}),
        ("class", {"name": 3}),
        ("class", {"name": "pizza"}),
        ("class", {"name": "x\u0000"}),
        ("class", {"class": 7, "name": "x"}),
        ("save", {"name": "../model.joblib"}),
        ("save", {"name": "/etc/passwd"}),
    ],
)
def test_nonsense_is_refused_and_changes_nothing(client, session, path, data):
    response = post(client, path, data)
    assert response.status_code in (400, 404) and response.json()["error"]
    assert session.overview()["answered"] == 0 and session.answers.names == NAMES


@pytest.mark.parametrize(
    "body, kind, status",
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 60_000, "application/json", 400),
        (b'{"a": "' + b"x" * 70_000 + b'"}', "application/json", 413),
        (b"tab=t", "application/x-www-form-urlencoded", 415),
        (b"--x", "multipart/form-data; boundary=x", 415),
        (b"{}", "text/plain", 415),
        (b"\xff\xd8", "image/jpeg", 415),
    ],
)
def test_bodies_that_are_no_small_json_are_refused(client, body, kind, status):
    response = client.post("/secret/next", content=body, headers={"Content-Type": kind})
    assert response.status_code == status


def test_methods_that_nobody_needs_are_refused(client):
    assert client.get("/secret/answer").status_code == 405
    for method in ("PUT", "DELETE", "PATCH", "POST"):
        assert client.request(method, "/secret/overview").status_code == 405


def test_an_answer_that_cannot_be_written_is_not_acknowledged(client, session, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    card = post(client, "next", {}).json()["card"]
    said = {"photo": card["photo"], "version": card["version"], "shown": []}
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        response = post(client, "answer", said)
    assert response.status_code == 507 and "No space left" in response.json()["error"]
    assert post(client, "answer", said).status_code == 200


def test_many_tabs_at_once_lose_no_answer(client, session):
    def work(tab):
        for _ in range(5):
            card = client.post("/secret/next", json={"tab": tab}).json()["card"]
            said = {"tab": tab, "photo": card["photo"], "version": card["version"], "shown": []}
            assert client.post("/secret/answer", json=said).status_code == 200

    threads = [threading.Thread(target=work, args=(str(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert session.overview()["answered"] == 20
    lines = session.answers.journal.read_text().splitlines()
    assert len({json.loads(line)["photos"][0][0] for line in lines}) == 20


def test_model_labels_and_report_are_saved_beside_the_answers(client, session, tmp_path):
    for _ in range(3):
        card = post(client, "next", {}).json()["card"]
        said = {"photo": card["photo"], "version": card["version"], "shown": [0]}
        post(client, "answer", said)
    for name in ("model.joblib", "labels.csv", "coco.json", "fiftyone.json", "report.html"):
        response = post(client, "save", {"name": name})
        assert response.json()["path"] == str(tmp_path / f"answers-{name}")
    model = joblib.load(tmp_path / "answers-model.joblib")
    assert model.predict(session.photos[:2]).shape == (2, 3)
    labels = load_csv(tmp_path / "answers-labels.csv", classes=NAMES, missing="skip")
    answered = session.answers.order
    assert np.array_equal(labels.target[answered], session.answers.labels[answered])
    # Photos of no folder below are none that Label Studio can show; the reason is told.
    assert "Label Studio" in post(client, "save", {"name": "label-studio.json"}).json()["error"]


def test_hostile_names_go_through_as_text(client):
    overview = client.get("/secret/overview")
    assert overview.headers["content-type"] == "application/json"
    assert overview.json()["names"] == NAMES
