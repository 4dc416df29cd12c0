"""Places say what views show, whatever a model crops away or pads."""

import numpy as np
import pytest
from PIL import Image

from sklearn_cdul.images.views import Preprocessing, make_views, view_boxes


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
    places = view_boxes(image, 3, preprocessing, "dense")
    assert places.shape == (17, 4)
    np.testing.assert_allclose(places[0], [0.25, 0, 0.75, 1])
    np.testing.assert_allclose(places[1:3, :3], [[0.25, 0, 0.375], [0.375, 0, 0.5]])
    np.testing.assert_allclose(places[-1], [0.625, 0.75, 0.75, 1])


def test_windows_on_nothing_but_padding_have_no_area():
    places = view_boxes(slopes(400, 100), 3, Preprocessing((64, 64), "longest"), "dense")
    area = (places[1:, 2] - places[1:, 0]) * (places[1:, 3] - places[1:, 1])
    assert (area > 0).reshape(4, 4).tolist() == [[False] * 4, [True] * 4, [True] * 4, [False] * 4]


def test_without_parts_only_the_whole_image_has_a_place():
    for views in ("grid", "dense", "proposals"):
        places = view_boxes(slopes(40, 20), 1, Preprocessing((64, 64), "squash"), views)
        assert places.tolist() == [[0, 0, 1, 1]]
