"""Whether a batch stays as it is until a slow consumer is done with it, while the pipeline runs ahead.

    python -m benchmarks.pipeline.slow_consumer [--device cpu|gpu] [--batches 500] [--json FILE]

Batches that share DALI's memory, from `dali_ops.Loader` as torch tensors, and from a pipeline with `dali_ops.mix` by
DLPack. On a GPU the consumer's stream sleeps before it takes the checksum of a batch, and the host has long dropped the
batch by then and asked for others. On a CPU the consumer sleeps, and keeps the last batches for a while. The checksums
must be those of a consumer that is done with every batch before it asks for the next. Two of that kind come first: what
differs between them is not the lag's fault.

Ends with an error if a batch was altered, or if the consumer never fell behind, which would show nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from nvidia.dali import fn, pipeline_def
from torch import Tensor

import dali_ops
from benchmarks.harness import Rows, endless, finish, parser, photographs, pictures, run_script, shown
from dali_ops.assets.photos import make_photo_folder
from dali_ops.cli.arguments import positive
from dali_ops.device import default_id, default_threads, usable_device
from dali_ops.sources import ImageFolder
from dalimix import CutMix

SIZE = 224
BATCHES, BATCH = {"cpu": 20, "gpu": 500}, {"cpu": 8, "gpu": 32}
KEPT = 6  # batches that the consumer on a CPU has in its hands: more than the pipeline works ahead
CYCLES = 2_000_000  # of a GPU in a millisecond, about
NEVER_SLOW = "a consumer on a stream of its own (no GPU used)"
Batch = tuple[Tensor, ...]
Seen = tuple[list[Tensor], int]  # checksums, and how many batches the host was ahead at most


def main() -> None:
    options = arguments()
    device = usable_device(options.device)
    slow = partial({"cpu": keeping, "gpu": lagging}[device], milliseconds=options.milliseconds)
    with TemporaryDirectory() as place:
        batches, batch = options.batches or BATCHES[device], options.batch_size or BATCH[device]
        setting = Setting(photographs(make_photo_folder, place, batch), batches, batch, device)
        sources = {"Loader": of_loader, "dali_ops.mix": of_pipeline}
        rows = [look(name, partial(make, setting), slow, batch) for name, make in sources.items()]
    finish(options.json, device, shown(rows), [NEVER_SLOW] if device == "cpu" else [])
    if found := problems(rows):
        sys.exit("\n".join(found))


def arguments() -> argparse.Namespace:
    options = parser(__doc__, rounds=None)
    options.add_argument("--batches", type=positive, help="default: 20 on the CPU, 500 on a GPU")
    options.add_argument("--batch-size", type=positive, help="default: 8 on the CPU, 32 on a GPU")
    options.add_argument("--milliseconds", type=float, default=10.0, help="of sleep for every batch")
    return options.parse_args()


# ---- where batches come from: the same ones, in every run


@dataclass(frozen=True)
class Setting:
    """What both sources have in common: photographs, how many batches, and of how many images."""

    photos: ImageFolder
    batches: int
    batch: int
    device: str


def of_loader(setting: Setting) -> Iterator[Batch]:
    """Of photographs."""
    transform, runtime = dali_ops.Train(SIZE), dali_ops.Runtime(setting.device)
    with dali_ops.Loader(
        setting.photos, CutMix(), setting.batch, transform=transform, runtime=runtime, seed=0
    ) as loader:
        yield from islice(endless(loader), setting.batches)


def of_pipeline(setting: Setting) -> Iterator[Batch]:
    """Of random pixels, as float16 planes."""
    images = pictures(setting.batch, SIZE)
    labels = np.arange(setting.batch, dtype=np.int32)[:, None]
    runtime = {"num_threads": default_threads(), "device_id": default_id(setting.device), "seed": 0}

    @pipeline_def(batch_size=setting.batch, **runtime)  # type: ignore[untyped-decorator]
    def pipeline() -> Any:
        nodes = [fn.external_source(lambda k: images[k % len(images)], batch=True, layout="HWC"),
                 fn.external_source(lambda _: labels, batch=True)]  # fmt: skip
        pixels, classes = (node.gpu() if setting.device == "gpu" else node for node in nodes)
        normalise: dict[str, Any] = {"mean": 128, "std": 64, "dtype": np.float16, "output_layout": "CHW"}
        return dali_ops.mix(pixels, classes, CutMix(), num_classes=setting.batch, **normalise)

    made = pipeline()
    for _ in range(setting.batches):
        yield tuple(torch.from_dlpack(output.as_tensor()) for output in outputs_of(made, setting.device))


def outputs_of(pipeline: Any, device: str) -> Any:
    """On the stream that is torch's now, if there are streams. (By name, DALI would take it for an input.)"""
    return pipeline.run() if device == "cpu" else pipeline.run(torch.cuda.current_stream())


# ---- consumers


def patient(batches: Iterator[Batch]) -> list[Tensor]:
    """Checksums, by a consumer that is done with a batch before it asks for the next one."""
    return [checksum(batch).cpu() for batch in batches]  # .cpu() waits


def lagging(batches: Iterator[Batch], milliseconds: float) -> Seen:
    """By a stream that sleeps before it looks at a batch, which the host does not wait for."""
    behind: deque[Any] = deque()
    sums, most, stream = [], 0, torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for batch in batches:
            torch.cuda._sleep(int(milliseconds * CYCLES))
            sums.append(checksum(batch))
            del batch
            behind.append(stream.record_event())
            while behind and behind[0].query():
                behind.popleft()
            most = max(most, len(behind))
        return [one.cpu() for one in sums], most  # on the same stream


def keeping(batches: Iterator[Batch], milliseconds: float) -> Seen:
    """By a host that sleeps, and looks at a batch when it has some later ones in its hands, too."""
    kept: deque[Batch] = deque()
    sums, most = [], 0
    for batch in batches:
        time.sleep(milliseconds / 1e3)
        kept.append(batch)
        most = max(most, len(kept) - 1)
        if len(kept) > KEPT:
            sums.append(checksum(kept.popleft()))
    return sums + [checksum(batch) for batch in kept], most


def checksum(batch: Batch) -> Tensor:
    """Int64, of the bits of every tensor, where the batch is."""
    whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32}
    return torch.stack([tensor.view(whole[tensor.element_size()]).sum(dtype=torch.int64) for tensor in batch])


# ---- what they saw


def look(what: str, make: Callable[[], Iterator[Batch]], slow: Callable[[Iterator[Batch]], Seen], batch: int) -> Any:
    """A row: the same batches seen by a patient consumer, by another one, and by a slow one."""
    expected, again = patient(make()), patient(make())
    seen, ahead = slow(make())
    return {
        "what": what,
        "batch": batch,
        "batches": len(expected),
        "altered": differing(expected, seen),
        "differ between runs": differing(expected, again),
        "most batches ahead": ahead,
    }


def differing(one: list[Tensor], other: list[Tensor]) -> int:
    return sum(not torch.equal(*pair) for pair in zip(one, other, strict=True))


def problems(rows: Rows) -> list[str]:
    """A sentence for each."""
    found = []
    for row in rows:
        what, count = row["what"], row["batches"]
        if row["differ between runs"]:
            found.append(f"{what}: {row['differ between runs']} of {count} batches differ from run to run: "
                         "nothing can be said of the slow consumer")  # fmt: skip
        elif row["altered"]:
            found.append(f"{what}: {row['altered']} of {count} batches were altered under a slow consumer")
        if not row["most batches ahead"]:
            found.append(f"{what}: the consumer was never behind, so that nothing is shown: give more --milliseconds")
    return found


if __name__ == "__main__":
    run_script(main)
