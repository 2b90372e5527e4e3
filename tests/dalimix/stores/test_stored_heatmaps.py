"""Heatmaps of a store in pipelines and in the loader: they show what the crop of the image shows."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from nvidia.dali import fn, types

import dali_ops
import dalimix
from dali_ops import Train
from dali_ops.loader.heatmap_sources import StoreSource
from dali_ops.loader.reading.feed import Feed
from dali_ops.loader.reading.order import Order
from dali_ops.operators import bridge
from dali_ops.operators.stored_heatmaps import CropOfBatch, CropOfStore, Gather
from dali_ops.sources import ImageFolder
from dalimix import AttentiveCutMix, MixPlan, Mixup, RandomChoice, SMMix, TokenMix
from dalimix.heatmap_crop import heatmap_crop
from dalimix.stores import HeatmapStore
from tests.support.data.marked import GRID, marked_folder
from tests.support.loaders import load
from tests.support.pipelines import build, resumes, run
from tests.support.same import same
from tests.support.stores import store_of

COUNT, SIZE = 24, 64
SQUARE = Train(SIZE)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("marked") / "images"
    marked_folder(folder, COUNT)
    return folder


@pytest.fixture(scope="module")
def store(root):
    return HeatmapStore.open(root.parent / "store")


def samples(root, store, method, transform=SQUARE, **options):
    """A body: crops as they are, their heatmaps, the mirror, the mixed batch and its plan."""
    feed = Feed(ImageFolder.scan(root), Order(COUNT, COUNT, training=True))

    def body():
        images, labels, crop, _ = StoreSource(store, method).samples(feed, transform, "cpu")
        heatmaps = crop.node("cpu")
        mirror = fn.random.coin_flip()
        more = {"heatmaps": heatmaps, "mirror": mirror, "num_classes": 2, "return_plan": True}
        mixed, targets, plan = dali_ops.mix(images, labels, method, **more)
        return (images, heatmaps, mirror, mixed, targets, *plan.arrays())

    return build(body, batch=COUNT, **options)


def by_cells(images, grid):
    """Mean brightness of grid × grid cells: float64 [B, grid, grid]."""
    down, across = (side // grid for side in images.shape[1:3])
    return images[..., 0].reshape(len(images), grid, down, grid, across).mean((2, 4)) / 255


TRANSFORMS = [SQUARE, Train((48, 80)), Train((80, 48), scale=(0.3, 0.6), ratio=(1.5, 1.6), interpolation="lanczos"),
              Train((96, 64), interpolation="bicubic", scale=(1.0, 1.0))]  # fmt: skip


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda transform: f"{transform.size} {transform.interpolation}")
def test_image_and_map_show_the_marker_at_the_same_token(root, store, transform):
    """After random crop and resize: cell by cell, the map is as bright as the image; the marker is there in most."""
    shown = 0
    for images, heatmaps, *_ in run(samples(root, store, TokenMix(grid=8), transform), 4):
        expected = by_cells(images, 8)
        assert heatmaps.shape == (COUNT, 8, 8)
        assert abs(heatmaps - expected).mean() < 0.02
        for one, other in zip(heatmaps, expected, strict=True):
            if other.max() > 0.9:
                shown += 1
                assert other.flat[one.argmax()] > 0.7
                assert one.flat[other.argmax()] > 0.7
    assert shown > 2 * COUNT


def test_after_the_flip_the_token_that_is_pasted_shows_the_markers_of_the_giver(root, store):
    """Attentive CutMix pastes the hottest cell of each flipped map: there must be the marker of the flipped image."""
    method, flips = AttentiveCutMix(1, grid=8, pairing="roll"), set()
    for images, _, mirror, mixed, _, *plan in run(samples(root, store, method), 4):
        seen = np.where(mirror[:, None, None, None] != 0, images[:, :, ::-1], images)
        tokens, brightness = MixPlan(*plan).tokens, by_cells(mixed, 8)
        for i, giver in enumerate(MixPlan(*plan).partner):
            if by_cells(seen[[giver]], 8).max() > 0.9:
                assert brightness[i][tokens[i] == 1] > 0.7
                flips.add(int(mirror[giver]))
    assert flips == {0, 1}


def test_labels_of_token_mix_are_what_shows_of_the_markers(root, store):
    errors = []
    for images, _, mirror, _, _, *arrays in run(samples(root, store, TokenMix(grid=8)), 6):
        plan = MixPlan(*arrays)
        seen = by_cells(np.where(mirror[:, None, None, None] != 0, images[:, :, ::-1], images), 8)
        for i, j in enumerate(plan.partner):
            if i != j and min(seen[i].sum(), seen[j].sum()) > 1:
                own = (seen[i] * (1 - plan.tokens[i])).sum() / seen[i].sum()
                partners = (seen[j] * plan.tokens[i]).sum() / seen[j].sum()
                errors += [plan.weight[i, 0] - own, plan.weight[i, 1] - partners]
    assert len(errors) > 100
    assert np.abs(errors).mean() < 0.03


def test_they_equal_heatmap_crop_of_the_same_window(root, store):
    folder = ImageFolder.scan(root)

    def body():
        encoded, number = fn.readers.file(files=folder.files, labels=list(range(COUNT)))
        size = fn.peek_image_shape(encoded)
        anchor, shape = fn.random_crop_generator(size)
        heatmaps = dali_ops.stored_heatmaps(number, store, anchor, shape, image_shape=size, grid=5)
        shares = [fn.cast(pixels, dtype=types.FLOAT) / size[0:2] for pixels in (anchor, shape)]
        return heatmaps, dali_ops.stored_heatmaps(number, store, *shares, grid=5), anchor, shape, size, number

    (outputs,) = run(build(body, batch=COUNT))
    heatmaps, of_shares, anchor, shape, size, number = outputs
    boxes = np.concatenate([anchor, shape], axis=1) / np.concatenate([size[:, :2], size[:, :2]], axis=1)
    assert number.ravel().tolist() == list(range(COUNT))
    assert np.array_equal(heatmaps, heatmap_crop(store.maps, np.arange(COUNT), boxes, 5))
    assert np.allclose(heatmaps, of_shares, rtol=0, atol=1e-5)
    assert heatmaps.dtype == np.float32


def test_without_a_crop_they_are_the_whole_maps(store):
    def body():
        number = fn.external_source(lambda: [np.int64(k) for k in (5, 0, 23)], batch=True)
        return dali_ops.stored_heatmaps(number, store)

    ((heatmaps,),) = run(build(body, batch=3))
    assert np.array_equal(heatmaps, store.read(np.array([5, 0, 23])))


def test_seeds_checkpoints_and_the_fallback(root, store, monkeypatch):
    method = RandomChoice([Mixup(), TokenMix(grid=8)])
    assert resumes(partial(samples, root, store, method), 2, 3)
    shared = run(samples(root, store, method), 2)
    assert same(shared, run(samples(root, store, method), 2))
    assert not same(shared, run(samples(root, store, method, seed=12), 2))
    monkeypatch.setattr(bridge, "_WholeBatch", None)
    assert same(shared, run(samples(root, store, method), 2))


@pytest.mark.parametrize(("method", "grid"), [
    (TokenMix(), 14),
    (AttentiveCutMix(), 7),
    (RandomChoice([Mixup(), TokenMix(grid=8), AttentiveCutMix(grid=4)]), 8),
    (RandomChoice([TokenMix(grid=32), AttentiveCutMix(grid=64)]), 64),
    (RandomChoice([TokenMix(grid=31), AttentiveCutMix(grid=3)]), GRID),  # 93 would be their common grid
    (SMMix(grid=9), 9),
    (SMMix(grid=(9, 12)), GRID),
    (RandomChoice([TokenMix(grid=7), SMMix(grid=14), AttentiveCutMix(grid=3)]), 14),  # SMMix takes no other
], ids=repr)  # fmt: skip
def test_heatmaps_have_the_methods_grid(store, method, grid):
    assert StoreSource(store, method).grid == grid


def test_heatmaps_of_a_fine_store_are_no_finer_than_can_be_cut():
    store: Any = SimpleNamespace(grid=100)
    assert StoreSource(store, RandomChoice([TokenMix(grid=31), AttentiveCutMix(grid=3)])).grid == 64


def test_the_loader_cuts_a_store_to_the_only_grid_that_will_do(root, store):
    method = RandomChoice([SMMix(grid=4), AttentiveCutMix(3, grid=3)])
    loader = load(root, method, heatmaps=store, size=24, keep_info=True)
    for _ in loader:
        assert loader.batch_info.plan.tokens.shape == (4, 12, 12)


def test_the_loader_reads_a_store(root, store):
    plain = load(root, TokenMix(prob=0, grid=8), 6, heatmaps=store, dtype="uint8", size=SIZE)
    for _ in range(2):
        labels = torch.cat([targets for _, targets in plain])
        assert labels.sum(0).tolist() == [12, 12]
    loader = load(root, TokenMix(grid=8), 6, heatmaps=store, dtype="uint8", size=SIZE)
    shares = torch.cat([targets.sum(1) for _, targets in loader])
    assert (shares - 1).abs().max() > 0.05  # by heatmaps, and not by areas


def test_class_indices_belong_to_their_images(tmp_path):
    """Images of 255 in class b, of 0 in class a, in another order than the store has them."""
    from PIL import Image

    for name, value in (("a", 0), ("b", 255)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for k in range(4):
            Image.new("RGB", (20, 20), (value,) * 3).save(tmp_path / "images" / name / f"{k}.png")
    files = ImageFolder.scan(tmp_path / "images").names[::-1]
    store = store_of(tmp_path / "store", files, np.random.default_rng(0).random((8, 4, 4)))
    method = TokenMix(prob=0, grid=4)
    loader = load(tmp_path / "images", method, heatmaps=store, size=8, std=255.0)
    for images, targets in loader:
        assert torch.equal(images.mean((1, 2, 3)).round(), targets[:, 1])


def test_what_fits_not_is_refused(root, store, tmp_path):
    part = store_of(tmp_path / "other", store.files[:-2], np.ones((COUNT - 2, 4, 4)))
    with pytest.raises(ValueError, match=r"other has no heatmap of 'b/.*png'; 2 of 24 files have none"):
        load(root, TokenMix(), heatmaps=part)
    with pytest.raises(ValueError, match="heatmap_labels are for a provider of heatmaps, but heatmaps is HeatmapStore"):
        load(root, TokenMix(), heatmaps=store, heatmap_labels=True)
    with pytest.raises(ValueError, match="Mixup reads no heatmaps, but heatmaps were given"):
        load(root, Mixup(), heatmaps=store)
    with pytest.raises(ValueError, match="heatmaps are for mixed batches, but method is None"):
        load(root, None, heatmaps=store)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"], ids=["empty", "text", "cut off"])
def test_a_file_that_is_no_image_is_named(tmp_path, content):
    path = marked_folder(tmp_path / "images", 8)
    bad = tmp_path / "images" / "b" / "03.png"
    bad.write_bytes(content)
    loader = load(tmp_path / "images", TokenMix(grid=8), heatmaps=HeatmapStore.open(path))
    with pytest.raises(ValueError, match=r"03\.png cannot be decoded as an image"):
        list(loader)


def test_images_lying_on_their_side_are_turned_before_they_are_cut(tmp_path):
    """By EXIF, as decoders do: the map is of the image as it is seen."""
    from PIL import Image

    (tmp_path / "images" / "a").mkdir(parents=True)
    seen = np.zeros((96, 48), np.uint8)
    seen[:24, :] = 255
    for k in range(6):
        turned = Image.fromarray(seen).rotate(90, expand=True).convert("RGB")
        exif = turned.getexif()
        exif[0x0112] = 6  # turn by 90 degrees clockwise
        turned.save(tmp_path / "images" / "a" / f"{k}.jpg", quality=95, exif=exif)
    maps = np.zeros((6, 8, 8))
    maps[:, :2] = 1
    folder = ImageFolder.scan(tmp_path / "images")
    store = store_of(tmp_path / "store", folder.names, maps, "the upper quarter")

    def body():
        images, labels, crop, _ = StoreSource(store, TokenMix(grid=8)).samples(Feed(folder, Order(6, 6)), SQUARE, "cpu")
        return images, labels, crop.node("cpu")

    errors = [abs(heatmaps - by_cells(images, 8)).mean() for images, _, heatmaps in run(build(body, batch=6), 12)]
    assert np.mean(errors) < 0.045  # the map's border is a cell wide, which is much of a small crop


def test_maps_that_are_too_large_for_the_gpu_are_gathered_on_the_host(store):
    """What the callbacks for the GPU do, here on NumPy arrays: the same heatmaps both ways."""
    index, boxes = np.array([[3], [0], [3]], np.int32), np.array([[0.2, 0.1, 0.5, 0.6]] * 3)
    (whole,) = CropOfStore(store, 6)(index, boxes)
    (maps,) = Gather(store)(index)
    assert maps.dtype == np.uint8
    assert np.array_equal(CropOfBatch(6)(maps, boxes)[0], whole)
    assert np.array_equal(whole, dalimix.heatmap_crop.heatmap_crop(store.maps, index.ravel(), boxes, 6))
