"""Views partition the image and look as open_clip's own preprocessing makes them."""

import numpy as np
import pytest
from PIL import Image

from sklearn_cdul.images.views import (
    Preprocessing,
    fit_image,
    make_views,
    n_views,
    required_size,
    snippet_boxes,
    view_boxes,
)

RNG = np.random.default_rng(0)


def preprocessing(size=32, resize_mode="squash", interpolation="bicubic", fill_color=0):
    return Preprocessing.from_open_clip(
        {
            "size": size,
            "resize_mode": resize_mode,
            "interpolation": interpolation,
            "fill_color": fill_color,
            "mean": (0.5, 0.5, 0.5),
            "std": (0.5, 0.5, 0.5),
        }
    )


def noise(width, height):
    return Image.fromarray(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(3, 3), (7, 5), (10, 3), (100, 67), (384, 256)])
@pytest.mark.parametrize("grid_size", [1, 2, 3])
def test_snippets_cover_each_pixel_once(size, grid_size):
    width, height = size
    covered = np.zeros((height, width), int)
    for left, upper, right, lower in snippet_boxes(width, height, grid_size):
        covered[upper:lower, left:right] += 1
    assert (covered == 1).all()


def test_snippets_are_of_almost_equal_size_and_go_row_by_row():
    boxes = snippet_boxes(100, 67, 3)
    assert boxes[:4] == [(0, 0, 33, 22), (33, 0, 66, 22), (66, 0, 100, 22), (0, 22, 33, 44)]
    assert {right - left for left, _, right, _ in boxes} == {33, 34}


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (1, 300)])
def test_images_smaller_than_the_grid_give_overlapping_snippets(size):
    boxes = snippet_boxes(*size, 3)
    assert len(boxes) == 9
    for left, upper, right, lower in boxes:
        assert 0 <= left < right <= size[0]
        assert 0 <= upper < lower <= size[1]
    assert make_views(noise(*size), 3, preprocessing()).shape == (10, 32, 32, 3)


def test_a_single_snippet_is_the_whole_image_and_not_a_second_view():
    assert [n_views(k) for k in (1, 2, 3, np.int64(4))] == [1, 5, 10, 17]
    assert make_views(noise(50, 40), 1, preprocessing()).shape == (1, 32, 32, 3)


@pytest.mark.parametrize("grid_size", [0, -1, 2.0, "3", True, None])
def test_wrong_grid_sizes_are_refused(grid_size):
    with pytest.raises(ValueError, match="grid_size must be an integer of at least 1"):
        n_views(grid_size)


@pytest.mark.parametrize("resize_mode", ["squash", "shortest", "longest"])
@pytest.mark.parametrize("size", [64, (48, 80)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_views_equal_open_clips_own_preprocessing(food_photos, resize_mode, size, interpolation):
    transform = pytest.importorskip("open_clip.transform")
    options = {"resize_mode": resize_mode, "size": size, "interpolation": interpolation}
    config = transform.PreprocessCfg(mean=(0, 0, 0), std=(1, 1, 1), fill_color=9, **options)
    preprocess = transform.image_transform_v2(config, is_train=False)
    ours = preprocessing(fill_color=9, **options)
    tolerance = 2 if resize_mode == "shortest" else 0
    for path in food_photos.data[:4]:
        with Image.open(path) as photo:
            image = photo.convert("RGB")
        boxes = [(0, 0, *image.size), *snippet_boxes(*image.size, 3)]
        for view, box in zip(make_views(image, 3, ours), boxes, strict=True):
            expected = np.rint(preprocess(image.crop(box)).numpy().transpose(1, 2, 0) * 255)
            assert np.abs(view - expected).max() <= tolerance


@pytest.mark.parametrize("resize_mode", ["squash", "shortest", "longest"])
def test_extreme_strips_need_no_extreme_memory(resize_mode):
    # With "shortest", resizing all of it before the crop would take 4 GB.
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert fit_image(noise(20_000, 1), preprocessing(224, resize_mode)).size == (224, 224)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2 * before


def test_required_size_gives_each_snippet_the_pixels_of_the_input():
    assert required_size(3, preprocessing(224)) == (672, 672)
    assert required_size(4, preprocessing((48, 80))) == (320, 192)
    assert required_size(2, preprocessing((48, 80), "shortest")) == (160, 160)
    # A single view keeps twice the pixels of the input.
    assert required_size(1, preprocessing(224)) == (448, 448)


def test_preprocessing_reads_what_open_clip_writes():
    config = {"size": (224, 196), "mode": "RGB", "mean": [0.1, 0.2, 0.3], "std": 0.5}
    read = Preprocessing.from_open_clip({**config, "interpolation": "random", "resize_mode": None})
    assert read.image_size == (224, 196)
    assert (read.resize_mode, read.interpolation, read.fill_color) == ("shortest", "bicubic", 0)
    assert (read.mean, read.std) == ((0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    assert hash(read) == hash(Preprocessing.from_open_clip(config))
    with pytest.raises(ValueError, match="unknown mode, 'stretch'"):
        Preprocessing.from_open_clip({**config, "resize_mode": "stretch"})


# where views lie


def slopes(width, height):
    """An image that is redder to the right and greener to the bottom, and blue all over."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, np.full_like(x, 255)], axis=-1).astype(np.uint8))


@pytest.mark.parametrize("resize_mode", ["squash", "shortest", "longest"])
@pytest.mark.parametrize("size", [(300, 200), (200, 300)])
def test_a_view_shows_the_pixels_of_its_place(size, resize_mode):
    image, preprocessing = slopes(*size), Preprocessing((64, 64), resize_mode)
    places = view_boxes(image, 3, preprocessing)
    for view, (left, upper, right, lower) in zip(
        make_views(image, 3, preprocessing), places, strict=True
    ):
        reds, greens = view[..., :2][view[..., 2] > 250].T / 255  # not padding, which is black
        seen = [reds.min(), greens.min(), reds.max(), greens.max()]
        np.testing.assert_allclose(seen, [left, upper, right, lower], atol=0.02)


def test_windows_divide_what_the_model_sees():
    image, preprocessing = slopes(400, 200), Preprocessing((64, 64), "shortest")
    places = view_boxes(image, 2, preprocessing, "dense")
    assert places.shape == (10, 4)
    np.testing.assert_allclose(places[0], [0.25, 0, 0.75, 1])
    np.testing.assert_allclose(places[1:3, [0, 2]], [[1 / 4, 5 / 12], [5 / 12, 7 / 12]])
    np.testing.assert_allclose(places[-1], [7 / 12, 2 / 3, 3 / 4, 1])


def test_windows_on_nothing_but_padding_have_no_area():
    places = view_boxes(slopes(400, 100), 2, Preprocessing((64, 64), "longest"), "dense")
    area = (places[1:, 2] - places[1:, 0]) * (places[1:, 3] - places[1:, 1])
    assert (area > 0).reshape(3, 3).tolist() == [[False] * 3, [True] * 3, [False] * 3]


def test_without_parts_only_the_whole_image_has_a_place():
    for views in ("grid", "dense", "proposals"):
        places = view_boxes(slopes(40, 20), 1, Preprocessing((64, 64), "squash"), views)
        assert places.tolist() == [[0, 0, 1, 1]]
