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

    The training loop says when the weights have changed, while pipelines keep running::

        snapshot = SnapshotHeatmap(AttentionHeatmap(model, "blocks.11.attn", mean=MEAN, std=STD), every=10)
        loader = ImageFolderLoader(root, method, heatmaps=snapshot)
        for images, targets in loader:
            ...
            optimizer.step()
            snapshot.step()

    The model itself is only read, by `step` and `refresh`: modes, hooks, gradients and random state stay. The copies
    are in eval mode, and the user's hooks do not fire for them. There are two copies, in memory too: while one runs,
    the other is written. Autocast around the training step does not reach a pipeline's thread: give it to the provider.
    In distributed training every process has a snapshot of its own replica. A copy or pickle of the snapshot has the
    same weights, and follows the model that was copied with it.

    **Different from the paper**, which runs the model in the training step, on the weights of that very step:

    * Heatmaps and predictions come from older weights: by up to `every` steps, and by as many more as DALI has batches
      ready (``prefetch_queue_depth``, 2).
    * They are of the images before the mirror; methods read the heatmaps flipped.
    * The model runs for every batch, even if a `RandomChoice` mixes it by something else.

    **Which to use**: the provider itself in the step, with `dalimix.torch.BatchMixer`, is exact, but its forward pass
    is added to every step. The snapshot in the pipeline hides the pass if the GPU has room beside the step, or if the
    pipeline runs on another device. A `HeatmapStore` needs no forward pass, but has no predictions, and so
    there is no consistency loss.

    Args:
        provider: any `ModelHeatmap` of the bare model, ``ddp.module`` rather than ``ddp``.
        every: how many calls of `step` there are from one refresh to the next; a whole number from 1.

    Raises:
        TypeError: another provider, or a model that cannot be copied.
        ValueError: `every` is out of range.
        ModuleNotFoundError: torch is missing.

    Examples:
        >>> snapshot = SnapshotHeatmap(FeatureHeatmap(cnn, "features"), every=10)
        >>> snapshot(images).shape
        torch.Size([4, 8, 8])
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

        self.provider, self.every = provider, int(every)
        self._current, self._other = FrozenCopy(provider), FrozenCopy(provider)
        self._steps = 0

    @uncompiled
    def __call__(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Make heatmaps as a `ModelHeatmap` does, with the weights of the last refresh. Any thread may call it."""
        return self.observe(images, labels)[0]

    @uncompiled
    def observe(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Any]:
        """Return ``(heatmaps, output)`` as `ModelHeatmap.observe`, with the weights of the last refresh."""
        copy = self._current
        with copy.lock:
            return copy.observe(images, labels)

    @uncompiled
    def step(self) -> None:
        """Count a training step, after ``optimizer.step()`` and in its thread; every `every`-th call is a `refresh`.

        Examples:
            >>> snapshot = SnapshotHeatmap(FeatureHeatmap(cnn, "features"), every=2)
            >>> before = snapshot(images)
            >>> for _ in range(2):  # of the training loop
            ...     _ = cnn.features[0].weight.data.mul_(2)  # in place of optimizer.step()
            ...     snapshot.step()
            >>> bool((snapshot(images) == before).all())
            False
        """
        self._steps += 1
        if self._steps % self.every == 0:
            self.refresh()

    @uncompiled
    def refresh(self) -> None:
        """Copy the current weights and buffers of the model; in the thread that trains it.

        It waits for no forward pass, unless several pipelines share the snapshot and run both copies. On CUDA the
        copying is queued on the current stream, after the last forward pass of the copy that is written; the host waits
        for neither.

        Raises:
            ValueError: the model has other parameters or buffers than when the snapshot was made, or they have
                another shape or dtype, or are on another device. The snapshot stays as it was.

        Examples:
            >>> snapshot = SnapshotHeatmap(FeatureHeatmap(cnn, "features"))
            >>> cnn.load_state_dict({name: 0 * value for name, value in cnn.state_dict().items()})
            <All keys matched successfully>
            >>> snapshot.refresh()
            >>> float(snapshot(images).sum())
            0.0
        """
        copy = self._free()
        try:
            copy.load(self.provider.model)
            if copy is not self._current:
                self._current, self._other = copy, self._current
        finally:
            copy.lock.release()

    def _free(self) -> FrozenCopy:
        """Return a locked copy that nothing is running. The current one will do: only an older one may be running."""
        for copy in (self._other, self._current):
            if copy.lock.acquire(blocking=False):
                return copy
        self._other.lock.acquire()
        return self._other
