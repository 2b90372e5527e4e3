"""A batch is cut among the threads of its pipeline, or of dynamic mode."""

from typing import Any

import numpy as np
import nvidia.dali.experimental.dynamic as ndd
import pytest
from nvidia.dali import fn, pipeline_def

import dali_ops
from dali_ops import dynamic
from dalimix import CutMix
from dalimix.support.threads import threads

IMAGES, LABELS = np.zeros((4, 8, 8, 3), np.uint8), np.arange(4)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    found: list[int] = []

    def noted(count: int) -> Any:
        found.append(count)
        return threads(count)

    monkeypatch.setattr("dali_ops.operators.mixer.threads", noted)
    return found


@pytest.mark.parametrize("count", [1, 3])
def test_of_a_pipeline(count: int, counts: list[int]) -> None:
    @pipeline_def(batch_size=4, num_threads=count, device_id=None, seed=0, prefetch_queue_depth=1)
    def mixing() -> Any:
        images, labels = (fn.external_source([list(batch)], cycle=True) for batch in (IMAGES, LABELS))
        return dali_ops.mix(images, labels, CutMix(), num_classes=4, layout="HWC", device="cpu")

    mixing().run()
    assert set(counts) == {count}


def test_of_dynamic_mode(counts: list[int]) -> None:
    dynamic.mix(ndd.as_batch(IMAGES, layout="HWC"), LABELS, CutMix(), num_classes=4)
    assert counts == [ndd.get_num_threads()]
