"""benchmarks/pipeline/slow_consumer.py: it finds batches that are altered, and says so when it would find none."""

import importlib
import weakref
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace

import pytest

pytest.importorskip("nvidia.dali")
pytest.importorskip("PIL.Image")
torch = pytest.importorskip("torch")

from tests.benchmarks.test_benchmarks import BENCHMARKS, run

BATCHES = 12


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("slow_consumer")


def numbers(keeps=True):
    """Batches of images and targets; the same memory for all if it does not keep them."""
    buffer = torch.zeros(2, 3, 4, 4), torch.zeros(2, 5)
    for number in range(BATCHES):
        batch = tuple(map(torch.clone, buffer)) if keeps else buffer
        for tensor in batch:
            tensor.fill_(number)
        yield batch


def look(script, make):
    return script.look("made up", make, partial(script.keeping, milliseconds=0), 2)


def test_on_the_cpu(tmp_path):
    tiny = "--batches", "8", "--batch-size", "4", "--milliseconds", "1"
    text, result = run(tmp_path, *tiny, script="slow_consumer.py")
    assert [row["what"] for row in result["rows"]] == ["Loader", "dali_ops.mix"]
    for row in result["rows"]:
        assert (row["batch"], row["batches"], row["altered"], row["differ between runs"]) == (4, 8, 0, 0)
        assert row["most batches ahead"] == 6
    assert "left out: a consumer on a stream of its own" in text


def test_a_batch_that_is_overwritten_is_found(script):
    good, bad = look(script, numbers), look(script, partial(numbers, keeps=False))
    assert (good["altered"], bad["altered"]) == (0, BATCHES - 1)
    assert (bad["batches"], bad["differ between runs"], bad["most batches ahead"]) == (BATCHES, 0, script.KEPT)
    assert script.problems([good]) == []
    assert script.problems([bad]) == [f"made up: {BATCHES - 1} of {BATCHES} batches were altered under a slow consumer"]


def test_targets_that_are_overwritten_are_found(script):
    def make():
        targets = torch.zeros(2, 5)
        for (images, _), number in zip(numbers(), range(BATCHES), strict=True):
            yield images, targets.fill_(number)

    assert look(script, make)["altered"] == BATCHES - 1


def test_batches_that_differ_anyway_show_nothing(script):
    runs = iter(range(3))

    def make():
        shift = next(runs)
        return (tuple(tensor + shift for tensor in batch) for batch in numbers())

    (told,) = script.problems([look(script, make)])
    assert told.startswith(f"made up: {BATCHES} of {BATCHES} batches differ from run to run")


def test_a_consumer_that_is_never_behind_shows_nothing(script):
    fast = script.look("made up", numbers, lambda batches: (script.patient(batches), 0), 2)
    (told,) = script.problems([fast])
    assert told.startswith("made up: the consumer was never behind")


def test_an_error_ends_with_one(script, monkeypatch, tmp_path):
    monkeypatch.setattr(script, "of_loader", lambda setting: numbers(keeps=False))
    monkeypatch.setattr(script, "of_pipeline", lambda setting: numbers())
    monkeypatch.setattr("sys.argv", ["slow_consumer.py", "--device", "cpu", "--json", str(tmp_path / "x.json")])
    with pytest.raises(SystemExit, match="^Loader: 11 of 12 batches were altered"):
        script.main()
    assert (tmp_path / "x.json").exists()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.uint8])
def test_every_bit_counts(script, dtype):
    """That of a negative 0, too, and of tensors that are not contiguous."""
    images, targets = torch.zeros(2, 3, 4, 4, dtype=dtype).to(memory_format=torch.channels_last), torch.zeros(2, 5)
    before = script.checksum((images, targets))
    images[1, 2, 3, -1] = -0.0 if dtype.is_floating_point else 1
    assert (script.checksum((images, targets)) != before).tolist() == [True, False]
    targets[1, 4] = -0.0
    assert (script.checksum((images, targets)) != before).tolist() == [True, True]


@pytest.mark.parametrize("source", ["of_loader", "of_pipeline"])
def test_batches_are_different_ones(script, source, monkeypatch, tmp_path):
    monkeypatch.setattr(script, "SIZE", 32)
    photos = script.photographs(script.make_photo_folder, tmp_path, 16)
    setting = script.Setting(photos, 9, 16, "cpu")
    sums = [tuple(one.tolist()) for one in script.patient(getattr(script, source)(setting))]
    assert len(sums) == 9
    assert len({images for images, _ in sums}) == len({targets for _, targets in sums}) == 9


class Gpu:
    """A stream, whose events are over when so many others have been recorded."""

    def __init__(self, behind):
        self.behind, self.recorded, self.slept = behind, 0, []

    def record_event(self):
        self.recorded += 1
        over = self.recorded + self.behind
        return SimpleNamespace(query=lambda: self.recorded >= over)


@pytest.fixture
def gpu(monkeypatch):
    made = Gpu(behind=5)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: made)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "_sleep", made.slept.append)
    return made


def test_on_a_gpu_the_stream_sleeps_and_the_host_goes_on(script, gpu):
    sums, ahead = script.lagging(numbers(), milliseconds=10)
    assert ahead == 5
    assert gpu.slept == [20_000_000] * BATCHES
    assert script.differing(sums, script.patient(numbers())) == 0


def test_on_a_gpu_the_host_lets_go_of_a_batch_before_it_asks_for_the_next(script, gpu):
    alive = []

    def make():
        held = None
        for _ in range(BATCHES):
            alive.append(held is not None and held() is not None)
            batch = [torch.zeros(2, 3)]
            held = weakref.ref(batch[0])
            yield (batch.pop(),)

    script.lagging(make(), milliseconds=1)
    assert alive == [False] * BATCHES
