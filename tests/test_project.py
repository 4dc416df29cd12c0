"""What the project promises outside its code: commands, licences, version, clean files."""

import re
import subprocess
from pathlib import Path

import pytest
from packaging.version import Version

import sklearn_cdul

ROOT = Path(__file__).parents[1]

if not (ROOT / "pyproject.toml").exists():
    pytest.skip("these tests read a checkout of the source", allow_module_level=True)


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def text_files():
    """Text of every file in version control, or of the usual folders where there is no git."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
        ).stdout.split("\0")
        paths = [ROOT / name for name in listed if name]
    except (OSError, subprocess.CalledProcessError):
        folders = ("sklearn_cdul", "tests", "docs", "examples", "benchmarks", "tools")
        paths = [path for folder in folders for path in (ROOT / folder).rglob("*")]
        paths += list(ROOT.glob("*.*"))
    suffixes = {"", ".py", ".md", ".rst", ".toml", ".txt", ".csv", ".json", ".css"}
    suffixes |= {".cff", ".yml", ".yaml"}
    for path in paths:
        if path.is_file() and path.suffix in suffixes and "_build" not in path.parts:
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def test_readme_gives_the_test_command_that_ci_runs():
    pattern = re.compile(r"^\s*(python3 -m venv .*pytest)$", flags=re.MULTILINE)
    in_readme, in_ci = pattern.findall(read("README.md")), pattern.findall(read(".ci/run"))
    assert len(in_readme) == len(in_ci) == 1
    assert in_readme == in_ci


def test_licence_and_notices_are_there_and_travel_with_the_wheel():
    assert "BSD 3-Clause" in read("LICENSE")
    notice = read("NOTICE")
    texts = {path.name for path in (ROOT / "licenses").glob("*.txt")}
    assert texts == set(re.findall(r"licenses/([\w.-]+\.txt)", notice))
    assert 'license-files = ["LICENSE", "NOTICE", "licenses/*.txt"]' in read("pyproject.toml")


def test_every_photo_with_an_obligation_is_counted_in_the_notice(food_photos):
    licences = [row["licence"] for row in food_photos.attributions]
    notice = " ".join(read("NOTICE").split())
    assert f"{len(licences)} photographs" in notice
    assert f"{licences.count('Pexels')} from Pexels" in notice
    assert f"{licences.count('CC BY 2.0')} under CC BY 2.0" in notice


def test_changelog_and_citation_give_the_version_of_the_package():
    newest = re.search(r"^## \[([^\]]+)\]", read("CHANGELOG.md"), flags=re.MULTILINE)
    assert newest[1] == sklearn_cdul.__version__
    assert f"\nversion: {sklearn_cdul.__version__}\n" in read("CITATION.cff")


def test_oldest_versions_that_ci_installs_are_those_that_pyproject_claims():
    claims = re.sub(r"^(docs|dev) = .*$", "", read("pyproject.toml"), flags=re.MULTILINE)
    lowest = dict(re.findall(r'"([\w.-]+)>=([\d.]+)"', claims))
    pinned = dict(re.findall(r"^([\w.-]+)==([\d.]+)$", read("tests/oldest_constraints.txt"), re.M))
    # Too large to install once more; the head of the constraints says so.
    del lowest["torch"], lowest["torchvision"]
    assert comparable(pinned) == comparable(lowest)


def comparable(versions):
    """Names and versions in one spelling: open_clip_torch 3.0 is open-clip-torch 3.0.0."""
    return {name.replace("_", "-"): Version(number) for name, number in versions.items()}


def test_parts_that_the_workflow_calls_are_those_of_ci():
    parts = re.search(r'^parts="(.*)"$', read(".ci/run"), flags=re.MULTILINE)[1]
    workflow = read(".github/workflows/tests.yml")
    called = re.findall(r"(?:\.ci/run|- part:) ([\w ]+)$", workflow, flags=re.MULTILINE)
    assert sorted(" ".join(called).split()) == sorted(parts.split())


def test_no_file_names_a_folder_of_somebodys_machine():
    machine_path = re.compile(r"(?<![\w.:/~-])(?:/(?:home|root|Users|work|opt)/|[A-Z]:\\Users\\)")
    found = [
        f"{name}: {line.strip()[:80]}"
        for name, text in text_files()
        for line in text.splitlines()
        if machine_path.search(line)
    ]
    assert not found


def test_examples_are_numbered_in_the_order_of_the_gallery():
    names = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
    assert [name[:8] for name in names] == [f"plot_{i:02}_" for i in range(1, len(names) + 1)]


def test_readme_names_only_files_that_exist():
    linked = re.findall(r"\]\((?!https?:|#)([^)\s]+)\)", read("README.md"))
    missing = [target for target in linked if not (ROOT / target.split("#")[0]).exists()]
    # The picture is made by the quickstart just before a release.
    assert set(missing) <= {"docs/_static/quickstart.png"}
