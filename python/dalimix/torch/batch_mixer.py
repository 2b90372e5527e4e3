"""Batch mixing for PyTorch tensors, in the training step instead of in the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from importlib.util import find_spec
from typing import Any, Literal

import torch

import dalimix
from dalimix import checks
from dalimix.draws import Draws
from dalimix.methods import Method
from dalimix.mix_plan import MixPlan
from dalimix.packages import missing

DTYPES = (torch.uint8, torch.float16, torch.float32)


class BatchMixer:
    """``images, targets = mixer(images, labels)`` for tensors on the CPU or on a CUDA device.

    No gradient flows through it. On CUDA the work is queued on torch's current stream; results that another stream
    goes on reading must be kept until it has (``record_stream`` does not know CuPy's memory).

    Args:
        method: e.g. ``dalimix.CutMix()``.
        num_classes: C; needed for integer labels in the dense form.
        mean, std, dtype, layout, output_layout, smoothing, form: as of `dalimix.compose` and `dalimix.soft_labels`;
            dtype is a torch dtype, and layout is ``"CHW"`` unless given.
        return_plan: return the plan, too.
        generator: `torch.Generator` for the random numbers, best one on the CPU, since one on a GPU has to be waited
            for; None: torch's default one.

    Raises:
        ModuleNotFoundError: when called with a CUDA tensor, if CuPy is missing.
        TypeError, ValueError: as of `dalimix.compose` and `dalimix.soft_labels`.
    """

    def __init__(
        self,
        method: Method,
        num_classes: int | None = None,
        *,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        dtype: torch.dtype | None = None,
        layout: str = "CHW",
        output_layout: str | None = None,
        smoothing: float = 0.0,
        form: Literal["dense", "pair"] = "dense",
        return_plan: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        checks.method(method)
        checks.layout(layout)
        checks.form(form, smoothing)
        self.method, self.num_classes, self.return_plan = method, num_classes, return_plan
        self._pixels: dict[str, Any] = {"mean": mean, "std": std, "layout": layout, "output_layout": output_layout}
        self._pixels["dtype"] = None if dtype is None else str(dtype).removeprefix("torch.")
        self._labels: dict[str, Any] = {"num_classes": num_classes, "smoothing": smoothing, "form": form}
        self._size = slice(layout.index("H"), layout.index("W") + 1)
        self.generator = generator or torch.default_generator

    def __call__(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        heatmaps: torch.Tensor | None = None,
        draws: Draws | None = None,
    ) -> Any:
        """Mix one batch.

        Args:
            images: uint8, float16 or float32, [B, C, H, W] or, with ``layout="HWC"``, [B, H, W, C]. Not modified.
            labels: on the same device; integer [B], or floating [B, C].
            heatmaps: floating [B, h, w], for methods that read them, as from a provider of `dalimix.heatmaps`.
            draws: the random numbers, as from `dalimix.draw`; None: new ones.

        Returns:
            ``(images, targets)``, or with `return_plan` ``(images, targets, plan)``, on the same device. Targets are
            float32 [B, C], or in the pair form ``(labels, labels of the partners, float32 [B, 2] weights)``. The plan
            is a `dalimix.MixPlan` of tensors.
        """
        if not isinstance(images, torch.Tensor) or images.dtype not in DTYPES:
            kind = images.dtype if isinstance(images, torch.Tensor) else type(images)
            raise TypeError(f"images must be a tensor of dtype uint8, float16 or float32, got {kind}")
        check_labels(labels)
        if heatmaps is not None and not isinstance(heatmaps, torch.Tensor):
            kind = type(heatmaps).__name__
            raise TypeError(f"heatmaps must be a tensor [B, h, w], such as provider(images), got {kind}")
        draws = draws or dalimix.draw(self.method, len(images), self.generator)
        with _stream_of(images):
            drawn = _put(draws, images.device)
            maps = None if heatmaps is None else _array(heatmaps.float())
            plan = dalimix.plan(self.method, drawn, tuple(images.shape[1:][self._size]), maps)
            mixed = dalimix.compose(_array(images), plan, **self._pixels)
            targets = dalimix.soft_labels(_array(labels), plan, **self._labels)
            outputs = torch.from_dlpack(mixed), _tensors(targets)
            return (*outputs, _plan_of_tensors(plan)) if self.return_plan else outputs


def check_labels(labels: Any) -> None:
    if not isinstance(labels, torch.Tensor):
        kind = type(labels).__name__
        raise TypeError(f"labels must be a tensor, integer [B] or floating [B, classes], got {kind}")


def _tensors(targets: Any) -> Any:
    return tuple(map(torch.from_dlpack, targets)) if isinstance(targets, tuple) else torch.from_dlpack(targets)


def _plan_of_tensors(plan: MixPlan) -> MixPlan:
    return MixPlan(*map(torch.from_dlpack, plan.arrays()), size=plan.size)


def _array(tensor: torch.Tensor) -> Any:
    """The tensor as a NumPy or CuPy array, uncopied."""
    if tensor.device.type == "cpu":
        return tensor.detach().numpy()
    import cupy

    return cupy.from_dlpack(tensor.detach())


def _put(draws: Draws, device: torch.device) -> Draws:
    """The draws on the device of the images."""
    if device.type == "cpu":
        return draws
    import cupy

    return draws.mapped(cupy.asarray)


def _stream_of(images: torch.Tensor) -> AbstractContextManager[Any]:
    """The device of the images, and torch's current stream there as CuPy's, so that the work of both stays in order."""
    if images.device.type == "cpu":
        return nullcontext()
    if find_spec("cupy") is None:
        raise missing("a CUDA tensor", "cupy")
    import cupy

    from dalimix.cuda.stream import borrowed_stream

    stack = ExitStack()
    stack.enter_context(cupy.cuda.Device(images.device.index))
    stack.enter_context(borrowed_stream(torch.cuda.current_stream(images.device).cuda_stream))
    return stack
