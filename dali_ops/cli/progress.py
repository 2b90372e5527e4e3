"""The progress of making a store of heatmaps, on the console."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text


class HeatmapProgress:
    """``with HeatmapProgress(total, console) as advance``: a bar, how many images are done, how fast, and time left.

    ``advance(count)`` is called first with what earlier runs have done, which is told, and not counted as speed; then
    with what is done more. Where nobody watches, in a file or a pipe, there is no bar.
    """

    def __init__(self, total: int, console: Console) -> None:
        columns = BarColumn(), TextColumn("{task.completed:,.0f}/{task.total:,.0f} images"), _Speed()
        self._bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
        self._total = total
        self._task: TaskID | None = None

    def __enter__(self) -> HeatmapProgress:
        if self._bar.console.is_interactive:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if self._bar.console.is_interactive:  # else it would write an empty line
            self._bar.stop()

    def __call__(self, count: int) -> None:
        if self._task is not None:
            self._bar.advance(self._task, count)
            return
        if count:
            self._bar.console.print(f"continuing at {count} of {self._total}", highlight=False)
        self._task = self._bar.add_task("", total=self._total, completed=count)


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} images/s" if task.speed else "")
