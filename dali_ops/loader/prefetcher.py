"""The position of a loader in its epochs, and the pipeline that works there."""

from __future__ import annotations

from dataclasses import replace
from threading import RLock
from typing import Any

import numpy as np

from dali_ops import lifetime
from dali_ops.error_chain import let_go, with_first_cause
from dali_ops.loader.heatmap_sources import without_maps
from dali_ops.loader.reading.feed import Feed
from dali_ops.loader.reading.unreadable import FAILURES, Failure
from dali_ops.loader.settings import LoaderSettings
from dali_ops.loader.state import DAMAGED, check_state, identity, sealed

CLOSED = "the loader is closed"
OVER = "this loop is over: another one was begun, or the loader was told to go elsewhere"
REMEDY = "make the loader in the process that uses it. A DataLoader takes loader.as_dataset() with num_workers=0"

Place = tuple[int, int, bool, object]  # epoch, step, whether resumed there, and whose turn it is


class Prefetcher:
    """One batch after another, of any epoch; every jump makes a new pipeline.

    The random numbers of a pipeline follow from the seed, the process and the position where it began, so a run with
    the same jumps gives the same batches. A batch that failed or was interrupted can be asked for again: the pipeline
    is made anew, from the checkpoint before that batch.

    Threads may ask for the state, or jump, while another one waits for a batch; its loop is then over.

    Args:
        feed: what to read, from its beginning.
        settings: what to do with it.
        runtime: the arguments that every DALI pipeline takes.
        skip_corrupt: whether images that cannot be read or decoded are left out.

    Attributes:
        epoch, step: of the next batch.
        resumed: whether the position is that of a state from which no batch was yielded yet.
    """

    def __init__(self, feed: Feed, settings: LoaderSettings, runtime: dict[str, Any], skip_corrupt: bool) -> None:
        self.feed, self.settings, self._closed = feed, settings, False
        self._process = lifetime.OneProcess("this loader", REMEDY)
        self._runtime, self._skip_corrupt = runtime, skip_corrupt
        self._pipeline: Any = None
        self._batches: Any = None  # of the pipeline; None while it does not run
        self._checkpoint: bytes | None = None  # to resume from then
        self._loop: object = None  # whose turn it is
        # Held where all of these change or are read together, but never while a batch is waited for: what makes the
        # batch may itself wait for a thread that asks for the state. Signal handlers may ask in the same thread.
        self._moment = RLock()
        self._begin(0)

    def enter(self, loop: object) -> int:
        """Let a loop begin, in this epoch or, if that has begun, in the next one, and return its first step."""
        self.check_open()
        with self._moment:
            if self.step and not self.resumed:
                self._begin(self.epoch + 1)
            self._loop = loop
            return self.step

    def go_to(self, epoch: int) -> None:
        """Go to the start of an epoch; to the middle of it if a state from there was restored."""
        self.check_open()
        with self._moment:
            self._loop = None
            if epoch != self.epoch or (self.step and not self.resumed):
                self._begin(epoch)

    def switch(self, **changes: Any) -> None:
        """Go to the next epoch with other settings."""
        self.check_open()
        with self._moment:
            self._begin(self.epoch + (self.step > 0), self.settings.switched(**changes))

    def _begin(self, epoch: int, settings: LoaderSettings | None = None) -> None:
        self._start(self.feed.from_here(epoch, 0), settings or self.settings, (epoch, 0, False, None))

    def _start(self, feed: Feed, settings: LoaderSettings, place: Place, checkpoint: bytes | None = None) -> None:
        feed = self._mapped(feed, settings)
        self._run(self._defined(feed, settings, checkpoint), feed, settings, place)

    def _mapped(self, feed: Feed, settings: LoaderSettings) -> Feed:
        """Return the feed without images that have no map in these settings' store, if images may be left out."""
        if not self._skip_corrupt:
            return feed
        before, now = (without_maps(feed.source, chosen.heatmaps) for chosen in (self.settings, settings))
        return replace(feed, skipped=feed.skipped.difference(before).union(now))

    def _defined(self, feed: Feed, settings: LoaderSettings, checkpoint: bytes | None) -> Any:
        self.check_open()
        return settings.pipeline(feed, seed=seed_of(feed), checkpoint=checkpoint, **self._runtime)

    def _run(self, pipeline: Any, feed: Feed, settings: LoaderSettings, place: Place) -> None:
        from nvidia.dali.plugin.pytorch import DALIGenericIterator

        self._halt()
        self._shut_down()  # the old pipeline goes before the new one is built, and its memory with it
        # The first batch is made only when it is asked for: the next call may be a jump.
        batches = DALIGenericIterator(pipeline, settings.outputs.names, prepare_first_batch=False)
        lifetime.guard(pipeline).kept = True
        # No call from here on: Ctrl-C in one would leave the pipeline at another place than the loader.
        self.feed, self.settings, self._pipeline, self._batches = feed, settings, pipeline, batches
        self.epoch, self.step, self.resumed, self._loop = place

    def _halt(self) -> None:
        self._checkpoint, self._batches = self._now(), None

    def _now(self) -> bytes | None:
        """The checkpoint before the next batch."""
        batches = self._batches
        checkpoint = self._checkpoint if batches is None else batches.checkpoints()[0]
        self.check_open()  # `close` waits for nobody, and what it leaves is an old one
        return checkpoint

    def _shut_down(self, reason: str = lifetime.CLOSED) -> None:
        """Shut down explicitly, because the frames of an error that somebody keeps would keep the pipeline, too."""
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            lifetime.shut_down(pipeline, reason)
            lifetime.guard(pipeline).take()  # an error of a batch that nobody has asked for

    def _resume(self) -> None:
        """Start the pipeline again if it does not run."""
        if self._batches is None:
            place = self.epoch, self.step, self.resumed, self._loop
            self._start(self.feed, self.settings, place, self._checkpoint)

    def next(self, loop: object) -> dict[str, Any]:
        """Return the outputs of the next batch by name, torch tensors [B, …], for the loop that has entered last.

        Raises:
            ValueError: an image cannot be decoded; the error names it.
            RuntimeError: the loop is over; the prefetcher is closed or of another process; or the pipeline failed
                otherwise.
            Exception: what a function that the pipeline calls has raised, such as a provider of heatmaps.
        """
        self.check_open()
        outputs, batches, pipeline = self._outputs(loop)
        with self._moment:
            self._check_turn(loop)
            if self._pipeline is not pipeline:
                raise self._moved()
            if not len(self.feed.numbers(self.epoch, self.step)):  # the batch holds only the image of an empty one
                outputs = {name: output[:0] for name, output in outputs.items()}
            self.resumed, self.step = False, self.step + 1
            if self.step == self.feed.order.steps:
                self.epoch, self.step = self.epoch + 1, 0
            self._batches = batches  # only now: what comes between, even Ctrl-C, leaves the step as it was
        return outputs

    def _check_turn(self, loop: object) -> None:
        if self._loop is not loop:
            raise RuntimeError(OVER)

    def _outputs(self, loop: object) -> tuple[dict[str, Any], Any, Any]:
        """Return the next batch, the iterator to continue with, and the pipeline of both.

        Until `next` keeps the iterator, the pipeline counts as halted, so that an interrupted batch is made again.
        """
        while True:
            with self._moment:
                self._check_turn(loop)
                self._resume()
                batches, pipeline = self._batches, self._pipeline
                self._halt()
            try:
                return next(batches)[0], batches, pipeline
            except FAILURES as error:
                with self._moment:
                    inner = self._after(error, pipeline)
            if inner is not None:  # raised out of the block above, which would replace what it was raised from
                try:
                    raise inner
                finally:
                    del inner  # it holds this frame

    def _after(self, error: Failure, pipeline: Any) -> BaseException | None:
        """Return what to raise after an error of DALI's; None if the images that caused it are left out now."""
        if self._pipeline is not pipeline or lifetime.is_shut_down(pipeline):
            raise self._moved() from error
        inner = lifetime.guard(pipeline).take()
        if inner is None:
            where = self.epoch, self.step, self._runtime["device_id"]
            self.feed = self.feed.without_unreadable(error, *where, self._skip_corrupt)
            return None
        let_go(inner)
        self._shut_down()
        return _not_the_end(with_first_cause(inner, error))

    def _moved(self) -> RuntimeError:
        """Return the error where another thread, or a signal handler, has closed or moved the loader meanwhile."""
        self.check_open()
        return RuntimeError(lifetime.CLOSED)

    def state(self) -> dict[str, Any]:
        """Return everything that `restore` needs."""
        self.check_open()
        with self._moment:
            state = {
                "identity": identity(self.feed, self.settings),
                "seed": self.feed.order.seed,
                "epoch": self.epoch,
                "step": self.step,
                "start": [self.feed.epoch, self.feed.step],
                "skipped": sorted(map(int, self.feed.skipped)),
                "pipeline": self._now(),
            }
        return sealed(state)

    def restore(self, state: dict[str, Any]) -> None:
        """Go to the position where a state was saved; see `check_state`."""
        self.check_open()
        with self._moment:
            check_state(state, self.feed, self.settings)
            order = replace(self.feed.order, seed=state["seed"])
            feed = replace(self.feed, order=order, skipped=frozenset(state["skipped"]))
            feed = self._mapped(feed.from_here(*state["start"]), self.settings)
            pipeline = self._defined(feed, self.settings, state["pipeline"])
            try:
                self._run(pipeline, feed, self.settings, (state["epoch"], state["step"], True, None))
            except RuntimeError as error:
                told = f"{DAMAGED}, or augment= makes another graph: DALI cannot restore its pipeline"
                raise ValueError(told) from error

    def close(self) -> None:
        """Shut down the pipeline and its threads."""
        self._closed = True  # first, so that a thread that is waiting for a batch learns why it does not come
        self._shut_down(CLOSED)  # which a thread that is asking it for a checkpoint raises
        self._batches = None

    def check_open(self) -> None:
        """Raise a RuntimeError after `close`, and in another process than that which made the loader."""
        self._process.check()
        if self._closed:
            raise RuntimeError(CLOSED)
        if self._pipeline is not None and lifetime.guard(self._pipeline).run_here():
            raise RuntimeError("a loader cannot be used by a function that its pipeline calls: use it around the loop")


def _not_the_end(error: BaseException) -> BaseException:
    """Return the error; if it would end the loop over the batches, as the cause of another one."""
    if not isinstance(error, StopIteration):
        return error
    stopped = RuntimeError(f"a function that the pipeline calls raised {error!r}")
    stopped.__cause__ = error
    return stopped


def seed_of(feed: Feed) -> int:
    """The seed of crops, flips and mixes; it differs for every process and every position where a pipeline begins."""
    entropy = [feed.order.seed, feed.order.shard.rank, feed.epoch, feed.step]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)  # DALI's are of 31 bits
