"""How fast `compose` is: uint8 HWC images to normalised CHW (or HWC), mixed.

    python benchmarks/bench_compose.py [--device cpu|gpu] [--batch 64 …] [--only CutMix] [--json FILE]

On the CPU: the NumPy twin against timm's way written with torch on one thread. On a GPU: the kernel against a device
copy of the same bytes. Every result is checked before it is timed; inputs are rotated through more memory than the
caches hold. GB/s count every byte of input and output once.
"""

from __future__ import annotations

import argparse
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from harness import OnGpu, compare, each, finish, on_cpu, parser, pictures, shown

import dalimix
from dali_ops.device import usable_device
from dalimix import CutMix, Method, Mixup

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
METHODS: dict[str, Method] = {
    "CutMix, per batch": CutMix(per="batch", pairing="flip"),
    "CutMix, per sample": CutMix(),
    "Mixup, per batch": Mixup(per="batch", pairing="flip"),
    "Mixup, per sample": Mixup(),
}


def main() -> None:
    options = arguments()
    device = usable_device(options.device)
    bench = {"cpu": bench_cpu, "gpu": bench_gpu}[device]
    methods = {name: method for name, method in METHODS.items() if name.startswith(options.only)}
    rows = [row for batch in options.batch or {"cpu": [64], "gpu": [64, 256, 1024]}[device]
            for row in bench(methods, batch, options.size, options.rounds)]  # fmt: skip
    finish(options.json, device, shown(rows), ["the CUDA kernel (no GPU used)"] if device == "cpu" else [])


def arguments() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--batch", type=int, nargs="+")
    options.add_argument("--size", type=int, default=224)
    options.add_argument("--only", default="", help="methods whose name begins with this")
    return options.parse_args()


def row(name: str, images: Any, itemsize: int, other: str, times: tuple[float, float, float]) -> dict[str, Any]:
    ms, other_ms, ratio = times
    return {
        "what": name,
        "batch": len(images),
        "median ms": ms,
        "GB/s": images.nbytes * (1 + itemsize) / ms / 1e6,
        "compared with": other,
        "its median ms": other_ms,
        "its time ÷ ours": ratio,
    }


def bench_cpu(methods: dict[str, Method], batch: int, size: int, rounds: int) -> list[dict[str, Any]]:
    import timm_way

    images, rows = pictures(batch, size), []
    for (name, method), dtype in product(methods.items(), ("float16", "float32")):
        plan = dalimix.plan(method, dalimix.draw(method, batch, 0), (size, size))
        peer = timm_way.compose if method.per == "batch" else timm_way.compose_each
        ours = partial(each, images, lambda x, plan=plan, dtype=dtype: normalised(x, plan, dtype))
        theirs = partial(each, images, peer, plan, MEAN, STD, dtype)
        assert np.allclose(ours(0), theirs(0), atol=0.02), f"{name}: the results differ"
        times = compare(ours, theirs, rounds, on_cpu)
        rows.append(row(f"{name}, {dtype}", images[0], np.dtype(dtype).itemsize, "timm's way", times))
    return rows


def normalised(images: Any, plan: dalimix.MixPlan, dtype: str, layout: str = "CHW") -> Any:
    return dalimix.compose(images, plan, mean=MEAN, std=STD, dtype=dtype, output_layout=layout)


def bench_gpu(methods: dict[str, Method], batch: int, size: int, rounds: int) -> list[dict[str, Any]]:
    import cupy

    on_host, rows, timer = pictures(batch, size), [], OnGpu()
    images = [cupy.asarray(picture) for picture in on_host]
    moved = images[0].nbytes * 3  # uint8 in, float16 out
    sources = [cupy.random.randint(0, 256, moved // 2, dtype=cupy.uint8) for _ in images]
    target = cupy.empty_like(sources[0])
    copy = partial(each, sources, partial(cupy.copyto, target))
    for (name, method), layout in product(methods.items(), ("CHW", "HWC")):
        plan = dalimix.plan(method, dalimix.draw(method, batch, 0), (size, size))
        put = dalimix.MixPlan(*(cupy.asarray(array) for array in plan.arrays()))
        ours = partial(each, images, lambda x, put=put, layout=layout: normalised(x, put, "float16", layout))
        expected = normalised(on_host[0], plan, "float16", layout)
        assert np.array_equal(ours(0).get(), expected), f"{name}: kernel and twin differ"
        times = compare(ours, copy, rounds, timer)
        rows.append(row(f"{name}, {layout} float16", images[0], 2, "device copy", times))
    return rows


if __name__ == "__main__":
    main()
