"""What train.py writes about every epoch: a line of text, a row of log.csv, and the curves in curve.png."""

import csv

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from rich import progress as bars

COLUMNS = (
    "epoch", "loss", "accuracy_on_mixed", "val_accuracy", "ema_accuracy", "lr", "images_per_second", "seconds",
)  # fmt: skip
ACCURACIES = {"accuracy_on_mixed": "mixed targets", "ema_accuracy": "EMA", "val_accuracy": "model"}


def progress(batches, text, done, shown):
    """The batches, with a bar beside them in a terminal; `done` of them came before."""
    shown = shown and bars.get_console().is_terminal  # elsewhere it would leave an empty line
    return bars.track(batches, text, total=len(batches), completed=done, transient=True, disable=not shown)


def line(row, epochs):
    """A row as text."""
    ema = "" if row["ema_accuracy"] is None else f", EMA {row['ema_accuracy']:.1%}"
    return (
        f"epoch {row['epoch']:3}/{epochs}: loss {row['loss']:.3f}, accuracy {row['val_accuracy']:.1%}{ema}, "
        f"on mixed targets {row['accuracy_on_mixed']:.1%}, {row['images_per_second']:,.0f} images/s"
    )


def write_csv(rows, path):
    """The whole table anew, so that a resumed run has every epoch once."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)


def draw_curves(rows, path, title):
    """The loss and, below it, the accuracies."""
    figure = Figure(figsize=(8, 6), dpi=120, layout="constrained")
    loss, accuracy = figure.subplots(2, 1, sharex=True)
    epochs = [row["epoch"] for row in rows]
    loss.plot(epochs, [row["loss"] for row in rows], ".-")
    loss.set(title=title, ylabel="loss")
    for column, name in ACCURACIES.items():
        accuracy.plot(epochs, [row[column] for row in rows], ".-", label=name)
    accuracy.set(xlabel="epoch", ylabel="accuracy", ylim=(0, 1.02))
    accuracy.xaxis.set_major_locator(MaxNLocator(integer=True))
    accuracy.yaxis.set_major_formatter(PercentFormatter(1))
    accuracy.legend()
    figure.savefig(path)
