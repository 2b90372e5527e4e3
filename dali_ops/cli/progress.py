"""Bars on the console for what takes minutes; where nobody watches, in a file or a pipe, there are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text


@contextmanager
def heatmap_progress(total: int, console: Console) -> Iterator[Callable[[int], None]]:
    """A bar for the making of a store of heatmaps: how many images are done, how fast, and time left.

    ``advance(count)`` is called first with what earlier runs have done, which is told, and not counted as speed; then
    with what is done more.
    """
    columns = BarColumn(), TextColumn("{task.completed:,.0f}/{task.total:,.0f} images"), _Speed(), TimeRemainingColumn()
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_interactive)

    def advance(count: int) -> None:
        if bar.task_ids:
            bar.advance(bar.task_ids[0], count)
            return
        if count:
            console.print(f"continuing at {count} of {total}", highlight=False)
        bar.add_task("", total=total, completed=count)

    with bar:
        yield advance


@contextmanager
def turns_progress(total: int, console: Console) -> Iterator[Callable[[str], None]]:
    """A bar for measurements: it is drawn after every turn, and not by a thread, which would want the GIL meanwhile."""
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    bar = Progress(*columns, console=console, transient=True, auto_refresh=False, disable=not console.is_interactive)

    def advance(name: str) -> None:
        bar.update(task, advance=1, description=name, refresh=True)

    with bar:
        task = bar.add_task("building pipelines", total=total)
        bar.refresh()
        yield advance


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} images/s" if task.speed else "")
