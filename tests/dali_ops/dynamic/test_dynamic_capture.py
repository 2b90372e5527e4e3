"""Mixing in a loop whose operators DALI has captured: the same numbers, new ones in every step, errors, and limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import nvidia.dali.experimental.dynamic as ndd
import pytest
from nvidia.dali.experimental.dynamic._capture import CapturedBatch

from dali_ops import dynamic
from dali_ops.operators.mixer import Mixer
from dalimix import CutMix, Erase, Method, Mixup, RandomChoice, TokenMix
from tests.support.data.at_random import random_images
from tests.support.dynamic import array
from tests.support.same import same

BATCH, CLASSES = 10, 6
LABELS = np.arange(BATCH) % CLASSES
METHODS = [CutMix(), Mixup(), TokenMix(grid=4), RandomChoice([CutMix(), TokenMix(grid=4), CutMix()])]
Step = Callable[[int, Any, Any, Any], Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of arrays, since decoders are not what is tested here."""
    place = tmp_path_factory.mktemp("capture")
    for number, image in enumerate(random_images(5 * BATCH, 40, 48)):
        np.save(place / f"{number:02}.npy", image)
    return place


def epochs(folder: Path, capture: bool, mix: Step, count: int = 2) -> Iterator[Any]:
    """What `mix` makes of every batch of some epochs; with its number, the images, the labels and coins for mirrors."""
    ndd.random.set_seed(3)
    reader = ndd.readers.Numpy(file_root=str(folder), random_shuffle=True, seed=1)
    for _ in range(count):
        for number, (whole,) in enumerate(reader.next_epoch(batch_size=BATCH, capture=capture)):
            images = ndd.random_resized_crop(ndd.reinterpret(whole, layout="HWC"), size=[24, 32])
            assert not capture or isinstance(images, CapturedBatch)
            yield mix(number, images, LABELS, ndd.random.coin_flip(batch_size=BATCH))


def by(method: Method, **options: Any) -> Step:
    def mix(_: int, images: Any, labels: Any, mirror: Any) -> Any:
        outputs = dynamic.mix(images, labels, method, num_classes=CLASSES, mirror=mirror, **options)
        return [array(output) for output in outputs]

    return mix


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("options", [{}, {"erase": Erase(prob=0.5), "mean": 127.5, "std": 64.0}], ids=["", "erased"])
def test_the_same_as_without_capture(folder: Path, method: Method, options: dict[str, Any]) -> None:
    plain, captured = (list(epochs(folder, capture, by(method, **options))) for capture in (False, True))
    assert len(plain) == 10
    assert same(plain, captured)


def test_every_step_draws_anew(folder: Path) -> None:
    def partners(_: int, images: Any, labels: Any, mirror: Any) -> tuple[int, ...]:
        plan = dynamic.mix(images, labels, CutMix(), num_classes=CLASSES, return_plan=True)[2]
        return tuple(array(plan.partner).ravel().tolist())

    assert len(set(epochs(folder, True, partners))) == 10


def test_batches_stay_as_they_are(folder: Path) -> None:
    def kept(_: int, images: Any, labels: Any, mirror: Any) -> tuple[Any, float]:
        mixed, _ = dynamic.mix(images, labels, CutMix(), num_classes=CLASSES)
        return mixed, float(array(mixed).sum())

    found = list(epochs(folder, True, kept))
    assert [float(array(mixed).sum()) for mixed, _ in found] == [total for _, total in found]


def test_an_error_about_values_leaves_the_others_as_they_are(folder: Path) -> None:
    def mix(number: int, images: Any, labels: Any, mirror: Any) -> Any:
        classes = 1 if number == 2 else CLASSES
        try:
            return array(dynamic.mix(images, labels, CutMix(), num_classes=classes)[0])
        except ValueError as error:
            return str(error)

    plain, captured = (list(epochs(folder, capture, mix)) for capture in (False, True))
    assert "outside 0 .. 0" in captured[2]
    assert all(np.array_equal(*both) for both in zip(plain, captured, strict=True))


@pytest.mark.parametrize("number", [1, 3])
def test_a_step_that_does_not_mix_is_dalis_error(folder: Path, number: int) -> None:
    """As the docs say: from a generator of captured operators every step must draw as many numbers as the first."""

    def mix(step: int, images: Any, labels: Any, mirror: Any) -> Any:
        return step if step == number else dynamic.mix(images, labels, CutMix(), num_classes=CLASSES)

    with pytest.raises(RuntimeError, match="number of random draws per iteration changed"):
        list(epochs(folder, True, mix))


@pytest.mark.parametrize("first", [None, CutMix(), "cutmix"], ids=["not mixed", "mixed", "an error"])
def test_with_a_generator_of_its_own_steps_may_differ(folder: Path, first: Any) -> None:
    """Without mixing, with another method, and after errors that come before drawing; DALI looks at the first step."""
    methods: list[Any] = [first, CutMix(), METHODS[3], "cutmix", Mixup(), None, METHODS[3], CutMix(), None, METHODS[2]]

    def all_steps(capture: bool) -> list[Any]:
        rng, left = ndd.random.RNG(seed=4), iter(methods)

        def mix(_: int, images: Any, labels: Any, mirror: Any) -> Any:
            if (method := next(left)) is None:
                return array(images)
            try:
                return [*map(array, dynamic.mix(images, labels, method, num_classes=CLASSES, mirror=mirror, rng=rng))]
            except TypeError as error:
                return str(error)

        return list(epochs(folder, capture, mix))

    plain, captured = all_steps(False), all_steps(True)
    assert "method must be" in captured[3]
    assert same(plain, captured)


def test_a_parameter_that_changes_is_not_kept(folder: Path) -> None:
    """λ of every step, drawn at one place in the code: near 0 and 1, then near a half."""
    alphas = iter([1e-3, 1e4] * 5)

    def mix(_: int, images: Any, labels: Any, mirror: Any) -> Any:
        method = Mixup(next(alphas), pairing="roll")
        plan = dynamic.mix(images, labels, method, num_classes=CLASSES, return_plan=True)[2]
        return np.abs(array(plan.weight)[:, 0] - 0.5).max()

    far = np.array(list(epochs(folder, True, mix)))
    assert (far[::2] > 0.4).all()
    assert (far[1::2] < 0.1).all()


@pytest.mark.filterwarnings("error:A random operator call site")
def test_a_place_that_mixes_twice(folder: Path) -> None:
    def views(_: int, images: Any, labels: Any, mirror: Any) -> list[Any]:
        return [array(dynamic.mix(images, labels, CutMix(), num_classes=CLASSES)[0]) for _ in range(2)]

    plain, captured = (list(epochs(folder, capture, views)) for capture in (False, True))
    assert same(plain, captured)
    assert not same(*captured[1])


def left_early(folder: Path, crop: Any) -> list[Any]:
    """Two of each of two epochs."""
    reader, rng, found = ndd.readers.Numpy(file_root=str(folder)), ndd.random.RNG(seed=1), []
    for _ in range(2):
        for number, (whole,) in enumerate(reader.next_epoch(batch_size=BATCH, capture=True)):
            images = crop(ndd.reinterpret(whole, layout="HWC"), size=[24, 32])
            if number == 2:
                break
            found.append(array(dynamic.mix(images, LABELS, CutMix(), num_classes=CLASSES, rng=rng)[0]))
    return found


def test_leaving_an_epoch(folder: Path) -> None:
    """What is captured and random must not be left, as the docs say; what mixes is not captured."""
    assert len(left_early(folder, ndd.resize)) == 4
    with pytest.raises(RuntimeError, match="invalid state"):
        left_early(folder, ndd.random_resized_crop)


@pytest.mark.parametrize("name", ["method", "labels", "mirror", "draws", "erase", "heatmaps", "mean", "std"])
def test_what_mixes_must_not_be_marked(name: str) -> None:
    images, labels = ndd.as_batch(np.zeros((6, 8, 8, 3), np.uint8), layout="HWC"), np.arange(6)
    given: dict[str, Any] = {"method": TokenMix(grid=4), "labels": labels, "mirror": labels % 2, "erase": Erase()}
    given |= {"draws": dynamic.draw(given["method"], 6, erase=Erase()), "heatmaps": np.ones((6, 4, 4), np.float32)}
    given |= {"mean": 127.5, "std": [1.0, 2.0, 3.0]}
    dynamic.mix(images, **given, num_classes=ndd.capture.invariant(6), output_layout=ndd.capture.invariant("CHW"))
    given[name] = ndd.capture.invariant(given[name])
    with pytest.raises(TypeError, match=f"^{name} is marked as invariant for DALI's capture: give it unmarked, since"):
        dynamic.mix(images, **given, num_classes=6)


def test_what_draws_must_not_be_marked() -> None:
    with pytest.raises(TypeError, match="^method is marked as invariant"):
        dynamic.draw(ndd.capture.invariant(CutMix()), 6)


def test_as_many_threads_as_the_context_has(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def spy(threads: int, **options: Any) -> Mixer:
        seen.append(threads)
        return Mixer(threads=threads, **options)

    monkeypatch.setattr(dynamic, "Mixer", spy)
    images = ndd.as_batch(np.zeros((6, 8, 8, 3), np.uint8), layout="HWC")
    for count in (1, 3):
        with ndd.EvalContext(num_threads=count):
            dynamic.mix(images, np.arange(6), CutMix(), num_classes=6)
    assert seen == [1, 3]
