"""Batches of one epoch after the other, resumable at any: what a loader does once it has its data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from dali_ops.loader.arguments import positions
from dali_ops.loader.outputs import BatchInfo
from dali_ops.loader.prefetcher import Prefetcher
from dali_ops.loader.reading.order import checked_epoch
from dalimix.support.uncompiled import uncompiled


class Batches:
    """The batches of a prefetcher; see `dali_ops.Loader`, which says what is in them.

    Args:
        prefetcher: makes them.
        pin_memory: whether they are copied to page-locked memory.
    """

    def __init__(self, prefetcher: Prefetcher, pin_memory: bool) -> None:
        self._prefetcher, self._pin_memory = prefetcher, pin_memory
        self._info: BatchInfo | None = None

    def __len__(self) -> int:
        """Batches per epoch, the same for all processes."""
        return self._prefetcher.feed.order.steps

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        loop = object()
        for _ in range(self._enter(loop), len(self)):
            yield self._next(loop)

    @uncompiled  # what a generator calls is compiled with the loop around it
    def _enter(self, loop: object) -> int:
        return self._prefetcher.enter(loop)

    @uncompiled
    def _next(self, loop: object) -> tuple[Any, Any]:
        form = self._prefetcher.settings.outputs  # before, as another thread may switch after it
        outputs = self._prefetcher.next(loop)
        self._info = form.batch_info(outputs)
        return form.batch(outputs, self._pin_memory)

    @property
    def epoch(self) -> int:
        return self._prefetcher.epoch

    @property
    def batch_info(self) -> BatchInfo:
        if self._info is None:
            raise RuntimeError("batch_info is there from the first batch on, in a loader with keep_info=True")
        return self._info

    def names(self, index: Iterable[int]) -> list[str]:
        """Return the names of images, as the source has them, by their positions in it.

        Args:
            index: integer [n], such as that of `batch_info`; a tensor, array or sequence.

        Raises:
            TypeError: `index` is not whole numbers [n].
            ValueError: one is not the position of an image.

        Examples:
            >>> loader = ImageFolderLoader(folder, CutMix(), batch_size=4, transform=Train(32), keep_info=True, seed=0)
            >>> images, targets = next(iter(loader))
            >>> loader.names(loader.batch_info.index)
            ['cat/0.jpg', 'cat/2.jpg', 'fox/3.jpg', 'fox/1.jpg']
            >>> loader.close()
        """
        source = self._prefetcher.feed.source
        return [source.names[position] for position in positions(index, len(source))]

    def set_epoch(self, epoch: int) -> None:
        """Let the next loop go through this epoch from its start; after `load_state_dict` of it, from where it was.

        A state that was saved after the last batch of an epoch belongs to the next one: resume with the loader's
        `epoch`.

        Raises:
            ValueError: `epoch` is not a whole number from 0.

        Examples:
            >>> loader = ImageFolderLoader(folder, batch_size=4, transform=Train(32), seed=0)
            >>> for epoch in range(5, 7):  # a training that continues at its sixth epoch
            ...     loader.set_epoch(epoch)
            ...     steps = sum(1 for images, labels in loader)
            >>> steps, loader.epoch
            (3, 7)
            >>> loader.close()
        """
        self._prefetcher.go_to(checked_epoch(epoch))

    def state_dict(self) -> dict[str, Any]:
        """Return the position of the loader, for `load_state_dict`: numbers, strings and bytes, a few kilobytes.

        It belongs to this process, and refers to the batch after the last one that was yielded. The model of a provider
        of heatmaps is not part of it.

        Examples:
            >>> loader = ImageFolderLoader(folder, CutMix(), batch_size=4, transform=Train(32), seed=0)
            >>> batches = iter(loader)
            >>> _ = next(batches)
            >>> state = loader.state_dict()  # save it with the model, as by torch.save
            >>> state["epoch"], state["step"]
            (0, 1)
            >>> loader.close()
        """
        return self._prefetcher.state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume where the state was saved: the next loop begins with exactly the batch that came next there.

        Raises:
            ValueError: the state is of another data set, number of processes, process, version or other settings; or
                it is damaged. The loader continues as if nothing had been loaded.
            TypeError: it is not from `state_dict`.

        Examples:
            >>> loader = ImageFolderLoader(folder, CutMix(), batch_size=4, transform=Train(32), seed=0)
            >>> state, batches = loader.state_dict(), iter(loader)
            >>> first, _ = next(batches)
            >>> loader.load_state_dict(state)
            >>> again, _ = next(iter(loader))
            >>> torch.equal(first, again)
            True
            >>> loader.close()
        """
        self._prefetcher.restore(state)
        self._info = None

    def close(self) -> None:
        """Shut down the pipeline and its threads. The source stays open: another loader may be reading it."""
        self._prefetcher.close()
        self._info = None
