"""What train_imagenet.py tells: a bar, a line, a row of log.csv for every epoch, and curve.png."""

import csv

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from dali_ops.sheets.page import GIVER, INK, QUIET, TRACK

COLUMNS = (
    "epoch", "loss", "accuracy_on_mixed", "val_accuracy", "ema_accuracy", "lr", "images_per_second", "seconds",
)  # fmt: skip
CURVES = {"accuracy_on_mixed": ("mixed targets", QUIET), "ema_accuracy": ("EMA", INK), "val_accuracy": ("model", GIVER)}


def watched(loader, text, done, shown):
    """The loader's batches; a bar shows how many of an epoch are done, where somebody watches."""
    console = Console()
    if not (shown and console.is_terminal):
        yield from loader
        return
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} steps")
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        yield from bar.track(loader, total=len(loader), completed=done, description=text)


def line(row, epochs):
    """A row in words."""
    ema = "" if row["ema_accuracy"] is None else f", EMA {row['ema_accuracy']:.1%}"
    return (
        f"epoch {row['epoch']:3}/{epochs}: loss {row['loss']:.3f}, accuracy {row['val_accuracy']:.1%}{ema}, "
        f"on mixed targets {row['accuracy_on_mixed']:.1%}, {row['images_per_second']:,.0f} images/s"
    )


def write_csv(rows, path):
    """All rows, in place of those of before: a run that was resumed has each epoch once."""
    beside = path.with_name(f"{path.name}.part")
    with beside.open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)
    beside.replace(path)


def draw_curve(rows, path, title):
    """The loss, and below it the accuracies, over the epochs."""
    figure = Figure(figsize=(8, 6), dpi=120, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(hspace=0.1)
    loss, accuracy = figure.subplots(2, 1, sharex=True, height_ratios=(2, 3))
    loss.set_title(title, loc="left", color=INK, fontsize=13, fontweight="bold", pad=12)
    _curve(loss, rows, "loss", "loss", INK)
    for column, (name, color) in CURVES.items():
        _curve(accuracy, rows, column, name, color)
    accuracy.set(xlabel="epoch", ylim=(0, 1.02))
    accuracy.xaxis.set_major_locator(MaxNLocator(integer=True))
    accuracy.yaxis.set_major_formatter("{x:.0%}")
    accuracy.legend(frameon=False, labelcolor="linecolor", loc="lower right", ncols=3)
    for axes, name in ((loss, "loss"), (accuracy, "accuracy")):
        _plain(axes, name)
    figure.align_ylabels()
    figure.savefig(path)


def _curve(axes, rows, column, name, color):
    points = [(row["epoch"], row[column]) for row in rows if row[column] is not None]
    if points:
        axes.plot(*zip(*points, strict=True), color=color, label=name, linewidth=1.8, marker="." * (len(points) == 1))


def _plain(axes, name):
    axes.set_ylabel(name, color=QUIET)
    axes.xaxis.label.set_color(QUIET)
    axes.tick_params(colors=QUIET, length=0)
    axes.grid(axis="y", color=TRACK)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
