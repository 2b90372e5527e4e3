"""What mixing costs a training: steps of a model with the loader, without mixing and with each method.

    python -m benchmarks.training.bench_train [--device cpu|gpu] [--model resnet50 …] [--data FOLDER] [--json FILE]

A step is forward, backward and AdamW; on a GPU with autocast to bfloat16, which needs no scaling of the loss, on
float16 images. "the step alone" has one batch that stays where it is: no loader can be faster. A loader that keeps up
with it is hidden by the training; for a slower one the training waits. If there is no --data, a few photographs of the
usual size and weight of ImageNet's come again and again, with as many classes. Heatmaps, for methods that need them,
are random ones of a HeatmapStore: what they show costs nothing.

On a GPU ResNet-50 and ViT-S are trained, timm's where it is installed. On a CPU, the small models of the examples, with
one thread: several would wait for DALI's. Every batch and every model is checked before it is timed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.harness import (
    Rows,
    Run,
    endless,
    finish,
    image_rows,
    one_step,
    parser,
    photographs,
    run_script,
    shown,
    take_turns,
)
from benchmarks.tensors import CLASSES, one_thread
from benchmarks.training.models import DEFAULT, MODELS
from dali_ops import Loader, Runtime, Train
from dali_ops.assets.photos import make_imagenet_like_folder
from dali_ops.bench.random_heatmaps import random_store
from dali_ops.cli.arguments import positive
from dali_ops.device import DEVICES, usable_device
from dali_ops.sources import ImageFolder
from dalimix import METHODS, Method
from dalimix.stores import HeatmapStore

BATCHES, SIZES, STEPS = {"cpu": 8, "gpu": 256}, {"cpu": 112, "gpu": 224}, {"cpu": 2, "gpu": 20}  # steps in a round
DTYPES = {"cpu": "float32", "gpu": "float16"}  # of the images
ALONE, PLAIN = "the step alone", "no mixing"
Batch = tuple[Tensor, Tensor]


def main() -> None:
    options = arguments()
    device = usable_device(options.device)
    left_out = ["the training on a GPU, of ResNet-50 and ViT-S (no GPU used)"] if device == "cpu" else []
    rows: Rows = []
    with TemporaryDirectory() as place, one_thread() if device == "cpu" else nullcontext():
        setting = make_setting(options, device, Path(place))
        for name in options.model or DEFAULT[device]:
            try:
                rows += shown(bench(name, setting, options.rounds))
            except ModuleNotFoundError as error:
                left_out.append(f"{name}: {error}")
    finish(options.json, device, rows, left_out)


def arguments() -> argparse.Namespace:
    options = parser(__doc__, rounds=5)
    options.add_argument("--model", nargs="+", choices=MODELS, help="default: by the device, see above")
    options.add_argument("--batch-size", type=positive, help="default: 8 on the CPU, 256 on a GPU")
    options.add_argument(
        "--size", type=positive, help="of the images, in pixels; default: 112 on the CPU, 224 on a GPU"
    )
    options.add_argument("--steps", type=positive, help="at a time; default: 2, on a GPU 20")
    options.add_argument("--data", type=Path, help="folder with a sub-folder for each class; default: photographs")
    return options.parse_args()


@dataclass(frozen=True)
class Setting:
    """What all ways have in common: the images, heatmaps of them, and images and steps at a time."""

    folder: ImageFolder
    store: HeatmapStore
    batch: int
    steps: int
    size: int
    device: str

    def batches(self, method: Method | None) -> Iterator[Batch]:
        heatmaps = self.store if method is not None and method.needs_heatmaps else None
        transform = Train(self.size, dtype=DTYPES[self.device], layout="channels_last")
        runtime = Runtime(self.device)
        return endless(
            Loader(self.folder, method, self.batch, transform=transform, heatmaps=heatmaps, runtime=runtime, seed=0)
        )


def make_setting(options: argparse.Namespace, device: str, place: Path) -> Setting:
    batch, size = options.batch_size or BATCHES[device], options.size or SIZES[device]
    folder = ImageFolder.scan(options.data) if options.data else imagenet_like(place, batch)
    store = random_store(place / "store", folder)
    return Setting(folder, store, batch, options.steps or STEPS[device], size, device)


def imagenet_like(place: Path, batch: int) -> ImageFolder:
    """Photographs as large as ImageNet's, and as many classes."""
    folder = photographs(make_imagenet_like_folder, place, batch)
    labels = [number % CLASSES for number in range(len(folder.files))]
    return replace(folder, labels=labels, classes=[str(k) for k in range(CLASSES)])


class Training:
    """Every call is a step, on the batch that is handed in."""

    def __init__(self, model: nn.Module, device: str) -> None:
        self.place, self.half = DEVICES[device], device == "gpu"
        self.model = model.to(self.place, memory_format=torch.channels_last).train()
        self.optimizer = torch.optim.AdamW(model.parameters(), 0.001)

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        with torch.autocast(self.place, torch.bfloat16, enabled=self.half):
            loss = cross_entropy(self.model(images), targets)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def bench(name: str, setting: Setting, rounds: int) -> Rows:
    """Rows of one model."""
    torch.manual_seed(0)
    made = MODELS[name](len(setting.folder.classes), setting.size)
    training = Training(made.model, setting.device)
    runs = ways(training, setting)
    spans = take_turns(list(runs.values()), rounds, partial(one_step, setting.device, setting.steps))
    rows = image_rows(runs, [(way, PLAIN) for way in runs], setting.batch, spans)
    return [{"model": f"{name} of {made.origin}", **row} for row in rows]


def ways(training: Training, setting: Setting) -> dict[str, Run]:
    """Each does one step, of the same model; the loaders have pipelines of their own."""
    resident = alone(setting)
    check_training(training, resident)
    runs: dict[str, Run] = {ALONE: lambda _: training(*resident)}
    methods = {PLAIN: None, **{name: make() for name, make in METHODS.items()}}
    for name, method in methods.items():
        batches = setting.batches(method)
        check_batch(name, next(batches), setting)
        runs[name] = partial(loaded, training, batches)
    return runs


def loaded(training: Callable[[Tensor, Tensor], Tensor], batches: Iterator[Batch], _index: int) -> Tensor:
    return training(*next(batches))


def alone(setting: Setting) -> Batch:
    """Random images and targets, as a loader that mixes gives them."""
    shape, place = (setting.batch, 3, setting.size, setting.size), DEVICES[setting.device]
    dtype = getattr(torch, DTYPES[setting.device])
    images = torch.randn(shape).to(place, dtype, memory_format=torch.channels_last)
    return images, torch.rand(setting.batch, len(setting.folder.classes)).softmax(1).to(place)


def check_training(training: Training, batch: Batch) -> None:
    """The same batch, over and over, is learned."""
    losses = [training(*batch).item() for _ in range(8)]
    assert min(losses[1:]) < losses[0], f"the model does not learn: its losses are {losses}"


def check_batch(name: str, batch: Batch, setting: Setting) -> None:
    """Plain batches have class indices, mixed ones targets, of two classes at most and some of them really two."""
    images, targets = batch
    assert tuple(images.shape) == (setting.batch, 3, setting.size, setting.size), f"{name}: {tuple(images.shape)}"
    assert str(images.dtype) == f"torch.{DTYPES[setting.device]}", f"{name}: the images are {images.dtype}"
    if name == PLAIN:
        assert targets.dtype == torch.int64, f"{name}: the labels are mixed"
        return
    classes = (targets > 0).sum(1)
    assert torch.allclose(targets.sum(1), torch.ones_like(targets[:, 0])), f"{name}: targets do not add up to 1"
    assert classes.max() == 2, f"{name}: targets are of {int(classes.max())} classes"


if __name__ == "__main__":
    run_script(main)
