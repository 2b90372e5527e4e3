"""A loader that goes on from a state gives the very batches that would have come next."""

import io
from dataclasses import replace
from functools import partial
from typing import Any

import nvidia.dali
import pytest
import torch
from nvidia.dali import fn

import dalimix
from dali_ops.loader.prefetcher import seed_of
from dali_ops.loader.reading.feed import Feed
from dali_ops.loader.reading.order import Order
from dali_ops.loader.reading.shard import Shard
from dali_ops.loader.state import sealed
from dali_ops.sources import ImageFolder
from dalimix import AttentiveCutMix, CutMix, Mixup, RandomChoice, TokenMix
from tests.support.data import coloured
from tests.support.loaders import brightness, by_attention, load, sized
from tests.support.same import same
from tests.support.stores import store_of

COUNT, BATCH = 24, 5  # four batches, four images left over
OPTIONS: dict[str, Any] = {"size": 24, "dtype": "uint8", "batch_size": BATCH}


root = coloured.noisy_root


@pytest.fixture(scope="module")
def store(root):
    names = ImageFolder.scan(root).names
    return store_of(
        root.parent / "store", names, torch.rand(COUNT, 8, 8, generator=torch.Generator().manual_seed(0)).numpy()
    )


def following(loader, count):
    """The next batches, through as many epochs as it takes."""
    batches = []
    while len(batches) < count:
        for batch in loader:
            batches.append(batch)
            if len(batches) == count:
                break
    return batches


def at(loader, steps):
    """The state after so many batches, and what came next."""
    batches, state = [], None
    for _ in range(3):
        for batch in loader:
            batches.append(batch)
            if len(batches) == steps:
                state = loader.state_dict()
    return state, batches[steps:]


def check_going_on(make, steps):
    """One loader gives the batches that would have come next in another."""
    (state, rest), resumed = at(make(), steps), make()
    resumed.load_state_dict(state)
    assert same(following(resumed, len(rest)), rest)


METHODS = [None, CutMix(), RandomChoice([Mixup(), CutMix(), TokenMix(grid=4)]), RandomChoice(per="batch")]


@pytest.mark.parametrize("method", METHODS, ids=repr)
@pytest.mark.parametrize("steps", [1, 3, 4, 6])
def test_the_very_next_batch(root, method, steps):
    state, rest = at(load(root, method, **OPTIONS), steps)
    resumed = load(root, method, **OPTIONS | {"seed": 77})  # the state's seed counts
    assert not same(following(resumed, 2), rest[:2])
    resumed.load_state_dict(state)
    assert same(following(resumed, len(rest)), rest)
    resumed.load_state_dict(state)  # a second time, into one that has run on
    assert same(following(resumed, len(rest)), rest)


def test_with_stored_heatmaps_and_with_a_provider(root, store):
    for heatmaps in (store, brightness):
        options = OPTIONS | {"heatmaps": heatmaps, "form": "pair", "drop_last": False}
        check_going_on(lambda options=options: load(root, AttentiveCutMix((1, 9), grid=4), **options), 8)


def test_before_the_first_batch(root):
    loader = load(root, CutMix(), **OPTIONS)
    state = loader.state_dict()
    resumed = load(root, CutMix(), **OPTIONS | {"seed": 5})
    resumed.load_state_dict(state)
    assert same(list(resumed), list(loader))


def test_validation(root):
    check_going_on(lambda: load(root, None, **OPTIONS, training=False), 3)


def test_a_state_is_where_the_consumer_is_and_not_where_the_pipeline_is(root):
    """At prefetch 1 and 5 the same batches follow, and in a loop that is still going on."""
    rest = []
    for prefetch in (1, 5):
        loader = load(root, CutMix(), **OPTIONS, prefetch=prefetch)
        running = iter(loader)
        next(running), next(running)
        state = loader.state_dict()
        rest.append([next(running)])
        loader.load_state_dict(state)
        with pytest.raises(RuntimeError, match="this loop is over"):
            next(running)
        assert same(list(loader)[:1], rest[-1])
    assert same(*rest)


def test_a_state_can_be_saved_by_torch_and_is_small(root):
    state, rest = at(load(root, RandomChoice(), **OPTIONS), 2)
    file = io.BytesIO()
    torch.save(state, file)
    assert len(file.getvalue()) < 20_000
    file.seek(0)
    resumed = load(root, RandomChoice(), **OPTIONS)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert same(following(resumed, len(rest)), rest)


def test_after_a_switch_and_an_epoch_left_early(root):
    """The random numbers of a pipeline follow from where it began, so a resumed one must know that."""

    def started():
        loader = load(root, CutMix(), **OPTIONS)
        following(loader, 2)
        loader.switch(method=Mixup(), transform=sized(loader, 16))
        return loader

    loader = started()
    assert loader.epoch == 1
    following(loader, 3)
    following(loader, 1)
    assert loader.epoch == 2
    state, rest = at(loader, 2)
    fresh = load(root, CutMix(), **OPTIONS)
    with pytest.raises(ValueError, match=r"of another method: call switch first.*CutMix"):
        fresh.load_state_dict(state)
    fresh.switch(method=Mixup(), transform=sized(fresh, 16))
    fresh.load_state_dict(state)
    assert same(following(fresh, len(rest)), rest)


def test_only_the_interrupted_epoch_is_shorter(root):
    state, _ = at(load(root, None, **OPTIONS), 2)
    loader = load(root, None, **OPTIONS)
    loader.load_state_dict(state)
    assert [sum(1 for _ in loader) for _ in range(3)] == [2, 4, 4]
    loader.load_state_dict(state)
    loader.set_epoch(0)  # as scripts say at the start of every epoch
    assert sum(1 for _ in loader) == 2


OTHER = [
    ({"batch_size": 4}, r"of another batch size \(batch_size was 5, here it is 4\)"),
    ({"drop_last": False}, "of another rule for the last batch"),
    ({"size": 25}, "of another size"),
    ({"rank": 0, "world_size": 2}, r"of another number of processes \(world_size was 1, here it is 2\)"),
    ({"training": False, "method": None, "keep_info": False}, "of another"),
    ({"method": CutMix(0.5)}, "of another method: call switch first, or make the loader as.*alpha=1.0.*alpha=0.5"),
    ({"mean": 3.0}, "of another mean"),
    ({"form": "pair"}, "of another form"),
    ({"keep_info": True}, "of a loader with another keep_info: make the loader as it was"),
    ({"smoothing": 0.1}, "of another smoothing"),
    ({"std": [1.0, 2.0, 3.0]}, "of another std"),
    ({"dtype": "float32"}, "of another dtype"),
    ({"size": (24, 32)}, r"of another size.*\(size was 24, here it is \[24, 32\]\)"),
    ({"scale": (0.1, 1.0)}, "of another scale"),
    ({"ratio": (1.0, 1.0)}, "of another ratio"),
    ({"interpolation": "bicubic"}, "of another interpolation.*bilinear.*bicubic"),
    ({"flip": 0.0}, "of another flip"),
    ({"augment": "three"}, "of another augment.*here it is 'three'"),
    ({"layout": "HWC"}, "of another layout"),
    ({"layout": "channels_last"}, "of another layout"),
    ({"augment": lambda images: images}, r"of another augment.*\(augment was None, here it is .*<lambda>\)"),
]


@pytest.mark.parametrize(("options", "reason"), OTHER, ids=lambda v: str(v)[:30])
def test_a_state_of_another_loader_is_refused(root, options, reason):
    state = load(root, CutMix(), **OPTIONS).state_dict()
    with pytest.raises(ValueError, match=f"the state is {reason}"):
        load(root, **{"method": CutMix(), **OPTIONS, **options}).load_state_dict(state)


def test_a_state_of_another_validation_is_refused(root):
    state = load(root, training=False, crop=0.9).state_dict()
    load(root, training=False, crop=0.9).load_state_dict(state)
    with pytest.raises(ValueError, match=r"of another crop: .* \(crop was 0.9, here it is 0.875\)"):
        load(root, training=False).load_state_dict(state)


def test_a_state_from_before_there_were_transforms_is_refused(root):
    loader = load(root, CutMix(), **OPTIONS)
    state = {name: value for name, value in loader.state_dict().items() if name != "version"}
    with pytest.raises(ValueError, match="the state is of format 1, which this version of dalimix cannot read"):
        loader.load_state_dict(state)


def test_a_state_of_another_process_is_refused(root):
    first, second = (load(root, CutMix(), **OPTIONS, rank=rank, world_size=2) for rank in range(2))
    with pytest.raises(ValueError, match="of another process: each saves its own state"):
        second.load_state_dict(first.state_dict())


def test_a_state_of_another_data_set_is_refused(root):
    folder = ImageFolder.scan(root)
    state = load(folder).state_dict()
    last = len(folder) - 1
    others = [
        folder.picked([1, 0, *range(2, len(folder))]),
        folder.picked(range(last)),
        replace(folder, labels=[*folder.labels[:-1], 0]),
        replace(folder, files=[*folder.files[:-1], folder.files[last] + "x"]),
        replace(folder, classes=["blue", "green", "yellow"]),
    ]
    for other in others:
        with pytest.raises(ValueError, match="of another data set"):
            load(other).load_state_dict(state)
    load(folder.picked(range(len(folder)))).load_state_dict(state)


@pytest.mark.parametrize(("module", "reason"), [(dalimix, "dalimix"), (nvidia.dali, "DALI, whose checkpoints it")])
def test_a_state_of_another_version_is_refused(root, monkeypatch, module, reason):
    state = load(root, None, **OPTIONS).state_dict()
    monkeypatch.setattr(module, "__version__", "9.9")
    with pytest.raises(ValueError, match=f"of another version of {reason}.*here it is 9.9"):
        load(root, None, **OPTIONS).load_state_dict(state)


@pytest.mark.parametrize("wrong", [None, {}, {"identity": {}}, {"epoch": 1}, b""], ids=str)
def test_what_is_no_state(root, wrong):
    message = r"state must be what state_dict\(\) of a loader returned, got (a dict without|None|bytes)"
    with pytest.raises(TypeError, match=message):
        load(root, None, **OPTIONS).load_state_dict(wrong)


def test_a_state_without_some_fact_is_refused(root):
    state = load(root, None, **OPTIONS).state_dict()
    del state["identity"]["rank"]
    with pytest.raises(ValueError, match="of another process"):
        load(root, None, **OPTIONS).load_state_dict(state)


def negative(images, *, of):
    return fn.cast_like(of - images, images)


@pytest.mark.parametrize("heatmaps", ["store", "snapshot", "function"])
def test_what_goes_by_its_name_does_so_in_every_process(root, store, heatmaps):
    """Nothing in a state depends on addresses: another process has others."""
    for _ in range(2):
        made = {"store": store, "snapshot": by_attention(), "function": partial(brightness)}[heatmaps]
        method = AttentiveCutMix(3, grid=4)
        loader = load(root, method, **OPTIONS, heatmaps=made, augment=partial(negative, of=255), mean=(1, 2, 3))
        assert " at 0x" not in str(loader.state_dict()["identity"])
    other = load(root, method, **OPTIONS, heatmaps=made, augment=partial(negative, of=255), mean=[1.0, 2.0, 3.0])
    other.load_state_dict(loader.state_dict())
    another = load(root, method, **OPTIONS, heatmaps=made, augment=partial(negative, of=250), mean=(1, 2, 3))
    with pytest.raises(ValueError, match="of another augment"):
        another.load_state_dict(loader.state_dict())


def test_crops_follow_the_seed_and_the_place_where_a_pipeline_begins(root):
    """Of validation-like order: the same images, other crops."""
    folder = ImageFolder.scan(root)
    seeds = {seed_of(Feed(folder, Order(24, 4, seed=seed, shard=Shard(rank, 3)), epoch, step))
             for seed in range(3) for rank in range(3) for epoch in range(3) for step in range(3)}  # fmt: skip
    assert len(seeds) == 81


def test_a_loop_that_is_left_after_resuming_is_followed_by_the_next_epoch(root):
    loader = load(root, CutMix(), **OPTIONS)
    next(iter(loader))
    loader.load_state_dict(loader.state_dict())
    next(iter(loader))
    assert sum(1 for _ in loader) == len(loader)


def test_skipped_images_are_those_of_the_state(root):
    loader = load(root, CutMix(), **OPTIONS)
    state = loader.state_dict()
    loader.load_state_dict(sealed({**state, "skipped": [1, 2]}))
    loader.load_state_dict(sealed({**state, "skipped": [3]}))
    assert loader.state_dict()["skipped"] == [3]
