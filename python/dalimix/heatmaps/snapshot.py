"""Heatmaps of the model under training, for a pipeline that runs ahead of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dalimix import checks
from dalimix.heatmaps.arguments import described
from dalimix.heatmaps.base import ModelHeatmap
from dalimix.support.uncompiled import uncompiled

if TYPE_CHECKING:
    from torch import Tensor

    from dalimix.heatmaps.frozen_copy import FrozenCopy


class SnapshotHeatmap:
    """``heatmaps = snapshot(images, labels=None)``, by a copy of the model under training; SMMix, arXiv 2212.12977.

    The training loop says when the weights have changed; pipelines run on meanwhile::

        snapshot = SnapshotHeatmap(AttentionHeatmap(model, "blocks.11.attn", mean=MEAN, std=STD), every=10)
        loader = ImageFolderLoader(root, method, heatmaps=snapshot)
        for images, targets in loader:
            ...
            optimizer.step()
            snapshot.step()

    The model itself is only read, by `step` and `refresh`: modes, hooks, gradients and random state stay. The copies
    are in eval mode, and the user's hooks do not fire for them. There are two, in memory too: while one runs, the other
    is written. Autocast around the training step does not reach a pipeline's thread: give it to the provider. In
    distributed training every process has a snapshot of its own replica. A copy or pickle of it goes on with the same
    weights, and follows the model that was copied with it.

    **Other than in the paper**, which runs the model in the training step, on the weights of that very step:

    * Heatmaps and predictions are by older weights: by up to `every` steps, and by as many more as DALI has batches
      ready (``prefetch_queue_depth``, 2).
    * They are of the images before the mirror; methods read the heatmaps flipped.
    * The model runs for every batch, also for one that a `RandomChoice` mixes by something else.

    **Which to use**: the provider itself in the step, with `dalimix.torch.BatchMixer`, is exact, but its forward pass
    is added to every step. The snapshot in the pipeline hides it where the GPU has room beside the step, or the
    pipeline runs on another device than it. A `HeatmapStore` needs no forward pass, but has no predictions, and so
    there is no consistency loss.

    Args:
        provider: any `ModelHeatmap` of the bare model, ``ddp.module`` in place of ``ddp``.
        every: refresh at every such call of `step`; a whole number from 1.

    Raises:
        TypeError: another provider, or a model that cannot be copied.
        ValueError: `every` is out of range.
        ModuleNotFoundError: torch is missing.
    """

    # How threads meet. A reader picks the current copy, then locks it, then runs it. Between picking and locking, two
    # refreshes may pass, and the copy picked is written again; the reader then waits for that write, and runs a whole
    # model, a newer one. It never runs an older one than before: a copy becomes the current one before its lock is
    # released, so whoever has run it finds no older one to pick.

    def __init__(self, provider: ModelHeatmap, every: int = 1) -> None:
        if not isinstance(provider, ModelHeatmap):
            expected = "a ModelHeatmap, such as AttentionHeatmap(model, layer)"
            raise TypeError(f"provider must be {expected}, got {described(provider)}")
        checks.counts(every=every)
        from dalimix.heatmaps.frozen_copy import FrozenCopy

        self.provider, self.every = provider, every
        self._current, self._other = FrozenCopy(provider), FrozenCopy(provider)
        self._steps = 0

    @uncompiled
    def __call__(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """As `ModelHeatmap`, by the weights of the last refresh. Any thread may call it."""
        return self.observe(images, labels)[0]

    @uncompiled
    def observe(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Any]:
        """As `ModelHeatmap.observe`, ``(heatmaps, output)``, by the weights of the last refresh; by any thread."""
        copy = self._current
        with copy.lock:
            return copy.observe(images, labels)

    @uncompiled
    def step(self) -> None:
        """Call it after ``optimizer.step()``, in the same thread: every `every`-th call is a `refresh`."""
        self._steps += 1
        if self._steps % self.every == 0:
            self.refresh()

    @uncompiled
    def refresh(self) -> None:
        """Take over the weights and buffers of the model as they are now; by the thread that trains it.

        No forward pass is waited for, unless several pipelines share the snapshot and run both copies. On CUDA the
        copying is queued on the current stream, after the last forward pass of the copy that is written; the host waits
        for neither.

        Raises:
            ValueError: the model has other parameters or buffers than when the snapshot was made, or they are of
                another shape or dtype, or on another device. The snapshot is as it was then.
        """
        copy = self._free()
        try:
            copy.load(self.provider.model)
            if copy is not self._current:
                self._current, self._other = copy, self._current
        finally:
            copy.lock.release()

    def _free(self) -> FrozenCopy:
        """A copy that nobody runs, locked. The current one, too, will do: it may be that only an older one is run."""
        for copy in (self._other, self._current):
            if copy.lock.acquire(blocking=False):
                return copy
        self._other.lock.acquire()
        return self._other
