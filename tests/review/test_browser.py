"""A person in front of the page: real clicks and keys in headless Chromium, wide and on a phone."""

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("selenium")
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.review import review
from sklearn_cdul.targets import read_targets

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and its driver"),
]
NAMES = ["pizza", "cake", "coffee", "salad", "<b>egg</b>", "bread", "fruit", "soup", "cup", "knife"]
WIDE, PHONE = (1280, 800), (390, 844)


@contextmanager
def opened(url, size=WIDE):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        page = Page(driver)
        page.open(url)
        yield page
    finally:
        driver.quit()


class Page:
    def __init__(self, driver):
        self.driver = driver

    def open(self, url):
        self.driver.get(url)
        self.wait(lambda: self.name and self.chips)

    def wait(self, condition, seconds=20):
        return WebDriverWait(self.driver, seconds, 0.05).until(lambda _: condition())

    def find(self, name):
        return self.driver.find_element(By.ID, name)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def click(self, name):
        self.find(name).click()

    def keys(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()

    @property
    def name(self):
        return self.find("name").text

    @property
    def chips(self):
        return {
            chip.find_element(By.CLASS_NAME, "word").text: chip.get_attribute("aria-pressed")
            for chip in self.all(".chip")
        }

    def next(self, act):
        """Do something that shows another photo; wait until it is there."""
        before = self.name
        act()
        self.wait(lambda: self.name != before)

    def answered(self, count):
        self.wait(lambda: self.find("status").text.startswith(f"{count} of "))

    def complaints(self):
        log = self.driver.get_log("browser")
        return [one["message"] for one in log if one["level"] == "SEVERE"]


@pytest.fixture(scope="module")
def photos(food_photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for index, path in enumerate(food_photos.data[:30]):
        name = '<img src=x onerror=alert(1)>".jpg' if index == 0 else f"photo {index}.jpg"
        shutil.copy(path, folder / name)
    return [str(path) for path in sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def model(photos, tmp_path_factory):
    memory = tmp_path_factory.mktemp("memory")
    labeler = CLIPPseudoLabeler(NAMES, grid_size=1, memory=memory)
    return CDULClassifier(pseudo_labeler=labeler, image_size=64, random_state=0)


@pytest.fixture
def running(model, photos, tmp_path):
    with review(model, photos, answers=tmp_path / "answers.csv", open_browser=False) as running:
        yield running


def test_with_keys_alone(running, photos, tmp_path):
    with opened(running.url) as page:
        first, (word, was) = page.name, next(iter(page.chips.items()))
        page.keys("1")
        assert page.chips[word] != was
        shown = {name for name, pressed in page.chips.items() if pressed == "true"}
        page.next(lambda: page.keys(Keys.ENTER))
        page.answered(1)
        page.next(lambda: page.keys("0"))
        page.answered(2)
        page.next(lambda: page.keys(Keys.BACKSPACE))
        page.answered(1)
        page.next(lambda: page.keys(Keys.ENTER))
        page.next(lambda: page.keys(Keys.ARROW_LEFT))
        assert "answered" in page.name
        page.next(lambda: page.keys(Keys.ARROW_RIGHT))
        page.keys("?")
        assert page.find("help").get_attribute("open")
        page.keys(Keys.ESCAPE)
        page.keys("/", "knif", Keys.ENTER)
        assert "knife" in page.chips or page.find("find-text").get_attribute("value") == ""
        assert page.complaints() == []
    running.stop()
    labels = read_targets(tmp_path / "answers.csv", NAMES, photos)
    (row,) = [i for i, photo in enumerate(photos) if first.split(" · ")[0] in photo]
    assert {name for name, label in zip(NAMES, labels[row], strict=True) if label == 1} == shown


def test_on_a_phone_with_a_finger(running):
    with opened(running.url, PHONE) as page:
        width = page.driver.execute_script("return document.documentElement.scrollWidth")
        assert width <= PHONE[0]
        for button in page.all(".chip, #actions button, nav button"):
            assert button.size["height"] >= 44
        page.next(lambda: page.click("skip"))
        page.all(".chip")[0].click()
        page.next(lambda: page.click("next"))
        page.next(lambda: page.click("none"))
        page.answered(2)
        page.next(lambda: page.click("undo"))
        page.answered(1)
        page.click("to-grid")
        page.wait(lambda: page.find("grid-text").text)
        page.click("to-figures")
        width = page.driver.execute_script("return document.documentElement.scrollWidth")
        assert width <= PHONE[0] and page.complaints() == []


def test_thirty_photos_of_one_class(running):
    with opened(running.url) as page:
        page.click("to-grid")  # of the class that most photos are predicted to show
        tiles = page.wait(lambda: page.all(".tilephoto"))
        tiles[0].click()
        assert tiles[0].get_attribute("aria-pressed") == "true"
        page.click("grid-save")
        page.wait(lambda: "No photo is predicted" in page.find("grid-text").text)
        page.answered(len(tiles))
        page.click("grid-undo")
        page.wait(lambda: len(page.all(".tilephoto")) == len(tiles))
        assert page.complaints() == []


def test_the_model_learns_and_figures_come(running):
    with opened(running.url) as page:
        for count in range(1, 26):
            page.next(lambda: page.keys(Keys.ENTER))
            page.answered(count)
        page.wait(lambda: "F1 " in page.find("status").text and "(" in page.find("status").text)
        page.click("to-figures")
        page.wait(lambda: page.all("#curve circle"))
        assert len(page.all(".tile")) == 3
        assert page.complaints() == []


def test_classes_are_added_and_renamed(running):
    with opened(running.url) as page:
        page.keys("/", "wine glass", Keys.ENTER)
        page.wait(lambda: page.chips.get("wine glass") == "true")
        page.click("to-figures")
        page.wait(lambda: page.all("#classes td button"))[0].click()
        page.keys("flatbread", Keys.ENTER)
        page.wait(lambda: "flatbread" in page.find("classes").text)
        page.wait(lambda: "wine glass" in page.find("classes").text)
        assert "pizza" not in page.find("classes").text and page.complaints() == []


def test_many_wrong_marks_are_taken_away_at_once(running):
    with opened(running.url) as page:
        for chip in page.all(".chip")[:3]:
            if chip.get_attribute("aria-pressed") == "false":
                page.keys(chip.find_element(By.TAG_NAME, "kbd").text)
        assert list(page.chips.values()).count("true") >= 3
        page.keys("x")
        assert "true" not in page.chips.values()
        page.keys("1", "2")
        next(b for b in page.all(".more") if b.text == "Unmark all").click()
        assert "true" not in page.chips.values() and page.complaints() == []


@pytest.mark.parametrize("size", [WIDE, PHONE])
def test_a_long_name_hides_no_button(running, size):
    with opened(running.url, size) as page:
        page.keys("/", "a name that goes on and on " * 7, Keys.ENTER)
        page.wait(lambda: any("goes on" in name for name in page.chips))
        page.click("to-figures")
        page.wait(lambda: "goes on" in page.find("classes").text)
        assert page.find("classes").size["width"] <= size[0]
        page.click("to-grid")
        page.wait(lambda: page.find("grid-text").text)
        assert page.find("grid-class").size["width"] < size[0]
        assert page.driver.execute_script("return document.documentElement.scrollWidth") <= size[0]


def test_the_address_of_a_review_that_has_ended_is_told_from_a_dead_server(model, photos, tmp_path):
    options = {"answers": tmp_path / "answers.csv", "open_browser": False}
    first = review(model, photos, **options)
    with opened(first.url) as page:
        first.stop()
        port = int(first.url.split(":")[2].split("/")[0])
        with review(model, photos, port=port, **options) as second:
            page.keys(Keys.ENTER)
            page.wait(lambda: page.find("trouble").text)
            assert "a review that has ended" in page.find("trouble").text
            page.open(second.url)
            assert page.chips and not page.find("trouble").text


def test_names_of_classes_and_files_are_text(running):
    with opened(running.url) as page:
        page.keys("/", "<b>egg")
        assert list(page.chips) == ["<b>egg</b>"]
        assert not page.all("#chips b") and not page.all("#name img")


def test_two_tabs(running):
    with opened(running.url) as one, opened(running.url) as two:
        assert one.name != two.name
        one.next(lambda: one.keys(Keys.ENTER))
        two.next(lambda: two.keys(Keys.ENTER))
        two.answered(2)
        # The other tab has answered a photo that this one went back to.
        two.next(lambda: two.keys(Keys.ARROW_LEFT))
        card, tab = (two.driver.execute_script(f"return {what}") for what in ("card", "tab"))
        row, version = card["photo"], card["version"]
        running._session.answer(f"{tab}x", row, version, [])
        two.keys(Keys.ENTER)
        two.wait(lambda: "Another tab" in two.find("trouble").text)
        two.next(lambda: two.keys(Keys.ENTER))


def test_every_control_has_a_name_and_focus_is_seen(running):
    with opened(running.url) as page:
        for view in ("figures", "grid", "photo"):
            page.click(f"to-{view}")
            page.wait(page.find(f"{view}-view").is_displayed)
            for control in page.all("button, input, select"):
                if control.is_displayed():
                    assert control.accessible_name, control.get_attribute("outerHTML")
        page.keys(Keys.TAB)
        outline = page.driver.switch_to.active_element.value_of_css_property("outline-style")
        assert outline == "solid"


def test_a_killed_server_loses_nothing_and_the_page_says_so(photos, model, tmp_path):
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    memory = model.pseudo_labeler.memory
    command = [sys.executable, "-m", "sklearn_cdul", "review", os.path.dirname(photos[0])]
    command += ["--classes", "names.txt", "--memory", str(memory), "--no-browser", "--quiet"]
    command += ["--set", "pseudo_labeler__grid_size=1", "--set", "image_size=64"]

    def start():
        server = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for line in server.stderr:
            if found := re.search(r"http://\S+", line):
                return server, found[0]
        raise AssertionError("it did not start")

    server, url = start()
    try:
        with opened(url) as page:
            for count in range(1, 4):
                page.next(lambda: page.keys(Keys.ENTER))
                page.answered(count)
            server.kill()
            server.wait()
            page.keys(Keys.ENTER)
            page.wait(lambda: "does not answer" in page.find("trouble").text)
        server, url = start()
        with opened(url) as page:
            page.answered(3)
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0
        assert len((tmp_path / "answers.csv").read_text().splitlines()) == 4
    finally:
        server.kill()
        server.wait()
        server.stderr.close()
