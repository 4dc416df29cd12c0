"""A figure that stands in several places of README.md and docs/ is the same in all of them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

if not (ROOT / "docs").exists():
    pytest.skip("these tests read a checkout of the source", allow_module_level=True)


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def readme_table(head):
    """Cells of the body of the table in README.md whose first line begins so."""
    lines = read("README.md").split(f"\n| {head}")[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def found(name, pattern):
    """What the groups of a pattern take in a page, at least once."""
    texts = re.findall(pattern, " ".join(read(name).split()))
    assert texts, f"{name} has no {pattern!r} any more: correct this test"
    return texts


def test_encoders_have_the_same_figures_in_readme_and_in_the_guide():
    in_readme = readme_table("`model_name`")
    table = read("docs/encoders.rst").split(".. list-table::")[1].split("\n\n")[1]
    cells = re.sub(r"``", "`", table).split("* - ")[1:]
    in_guide = [[cell.strip() for cell in row.split("\n     - ")] for row in cells]
    assert in_guide[1:] == in_readme


def test_the_first_pages_say_the_same_of_quality_and_speed():
    figures = [row[1:] for row in readme_table("on 97 test photos")]
    table = read("docs/index.rst").split("mAP   macro-F1")[1].split("\n\n")[0].splitlines()[2:-1]
    in_index = [re.findall(r"\d+\.\d|\d+$|\\", line) for line in table]
    assert [[cell.replace("\\", "") for cell in row] for row in in_index] == figures


def test_what_is_said_elsewhere_of_these_photos_is_in_the_table():
    whole, labels, network = (row[1:] for row in readme_table("on 97 test photos"))
    (bundled,) = found("README.md", r"(whole photo [\d.]+, labels [\d.]+, network [\d.]+)")
    assert re.findall(r"\d+\.\d", bundled) == [whole[0], labels[0], network[0]]
    food, _ = found("docs/names.rst", r"labels, no others +([\d.]+) +([\d.]+)")
    assert list(food) == labels[:2]


def test_speeds_are_the_same_on_all_pages():
    _, labels, network = (row[3] for row in readme_table("on 97 test photos"))
    (encoded,) = found("docs/benchmarks.rst", r"``embed_photos`` (\d+\.\d) \d+\.\d ")
    assert f"{float(encoded):.0f}" == labels
    places = found("docs/benchmarks.rst", r"the encoder takes ([\d.]+) photos per second")
    places += found("docs/large_jobs.rst", r"CLIP labels ([\d.]+) photos per second")
    places += found("docs/large_jobs.rst", r"costs.py --label ([\d.]+)")
    assert set(places) == {encoded}
    places = found("docs/benchmarks.rst", r"decoding included, ``predict`` takes (\d+) photos")
    places += found("docs/large_jobs.rst", r"network takes (\d+) files per second in ``predict``")
    places += found("docs/large_jobs.rst", r"--read (\d+) --predict \1")
    assert set(places) == {network}
