"""What a callback raises comes out of the loader, and keeps nothing of DALI."""

import time
import traceback
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from dali_ops import lifetime
from dalimix import AttentiveCutMix
from tests.support.loaders import load
from tests.support.programs.pipeline_ends import a_pipeline


class MyError(Exception):
    pass


def provider(images):
    private = images.float()  # a local variable that refers to DALI's memory
    raise MyError(f"not today: {len(private)}")


@pytest.fixture
def failing(root):
    with load(root, AttentiveCutMix(), heatmaps=provider) as made:
        yield made


def test_an_error_of_a_callback_reaches_the_user_of_a_loader(failing):
    for _ in range(2):  # it may be tried again
        with pytest.raises(MyError, match="not today: 4") as caught:
            next(iter(failing))
        assert "ModelHeatmaps" in str(caught.value.__cause__)
        assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "provider"


def test_an_error_that_is_kept_holds_nothing_of_dali(failing):
    with pytest.raises(MyError) as caught:
        next(iter(failing))
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    assert "private" not in frames[-1].f_locals
    assert lifetime.guard(a_pipeline()).take() is None


def test_plain_pipelines_keep_no_errors():
    pipeline = a_pipeline()
    with pytest.raises(MyError):
        lifetime.guard(pipeline).noted(provider)(torch.zeros(4))
    assert lifetime.guard(pipeline).take() is None


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(5), GeneratorExit()], ids=lambda e: type(e).__name__)
def test_errors_that_are_no_exceptions_come_out_as_they_are(root, error):
    def stopping(images):
        raise error

    loader = load(root, AttentiveCutMix(), heatmaps=stopping)
    with loader, pytest.raises(type(error)):
        next(iter(loader))


def test_an_error_of_a_batch_that_nobody_asked_for_goes_with_the_loader(root):
    tried = []

    def second_time(images):
        tried.append(images)
        if len(tried) > 1:
            raise MyError("not today")
        return torch.zeros(len(images), 7, 7)

    loader = load(root, AttentiveCutMix(), heatmaps=second_time, prefetch=3)
    next(iter(loader))
    callbacks = lifetime.guard(loader._prefetcher._pipeline)
    while callbacks._last is None:  # the batch that the pipeline works ahead
        time.sleep(0.01)
    loader.close()
    assert callbacks._last is None


@dataclass(frozen=True)
class FrozenError(Exception):
    code: int


def test_an_error_that_cannot_be_changed_comes_out(root):
    def fails(images):
        raise FrozenError(7)

    loader = load(root, AttentiveCutMix(), heatmaps=fails)
    with pytest.raises(FrozenError) as caught:
        next(iter(loader))
    assert "ModelHeatmaps" in str(caught.value.__cause__)


def test_a_generator_goes_on_after_an_error_that_went_through_it(root):
    def errors():
        saved = None
        while True:
            yield saved
            try:
                raise OSError("x")
            except OSError as error:
                saved = error

    source = errors()
    next(source)

    def fails(images):
        raise MyError("not today") from next(source)

    loader = load(root, AttentiveCutMix(), heatmaps=fails)
    for _ in range(3):
        with pytest.raises(MyError):
            next(iter(loader))


def test_one_error_again_and_again_is_told_once(root):
    error = MyError("not today")

    def fails(images):
        raise error

    loader = load(root, AttentiveCutMix(), heatmaps=fails)
    for _ in range(3):
        with pytest.raises(MyError) as caught:
            next(iter(loader))
        assert caught.value.__cause__ is not None
        assert caught.value.__cause__.__cause__ is None


def test_a_provider_that_runs_out_does_not_end_the_epoch(root):
    def empty(images):
        return next(iter(()))

    loader = load(root, AttentiveCutMix(), heatmaps=empty)
    with loader, pytest.raises(RuntimeError, match="a function that the pipeline calls raised StopIteration"):
        list(loader)


def chained(images):
    try:
        dict[str, Any]()["missing key"]
    except KeyError as error:
        raise MyError("cannot read maps") from error


def in_passing(images):
    try:
        dict[str, Any]()["missing key"]
    except KeyError:
        raise MyError("cannot read maps")  # noqa: B904


def from_none(images):
    try:
        dict[str, Any]()["missing key"]
    except KeyError:
        raise MyError("cannot read maps") from None


@pytest.mark.parametrize("function", [chained, in_passing, from_none], ids=lambda way: way.__name__)
def test_what_an_error_was_raised_from_is_told_too(root, function):
    loader = load(root, AttentiveCutMix(), heatmaps=function)
    with loader, pytest.raises(MyError, match="cannot read maps") as caught:
        next(iter(loader))
    told = "".join(traceback.format_exception(caught.value))
    assert ("missing key" in told) == (function is not from_none)
    assert "ModelHeatmaps" in told
