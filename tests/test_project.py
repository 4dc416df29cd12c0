"""What the project promises outside its code: commands, licences, version, clean files."""

import re
import subprocess
from pathlib import Path

import pytest

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


def test_newest_version_in_the_changelog_is_the_package_version():
    newest = re.search(r"^## \[([^\]]+)\]", read("CHANGELOG.md"), flags=re.MULTILINE)
    assert newest[1] == sklearn_cdul.__version__


def test_no_file_names_a_folder_of_somebodys_machine():
    machine_path = re.compile(r"(?<![\w.:/~-])(?:/(?:home|root|Users|work|opt)/|[A-Z]:\\Users\\)")
    found = [
        f"{name}: {line.strip()[:80]}"
        for name, text in text_files()
        for line in text.splitlines()
        if machine_path.search(line)
    ]
    assert not found


def test_readme_names_only_files_that_exist():
    linked = re.findall(r"\]\((?!https?:|#)([^)\s]+)\)", read("README.md"))
    missing = [target for target in linked if not (ROOT / target.split("#")[0]).exists()]
    # The picture is made by the quickstart just before a release.
    assert set(missing) <= {"docs/_static/quickstart.png"}
