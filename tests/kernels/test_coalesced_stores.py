"""How the lanes of a warp write together: in a row, so that each store fills whole 32-byte sectors of memory."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest

import dalimix
import dalimix.cuda.loader
from dalimix import CutMix, Mixup, TokenMix
from tests.support import host
from tests.support.backends import use_host_kernels
from tests.support.data.at_random import random_images

WARP, CHUNK = 32, 16  # lanes, bytes


@pytest.fixture
def launched(monkeypatch):
    """The kernels that were loaded, the last one last."""
    kernels = []
    use_host_kernels(monkeypatch)

    def load_kernel(name, **defines):
        kernels.append(host.load_kernel(name, **defines))
        return kernels[-1]

    monkeypatch.setattr(dalimix.cuda.loader, "load_kernel", load_kernel)
    return kernels


def warp_stores(stores):
    """The addresses that each store of each warp writes to, by the stores [n, 2] of a kernel."""
    by_warp = {}
    for thread, own in groupby(sorted(stores.tolist(), key=lambda store: store[0]), key=lambda store: store[0]):
        for turn, (_, address) in enumerate(own):
            by_warp.setdefault((thread // WARP, turn), []).append(address)
    return [np.array(addresses) for addresses in by_warp.values()]


@pytest.mark.parametrize("method", [CutMix(), Mixup(), TokenMix(grid=7)], ids=lambda method: method.name)
@pytest.mark.parametrize("layout", ["CHW", "HWC"])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "bfloat16", "float32"])
def test_every_store_of_a_warp_fills_512_bytes_in_a_row(launched, method, layout, dtype):
    images = random_images(4, 32, 112)  # 7 warps with a group of 16 pixels for each lane
    plan = dalimix.plan(method, dalimix.draw(method, 4, 0), (32, 112))
    mixed = dalimix.compose(images, plan, mean=127, std=2, dtype=dtype, output_layout=layout)
    stores = launched[-1].written()
    assert len(np.unique(stores[:, 1])) == len(stores) == mixed.nbytes // CHUNK  # each chunk once
    for addresses in warp_stores(stores):
        np.testing.assert_array_equal(addresses, addresses[0] + CHUNK * np.arange(WARP))
