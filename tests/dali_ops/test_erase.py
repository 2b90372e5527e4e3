"""Random erasing inside pipelines, loaders and dynamic mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import nvidia.dali.experimental.dynamic as ndd
import pytest
import torch

import dali_ops
import dalimix
from dali_ops import Train, dynamic
from dali_ops.operators.draws import draw, flatten, unflatten
from dalimix import CutMix, Draws, Erase, RandomChoice
from tests.support.backends import device_fixture
from tests.support.data.at_random import random_images
from tests.support.dynamic import a_batch, array, flat, numbers, rng_of
from tests.support.loaders import load
from tests.support.pipelines import BATCH, SIZE, all_ways_agree, build, images_and_labels, resumes, run
from tests.support.same import same

ERASE, METHOD = Erase(prob=0.7, count=(1, 3)), RandomChoice()
PIXELS: dict[str, Any] = {"mean": 120.0, "std": 60.0, "output_layout": "CHW"}

device = device_fixture("gpu")


def mixing(erase: Erase | None = ERASE, device: str = "cpu", **options: Any) -> Any:
    def body() -> Any:
        images, labels = images_and_labels()
        given = {"num_classes": BATCH, "device": device, **PIXELS, **options}
        return dali_ops.mix(images, labels, METHOD, erase=erase, **given)

    return body


def expected(draws: Draws, erase: Erase | None = ERASE) -> tuple[np.ndarray, np.ndarray]:
    """Images and targets, by the functions on arrays."""
    plan = dalimix.plan(METHOD, draws, SIZE)
    erased = None if erase is None else dalimix.plan_erase(erase, draws, SIZE)
    images = dalimix.compose(random_images(BATCH, *SIZE), plan, None, **PIXELS, erase=erased)
    targets: Any = dalimix.soft_labels(np.arange(BATCH), plan, BATCH)
    return images, targets


def test_mix_erases_what_was_drawn_and_leaves_labels_alone(device: str) -> None:
    drawn = run(build(lambda: tuple(flatten(draw(METHOD, 5, ERASE)))))[0]
    draws = unflatten(METHOD, iter(drawn), ERASE)
    images, targets = run(build(mixing(device=device, seed=5), device=device))[0]
    wanted, labels = expected(draws)
    np.testing.assert_array_equal(images, wanted)
    np.testing.assert_array_equal(targets, labels)
    plain, same_labels = run(build(mixing(None, device, seed=5), device=device))[0]
    np.testing.assert_array_equal(same_labels, targets)
    assert 0.02 < (plain != images).any(axis=1).mean() < 0.7


def test_every_way_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all_ways_agree(mixing(), monkeypatch)


def test_a_pipeline_resumes_with_the_very_boxes_and_noise() -> None:
    assert resumes(lambda **options: build(mixing(), **options))


def test_keys_of_a_pipeline_differ() -> None:
    keys = np.concatenate([run_[-1] for run_ in run(build(lambda: tuple(flatten(draw(METHOD, erase=ERASE)))), 20)])
    assert keys.dtype == np.uint32
    assert len(np.unique(keys, axis=0)) == 20 * BATCH


def test_a_shortcut_takes_it_too() -> None:
    def body() -> Any:
        return dali_ops.cutmix(*images_and_labels(), prob=0.0, erase=Erase(1.0, value=-7), num_classes=BATCH, **PIXELS)

    images = run(build(body))[0][0]
    assert ((images == -7).any(axis=(1, 2, 3))).all()


@pytest.mark.parametrize(
    ("error", "options", "said"),
    [
        (TypeError, {"erase": 0.25}, "erase must be a dalimix.Erase, such as dalimix.Erase.prob=0.25., got 0.25"),
        (ValueError, {"dtype": "uint8", "mean": None, "std": None}, "erase has value='noise', standard normal numbers"),
    ],
    ids=["kind", "bytes"],
)
def test_what_is_wrong_is_said_when_the_graph_is_made(error: type[Exception], options: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        build(mixing(**options))


def test_noise_among_bytes_is_refused_with_the_first_batch() -> None:
    with pytest.raises(RuntimeError, match="images 0 … 255 are to come out: give mean and std"):
        run(build(mixing(mean=None, std=None, dtype="float32")))


def dynamically(**options: Any) -> list[np.ndarray]:
    given: dict[str, Any] = {"num_classes": BATCH, "erase": ERASE, **PIXELS, **options}
    return [array(batch) for batch in flat(dynamic.mix(a_batch(), numbers(), METHOD, **given))]


def test_dynamic_mode_erases_and_replays(device: str) -> None:
    draws = dynamic.draw(METHOD, BATCH, rng_of(3), ERASE)
    images, targets = dynamically(draws=draws, device=device)
    wanted, labels = expected(draws.mapped(array))
    np.testing.assert_array_equal(images, wanted)
    np.testing.assert_array_equal(targets, labels)
    assert same([images, targets], dynamically(rng=rng_of(3), device=device))


def test_draws_of_dynamic_mode_without_those_of_erasing() -> None:
    with pytest.raises(ValueError, match="draws are without those of erasing"):
        dynamically(draws=dynamic.draw(METHOD, BATCH))
    with pytest.raises(TypeError, match="erase must be a dalimix.Erase"):
        dynamic.draw(METHOD, 4, erase=0.25)  # type: ignore[arg-type]
    assert isinstance(dynamic.draw(METHOD, 4, erase=ERASE).erase, ndd.Batch)


CONST = Erase(prob=1.0, area=(0.2, 0.3), value=-1)


@pytest.mark.parametrize("method", [None, CutMix()], ids=["none", "CutMix"])
def test_a_loader_erases_with_and_without_a_method(root: Path, method: Any) -> None:
    """Of images of one colour, in which −1 is nothing but what was put there."""
    with load(root, method, 5, erase=CONST) as loader:
        for images, targets in loader:
            share = (images == -1).float().mean(dim=(1, 2, 3))
            assert (share > (0.15 if method is None else 0.01)).all()
            assert (share < (0.35 if method is None else 0.65)).all()
            assert targets.shape == ((5,) if method is None else (5, 3))
    if method is None:
        assert targets.dtype == torch.int64


def test_labels_belong_to_the_images_that_are_erased(root: Path) -> None:
    with load(root, None, 5, erase=Erase(1.0, value=0)) as loader:
        for images, labels in loader:
            assert torch.equal(images.amax(dim=(2, 3)).argmax(dim=1), 2 - labels)  # blue, green, red


@pytest.mark.parametrize("method", [None, CutMix()], ids=["none", "CutMix"])
def test_a_loader_resumes_with_the_very_boxes_and_noise(root: Path, method: Any) -> None:
    def loader() -> Any:
        return load(root, method, 4, erase=ERASE, mean=100, std=50)

    with loader() as first:
        batches = iter(first)
        next(batches)
        state, wanted = first.state_dict(), [*batches, *first]
    with loader() as again:
        again.load_state_dict(state)
        assert same(wanted, [*again, *again])
    other = load(root, method, 4, erase=Erase(prob=0.1), mean=100, std=50)
    with other, pytest.raises(ValueError, match="erase"):
        other.load_state_dict(state)


def test_a_transform_refuses_what_is_wrong() -> None:
    with pytest.raises(TypeError, match="erase must be a dalimix.Erase, such as"):
        Train(erase=0.25)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="erase has value='noise', standard normal numbers, but uint8 images are"):
        Train(erase=Erase(), mean=0, std=1, dtype="uint8")
    assert Train(erase=Erase(value=127), mean=0, std=1, dtype="uint8").erase == Erase(value=127.0)
    with pytest.raises(TypeError, match=r"transform=Train\(erase=Erase\(prob=…\)\) is that"):
        Train(re_prob=0.25)  # type: ignore[call-arg]
