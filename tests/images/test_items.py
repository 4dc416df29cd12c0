"""What people pass as X works at flat memory, or is refused with the line that converts it."""

import base64
import collections
import io
import os
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image
from scipy.sparse import csr_array

import sklearn_cdul.datasets
from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.items import check_images
from sklearn_cdul.images.reading import map_images
from tests.images.pictures import PICTURE, encoded

PNG = encoded("PNG")
BASE64 = base64.b64encode(PNG).decode()


class Columns:
    """A data set or column of Hugging Face, as far as it is looked at."""

    def __init__(self, rows, **attributes):
        self.rows = rows
        self.asked_for = []
        vars(self).update(attributes)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        self.asked_for.append(index)
        return self.rows[index]


class EndlessDataset(torch.utils.data.Dataset):
    """A map-style Dataset that makes its items and knows no IndexError."""

    def __init__(self, make, length=1000):
        self.make = make
        self.length = length
        self.asked_for = []

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        self.asked_for.append(index)
        return self.make(index)


class CloudPath:
    """Like a path of universal_pathlib in a cloud: no os.PathLike."""

    def __init__(self, files, name):
        self.files = files
        self.name = name
        self.path = f"/bucket/{name}"

    def __str__(self):
        return f"s3://bucket/{self.name}"

    def read_bytes(self):
        if self.name not in self.files:
            raise FileNotFoundError(2, "No such file")
        return self.files[self.name]


class OpenFile:
    """Like fsspec's OpenFile: entered, it gives a file."""

    def __init__(self, data, path="bucket/a.png"):
        self.data = data
        self.path = path

    def open(self):
        return io.BytesIO(self.data)

    def __enter__(self):
        return self.open()

    def __exit__(self, *error):
        pass


def pixels_of(X):
    pixels = []
    for outcome in map_images(np.asarray, check_images(X)):
        if isinstance(outcome, ImageError):
            raise outcome
        pixels.append(outcome)
    return pixels


def zip_path(folder):
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        archive.writestr("a.png", PNG)
    return zipfile.Path(folder / "photos.zip", "a.png")


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: PNG,
        lambda folder: bytearray(PNG),
        lambda folder: memoryview(PNG),
        lambda folder: io.BytesIO(PNG),
        lambda folder: (folder / "a.png").open("rb"),
        lambda folder: {"bytes": PNG, "path": None},
        lambda folder: {"bytes": None, "path": str(folder / "a.png")},
        lambda folder: CloudPath({"a.png": PNG}, "a.png"),
        lambda folder: OpenFile(PNG),
        zip_path,
        lambda folder: next(os.scandir(folder)),
        lambda folder: Image.open(folder / "a.png"),
        lambda folder: Image.open(io.BytesIO(PNG)),
    ],
)
def test_items_that_hold_or_give_an_encoded_image_are_read_more_than_once(make, tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    X = [make(tmp_path)]
    for _ in range(2):
        np.testing.assert_array_equal(pixels_of(X), [np.asarray(PICTURE)])
    if hasattr(X[0], "close"):
        X[0].close()


def test_a_file_that_is_shared_stays_where_it_was():
    file = io.BytesIO(PNG)
    file.seek(5)
    assert len(pixels_of([file] * 8)) == 8
    assert file.tell() == 5


@pytest.mark.parametrize(
    "X",
    [
        pd.Series([PNG, PNG], index=[4, 9]),
        pd.DataFrame({"image": [{"bytes": PNG, "path": "a.png"}] * 2}),
        pl.Series([PNG, PNG]),
        pl.DataFrame({"image": [{"bytes": PNG, "path": "a.png"}] * 2}),
        np.array([PNG, PNG], dtype=object),
        collections.deque([PNG, PNG]),
        Columns([PICTURE, PICTURE]),
        Columns([{"bytes": PNG, "path": None}] * 2),
        EndlessDataset(lambda index: PICTURE, length=2),
        EndlessDataset(lambda index: np.asarray(PICTURE), length=2),
    ],
)
def test_columns_of_photos_are_read(X):
    np.testing.assert_array_equal(pixels_of(X), [np.asarray(PICTURE)] * 2)


@pytest.mark.parametrize(
    "X",
    [
        pd.Series(["a.jpg", "b.jpg"], dtype="string"),
        pd.Series(["a.jpg", "b.jpg"], dtype="category"),
        pd.Index(["a.jpg", "b.jpg"]),
        collections.deque(["a.jpg", "b.jpg"]),
        EndlessDataset(lambda index: "ab"[index] + ".jpg", length=2),
    ],
)
def test_columns_of_paths_become_lists_of_paths(X):
    assert check_images(X) == ["a.jpg", "b.jpg"]


def test_pyarrow_columns_are_read():
    pa = pytest.importorskip("pyarrow")
    assert check_images(pa.chunked_array([["a.jpg"], ["b.jpg"]])) == ["a.jpg", "b.jpg"]
    assert check_images(pa.table({"photo": ["a.jpg"]})) == ["a.jpg"]
    np.testing.assert_array_equal(pixels_of(pa.array([PNG])), [np.asarray(PICTURE)])


def test_a_hugging_face_column_is_read():
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    rows = {"image": [{"bytes": PNG, "path": None}] * 3, "label": [0, 1, 2]}
    data = datasets.Dataset.from_dict(rows, features=features)
    np.testing.assert_array_equal(pixels_of(data["image"]), [np.asarray(PICTURE)] * 3)
    with pytest.raises(ValueError, match=r"columns 'image', 'label'.*X\['image'\]"):
        check_images(data)


def test_paths_of_universal_pathlib_and_fsspec_are_read(tmp_path):
    upath = pytest.importorskip("upath")
    fsspec = pytest.importorskip("fsspec")
    path = upath.UPath("memory://photos/a.png")
    path.write_bytes(PNG)
    X = [path, fsspec.open("memory://photos/a.png"), upath.UPath(tmp_path / "b.png")]
    (tmp_path / "b.png").write_bytes(PNG)
    np.testing.assert_array_equal(pixels_of(X), [np.asarray(PICTURE)] * 3)


def test_a_path_in_a_cloud_is_named_by_its_address():
    with pytest.raises(ImageError, match=r"X\[0\] \(s3://bucket/b.png\): there is no such file"):
        pixels_of([CloudPath({}, "b.png")])


def test_a_lazy_sequence_is_asked_for_its_first_item_and_then_when_items_are_needed():
    X = EndlessDataset(lambda index: PICTURE)
    photos = check_images(X)
    assert len(photos) == 1000
    assert X.asked_for == [0]
    list(map_images(lambda image: None, photos, indices=[7, 8]))
    assert sorted(X.asked_for) == [0, 7, 8]


def test_decoded_photos_of_a_lazy_sequence_are_not_kept():
    X = EndlessDataset(lambda index: Image.new("RGB", (1000, 1000)), length=200)
    tracemalloc.start()  # of Pillow it sees the objects, of NumPy the pixels too
    photos = check_images(X)
    for _ in map_images(np.asarray, photos, n_jobs=1, look_ahead=2):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6  # 200 photos of 3 MB


def test_a_wrong_item_of_a_lazy_sequence_is_named_when_it_is_reached():
    X = EndlessDataset(lambda index: None if index == 2 else PICTURE, length=4)
    with pytest.raises(ImageError, match=r"X\[2\] is missing"):
        pixels_of(X)
    results = list(map_images(np.asarray, check_images(X)))
    assert [isinstance(result, ImageError) for result in results] == [False, False, True, False]
    assert results[2].index == 2


def test_a_lazy_sequence_is_labelled_as_a_list_of_its_items(food_photos, tmp_path):
    X = Columns([{"bytes": Path(path).read_bytes(), "path": None} for path in food_photos.data[:3]])
    labeler = CLIPPseudoLabeler(["cake", "cup"], grid_size=1, memory=tmp_path).fit(X)
    expected = labeler.transform(food_photos.data[:3])
    np.testing.assert_array_equal(labeler.transform(X), expected)


# What is refused, and with which line


PAIRS = r"\[x\[0\] for x in \(X\[i\] for i in range\(len\(X\)\)\)\]"
TENSOR = torch.zeros(2, 3, 6, 8, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (EndlessDataset(lambda i: (PICTURE, 1)), PAIRS),
        (EndlessDataset(lambda i: (torch.zeros(3, 8, 8), 1)), PAIRS),
        (EndlessDataset(lambda i: {"photo": PICTURE, "label": 1}), r"\[x\['photo'\] for x in "),
        (
            Columns([(PICTURE, 0)], samples=[("a.jpg", 0)]),
            r"\[path for path, _ in X.samples\]",
        ),
        (
            torch.utils.data.Subset(Columns([(PICTURE, 0)], samples=[("a.jpg", 0)]), [0]),
            r"\[X.dataset.samples\[i\]\[0\] for i in X.indices\]",
        ),
        (
            Columns(
                [{}],
                column_names=["id", "photo"],
                features={"id": 0, "photo": type("Image", (), {})()},
            ),
            r"columns 'id', 'photo'.*X\['photo'\]",
        ),
        ({"train": Columns([], column_names=["image"])}, r"X\['train'\]\[\"image\"\]"),
        ({"image": [PICTURE], "label": [0]}, r"Give X\['image'\]"),
        (torch.utils.data.DataLoader(Columns([])), "paths of its photos"),
        ([("a.jpg", 0)], r"\[x\[0\] for x in X\]"),
        ([{"file": "a.jpg"}], r"\[x\['file'\] for x in X\]"),
        (TENSOR, r"Give X.permute\(0, 2, 3, 1\).cpu\(\).numpy\(\)"),
        (TENSOR.permute(0, 2, 3, 1), r"Give X.cpu\(\).numpy\(\)"),
        (TENSOR / 255, r"\[\(x \* 255\).byte\(\).permute\(1, 2, 0\)"),
        (list(TENSOR), r"\[x.permute\(1, 2, 0\).cpu\(\).numpy\(\) for x in X\]"),
        (torch.zeros(2, 5), 'input="embeddings"'),
        ([np.zeros(5)], 'input="embeddings"'),
        (pd.DataFrame(np.zeros((2, 5))), 'input="embeddings"'),
        (csr_array(np.eye(3)), 'input="embeddings"'),
        (np.ma.masked_less(np.stack([PICTURE]), 200), r"X\[0\] has masked pixels.*x.filled"),
        ((path for path in ["a.jpg"]), r"Give list\(X\)"),
        (map(str, ["a.jpg"]), r"Give list\(X\)"),
        ({"a.jpg"}, r"Give sorted\(X\)"),
        ({"a": "a.jpg"}, r"Give list\(X.values\(\)\)"),
        (np.array("a.jpg"), "list of paths"),
        (np.array([["a.jpg", "b.jpg"]]), r"X\[:, 0\]"),
        (pl.LazyFrame({"photo": ["a.jpg"]}), r"X.collect\(\)"),
        ("photos/*.jpg", r"sorted\(glob.glob\(X\)\)"),
        ("no such thing", "no such file or folder"),
        (PNG, r"single bytes. For one image write \[X\]"),
        (io.BytesIO(PNG), r"single BytesIO. For one image write \[X\]"),
        (CloudPath({}, "a"), r"single CloudPath. For one image write \[X\]"),
        (["https://a.b/c.jpg"], r"X\[0\] is a URL.*\[upath.UPath\(x\) for x in X\]"),
        (["s3://bucket/c.jpg"], r"X\[0\] is a URL, 's3://bucket/c.jpg'"),
        ([Path("https://a.b/c.jpg")], r"X\[0\] is a URL"),
        ("gs://bucket/c.jpg", r"X is a URL"),
        (["file:///a/b.jpg"], 'without "file://"'),
        ([BASE64], r"is an image as text.*\[base64.b64decode\(x\) for x in X\]"),
        (["data:image/png;base64," + BASE64], r"b64decode\(x.partition\(\",\"\)\[2\]\)"),
        ([BASE64.encode()], r"holds text.*base64.b64decode"),
        (np.array([b"a.jpg", b"b.jpg"]), r"\[os.fsdecode\(x\) for x in X\]"),
        ([io.StringIO("a")], 'opened as text. Open it with mode "rb"'),
    ],
)
def test_what_is_refused_names_the_line_that_converts_it(X, message):
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        check_images(X)
    assert not isinstance(caught.value, ImageError)
    assert len(str(caught.value)) < 400
    assert len(getattr(X, "asked_for", [])) <= 1


def test_a_stream_that_can_be_read_once_is_refused():
    class Stream(io.RawIOBase):
        def read(self, size=-1):
            return PNG

    with pytest.raises(TypeError, match="can be read only once"):
        check_images([Stream()])


def test_a_closed_file_is_refused(tmp_path):
    with open(tmp_path / "a.png", "wb") as file:
        pass
    with pytest.raises(ValueError, match=r"X\[0\] is a closed file"):
        check_images([file])


@pytest.mark.parametrize("make", [str, Path, lambda path: [str(path) + "/"], lambda path: [path]])
def test_a_folder_is_answered_with_the_line_that_lists_its_photos(make, tmp_path):
    (tmp_path / "a.PNG").write_bytes(PNG)
    (tmp_path / "b.txt").touch()
    with pytest.raises(ValueError, match=r"folder. Give a list of its photos") as caught:
        check_images(make(tmp_path))
    line = str(caught.value).partition("photos: ")[2].rstrip(".")
    # What the message says is what a user can write.
    found = eval(line, {"sklearn_cdul": sklearn_cdul})
    assert [Path(path) for path in found] == [tmp_path / "a.PNG"]


@pytest.mark.parametrize(
    "item",
    [
        "x" * 200_000,
        "/9j/" + "A" * 200_000,
        "data:image/png;base64," + "A" * 200_000,
        "https://a.b/" + "c" * 10_000,
        b"a" * 200_000,
        bytes(range(256)) * 1000,
        {"c" * 10_000: 1},
        {"c" * 10_000: PICTURE},
        type("T" * 10_000, (), {})(),
        "a\nb\0c.jpg",
    ],
)
def test_the_text_of_an_error_stays_short_and_printable(item):
    with pytest.raises((TypeError, ValueError)) as caught:
        pixels_of([item])
    assert len(str(caught.value)) < 600
    assert str(caught.value).isprintable()
    assert len(str(caught.value.__cause__)) < 600  # a traceback shows it too


@pytest.mark.skipif(os.name == "nt", reason="such names can't be given there")
def test_escape_sequences_in_names_do_not_reach_the_terminal(tmp_path):
    names = [tmp_path / f"\x1b]0;{name}\x07\x9b2J\u202e.jpg" for name in ("gone", "dir", "text")]
    names[1].mkdir()
    names[2].write_text("no photo")
    wrong = [[name, PICTURE] for name in names] + [[names[1]], names[1], [f"https://{names[0]}"]]
    wrong += [str(names[0]), f"{names[0]}*", {names[0].name: [1]}, [{names[0].name: 1}]]
    for X in wrong:
        with pytest.raises((TypeError, ValueError)) as caught:
            pixels_of(X)
        for error in (caught.value, caught.value.__cause__):
            assert str(error).isprintable()
