"""XMP sidecars: the names of photos as keywords, beside what others wrote."""

import json
import shutil
import subprocess
from xml.etree import ElementTree

import pytest

from sklearn_cdul.datasets import dump_xmp

NAMES = ["bread", "cake", "Käse & <寿司>"]
SPACES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "lr": "http://ns.adobe.com/lightroom/1.0/",
    "digiKam": "http://www.digikam.org/ns/1.0/",
    "r": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
}
# As digiKam and darktable write them: several descriptions, another prefix, attributes.
THEIRS = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <!-- a note -->
  <r:Description r:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4"/>
  <r:Description r:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:digiKam="http://www.digikam.org/ns/1.0/">
   <dc:subject><r:Seq><r:li>holiday</r:li><r:li>cake</r:li></r:Seq></dc:subject>
   <lr:hierarchicalSubject><r:Bag><r:li>food|cake</r:li></r:Bag></lr:hierarchicalSubject>
   <digiKam:TagsList><r:Seq><r:li>food/cake</r:li></r:Seq></digiKam:TagsList>
   <dc:title><r:Alt><r:li xml:lang="x-default">Tea &amp; cake</r:li></r:Alt></dc:title>
  </r:Description>
 </r:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"not touched")
    return path


def keywords(photo, field="dc:subject"):
    root = ElementTree.fromstring(photo.with_name(f"{photo.name}.xmp").read_bytes())
    return [item.text for item in root.iterfind(f".//{field}//rdf:li", SPACES)]


def test_names_become_keywords_and_change_with_the_labels(photo):
    for names in (["cake", NAMES[2]], ["cake"], ["bread", "cake"], []):
        dump_xmp([photo], [names], NAMES)
        assert sorted(keywords(photo)) == sorted(names)
        assert sorted(keywords(photo, "lr:hierarchicalSubject")) == sorted(names)
    assert photo.read_bytes() == b"not touched"
    assert sorted(path.name for path in photo.parent.iterdir()) == ["a.jpg", "a.jpg.xmp"]


def test_a_photo_of_no_class_gets_no_sidecar(photo):
    dump_xmp([str(photo)], [[]], NAMES)
    assert not photo.with_name("a.jpg.xmp").exists()


def test_what_others_wrote_stays(photo):
    sidecar = photo.with_name("a.jpg.xmp")
    sidecar.write_text(THEIRS, encoding="utf-8")
    dump_xmp([photo], [["bread", "cake"]], NAMES)
    assert keywords(photo) == ["holiday", "cake", "bread"]
    assert keywords(photo, "lr:hierarchicalSubject") == ["food|cake", "bread"]
    assert keywords(photo, "digiKam:TagsList") == ["food/cake", "bread"]
    text = sidecar.read_text(encoding="utf-8")
    for part in ('xmp:Rating="4"', "<!-- a note -->", "Tea &amp; cake", "<?xpacket end="):
        assert part in text
    dump_xmp([photo], [[]], NAMES)  # takes back its own name alone
    assert keywords(photo) == ["holiday", "cake"]
    assert keywords(photo, "lr:hierarchicalSubject") == ["food|cake"]
    assert keywords(photo, "digiKam:TagsList") == ["food/cake"]


def test_a_sidecar_in_which_nothing_changes_is_not_written(photo):
    sidecar = photo.with_name("a.jpg.xmp")
    sidecar.write_text(THEIRS, encoding="utf-8")
    dump_xmp([photo], [["cake"]], NAMES)
    assert sidecar.read_text(encoding="utf-8") == THEIRS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<x",
        "<xmp/>",
        '<!DOCTYPE a [<!ENTITY b "c">]>' + THEIRS.partition("?>")[2],
        THEIRS.replace("<r:Seq><r:li>holiday</r:li><r:li>cake</r:li></r:Seq>", "holiday"),
        THEIRS.replace("cake", "<a>" * 5000 + "</a>" * 5000),
        THEIRS.replace('xmp:Rating="4"', f'xmlns:dc="{SPACES["dc"]}" dc:subject="holiday"'),
    ],
)
def test_a_sidecar_that_is_not_understood_stops_all_before_the_first_is_written(photo, text):
    other = photo.with_name("b.jpg")
    sidecar = photo.with_name("b.jpg.xmp")
    sidecar.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"b\.jpg\.xmp is no XMP sidecar: .*move it away"):
        dump_xmp([photo, other], [["cake"], ["cake"]], NAMES)
    assert sidecar.read_text(encoding="utf-8") == text
    assert not photo.with_name("a.jpg.xmp").exists()


@pytest.mark.parametrize("name", ["a|b", " a", "a\tb", "a\x01"])
def test_names_that_xmp_cannot_hold_are_refused(photo, name):
    with pytest.raises(ValueError, match="can't be written"):
        dump_xmp([photo], [[]], [name])


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool")
@pytest.mark.parametrize("theirs", [None, THEIRS])
def test_exiftool_reads_the_sidecar_and_finds_no_fault(photo, theirs):
    sidecar = photo.with_name("a.jpg.xmp")
    if theirs:
        sidecar.write_text(theirs, encoding="utf-8")
    dump_xmp([photo], [["bread", NAMES[2]]], NAMES)
    command = ["exiftool", "-j", "-validate", "-warning", "-error", "-xmp:all", str(sidecar)]
    (found,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    before = ["holiday", "cake"] if theirs else []
    assert found["Subject"] == [*before, "bread", NAMES[2]]
    assert found["Validate"] == "OK"
    if theirs:
        assert (found["Rating"], found["Title"]) == (4, "Tea & cake")
