"""Windows of the map: as a slow, plain reference reads them, of every kind of tower."""

from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from PIL import Image
from sklearn.base import clone

from sklearn_cdul import BaseEncoder, CLIPPseudoLabeler
from sklearn_cdul.encoders.clip import CLIPEncoder
from sklearn_cdul.encoders.dense import dense_tower, window_means
from sklearn_cdul.encoders.embedding import embed_photos
from sklearn_cdul.encoders.loading import load_encoder
from sklearn_cdul.images.views import Preprocessing, n_views, views_version
from sklearn_cdul.labels import aggregate_snippets, soft_labels, softmax_similarities

NAMES = ["bread", "coffee", "cup"]
LABELER = CLIPPseudoLabeler(NAMES, grid_size=2, views="dense", precision="float32", device="cpu")

TOWERS = {
    "VisionTransformer": partial(
        VisionTransformer, 32, 8, width=16, layers=3, heads=2, mlp_ratio=2.0, output_dim=8
    ),
    "pooled VisionTransformer": partial(
        VisionTransformer, 32, 8, 16, 2, 2, 2.0, ls_init_value=0.5, output_dim=8, pool_type="avg"
    ),
    "ModifiedResNet": partial(ModifiedResNet, [1, 1, 1, 1], 8, heads=2, image_size=64, width=8),
    "resnet10t": partial(TimmModel, "resnet10t", 8, image_size=32),
    "convnext_atto": partial(TimmModel, "convnext_atto", 8, image_size=32, proj="mlp"),
}


@pytest.fixture(params=TOWERS)
def tower(request):
    """A tower with random weights, the size of its input, and what reads its windows."""
    torch.manual_seed(0)
    visual = TOWERS[request.param]().eval()
    for module in visual.modules():  # as if trained
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    size = (64, 64) if request.param == "ModifiedResNet" else (32, 32)
    return visual, size, dense_tower(visual, size)


@pytest.fixture(scope="module")
def paths(food_photos):
    return food_photos.data[:4]


def end(visual, mean):
    """What a tower that averages its map makes of the average of a window."""
    return visual.head(visual.trunk.forward_head(mean[None, :, None, None]))[0]


def cells_of(visual, pixels):
    """Cells (h * w, d) of one photo, from what the tower is made of."""
    if isinstance(visual, TimmModel):
        return visual.trunk.forward_features(pixels).flatten(2)[0].T
    if isinstance(visual, ModifiedResNet):
        maps = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(pixels)))))
        pool = visual.attnpool
        cells = maps.flatten(2)[0].T + pool.positional_embedding[1:]
        # An attention over one key gives that key's value.
        return torch.stack([pool.c_proj(pool.v_proj(cell)) for cell in cells])
    x = visual._embeds(pixels)
    *blocks, last = visual.transformer.resblocks
    for block in blocks:
        x = block(x)
    mask = torch.full((x.shape[1],) * 2, -torch.inf).fill_diagonal_(0)
    return visual.ln_post(last(x, attn_mask=mask))[0, 1:] @ visual.proj


# towers


@torch.inference_mode()
def test_windows_are_what_a_plain_reference_reads(tower):
    visual, _, reader = tower
    pixels = torch.randn(2, 3, *reader.input_size)
    _, maps = reader.read(pixels)
    windows = reader.embed(window_means(maps, 2).flatten(0, 1)).unflatten(0, (2, 9))
    side = maps.shape[2]
    assert maps.shape[2] == maps.shape[3] >= 2
    for photo, embedded in zip(pixels, windows, strict=True):
        cells = cells_of(visual, photo[None])
        if not isinstance(visual, TimmModel):
            cells = torch.nn.functional.normalize(cells, dim=-1)
        grid = cells.view(side, side, -1)
        length = -(-side // 3)
        starts = [round((side - length) * part / 2) for part in range(3)]
        corners = [(i, j) for i in starts for j in starts]
        for (i, j), window in zip(corners, embedded, strict=True):
            mean = grid[i : i + length, j : j + length].mean(dim=(0, 1))
            mean = 3 / 4 * mean + 1 / 4 * cells.mean(dim=0)
            expected = end(visual, mean) if isinstance(visual, TimmModel) else mean
            assert_allclose(window, expected, rtol=1e-3, atol=1e-5)


@torch.inference_mode()
def test_the_whole_is_what_the_tower_says(tower):
    visual, size, reader = tower
    pixels = torch.randn(2, 3, *reader.input_size)
    whole, _ = reader.read(pixels)
    small = torch.nn.functional.interpolate(pixels, size, mode="bicubic", antialias=True)
    assert_allclose(whole, visual(small if reader.input_size != size else pixels), atol=1e-5)


@torch.inference_mode()
def test_a_photo_does_not_depend_on_its_batch(tower):
    reader = tower[2]
    pixels = torch.randn(5, 3, *reader.input_size)
    together = reader.read(pixels)
    for index in (0, 3, 4):
        for part, single in zip(together, reader.read(pixels[index : index + 1]), strict=True):
            assert_allclose(part[index], single[0], rtol=1e-3, atol=1e-5)


@torch.inference_mode()
def test_a_transformer_looks_once(tower):
    visual, size, reader = tower
    if not isinstance(visual, VisionTransformer):
        return
    seen = []
    visual.transformer.resblocks[0].register_forward_hook(lambda *call: seen.append(call[2].shape))
    reader.read(torch.randn(3, 3, *size))
    assert [shape[0] for shape in seen] == [3]


@torch.inference_mode()
def test_a_whole_that_is_not_wanted_costs_no_pass(tower):
    visual, _, reader = tower
    pixels = torch.randn(1, 3, *reader.input_size)
    maps = reader.read(pixels)[1]
    assert_allclose(reader.read(pixels, whole=False)[1], maps)
    if isinstance(visual, TimmModel):  # others have it from the same pass
        seen = []
        stem = next(module for module in visual.modules() if isinstance(module, torch.nn.Conv2d))
        stem.register_forward_hook(lambda *call: seen.append(call))
        assert reader.read(pixels, whole=False)[0] is None
        assert len(seen) == 1


def test_towers_without_cells_are_refused():
    vit = TimmModel("vit_tiny_patch16_224", 8, pool="map", proj="none")
    with pytest.raises(ValueError, match=r'views="grid" works with any'):
        dense_tower(vit, (224, 224))
    pooled = VisionTransformer(32, 8, 16, 2, 2, 2.0, attentional_pool=True, output_dim=16)
    with pytest.raises(ValueError, match="VisionTransformer like this one"):
        dense_tower(pooled, (32, 32))


@pytest.mark.parametrize(("side", "grid_size"), [(14, 3), (7, 2), (3, 2), (1, 2)])
def test_windows_cover_the_map(side, grid_size):
    maps = torch.zeros(1, side * side, side, side)
    maps.view(side * side, -1).fill_diagonal_(1)  # a channel for each cell
    means = window_means(maps, grid_size)[0]
    assert means.shape == ((2 * grid_size - 1) ** 2, side * side)
    everywhere = 1 / (4 * side * side)  # the share of the whole map
    assert_allclose(means.min(), everywhere if side > 1 else 1, atol=1e-6)
    assert (means.max(dim=0).values > everywhere).all()
    assert_allclose(means.sum(dim=1), 1, atol=1e-5)


def test_a_window_without_anything_shows_the_whole():
    maps = torch.zeros(1, 2, 4, 4)
    maps[0, 0, :2] = 6.0
    maps[0, 1, 2:] = 0.6
    cosines = torch.nn.functional.normalize(window_means(maps, 2)[0], dim=1)
    assert (cosines[:, 0] > cosines[:, 1]).all()


# the bundled encoder


def test_the_engine_reads_windows_as_torch_does(paths):
    encoder = load_encoder(device="cpu", precision="float32")
    by_torch = load_encoder(device="cpu", precision="bfloat16")
    plain = CLIPEncoder(
        by_torch._model,
        by_torch._tokenizer,
        by_torch.preprocessing,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    plain.__dict__["_engine"] = None
    expected = embed_photos(plain, paths[:2], views="dense")
    assert expected.shape == (2, 26, 256)
    assert_allclose(embed_photos(encoder, paths[:2], views="dense"), expected, atol=1e-4)


def test_windows_see_what_snippets_see(paths):
    encoder = load_encoder(device="cpu", precision="float32")
    both = embed_photos(encoder, paths, grid_size=3, views="grid+dense")
    assert both.shape == (4, 35, 256)
    assert_array_equal(both[:, :10], embed_photos(encoder, paths, grid_size=3))
    dense = embed_photos(encoder, paths, grid_size=3, views="dense")
    assert_allclose(dense[:, 1:], both[:, 10:], atol=1e-5)
    # The whole photo is the same but for how it was made smaller.
    assert ((both[:, 0] * dense[:, 0]).sum(axis=1) > 0.97).all()
    # Corners are nearer to the snippets of their own corner than to those of the others.
    snippets, windows = both[:, [1, 3, 7, 9]], both[:, [10, 14, 30, 34]]
    nearness = np.einsum("nsd,nwd->nsw", snippets, windows).mean(axis=0)
    assert (nearness.argmax(axis=0) == range(4)).all()


def test_a_black_photo_has_windows(tmp_path):
    Image.new("RGB", (300, 200)).save(tmp_path / "black.png")
    labels = LABELER.fit().transform([tmp_path / "black.png"])
    assert np.isfinite(labels).all()


# labels


def test_each_group_of_views_is_aggregated_alone():
    rng = np.random.default_rng(0)
    images, texts = rng.normal(size=(3, 7, 5)), rng.normal(size=(4, 5))
    unit = images / np.linalg.norm(images, axis=2, keepdims=True)
    labels = softmax_similarities(unit @ (texts / np.linalg.norm(texts, axis=1)[:, None]).T, 0.1)
    parts = [aggregate_snippets(labels[:, 1:3], 0.2), aggregate_snippets(labels[:, 3:], 0.2)]
    expected = 0.3 * labels[:, 0] + 0.7 * (parts[0] + parts[1]) / 2
    settings = {"temperature": 0.1, "local_threshold": 0.2, "global_weight": 0.3}
    assert_allclose(soft_labels(images, texts, groups=[2, 4], **settings), expected)
    assert_allclose(
        soft_labels(images, texts, groups=[6], **settings), soft_labels(images, texts, **settings)
    )
    with pytest.raises(ValueError, match="add up to 6"):
        soft_labels(images, texts, groups=[2, 3], **settings)


def test_the_labeler_gives_snippets_and_windows_the_same_weight(paths):
    labeler = clone(LABELER).set_params(views="grid+dense").fit()
    embeddings = labeler.embed(paths)
    assert embeddings.shape == (4, n_views(2, "grid+dense"), 256) == (4, 14, 256)
    one = labeler.aggregate(embeddings)
    grid = clone(LABELER).set_params(views="grid").fit().aggregate(embeddings[:, :5])
    dense = clone(LABELER).fit().aggregate(embeddings[:, [0, *range(5, 14)]])
    assert_allclose(one, (grid + dense) / 2, atol=1e-6)
    # So it does with embeddings made beforehand.
    made = clone(labeler).set_params(input="embeddings")
    assert_array_equal(made.fit_transform(embeddings), one)


def test_without_snippets_there_are_no_windows(paths):
    for views in ("dense", "grid+dense"):
        labeler = clone(LABELER).set_params(views=views, grid_size=1)
        assert labeler.fit_transform(paths[:1]).sum() == pytest.approx(1, abs=1e-5)


def test_a_folder_keeps_all_kinds_apart(paths, tmp_path, monkeypatch):
    labeler = clone(LABELER).set_params(memory=tmp_path)
    kinds = ("grid", "dense", "grid+dense")
    made = {views: labeler.set_params(views=views).embed(paths[:2]) for views in kinds}
    for method in ("encode_views", "encode_dense"):
        monkeypatch.setattr(CLIPEncoder, method, lambda *_: pytest.fail("encoded again"))
    for views in kinds:
        assert_array_equal(labeler.set_params(views=views).embed(paths[:2]), made[views])
    assert len({views_version(views) for views in kinds}) == 3


# encoders of one's own


class Colours(BaseEncoder):
    temperature, embedding_dim = 0.1, 3
    preprocessing = dense_preprocessing = Preprocessing((8, 8), "squash")

    def encode_text(self, prompts):
        return np.eye(3)[[("red", "green", "blue").index(prompt) for prompt in prompts]]

    def encode_views(self, views):
        return views.mean(axis=(1, 2))


class Dense(Colours):
    def encode_dense(self, views, grid_size, *, whole=True):
        quarter = views[:, :4, :4].mean(axis=(1, 2))
        return np.stack([views.mean(axis=(1, 2))] * whole + [quarter] * 9, axis=1)


def test_an_encoder_of_ones_own_may_read_windows():
    labeler = CLIPPseudoLabeler(
        ["red", "green", "blue"],
        model_name=Dense(),
        prompt_template="{}",
        views="dense",
        grid_size=2,
    )
    photo = np.full((8, 8, 3), (0, 0, 255), np.uint8)
    photo[:4, :4] = 255, 0, 0
    red, green, blue = labeler.fit().transform([photo])[0]
    assert blue > 0.4 and red > 0.4 and green < 0.1


def test_an_encoder_that_can_not_says_so():
    labeler = CLIPPseudoLabeler(["red"], model_name=Plain(), prompt_template="{}", views="dense")
    with pytest.raises(
        NotImplementedError, match=r'Plain has no method encode_dense.*views="grid"'
    ):
        labeler.fit()


class Plain(BaseEncoder):
    temperature = 0.1

    def encode_text(self, prompts):
        return np.eye(1)


def test_a_wrong_shape_names_the_method():
    class Narrow(Dense):
        def encode_dense(self, views, grid_size, *, whole=True):
            return super().encode_dense(views, grid_size)[:, :5]

    with pytest.raises(ValueError, match=r"Narrow.encode_dense must return .*\(1, 10, 3\)"):
        embed_photos(Narrow(), [np.zeros((8, 8, 3), np.uint8)], grid_size=2, views="dense")
