"""Pipelines are compared with the one without mixing: which there are, who takes turns, and how rows come of it."""

import weakref

import numpy as np
import pytest
from nvidia.dali.pipeline import Pipeline

from dali_ops.bench import compare
from dali_ops.bench.compare import BASELINE, SPEEDUP, Entry, Timing, by_setting, entries, measure, some_images
from dali_ops.bench.random_heatmaps import random_store
from dali_ops.bench.throughput import Setting, Span, TimedPipeline
from dali_ops.loader.heatmap_sources import StoreSource
from dali_ops.sources import ImageFolder
from dalimix import METHODS, CutMix, Mixup, TokenMix
from tests.support.data.coloured import one_coloured_folder
from tests.support.project.benchmarks import BATCH, IMAGES, SIZE, busy_threads


@pytest.fixture(scope="module")
def store(root, tmp_path_factory):
    return random_store(tmp_path_factory.mktemp("random") / "store", ImageFolder.scan(root))


# ---- who is compared


def test_all_ways_to_run_all_methods(store) -> None:
    methods = {name: make() for name, make in METHODS.items()}
    found = entries(methods, store, teacher=False, device="cpu")
    names = ["mixup", "cutmix", "attentive_cutmix + store", "token_mix", "token_mix + store", "smmix + store"]
    assert [entry.name for entry in found] == [BASELINE, *names, "random_choice"]
    for entry in found[1:]:
        assert entry.method is methods[entry.name.split(" ")[0]]
        assert not entry.name.endswith("store") or entry.heatmap_source() == StoreSource(store, entry.method)
    taught = [entry.name for entry in entries(methods, store, teacher=True, device="cpu")]
    assert [name for name in taught if name.endswith(" + teacher")] == [
        "attentive_cutmix + teacher", "token_mix + teacher", "smmix + teacher",
    ]  # fmt: skip
    assert [name for name in taught if not name.endswith(" + teacher")] == [entry.name for entry in found]


def mixed_weights(setting, entry):
    """Of many images whose partner has another class: the share of their own, and what both shares add up to."""
    pipeline = TimedPipeline(setting, entry.method, entry.heatmap_source())
    targets = np.concatenate([pipeline.batch()[1] for _ in range(12)])
    mixed = (targets > 0).sum(1) == 2
    assert mixed.sum() > 10
    return targets[mixed].max(1).astype(np.float64), targets[mixed].sum(1)


def whole(values):
    return np.abs(values - np.round(values)).max() < 1e-3


def test_the_pipelines_mix_by_the_methods_that_they_are_named_after(setting, store) -> None:
    """Each method's label shares are multiples of something else."""
    methods = {name: METHODS[name]() for name in ("mixup", "cutmix", "attentive_cutmix", "token_mix", "smmix")}
    found = {entry.name: entry for entry in entries(methods, store, teacher=False, device="cpu")}
    pixels, tokens = SIZE**2, 14**2
    assert not whole(mixed_weights(setting, found["mixup"])[0] * pixels)
    shares, _ = mixed_weights(setting, found["cutmix"])
    assert whole(shares * pixels)
    assert not whole(shares * tokens)
    assert mixed_weights(setting, found["attentive_cutmix + store"])[0] == pytest.approx(43 / 49, abs=1e-5)
    shares, _ = mixed_weights(setting, found["token_mix"])  # a few masks end earlier, as no block fits
    assert np.median(shares) == pytest.approx(112 / tokens, abs=1e-5)
    side = np.sqrt((1 - mixed_weights(setting, found["smmix + store"])[0]) * tokens)
    assert whole(side[side < 9])  # a larger region outweighs the image itself
    assert (side < 9).any()


def test_heatmaps_of_the_store_and_of_the_teacher_are_used(setting, store, monkeypatch) -> None:
    """With heatmaps, the shares of TokenMix need not add up to 1."""
    torch = pytest.importorskip("torch")
    seen = []

    def provider(images):
        seen.append(images.shape)
        return torch.rand(len(images), 7, 7)

    monkeypatch.setattr(compare, "teacher_for", lambda method, device: provider)
    _, alone, stored, taught = entries({"it": TokenMix()}, store, teacher=True, device="cpu")
    assert mixed_weights(setting, alone)[1] == pytest.approx(1, abs=1e-5)
    assert np.ptp(mixed_weights(setting, stored)[1]) > 0.01
    assert not seen
    assert np.ptp(mixed_weights(setting, taught)[1]) > 0.01
    assert set(seen) == {(BATCH, 3, SIZE, SIZE)}


def test_random_store(source, tmp_path) -> None:
    stores = [random_store(tmp_path / name, source.picked([3, 0, 3]), grid=4) for name in "ab"]
    assert stores[0].files == sorted({source.names[0], source.names[3]})
    assert stores[0].maps.shape == (2, 4, 4)
    assert len(np.unique(stores[0].maps)) > 8
    assert np.array_equal(stores[0].maps, stores[1].maps)


def test_some_images(source, monkeypatch) -> None:
    monkeypatch.setattr(compare, "SAMPLE", 6)
    few = some_images(source, 4)
    assert len(set(few.files)) == len(few.files) == 6
    assert len(set(few.labels)) > 1  # the folder begins with five of one class
    assert few.files == some_images(source, 6).files
    assert [source.labels[source.files.index(file)] for file in few.files] == few.labels
    assert few.classes == source.classes
    many = some_images(source, IMAGES + 2)
    assert set(many.files) == set(source.files)
    assert len(many.files) == len(many) == IMAGES + 2


def test_some_images_are_read_before_anything_is_timed(tmp_path, monkeypatch) -> None:
    source = ImageFolder.scan(one_coloured_folder(tmp_path))
    read, usual = [], ImageFolder.read
    monkeypatch.setattr(ImageFolder, "read", lambda self, number: read.append(number) or usual(self, number))
    some_images(source, 40)
    assert sorted(read) == list(range(IMAGES))


# ---- turns and rows


class FakePipeline:
    """Its speed in every turn is told beforehand."""

    speeds, calls = {}, []

    def __init__(self, setting, method, heatmap_source=None):
        self.name = BASELINE if method is None else "other"
        self.left = iter(self.speeds[self.name])

    def turn(self, batches, busy=None):
        self.calls.append((self.name, batches, busy is not None, len(busy_threads())))
        speed = next(self.left)
        return Span(images=100, seconds=100 / speed, cpu_seconds=200 / speed + 1)


@pytest.fixture
def fakes(monkeypatch):
    monkeypatch.setattr(compare, "TimedPipeline", FakePipeline)
    FakePipeline.speeds = {BASELINE: [100, 50, 80, 10, 20, 40], "other": [50, 60, 20, 20, 10, 10]}
    FakePipeline.calls = []
    return FakePipeline


def test_speedups_are_of_rounds_that_take_turns_and_the_right_way_round(setting, fakes) -> None:
    (row,) = measure([setting], [Entry("cutmix", CutMix())], Timing(rounds=3, batches=7))
    assert fakes.calls == [(BASELINE, 7, False, 0), ("other", 7, False, 0)] * 3
    assert row == {
        "what": "cutmix",
        "batch": BATCH,
        "threads": 2,
        "GIL": "idle",
        "images/s": pytest.approx(50),
        "images/s per thread": pytest.approx(25),
        "baseline": "no mixing",
        "baseline images/s": pytest.approx(80),
        "speedup": pytest.approx(0.5),
        "lowest": pytest.approx(0.25),
        "highest": pytest.approx(1.2),
        "CPU cores": pytest.approx(2.5),
        "baseline CPU cores": pytest.approx(2.8),
        "CPU ms/image": pytest.approx(50),
        "baseline CPU ms/image": pytest.approx(35),
    }


def test_no_mixing_is_compared_with_itself(setting, fakes) -> None:
    fakes.speeds = {BASELINE: iter([100, 50, 80, 10, 20, 40])}  # of both, who take turns
    (row,) = measure([setting], [Entry(BASELINE, None)], Timing(rounds=3, batches=1))
    assert (row["what"], row[SPEEDUP]) == (BASELINE, pytest.approx(0.5))  # 50 ÷ 100, 10 ÷ 80, 40 ÷ 20


def test_a_busy_gil_while_both_take_turns(setting, fakes) -> None:
    names = []
    timing = Timing(rounds=3, batches=1, busy_gil=True, advance=names.append)
    idle, busy = measure([setting], [Entry("cutmix", CutMix())], timing)
    assert [(first, last) for _, _, first, last in fakes.calls] == [(False, 0)] * 6 + [(True, 1)] * 6
    assert not busy_threads()
    assert (idle["GIL"], busy["GIL"]) == ("idle", "busy")
    assert (idle[SPEEDUP], busy[SPEEDUP]) == (pytest.approx(0.5), pytest.approx(0.5))
    assert (idle["images/s"], busy["images/s"]) == (pytest.approx(50), pytest.approx(10))
    assert names == ["cutmix"] * 12
    assert timing.turns(comparisons=1) == 12
    assert Timing(3, 1).turns(comparisons=2) == 12


def test_every_entry_in_every_setting(source, fakes) -> None:
    settings = [Setting(source, "cpu", batch, threads) for batch, threads in ((2, 1), (4, 1), (4, 3))]
    found = [Entry("cutmix", CutMix()), Entry("mixup", Mixup())]
    rows = list(measure(settings, found, Timing(rounds=1, batches=1, busy_gil=True)))
    groups = by_setting(rows)
    assert list(groups) == [
        "batch size 2, 1 thread", "batch size 2, 1 thread, GIL kept busy",
        "batch size 4, 1 thread", "batch size 4, 1 thread, GIL kept busy",
        "batch size 4, 3 threads", "batch size 4, 3 threads, GIL kept busy",
    ]  # fmt: skip
    assert all([row["what"] for row in group] == ["cutmix", "mixup"] for group in groups.values())


def test_only_two_pipelines_are_alive_at_a_time(setting, monkeypatch) -> None:
    made, usual = [], TimedPipeline.__init__

    def counted(self, *arguments):
        alive.append(sum(pipeline() is not None for pipeline in made))
        usual(self, *arguments)
        assert isinstance(self._pipeline, Pipeline)
        made.append(weakref.ref(self._pipeline))

    alive = []
    monkeypatch.setattr(TimedPipeline, "__init__", counted)
    list(measure([setting], [Entry("a", CutMix()), Entry("b", Mixup()), Entry("c", None)], Timing(1, 1)))
    assert alive == [0, 1] * 3
