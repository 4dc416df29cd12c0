"""What tests of readers compare, and the photos that they write."""

from pathlib import Path

import numpy as np

from tests.datasets.trees import write_photo

# Photos of people's own, and the classes in each.
NAMES = {"a.jpg": ["cup", "tea pot"], "b.png": [], "c.jpg": ["cup"]}


def shown(photos):
    """File name -> names of the classes with a 1."""
    names = np.array(photos.target_names)
    return {
        Path(path).name: names[row == 1].tolist()
        for path, row in zip(photos.data, photos.target, strict=True)
    }


def check_bunch(photos, n, target_names, split):
    assert set(photos) == {"data", "target", "target_names", "split", "attributions", "DESCR"}
    assert all(isinstance(path, str) and Path(path).is_file() for path in photos.data)
    assert len(photos.data) == n
    assert photos.target.shape == (n, len(target_names))
    assert photos.target.dtype == np.int64
    assert set(np.unique(photos.target)) <= {0, 1}
    assert photos.target_names == list(target_names)
    assert photos.split.tolist() == [split] * n
    assert split in photos.DESCR


def check_own(photos, split, target_names=("cup", "tea pot"), names=NAMES):
    assert set(photos) == {"data", "target", "target_names", "split", "attributions", "DESCR"}
    assert shown(photos) == names
    assert photos.target.dtype == np.int64
    assert photos.target_names == list(target_names)
    assert photos.split.tolist() == [split] * len(names)
    assert all(Path(path).is_file() for path in photos.data)


def write_photos(folder, names=NAMES):
    for shade, name in enumerate(names):
        write_photo(folder / name, shade)
