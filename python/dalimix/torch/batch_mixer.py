"""Batch mixing for PyTorch tensors, in the training step instead of in the pipeline."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from importlib.util import find_spec
from typing import Any, Literal

import torch

import dalimix
from dalimix import checks
from dalimix.draws import Draws
from dalimix.functional import PerChannel
from dalimix.methods import Method
from dalimix.mix_plan import MixPlan
from dalimix.support.forks import one_thread
from dalimix.support.packages import missing
from dalimix.support.uncompiled import uncompiled
from dalimix.torch import arguments
from dalimix.torch.arrays import as_array, as_tensors
from dalimix.torch.pixels import Pixels
from dalimix.torch.random_numbers import RandomNumbers


class BatchMixer:
    """``images, targets = mixer(images, labels)`` for tensors on the CPU or on a CUDA device.

    No gradient flows through it. On CUDA the work is queued on torch's current stream; results that another stream
    goes on reading must be kept until it has (``record_stream`` does not know CuPy's memory). `torch.compile` around
    it leaves it outside of the graph, so there is no ``fullgraph=True`` around it.

    Args:
        method: e.g. ``dalimix.CutMix()``.
        num_classes: C; needed for integer labels in the dense form.
        mean, std, layout, output_layout, smoothing, form: as of `dalimix.compose` and `dalimix.soft_labels`; layout is
            ``"CHW"`` unless given. Mean and std may be tensors, too.
        dtype: of the mixed images: uint8, float16, bfloat16 or float32, as torch's dtype or by its name. None: float32
            if there is a mean or std and the images are uint8, else that of the images.
        return_plan: return the plan, too.
        generator: `torch.Generator` for the random numbers, best one on the CPU, since one on a GPU has to be waited
            for; None: torch's default one, as it is when the mixer is called, so that `torch.manual_seed` holds for
            copies, too.

    Copies and pickles take the state of an own generator along, so they go on with the same random numbers. In a
    worker of a `torch.utils.data.DataLoader`, whether it was forked or spawned, the seed that the DataLoader gave the
    worker, ``get_worker_info().seed``, is mixed into every draw: each worker and each epoch has a stream of its own.
    Processes of a distributed training need seeds of their own.

    Raises:
        ModuleNotFoundError: when called with a CUDA tensor, if CuPy is missing.
        TypeError, ValueError: an argument is not as described.
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
        generator: torch.Generator | None = None,
    ) -> None:
        checks.method(method)
        checks.form(form, smoothing)
        classes = None if num_classes is None else checks.class_count(num_classes)
        self.method, self.num_classes = method, classes
        self.return_plan = checks.flag("return_plan", return_plan)
        self._pixels = Pixels(mean, std, dtype, layout, output_layout)
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
            images: uint8, float16, bfloat16 or float32, [B, C, H, W] or, with ``layout="HWC"``, [B, H, W, C]; of any
                strides. Not modified. bfloat16 is mixed as float32 and rounded once, at the end.
            labels: on the same device; integer [B] or [B, 1], or floating [B, C].
            heatmaps: floating [B, h, w], on the same device, for methods that read them, as from a provider of
                `dalimix.heatmaps`.
            draws: the random numbers, as from `dalimix.draw`; None: new ones.

        Returns:
            ``(images, targets)``, or with `return_plan` ``(images, targets, plan)``, on the same device. Images
            [B, C, H, W] in torch's channels_last memory stay in it. Targets are float32 [B, C], or in the pair form
            ``(labels, labels of the partners, float32 [B, 2] weights)``. The plan is a `dalimix.MixPlan` of tensors.

        Raises:
            TypeError, ValueError: an argument is not as described. Label and heatmaps as of `dalimix.soft_labels` and
                `dalimix.plan`.
        """
        arguments.images(images, self._pixels.layout)
        arguments.labels(labels, images)
        if heatmaps is not None:
            arguments.heatmaps(heatmaps, images)
        if draws is None:
            draws = self._random.draw(self.method, len(images))
        arguments.draws(draws, images)
        with _stream_of(images):
            maps = None if heatmaps is None else as_array(heatmaps.float())
            plan = dalimix.plan(self.method, _put(draws, images.device), self._pixels.size(images), maps)
            targets = dalimix.soft_labels(as_array(labels), plan, **self._labels)
            outputs = self._pixels(images, plan), as_tensors(targets)
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

    On the CPU, without the threads that a fork has lost.
    """
    if images.device.type == "cpu":
        return one_thread(torch)
    if find_spec("cupy") is None:
        raise missing("a CUDA tensor", "cupy")
    import cupy

    from dalimix.cuda.stream import borrowed_stream

    stack = ExitStack()
    stack.enter_context(cupy.cuda.Device(images.device.index))
    stack.enter_context(borrowed_stream(torch.cuda.current_stream(images.device).cuda_stream))
    return stack
