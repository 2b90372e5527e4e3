"""ImageFolderLoader(keep_info=True): what a batch was made of, and that a batch can be made of it."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

import dalimix
from dali_ops import BatchInfo
from dalimix import AttentiveCutMix, CutMix, Method, Mixup, RandomChoice, SMMix, TokenMix
from dalimix.heatmaps import AttentionHeatmap, SnapshotHeatmap
from tests.support.loaders import by_attention, load
from tests.support.memory import used
from tests.support.models.versions import Versions, a_snapshot
from tests.support.models.vits import SIDE, vit
from tests.support.same import same
from tests.support.stores import store_of

COUNT, BATCH, STEP = 10, 4, 25  # the image of class k is filled with k · STEP
EXACT = {"mean": 0, "std": 1, "dtype": "uint8", "size": SIDE}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("filled")
    for k in range(COUNT):
        (folder / f"class{k}").mkdir()
        Image.new("RGB", (50, 40), (k * STEP,) * 3).save(folder / f"class{k}" / "image.png")
    return folder


@pytest.fixture
def store(root, tmp_path):
    names = [f"class{k}/image.png" for k in range(COUNT)]
    return store_of(tmp_path / "store", names, np.random.default_rng(0).random((COUNT, 8, 8)))


def filled(labels):
    """The unmixed images [B, H, W, 3] of a batch; a crop of one colour is of that colour, and so is its mirror."""
    return np.broadcast_to((labels.numpy() * STEP).astype(np.uint8)[:, None, None, None], (len(labels), SIDE, SIDE, 3))


def as_numpy(plan):
    arrays = {name: value.numpy() if isinstance(value, torch.Tensor) else value for name, value in vars(plan).items()}
    return dalimix.MixPlan(**arrays)


HEATMAPS: dict[str, list[Method]] = {
    "none": [CutMix(), Mixup(2.0, per="pair"), TokenMix(grid=4, min_tokens=1)],
    "snapshot": [SMMix(grid=4), RandomChoice([Mixup(), SMMix(grid=4), CutMix()]), AttentiveCutMix(3, prob=0.5)],
    "store": [AttentiveCutMix((1, 9), grid=8), RandomChoice([CutMix(), TokenMix(grid=8)], per="batch")],
    "function": [AttentiveCutMix(3, grid=4)],
}
CASES = [(kind, method) for kind, methods in HEATMAPS.items() for method in methods]


@pytest.mark.parametrize("form", ["dense", "pair"])
@pytest.mark.parametrize(("kind", "method"), CASES, ids=str)
def test_the_plan_replayed_on_the_unmixed_images_gives_the_batch(root, store, kind, method, form):
    heatmaps = {"none": None, "snapshot": by_attention(), "store": store, "function": lambda x: x[:, 0].float()}[kind]
    loader, mixed = load(root, method, BATCH, heatmaps=heatmaps, keep_info=True, form=form, **EXACT), 0
    for images, targets in (batch for _ in range(5) for batch in loader):
        info = loader.batch_info
        plan, source = as_numpy(info.plan), filled(info.labels)
        assert np.array_equal(images.numpy(), dalimix.compose(source, plan, output_layout="CHW"))
        expected = dalimix.soft_labels(info.labels.numpy(), plan, COUNT, form=form)
        both = zip(targets, expected, strict=True)  # the three of a pair, or the rows
        assert all(np.array_equal(got.numpy(), made) for got, made in both)
        assert (info.predictions is not None) == (kind == "snapshot")
        mixed += (info.plan.partner != torch.arange(BATCH)).sum()
    assert mixed > BATCH


def test_types_and_shapes(root):
    loader = load(root, SMMix(grid=4), BATCH, heatmaps=by_attention(), keep_info=True, **EXACT)
    next(iter(loader))
    info = loader.batch_info
    assert isinstance(info, BatchInfo)
    assert (info.labels.dtype, info.labels.shape) == (torch.int64, (BATCH,))
    assert (info.predictions.dtype, info.predictions.shape) == (torch.float32, (BATCH, 5))
    kinds = {name: (value.dtype, *value.shape) for name, value in vars(info.plan).items() if name != "size"}
    assert kinds == {
        "partner": (torch.int32, BATCH),
        "weight": (torch.float32, BATCH, 2),
        "blend": (torch.float32, BATCH),
        "box": (torch.int32, BATCH, 4),
        "shift": (torch.int32, BATCH, 2),
        "tokens": (torch.uint8, BATCH, 4, 4),
    }
    assert info.plan.size == (SIDE, SIDE)
    with pytest.raises(dataclasses.FrozenInstanceError):
        info.labels = None  # type: ignore[misc]


def test_predictions_are_those_of_the_unmixed_images(root):
    snapshot = by_attention()
    loader = load(root, SMMix(grid=4), BATCH, heatmaps=snapshot, keep_info=True, **EXACT)
    for _ in loader:
        info = loader.batch_info
        unmixed = torch.from_numpy(filled(info.labels).copy()).permute(0, 3, 1, 2)
        assert torch.equal(info.predictions, snapshot.observe(unmixed)[1])
    assert len(info.predictions.unique(dim=0)) == BATCH


def test_labels_reach_the_provider(root):
    seen = []

    class Spy(SnapshotHeatmap):
        def observe(self, images, labels=None):
            seen.append(labels.tolist())
            return super().observe(images)

    spy = Spy(AttentionHeatmap(vit(), "blocks.1"))
    loader = load(root, SMMix(grid=4), BATCH, heatmaps=spy, heatmap_labels=True, keep_info=True, **EXACT)
    told = [loader.batch_info.labels.tolist() for _ in loader]
    assert told == seen[: len(told)]


@pytest.mark.parametrize("method", [SMMix(grid=4, pairing="roll"), CutMix(pairing="roll")], ids=repr)
def test_a_last_batch_is_smaller_and_mixed_within_itself(root, method):
    heatmaps = by_attention() if method.reads_heatmaps else None
    loader = load(root, method, BATCH, heatmaps=heatmaps, keep_info=True, drop_last=False, **EXACT)
    infos = [(loader.batch_info, images) for images, _ in loader]
    assert [len(images) for _, images in infos] == [4, 4, 2]
    info, images = infos[-1]
    told = [info.labels, *info.plan.arrays(), *([] if info.predictions is None else [info.predictions])]
    assert {len(tensor) for tensor in told} == {2}
    assert info.plan.partner.tolist() == [1, 0]
    replayed = dalimix.compose(filled(info.labels), as_numpy(info.plan), output_layout="CHW")
    assert np.array_equal(replayed, images.numpy())


def test_batches_are_the_same_with_and_without_info(root):
    def batches(**options):
        return list(load(root, SMMix(grid=4), BATCH, heatmaps=by_attention(), **options, **EXACT))

    assert same(batches(), batches(keep_info=True))


def test_predictions_follow_the_training(root):
    """They and the heatmaps are never older than the batches that DALI has ready, and never go back."""
    model, ahead = Versions(pause=0), 4
    snapshot, told = a_snapshot(model), []
    loader = load(root, SMMix(0.5, 0.5, grid=2), BATCH, heatmaps=snapshot, keep_info=True, **EXACT)
    for step, _ in enumerate((batch for _ in range(8) for batch in loader), 1):
        (version,) = loader.batch_info.predictions.unique().tolist()
        told.append(version)
        assert step - ahead <= version < step
        model.train_to(step)
        snapshot.step()
    assert told == sorted(told)


def test_memory_does_not_grow(root):
    """Over 200 batches and refreshes, after some to warm up. A model that leaks would cost 200 × 5 MB."""
    model = Versions(pause=0)
    snapshot = a_snapshot(model)
    loader = load(root, SMMix(0.5, 0.5, grid=2), 5, heatmaps=snapshot, keep_info=True, **EXACT)
    for epochs in (25, 100):
        before = used()
        for _ in range(epochs):
            for step, _ in enumerate(loader):
                model.train_to(step)
                snapshot.step()
    assert used() - before < 2 << 20


def test_without_info(root):
    message = "batch_info is there from the first batch on, in a loader with keep_info=True"
    loader = load(root, CutMix(), BATCH)
    next(iter(loader))
    with pytest.raises(RuntimeError, match=message):
        _ = loader.batch_info
    loader = load(root, CutMix(), BATCH, keep_info=True)
    with pytest.raises(RuntimeError, match=message):
        _ = loader.batch_info
    next(iter(loader))
    assert loader.batch_info.predictions is None


@pytest.mark.parametrize("training", [True, False])
def test_info_is_of_mixed_batches(root, training):
    with pytest.raises(ValueError, match="keep_info is for mixed batches, but method is None"):
        load(root, None, BATCH, keep_info=True, training=training)
