"""dali_ops.dynamic on a GPU: other streams than DALI's. That the numbers are the same, test_dynamic.py tests."""

from typing import Any

import numpy as np
import nvidia.dali.experimental.dynamic as ndd
import pytest
import torch

import dalimix
from dali_ops import dynamic
from dalimix import CutMix, SMMix
from tests.support.dynamic import MAPS, a_batch, array, numbers
from tests.support.pipelines import BATCH


@pytest.mark.cuda
def test_slow_consumer_never_sees_a_batch_change(gpu):
    """The consumer's stream lags while new batches are mixed on DALI's."""
    stream, sums = torch.cuda.Stream(), []
    for k in range(200):
        filled = ndd.as_batch(np.full((64, 64, 64, 3), k % 251, np.uint8), layout="HWC").gpu()
        images, _ = dynamic.mix(filled, np.arange(64), CutMix(), num_classes=64)
        with torch.cuda.stream(stream):
            tensor = images.torch()
            torch.cuda._sleep(10_000_000)
            sums.append((tensor.amin(), tensor.amax()))
            del tensor, images
    assert [(int(low), int(high)) for low, high in sums] == [(k % 251, k % 251) for k in range(200)]


@pytest.mark.cuda
@pytest.mark.parametrize("own", [True, False], ids=["default stream", "another stream"])
def test_on_the_stream_of_torch(own, gpu):
    """Also on the default one, whose number 0 DLPack forbids; heatmaps are a tensor of torch's."""
    draws, maps = dalimix.draw(SMMix(grid=4), BATCH, 0), torch.from_numpy(MAPS).cuda()
    options: dict[str, Any] = {"num_classes": BATCH, "draws": draws}
    expected, _ = dynamic.mix(a_batch(), numbers(), SMMix(grid=4), heatmaps=MAPS, **options)
    stream = torch.cuda.default_stream() if own else torch.cuda.Stream()
    with torch.cuda.stream(stream), ndd.EvalContext(cuda_stream=stream):
        images, _ = dynamic.mix(a_batch().gpu(), numbers(), SMMix(grid=4), heatmaps=maps, **options)
        assert np.array_equal(images.torch().cpu().numpy(), array(expected))
