"""Values that nobody should hand in, at every argument of the loaders: each is taken, or named in the answer."""

from dataclasses import fields
from functools import partial
from inspect import signature

import pytest

import dali_ops.loader.loader
from dali_ops import Eval, ImageFolderLoader, Loader, Runtime, Targets, Train
from dali_ops.loader.reading.order import Order
from dali_ops.loader.reading.shard import Shard
from dali_ops.sources import ImageFolder
from dalimix import AttentiveCutMix, CutMix
from tests.support.fuzz.hostile import complaint, values
from tests.support.fuzz.rounds import rounds
from tests.support.loaders import grouped, load

BASES = {  # with what else an argument comes
    "plain": {},
    "mixed": {"method": CutMix(), "keep_info": True},
    "guided": {"method": AttentiveCutMix(), "heatmaps": lambda images, labels=None: images[:, 0].float()},
    "validation": {"training": False},
    "a share": {"rank": 0, "world_size": 2},
}
OWN = [name for name in signature(Loader).parameters if name != "source"]
FIELDS = [field.name for kind in (Train, Targets, Runtime) for field in fields(kind)]
ARGUMENTS = [*OWN, *FIELDS]

# An argument may be refused because of another one, which it is not in itself.
ALSO_NAMED = {"rank": ["world_size"], "world_size": ["rank", "batch_size"], "device_id": ["device"], "mean": ["std"],
              "std": ["mean"]}  # fmt: skip


class NoPrefetcher:
    """A loader's inside without a pipeline, which none of this should reach."""

    def __init__(self, feed, settings, runtime, skip_corrupt):
        self.feed, self.settings = feed, settings


@pytest.fixture(scope="module")
def source(root):
    return ImageFolder.scan(root)


def made(source, plain):
    return Loader(source, **grouped(**plain))


def complaints(call, names):
    """What came out wrongly, for each hostile value."""
    named = [(repr(value)[:60], complaint(partial(call, value), names)) for value in values()]
    return [(value, found) for value, found in named if found]


@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_of_a_loader(source, monkeypatch, name, base):
    monkeypatch.setattr(dali_ops.loader.loader, "Prefetcher", NoPrefetcher)
    plain = {"batch_size": 4, "device": "cpu", "seed": 1, **base}
    assert complaints(lambda value: made(source, {**plain, name: value}), [name, *ALSO_NAMED.get(name, ())]) == []


GOOD = {"method": CutMix(), "smoothing": 0.1, "form": "pair", "dtype": "uint8", "mean": 0, "std": 1,
        "size": (8, 12), "scale": (0.5, 1), "ratio": (1, 2),
        "interpolation": "lanczos", "flip": 1,
        "drop_last": False, "rank": 1, "world_size": 2, "seed": 3, "keep_info": True,
        "heatmaps": len, "augment": len, "layout": "channels_last", "device_id": 0, "device": "cpu"}  # fmt: skip


def test_several_arguments_at_once(source, monkeypatch):
    """Good ones that do not fit together, and others."""
    monkeypatch.setattr(dali_ops.loader.loader, "Prefetcher", NoPrefetcher)
    hostile = values()
    for rng in rounds(2000):
        names = rng.sample(ARGUMENTS, rng.randint(2, 5))
        given = {name: GOOD[name] if name in GOOD and rng.random() < 0.5 else rng.choice(hostile) for name in names}
        plain = {"batch_size": 4, "device": "cpu", **given}
        found = complaint(partial(made, source, plain), [*plain, "seed"])
        assert found is None, given


def test_what_was_taken_works(source):
    """With a pipeline, and a batch: nothing that is taken is wrong later, or out of bounds."""

    def a_batch(name, value):
        plain = {"batch_size": 4, "size": 8, "device": "cpu", "seed": 1, "num_threads": 1, "prefetch": 1}
        with made(source, {**plain, name: value}) as loader:
            next(iter(loader))

    for name in set(ARGUMENTS) - {"heatmaps", "augment"}:  # functions, whose own errors are theirs
        assert complaints(lambda value, name=name: a_batch(name, value), [name, *ALSO_NAMED.get(name, ())]) == []


def test_sources_and_roots():
    assert complaints(lambda value: Loader(value), ["source"]) == []
    assert complaints(lambda value: ImageFolderLoader(value), ["root"]) == []


@pytest.mark.parametrize("name", ["method", "transform", "targets", "heatmaps", "heatmap_labels"])
def test_switches(root, name):
    settings = load(root, CutMix())._prefetcher.settings
    assert complaints(lambda value: settings.switched(**{name: value}), [name]) == []


def test_the_crop_of_validation():
    assert complaints(lambda value: Eval(crop=value), ["crop"]) == []


def test_what_a_loader_is_told_later(root):
    loader = load(root, CutMix())
    assert complaints(loader.load_state_dict, ["state"]) == []
    assert complaints(loader.set_epoch, ["epoch"]) == []
    assert complaints(loader.as_dataset, ["gather"]) == []
    assert complaints(loader.as_dataset(gather=True).load_state_dict, ["state"]) == []
    assert complaints(loader.as_dataset().set_epoch, ["epoch"]) == []
    assert complaints(lambda value: loader[value], ["items"]) == []
    loader.set_epoch(0)
    assert len(list(loader)) == 3


@pytest.mark.parametrize("name", ["count", "batch_size", "training", "drop_last", "seed", "shard"])
def test_orders(name):
    def first(value):
        order = Order(**{"count": 10, "batch_size": 4, name: value})
        return order.numbers(0, 0) if order.steps and order.count < 1000 else None

    assert complaints(first, [name]) == []


@pytest.mark.parametrize("training", [True, False])
def test_numbers_of_an_order(training):
    order = Order(10, 4, training=training)
    assert complaints(lambda value: order.numbers(value, 0), ["epoch"]) == []
    assert complaints(lambda value: order.numbers(0, value), ["step"]) == []


def test_shards():
    for call in (Shard, Shard.of):
        assert complaints(lambda value, call=call: call(value, 2), ["rank"]) == []
        assert complaints(lambda value, call=call: call(0, value), ["rank"]) == []
