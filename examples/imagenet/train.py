"""Trains an image classifier with any of the mixing methods: on ImageNet, on a folder, or on the demo's photographs.

python examples/train_imagenet.py                                 photographs, in less than a minute on a CPU
python examples/train_imagenet.py FOLDER --recipe resnet          images as FOLDER/train/CLASS/… and FOLDER/val/CLASS/…
torchrun --nproc-per-node 8 examples/train_imagenet.py FOLDER --method token_mix --amp bfloat16 --checkpoint-steps 500

A FOLDER without val has the classes in it, and is trained and measured on. Into --out, on a disk that all processes
see, go checkpoint.pt, log.csv and curve.png. With --resume the same command goes on where the checkpoint was written,
in mid-epoch too, with the batches that come next, mixed as they would have been. On a CPU it then ends with the very
weights of a run that was not stopped (not with --snapshot-every; and but for the last bits with more than two
processes, as DistributedDataParallel begins with another order of summing).

It needs `pip install '.[demo]'` in a clone, and timm for the models of the recipes deit and resnet; without timm,
small ones stand in for them.
"""

import sys
import time
from pathlib import Path

import imagenet_checkpoint as checkpoint
import torch
from imagenet_learner import Learner
from imagenet_log import draw_curve, line, watched, write_csv
from imagenet_models import choose_model
from imagenet_options import parse, settings
from imagenet_place import joined
from imagenet_recipes import augmentation

from dali_ops import Loader
from dali_ops.assets.photos import make_photo_folder
from dali_ops.sources import ImageFolder

DRAW_EVERY = 30  # seconds


def folders(root):
    """To train on and to measure on."""
    root = root or make_photo_folder(Path("demo/photos"))
    if not (root / "val").is_dir():
        if (root / "train").is_dir():
            raise ValueError(f"{root} has a folder train, but no val")
        both = ImageFolder.scan(root)
        return both, both
    train, val = ImageFolder.scan(root / "train"), ImageFolder.scan(root / "val")
    if train.classes != val.classes:
        other = sorted(set(train.classes) ^ set(val.classes))
        raise ValueError(f"{root}/train and {root}/val must have the same classes, but only one has {other[0]}")
    return train, val


class Training:
    """A run: its epochs, what is written of them, and where it goes on."""

    def __init__(self, options, recipe, place):
        self.options, self.recipe, self.place = options, recipe, place
        self.settings, self.path = settings(options, recipe, place), options.out / "checkpoint.pt"
        self.data, self.val_data = folders(options.folder)
        self.learner = Learner(options, recipe, len(self.data.classes), place)
        self.loader, self.val_loader = self.make_loaders()
        self.learner.begin(len(self.loader))
        self.rows, self.seconds, self.saved, self.drawn = [], 0.0, None, time.monotonic()
        self.totals = torch.zeros(3, dtype=torch.float64, device=place.device)  # of loss, accuracy, images

    def make_loaders(self):
        options, recipe, mixing = self.options, self.recipe, self.learner.mixing.loader_options
        shared = {
            "batch_size": recipe.batch_size, "device": self.place.dali, "seed": options.seed,
            "channels_last": options.channels_last,
        }  # fmt: skip
        epochs, first_size = options.first_epochs
        self.size, self.mixed = first_size if epochs else recipe.size, True
        loader = Loader(self.data, size=self.size, augment=augmentation(recipe), **mixing, **shared)
        return loader, Loader(self.val_data, size=recipe.size, training=False, **shared)

    def enter(self, epoch):
        """Let the loader be as this epoch wants it."""
        if self.size != self.recipe.size and epoch >= self.options.first_epochs[0]:
            self.size = self.recipe.size
            self.loader.switch(size=self.size)
        if self.mixed and epoch >= self.recipe.epochs - self.options.mixing_off_epochs:
            self.mixed = False
            self.learner.mixing.stop(self.loader)

    def begin(self):
        """At the beginning, or where the checkpoint was written."""
        there = self.path.exists()
        if there and not self.options.resume:
            raise ValueError(f"{self.path} is of an earlier run: --resume goes on with it, another --out begins anew")
        if there:
            self.resume()
            self.place.say(f"going on after {self.learner.steps} steps")
        else:
            self.place.say(f"{self.path} is not there yet: beginning" if self.options.resume else "beginning")
            self.enter(0)
        self.options.out.mkdir(parents=True, exist_ok=True)

    def run(self):
        for epoch in range(self.loader.epoch, self.recipe.epochs):
            self.rows.append(self.train(epoch) | self.measure())
            self.place.say(line(self.rows[-1], self.recipe.epochs))
            self.enter(epoch + 1)
            self.save()
            self.write()
        self.write(done=True)
        row, where = self.rows[-1], "the images trained on" if self.val_data is self.data else "the others"
        self.place.say(f"accuracy {row['val_accuracy']:.1%} on {where}, not mixed; {self.options.out} has the curves")

    def farewell(self):
        """When it is interrupted."""
        if self.saved is None:
            return "stopped before anything was saved"
        return f"stopped; the same command with --resume goes on after {self.saved} steps"

    def close(self):
        self.loader.close()
        self.val_loader.close()

    def train(self, epoch):
        """What is left of an epoch; its part of the row."""
        begun, every = time.monotonic() - self.seconds, self.options.checkpoint_steps
        text, done = f"epoch {epoch + 1}/{self.recipe.epochs}", self.learner.steps - epoch * len(self.loader)
        for images, targets in watched(self.loader, text, done, self.place.first):
            self.totals += self.learner.step(images, targets, self.loader)
            if every and self.learner.steps % every == 0 and self.loader.epoch == epoch:  # else it is saved soon
                self.seconds = time.monotonic() - begun
                self.save()
        loss, accuracy, images = self.place.total(self.totals).tolist()
        seconds = time.monotonic() - begun
        self.totals, self.seconds = torch.zeros_like(self.totals), 0.0
        return {
            "epoch": epoch + 1, "loss": loss / images, "accuracy_on_mixed": accuracy / images, "lr": self.learner.lr,
            "images_per_second": images / seconds, "seconds": seconds,
        }  # fmt: skip

    def measure(self):
        accuracies = self.learner.accuracies(self.val_loader)
        return dict(zip(("val_accuracy", "ema_accuracy"), [*accuracies, None], strict=False))

    def write(self, done=False):
        """The table, and the curves now and then, as they take longer."""
        if not self.place.first:
            return
        write_csv(self.rows, self.options.out / "log.csv")
        if done or time.monotonic() - self.drawn > DRAW_EVERY:
            draw_curve(self.rows, self.options.out / "curve.png", f"{self.options.model}, {self.options.method}")
            self.drawn = time.monotonic()

    def save(self):
        own = {"loader": self.loader.state_dict(), "totals": self.totals.cpu(), **self.learner.local_state()}
        everywhere = self.place.gathered(own)
        if self.place.first:
            whole = {"settings": self.settings, "epoch": self.loader.epoch, "rows": self.rows, "seconds": self.seconds}
            checkpoint.save(self.path, whole | {"learner": self.learner.state(), "processes": everywhere})
        self.saved = self.learner.steps

    def resume(self):
        whole = checkpoint.load(self.path, self.settings)
        own = whole["processes"][self.place.rank]
        self.enter(whole["epoch"])
        self.loader.load_state_dict(own["loader"])
        self.learner.restore(whole["learner"], own)
        self.rows, self.seconds, self.totals = whole["rows"], whole["seconds"], own["totals"].to(self.totals.device)
        self.saved = self.learner.steps


def told(training, notes):
    """What is going to be trained on what, in words."""
    options, recipe, place, data = training.options, training.recipe, training.place, training.data
    steps = f"{recipe.epochs} epochs of {len(training.loader)} steps"
    batch = f"{place.processes} × {recipe.batch_size} images of {recipe.size} pixels, on the {place.dali}"
    same = "the accuracy is measured on them, too, not mixed: there is no val folder"
    measured = same if training.val_data is data else f"the accuracy is measured on {len(training.val_data)} others"
    lines = [
        *notes,
        f"{options.model} by recipe {options.recipe}, method {options.method}: {steps} of {batch}",
        f"{len(data)} images of {len(data.classes)} classes; {measured}",
    ]
    return "\n".join(lines)


def main(arguments=None):
    options, recipe = parse(__doc__, arguments)
    options.model, notes = choose_model(options.model, recipe)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    with joined(options.device, options.amp) as place:
        training = Training(options, recipe, place)
        place.say(told(training, notes))
        try:
            training.begin()
            training.run()
        except KeyboardInterrupt:
            place.say(training.farewell())
            sys.exit(130)
        finally:
            training.close()


if __name__ == "__main__":
    try:
        main()
    except (ValueError, ImportError, OSError) as error:
        sys.exit(f"{error}")
