"""Batch mixing for PyTorch tensors, in the training step instead of in the pipeline."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from importlib.util import find_spec
from typing import Any, Literal

import torch

import dalimix
from dalimix import checks
from dalimix.draws import Draws
from dalimix.erase import Erase
from dalimix.functional import PerChannel
from dalimix.methods import Method
from dalimix.mix_plan import MixPlan
from dalimix.support.forks import one_thread
from dalimix.support.packages import missing
from dalimix.support.threads import threads
from dalimix.support.uncompiled import uncompiled
from dalimix.torch import arguments
from dalimix.torch.arrays import as_array, as_tensors
from dalimix.torch.pixels import Pixels
from dalimix.torch.random_numbers import RandomNumbers


class BatchMixer:
    """``images, targets = mixer(images, labels)`` for tensors on the CPU or on a CUDA device.

    No gradient flows through it. On CUDA the work is queued on torch's current stream; if another stream reads the
    results, keep them until it has done so (``record_stream`` does not know CuPy's memory). `torch.compile` around a
    call leaves the call outside of the graph, so ``fullgraph=True`` cannot be used around it.

    Args:
        method: e.g. ``dalimix.CutMix()``.
        num_classes: C; needed for integer labels in the dense form.
        mean, std, layout, output_layout, smoothing, form: as in `dalimix.compose` and `dalimix.soft_labels`; the
            default layout is ``"CHW"``. Mean and std may also be tensors.
        dtype: of the mixed images: uint8, float16, bfloat16 or float32, as torch's dtype or by its name. None: float32
            if there is a mean or std and the images are uint8, else that of the images.
        return_plan: return the plan, too; what `erase` erases is no part of it.
        erase: random erasing of every image before it is mixed, such as ``dalimix.Erase(prob=0.25)``; labels stay.
        generator: `torch.Generator` for the random numbers, preferably on the CPU, since the host has to wait for one
            on a GPU. None: torch's default generator as it is when the mixer is called, so that `torch.manual_seed`
            also seeds copies of the mixer.

    Copies and pickles take the state of the mixer's own generator along, so they continue with the same random numbers.
    In a worker of a `torch.utils.data.DataLoader`, whether forked or spawned, the seed that the DataLoader gave the
    worker, ``get_worker_info().seed``, is mixed into every draw: each worker has its own stream in each epoch. The
    processes of a distributed training need different seeds.

    Raises:
        ModuleNotFoundError: the mixer is called with a CUDA tensor, but CuPy is missing.
        TypeError, ValueError: an argument is not as described.

    Examples:
        >>> mixer = BatchMixer(CutMix(alpha=1.0), num_classes=3, smoothing=0.1)
        >>> mixed, targets = mixer(images, labels)
        >>> mixed.shape, targets.shape
        (torch.Size([4, 3, 32, 32]), torch.Size([4, 3]))
        >>> loss = torch.nn.functional.cross_entropy(cnn(mixed), targets)
    """

    def __init__(
        self,
        method: Method,
        num_classes: int | None = None,
        *,
        mean: PerChannel | None = None,
        std: PerChannel | None = None,
        dtype: Any = None,
        layout: checks.Layout = "CHW",
        output_layout: checks.Layout | None = None,
        smoothing: float = 0.0,
        form: Literal["dense", "pair"] = "dense",
        return_plan: bool = False,
        erase: Erase | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        checks.method(method)
        smoothing = checks.form(form, smoothing)
        classes = None if num_classes is None else checks.class_count(num_classes)
        self.method, self.num_classes = method, classes
        self.return_plan = checks.flag("return_plan", return_plan)
        self._pixels = Pixels(mean, std, dtype, layout, output_layout)
        self._pixels.check_erase(erase)
        self.erase = erase
        self._labels: dict[str, Any] = {"num_classes": classes, "smoothing": smoothing, "form": form}
        self._random = RandomNumbers(generator)

    @uncompiled
    def __call__(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        heatmaps: torch.Tensor | None = None,
        draws: Draws | None = None,
    ) -> Any:
        """Mix one batch.

        Args:
            images: uint8, float16, bfloat16 or float32, [B, C, H, W] or, with ``layout="HWC"``, [B, H, W, C]; any
                strides. Not modified. All are mixed in float32 and rounded once, at the end.
            labels: integer [B] or [B, 1], or floating [B, C], on the device of the images.
            heatmaps: floating [B, h, w], on the same device, for methods that read them, as from a provider of
                `dalimix.heatmaps`.
            draws: the random numbers, as from `dalimix.draw`, those of `erase` among them; None: new ones.

        Returns:
            ``(images, targets)``, or with `return_plan` ``(images, targets, plan)``, on the same device. Images
            [B, C, H, W] in torch's channels_last memory stay in it. Targets are float32 [B, C], or in the pair form
            ``(labels, labels of the partners, float32 [B, 2] weights)``. The plan is a `dalimix.MixPlan` of tensors.

        Raises:
            TypeError, ValueError: an argument is not as described. For labels and heatmaps see `dalimix.soft_labels`
                and `dalimix.plan`.

        Examples:
            >>> provider = FeatureHeatmap(cnn, "features")
            >>> mixer = BatchMixer(AttentiveCutMix(top=16, grid=8), num_classes=3, return_plan=True)
            >>> mixed, targets, plan = mixer(images, labels, provider(images))
            >>> plan.tokens.shape
            torch.Size([4, 8, 8])
        """
        arguments.images(images, self._pixels.layout)
        arguments.labels(labels, images)
        if heatmaps is not None:
            arguments.heatmaps(heatmaps, images)
        if draws is None:
            draws = self._random.draw(self.method, len(images), self.erase)
        arguments.draws(draws, images)
        with _stream_of(images):
            maps = None if heatmaps is None else as_array(heatmaps.float())
            draws, size = _put(draws, images.device), self._pixels.size(images)
            plan = dalimix.plan(self.method, draws, size, maps)
            erased = None if self.erase is None else dalimix.plan_erase(self.erase, draws, size)
            targets = dalimix.soft_labels(as_array(labels), plan, **self._labels)
            outputs = self._pixels(images, plan, erased), as_tensors(targets)
            return (*outputs, _plan_of_tensors(plan)) if self.return_plan else outputs


def _plan_of_tensors(plan: MixPlan) -> MixPlan:
    return MixPlan(*as_tensors(plan.arrays()), size=plan.size)


def _put(draws: Draws, device: torch.device) -> Draws:
    """The draws on the device of the images."""
    if device.type == "cpu":
        return draws
    import cupy

    return draws.mapped(cupy.asarray)


def _stream_of(images: torch.Tensor) -> AbstractContextManager[Any]:
    """The device of the images, and torch's current stream there as CuPy's, so that the work of both stays in order.

    On the CPU: as many threads as torch has; in a forked process, which lacks its parent's, this one.
    """
    stack = ExitStack()
    if images.device.type == "cpu":
        stack.enter_context(one_thread(torch))
        stack.enter_context(threads(torch.get_num_threads()))
        return stack
    if find_spec("cupy") is None:
        raise missing("a CUDA tensor", "cupy")
    import cupy

    from dalimix.cuda.stream import borrowed_stream

    stack.enter_context(cupy.cuda.Device(images.device.index))
    stack.enter_context(borrowed_stream(torch.cuda.current_stream(images.device).cuda_stream))
    return stack
