"""The slow consumer finds batches that are altered, and says so when it would find none."""

import weakref
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.harness import photographs
from benchmarks.pipeline import slow_consumer
from dali_ops.assets.photos import make_photo_folder

BATCHES = 12
ALTERED = f"{BATCHES - 1} of {BATCHES} batches were altered under a slow consumer"


def numbers(overwritten: tuple[int, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Batches of images and targets; what is overwritten is the same memory for all of them."""
    shared = torch.zeros(2, 3, 4, 4), torch.zeros(2, 5)
    for number in range(BATCHES):
        batch = [tensor if k in overwritten else tensor.clone() for k, tensor in enumerate(shared)]
        yield tuple(tensor.fill_(number) for tensor in batch)


def look(make: Callable[[], Iterator[Any]], slow: Any = None) -> Any:
    slow = slow or partial(slow_consumer.keeping, milliseconds=0)
    return slow_consumer.look("made up", make, slow, 2)


@pytest.mark.parametrize("overwritten", [(0,), (1,), (0, 1)], ids=["images", "targets", "both"])
def test_a_batch_that_is_overwritten_is_found(overwritten: tuple[int, ...]) -> None:
    row = look(partial(numbers, overwritten))
    assert (row["altered"], row["batches"], row["differ between runs"]) == (BATCHES - 1, BATCHES, 0)
    assert row["most batches ahead"] == slow_consumer.KEPT
    assert slow_consumer.problems([look(numbers), row]) == [f"made up: {ALTERED}"]


@pytest.mark.parametrize("source", ["of_loader", "of_pipeline"])
def test_batches_are_different_ones(source: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If they were equal, nobody would see one in the place of another."""
    monkeypatch.setattr(slow_consumer, "SIZE", 32)
    photos = photographs(make_photo_folder, tmp_path, 16)
    setting = slow_consumer.Setting(photos, 9, 16, "cpu")
    sums = [tuple(one.tolist()) for one in slow_consumer.patient(getattr(slow_consumer, source)(setting))]
    assert len({images for images, _ in sums}) == len({targets for _, targets in sums}) == len(sums) == 9


def test_batches_that_differ_anyway_show_nothing() -> None:
    runs = iter(range(3))

    def make() -> Iterator[tuple[Any, ...]]:
        shift = next(runs)
        return (tuple(tensor + shift for tensor in batch) for batch in numbers())

    (told,) = slow_consumer.problems([look(make)])
    assert told.startswith(f"made up: {BATCHES} of {BATCHES} batches differ from run to run")


def test_a_consumer_that_is_never_behind_shows_nothing() -> None:
    (told,) = slow_consumer.problems([look(numbers, lambda batches: (slow_consumer.patient(batches), 0))])
    assert told.startswith("made up: the consumer was never behind")


def test_an_altered_batch_ends_with_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(slow_consumer, "of_loader", lambda setting: numbers((0, 1)))
    monkeypatch.setattr(slow_consumer, "of_pipeline", lambda setting: numbers())
    monkeypatch.setattr("sys.argv", ["slow_consumer", "--device", "cpu", "--json", str(tmp_path / "x.json")])
    with pytest.raises(SystemExit, match=f"^Loader: {ALTERED}"):
        slow_consumer.main()
    assert (tmp_path / "x.json").exists()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.uint8], ids=str)
def test_every_bit_counts(dtype: Any) -> None:
    """That of a negative 0, too, and of tensors that are not contiguous."""
    images, targets = torch.zeros(2, 3, 4, 4, dtype=dtype).to(memory_format=torch.channels_last), torch.zeros(2, 5)
    before = slow_consumer.checksum((images, targets))
    images[1, 2, 3, -1] = -0.0 if dtype.is_floating_point else 1
    targets[1, 4] = -0.0
    assert (slow_consumer.checksum((images, targets)) != before).tolist() == [True, True]


class Stream:
    """Of a GPU, whose events are over when five others have been recorded."""

    def __init__(self) -> None:
        self.recorded, self.slept = 0, list[int]()

    def record_event(self) -> Any:
        self.recorded += 1
        over = self.recorded + 5
        return SimpleNamespace(query=lambda: self.recorded >= over)


def test_on_a_gpu_the_stream_sleeps_and_the_host_lets_go_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a batch is let go, before the next is asked for, is seen where it is made."""
    stream, alive = Stream(), list[bool]()
    monkeypatch.setattr(torch.cuda, "Stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "_sleep", stream.slept.append)

    def make() -> Iterator[Any]:
        for number in range(BATCHES):
            batch = [torch.full((2, 3), float(number))]
            held = weakref.ref(batch[0])
            yield (batch.pop(),)
            alive.append(held() is not None)

    sums, ahead = slow_consumer.lagging(make(), milliseconds=10)
    assert ahead == 5
    assert stream.slept == [20_000_000] * BATCHES
    assert alive == [False] * BATCHES
    assert slow_consumer.differing(sums, slow_consumer.patient(make())) == 0
