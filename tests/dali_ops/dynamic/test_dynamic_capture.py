"""Mixing in a loop whose operators DALI has captured: the same numbers, new ones in every step, errors, and limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import nvidia.dali.experimental.dynamic as ndd
import pytest

from dali_ops import dynamic
from dali_ops.assets.photos import make_photo_folder
from dalimix import CutMix, Erase, Method, Mixup, RandomChoice, TokenMix
from tests.support.dynamic import array
from tests.support.same import same

pytest.importorskip("skimage")
BATCH, CLASSES = 10, 6
METHODS = [CutMix(), Mixup(), TokenMix(grid=4), RandomChoice([CutMix(), TokenMix(grid=4), CutMix()])]
Step = Callable[[int, Any, Any, Any], Any]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photo_folder(tmp_path_factory.mktemp("capture") / "photos")


def epochs(photos: Path, capture: bool, mix: Step, count: int = 2) -> Iterator[Any]:
    """What `mix` makes of every batch of some epochs; with its number, the images, the labels and coins for mirrors."""
    ndd.random.set_seed(3)
    reader = ndd.readers.File(file_root=str(photos), random_shuffle=True, seed=1)
    for _ in range(count):
        for number, (encoded, labels) in enumerate(reader.next_epoch(batch_size=BATCH, capture=capture)):
            images = ndd.resize(ndd.decoders.image_random_crop(encoded), size=[24, 32])
            yield mix(number, images, labels, ndd.random.coin_flip(batch_size=BATCH))


def by(method: Method, **options: Any) -> Step:
    def mix(_: int, images: Any, labels: Any, mirror: Any) -> Any:
        outputs = dynamic.mix(images, labels, method, num_classes=CLASSES, mirror=mirror, **options)
        return [array(output) for output in outputs]

    return mix


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("options", [{}, {"erase": Erase(prob=0.5), "mean": 127.5, "std": 64.0}], ids=["", "erased"])
def test_the_same_as_without_capture(photos: Path, method: Method, options: dict[str, Any]) -> None:
    plain, captured = (list(epochs(photos, capture, by(method, **options))) for capture in (False, True))
    assert len(plain) == 10
    assert same(plain, captured)


def test_every_step_draws_anew(photos: Path) -> None:
    def partners(_: int, images: Any, labels: Any, mirror: Any) -> tuple[int, ...]:
        plan = dynamic.mix(images, labels, CutMix(), num_classes=CLASSES, return_plan=True)[2]
        return tuple(array(plan.partner).ravel().tolist())

    assert len(set(epochs(photos, True, partners))) == 10


def test_batches_stay_as_they_are(photos: Path) -> None:
    def kept(_: int, images: Any, labels: Any, mirror: Any) -> tuple[Any, float]:
        mixed, _ = dynamic.mix(images, labels, CutMix(), num_classes=CLASSES)
        return mixed, float(array(mixed).sum())

    found = list(epochs(photos, True, kept))
    assert [float(array(mixed).sum()) for mixed, _ in found] == [total for _, total in found]


def test_an_error_about_values_leaves_the_others_as_they_are(photos: Path) -> None:
    def mix(number: int, images: Any, labels: Any, mirror: Any) -> Any:
        classes = 1 if number == 2 else CLASSES
        try:
            return array(dynamic.mix(images, labels, CutMix(), num_classes=classes)[0])
        except ValueError as error:
            return str(error)

    plain, captured = (list(epochs(photos, capture, mix)) for capture in (False, True))
    assert "outside 0 .. 0" in captured[2]
    assert all(np.array_equal(*both) for both in zip(plain, captured, strict=True))


@pytest.mark.parametrize("number", [1, 3])
def test_a_step_that_does_not_mix_is_dalis_error(photos: Path, number: int) -> None:
    """As the docs say: every step must draw as many numbers as the first one."""

    def mix(step: int, images: Any, labels: Any, mirror: Any) -> Any:
        return step if step == number else dynamic.mix(images, labels, CutMix(), num_classes=CLASSES)

    with pytest.raises(RuntimeError, match="number of random draws per iteration changed"):
        list(epochs(photos, True, mix))


def test_whoever_leaves_an_epoch_needs_another_reader(photos: Path) -> None:
    reader = ndd.readers.File(file_root=str(photos))
    for number, (encoded, labels) in enumerate(reader.next_epoch(batch_size=BATCH, capture=True)):
        images = ndd.resize(ndd.decoders.image(encoded), size=[24, 32])
        dynamic.mix(images, labels, CutMix(), num_classes=CLASSES)
        if number == 2:
            break
    with pytest.raises(RuntimeError, match="invalid state"):
        next(iter(reader.next_epoch(batch_size=BATCH, capture=True)))
