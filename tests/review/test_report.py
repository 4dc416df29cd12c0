"""The page holds all it needs, stays small, and what is saved from it is read again."""

import json
import os
import re
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.review import LabelReport
from sklearn_cdul.targets import read_targets

NAMES = ["pizza", "</script><b>cake</b>", 'tea, "hot"']


def data_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page, flags=re.S)[1])


@pytest.fixture(scope="module")
def scores():
    return np.random.default_rng(0).random((30, 3)) ** 2


@pytest.fixture(scope="module")
def labels(scores):
    noise = np.random.default_rng(1).normal(scale=0.2, size=scores.shape)
    return (scores + noise > 0.4).astype(float)


@pytest.fixture(scope="module")
def photos(food_photos):
    return food_photos.data[:30]


@pytest.fixture(scope="module")
def report(photos, scores, labels):
    known = labels.copy()
    known[::3] = np.nan
    return LabelReport.from_predictions(
        photos, scores, class_names=NAMES, thresholds=0.4, y=known, title="A & B"
    )


def test_the_page_loads_nothing_and_names_cannot_break_it(report, tmp_path):
    path = report.save(tmp_path / "report.html")
    page = path.read_text(encoding="utf-8")
    markup = page.split("<script>")[0]
    assert not re.search(r"\b(?:src|href|action)=[\"']?(?!#|data:|blob:)\w", markup)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(", page)
    assert page.count("</script>") == 2
    data = data_of(page)
    assert [one["class"] for one in data["classes"]] == NAMES
    assert data["title"] == "A & B"


def test_the_figures_are_those_of_the_arrays(report, scores):
    predicted = scores >= 0.4
    assert report.per_class["predicted"] == predicted.sum(axis=0).tolist()
    assert_array_equal(report.without_class, np.flatnonzero(~predicted.any(axis=1)))
    table = pd.DataFrame(report.per_class)
    assert list(table["class"]) == NAMES and table["f1"].between(0, 1).all()
    assert report.never == report.always == []
    assert "30 photos and 3 classes" in repr(report)


def test_every_photo_that_is_shown_is_there_once(report, photos, scores):
    data = data_of(report.to_html())
    shown = {row for one in data["classes"] for _, rows in one["lists"] for row, *_ in rows}
    assert {int(row) for row in data["photos"]} == shown | set(data["none"])
    assert all(data["photos"][str(row)]["path"] == str(photos[row]) for row in shown)
    assert all(one["image"] for one in data["photos"].values())
    assert dict(data["classes"][0]["lists"])["Surest"][0][0] == scores[:, 0].argmax()


def test_twenty_thousand_photos_of_many_classes_make_a_page_of_bounded_size():
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, 255, (200, 200, 3), dtype=np.uint8)] * 20_000  # noise: the worst
    small = LabelReport.from_predictions(
        photos[:20], rng.random((20, 3)), class_names=list("abc"), thresholds=0.5
    )
    assert len(small.to_html()) < 2e6
    names = [f"class {j}" for j in range(500)]
    scores = rng.random((20_000, 500), dtype=np.float32)
    data = data_of(
        LabelReport.from_predictions(photos, scores, class_names=names, thresholds=0.99).to_html()
    )
    assert len(data["photos"]) <= 1000
    assert all("counts" in one for one in data["classes"])


def test_photos_that_cannot_be_read_are_counted(photos, scores, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    table = scores.copy()
    table[3] = np.nan
    paths = [*photos[:3], tmp_path / "broken.jpg", *photos[4:]]
    report = LabelReport.from_predictions(paths, table, class_names=NAMES)
    assert data_of(report.to_html())["summary"][0] == ["29", "photos, 1 more can't be read"]


def test_pictures_without_paths_are_called_by_their_row(scores):
    photos = [np.zeros((8, 8, 3), dtype=np.uint8)] * len(scores)
    assert not data_of(LabelReport.from_predictions(photos, scores, class_names=NAMES).to_html())[
        "has_paths"
    ]


@pytest.mark.parametrize(
    ("photos", "scores", "message"),
    [
        (None, np.zeros((4, 2)), r"each of the 3 class_names; got shape \(4, 2\)"),
        (["a.jpg"], np.zeros((4, 3)), "1 photos, but 4 rows of scores"),
        (None, np.full((4, 3), 2.0), r"must lie in \[0, 1\]"),
    ],
)
def test_what_does_not_fit_is_refused(photos, scores, message):
    with pytest.raises(ValueError, match=message):
        LabelReport.from_predictions(photos, scores, class_names=NAMES)


@pytest.fixture(scope="module")
def fitted():
    X = np.random.default_rng(0).normal(size=(60, 256)).astype(np.float32)
    labeler = CLIPPseudoLabeler(["pizza", "cake", "coffee"], input="embeddings")
    return CDULClassifier(pseudo_labeler=labeler, random_state=0).fit(X), X


def test_from_a_classifier_with_and_without_its_training_data(fitted):
    model, X = fitted
    report = LabelReport.from_estimator(model, X)
    data = data_of(report.to_html())
    titles = [title for title, _ in data["classes"][0]["lists"]]
    assert "Labels that training moved farthest" in titles
    assert_allclose([one["threshold"] for one in data["classes"]], model.thresholds_)
    assert report.per_class["predicted"] == model.predict(X).sum(axis=0).tolist()
    other = data_of(LabelReport.from_estimator(model, X[::-1]).to_html())
    assert "Labels that training moved farthest" not in str(other["classes"])


def test_labels_moved_on_the_photos_of_the_training_alone(food_photos):
    names = ["pizza", "coffee"]
    columns = [food_photos.target_names.index(name) for name in names]
    rows = [np.flatnonzero(food_photos.target[:, column]) for column in columns]
    # Both lists are as long, and sorted by class, so their labels look alike.
    trained, others = (
        [food_photos.data[row] for part in rows for row in part[i:12:2]] for i in (0, 1)
    )
    model = CDULClassifier(names, image_size=64).fit(trained)
    assert LabelReport.from_estimator(model, list(map(str, trained))).movement is not None
    assert LabelReport.from_estimator(model, others).movement is None
    assert LabelReport.from_estimator(model, trained[::-1]).movement is None
    del model.X_digest_  # a model of an earlier version
    assert LabelReport.from_estimator(model, trained).movement is None


def test_labels_given_by_path_are_matched_whatever_their_order(photos, scores, labels):
    given = {
        str(photos[i]): [NAMES[j] for j in np.flatnonzero(labels[i])] for i in range(29, -1, -1)
    }
    report = LabelReport.from_predictions(photos, scores, class_names=NAMES, y=given)
    assert_array_equal(report.targets, labels)
    with pytest.raises(ValueError, match="says by path of which image a row is"):
        LabelReport.from_predictions(None, scores, class_names=NAMES, y=given)


def test_from_a_labeler_and_photos(photos):
    labeler = CLIPPseudoLabeler(["pizza", "cake"], grid_size=1).fit()
    report = LabelReport.from_estimator(labeler, photos[:6], [["pizza"], ["cake"], *[[]] * 4])
    assert len(data_of(report.to_html())["photos"]) == 6
    assert report.per_class["positives"] == [1, 1]
    assert report._repr_html_().startswith("<iframe srcdoc=")


@pytest.mark.parametrize(
    ("paths", "names", "column"),
    [
        (["a.jpg"], ["cup"], "path"),
        (["a.jpg"], ["path", "filename"], "file_name"),
        (["caf\udce9.jpg"], ["path"], "row"),  # a browser writes UTF-8 alone
        (None, ["row"], "position"),
    ],
)
def test_what_the_page_saves_names_its_photos_so_that_it_can_be_read(
    paths, names, column, tmp_path
):
    scores = np.full((1, len(names)), 0.5)
    report = LabelReport.from_predictions(paths, scores, class_names=names, thresholds=0.5)
    data = data_of(report.to_html())
    assert (data["column"], data["has_paths"]) == (column, column not in ("row", "position"))
    key = paths[0] if data["has_paths"] else "0"
    text = ",".join([data["column"], *names]) + "\n" + ",".join([key, *"1" * len(names)]) + "\n"
    (tmp_path / "labels.csv").write_text(text)
    X = paths or np.ones((1, 2))
    assert_array_equal(read_targets(tmp_path / "labels.csv", names, X), [[1] * len(names)])


@pytest.mark.slow
def test_answers_given_in_a_browser_come_back_as_observed_labels(report, photos, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs Chromium")
    page_file = report.save(tmp_path / "report.html")
    with playwright.sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for width in (1280, 390):
            page = chromium.new_page(viewport={"width": width, "height": 900})
            errors, requests = [], []
            page.on("pageerror", lambda error, seen=errors: seen.append(error))
            page.on("request", lambda request, seen=requests: seen.append(request.url))
            page.goto(page_file.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            figures = page.locator("#class-2 figure")
            rows = [int(figures.nth(i).get_attribute("data-photo")) for i in range(2)]
            figures.nth(0).locator(".mark.yes").click()
            figures.nth(1).locator(".mark.no").click()
            figures.nth(0).locator("> button").click()  # larger, where other classes are marked
            page.locator('#large-classes [data-class="1"] .mark.no').click()
            page.locator("dialog form button").click()
            with page.expect_download() as download:
                page.locator("#save").click()
            download.value.save_as(tmp_path / "labels.csv")
            assert not errors
            assert all(url.startswith(("file:", "data:", "blob:")) for url in requests)
            page.reload()  # answers outlive it
            assert page.locator("#count").inner_text() == "3 answers on 2 photos"
            page.on("dialog", lambda dialog: dialog.accept())
            page.locator("#clear").click()
            assert page.locator("#save").is_disabled()

            expected = np.full((len(photos), 3), np.nan)
            expected[rows, 2], expected[rows[0], 1] = [1, 0], 0
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                found = read_targets(tmp_path / "labels.csv", NAMES, photos)
            assert_array_equal(found, expected)
            page.close()
        chromium.close()


@pytest.mark.slow
def test_none_of_the_classes_is_one_press_and_keys_answer_in_the_large_view(photos, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs Chromium")
    scores = np.array([[0.9, 0.8, 0.1], [0.1, 0.2, 0.3], [0.7, 0.1, 0.6]])
    report = LabelReport.from_predictions(photos[:3], scores, class_names=NAMES, thresholds=0.5)
    with playwright.sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page()
        page.goto(report.save(tmp_path / "report.html").as_uri())
        none = page.locator("#none .mark.no")
        for count in (3, 0, 3):  # pressed twice it is taken back
            none.click()
            text = page.locator("#count").inner_text()
            assert text == ("3 answers on 1 photo" if count else "No answers yet")
            assert none.get_attribute("aria-pressed") == ("true" if count else "false")
        page.locator("#class-0 figure").nth(0).locator("> button").click()
        for key in ("1", "Shift+3"):  # the classes by their scores
            page.keyboard.press(key)
        page.keyboard.press("Escape")
        page.locator('#class-0 figure[data-photo="2"] > button').first.click()
        page.keyboard.press("0")
        page.locator("dialog form button").click()
        with page.expect_download() as download:
            page.locator("#save").click()
        download.value.save_as(tmp_path / "labels.csv")
        chromium.close()
    expected = [[1, np.nan, 0], [0, 0, 0], [0, 0, 0]]
    assert_array_equal(read_targets(tmp_path / "labels.csv", NAMES, photos[:3]), expected)


def test_rows_with_nan_are_in_no_list_and_the_page_is_json(scores):
    table = scores.copy()
    table[3, 1] = np.nan  # of the other columns nothing is taken either
    table[3, 0] = 1
    moved = np.zeros_like(table), np.ones_like(table)
    report = LabelReport(None, table, class_names=NAMES, thresholds=np.full(3, 0.4), movement=moved)
    assert f"{len(table) - 1} photos" in repr(report)
    page = report.to_html()
    assert "3" not in data_of(page)["photos"]
    assert "NaN" not in page.split('id="data">')[1].split("</script>")[0]
    with pytest.raises(ValueError, match="There is no photo with scores: none could be read"):
        LabelReport.from_predictions(None, np.full((2, 3), np.nan), class_names=NAMES)


@pytest.mark.parametrize("n_shown", [0, -3])
def test_less_than_one_photo_of_a_kind_is_refused(scores, n_shown):
    with pytest.raises(ValueError, match=f"n_shown must be at least 1, got {n_shown}"):
        LabelReport.from_predictions(None, scores, class_names=NAMES, n_shown=n_shown)


def test_scores_are_sent_as_they_are_compared(scores):
    threshold = 0.400004  # a score below it would be rounded to one above
    table = scores.copy()
    table[0, 0] = 0.4000039
    page = LabelReport.from_predictions(
        None, table, class_names=NAMES, thresholds=threshold
    ).to_html()
    data = data_of(page)
    [(_, score, note)] = [
        one for _, rows in data["classes"][0]["lists"] for one in rows if one[0] == 0
    ]
    assert note == "not predicted" and score < data["classes"][0]["threshold"]
    assert dict(data["photos"]["0"]["top"])[0] == score


def test_the_name_of_a_file_need_not_be_utf8(tmp_path):
    broken = str(tmp_path) + "/\udcff.jpg"
    report = LabelReport.from_predictions([broken], [[0.2, 0.3, 0.1]], class_names=NAMES)
    page = report.save(tmp_path / "report.html").read_text(encoding="utf-8")
    assert data_of(page)["photos"]["0"]["path"] == broken


def test_pipelines_and_searches_are_asked_as_a_whole(fitted, photos):
    model, X = fitted
    pipeline = make_pipeline(FunctionTransformer(np.negative), model)
    y = {str(path): ["cake"] for path in photos[:3]}
    report = LabelReport.from_estimator(pipeline, -X, y, photos=[*photos, *photos])
    assert_array_equal(np.flatnonzero(report.targets[:, 1] == 1), [0, 1, 2, 30, 31, 32])
    assert_allclose(report.scores, model.predict_proba(X))
    assert len(data_of(report.to_html())["classes"][0]["lists"]) > 1
    assert report.movement is not None
    search = GridSearchCV(model, {"n_neighbors": [5]}, cv=2, scoring=lambda *_: 1.0).fit(X)
    assert LabelReport.from_estimator(search, X).class_names == ["pizza", "cake", "coffee"]


@pytest.mark.parametrize("y", [np.ones((60, 2)), np.full((60, 3), 7), np.ones((59, 3))])
def test_labels_that_do_not_fit_fail_before_photos_are_read(fitted, y, monkeypatch):
    model, X = fitted
    monkeypatch.setattr(type(model), "predict_proba", lambda *_: pytest.fail("asked"))
    with pytest.raises(ValueError, match="y must"):
        LabelReport.from_estimator(model, X, y)


def test_thumbnails_are_made_once(photos, scores, monkeypatch):
    report = LabelReport.from_predictions(photos, scores, class_names=NAMES)
    page = report.to_html()
    monkeypatch.setattr("sklearn_cdul.images.reading.decode", lambda *_: pytest.fail("read"))
    assert report.to_html() == page


def test_what_stops_save_leaves_the_old_page(report, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        report.save(path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
