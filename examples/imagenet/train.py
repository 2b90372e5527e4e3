"""Train an image classifier with any of the mixing methods: on ImageNet, on a folder, or on the demo's photographs.

python examples/imagenet/train.py                                 photographs, in less than a minute on a CPU
python examples/imagenet/train.py FOLDER --recipe a3              images as FOLDER/train/CLASS/… and FOLDER/val/CLASS/…
python examples/imagenet/train.py FOLDER --print-recipe           every value of DeiT's recipe, and no training
torchrun --nproc-per-node 8 examples/imagenet/train.py FOLDER --method token_mix --amp bfloat16 --checkpoint-steps 500

If FOLDER has no val, its sub-folders are the classes, and the accuracy is measured on the images trained on. The run
writes checkpoint.pt, log.csv and curve.png into --out, on a disk that all processes see. The same command with --resume
goes on from the checkpoint, in mid-epoch too, with the batches that come next, mixed as they would have been. On a CPU
it then ends with exactly the weights of a run that was not stopped (not with --snapshot-every, and except for the last
bits with more than two processes, because DistributedDataParallel begins with another order of summing).

docs/recipes.md says where the values of the recipes come from. It needs `pip install '.[demo]'` in a clone, and timm
for the models of the recipes; without timm, small ones stand in for them, and lamb.py for timm's LAMB.
"""

import os
import sys
import time
from dataclasses import replace

import checkpoint
import torch
from data import for_testing, for_training, sampler, scan
from learner import Learner
from log import draw_curves, line, progress, write_csv
from models import choose_model
from optimization import highest_lr
from options import parse, settings
from process import joined
from values import as_text, described, overridden

from dali_ops import Loader, Runtime

DRAW_EVERY = 30  # seconds


class Training:
    """A run: its epochs, what it writes, and how it resumes."""

    def __init__(self, options, recipe, process):
        self.options, self.recipe, self.process, self.epochs = options, recipe, process, recipe.schedule.epochs
        self.settings, self.path = settings(options, recipe, process), options.out / "checkpoint.pt"
        self.data, self.val_data = scan(options.folder)
        self.learner = Learner(options, recipe, len(self.data.classes), process)
        self.loader, self.val_loader = self.make_loaders()
        self.learner.begin(len(self.loader))
        self.rows, self.seconds, self.saved, self.drawn = [], 0.0, None, time.monotonic()
        self.sums = torch.zeros(3, dtype=torch.float64, device=process.device)  # as Learner.step returns them

    def make_loaders(self):
        options, images, mixing = self.options, self.recipe.images, self.learner.mixing.loader_options
        shared = {
            "batch_size": self.process.share(self.recipe.batches.batch_size), "seed": options.seed,
            "runtime": Runtime(self.process.dali_device),
        }  # fmt: skip
        layout = "channels_last" if options.channels_last else "CHW"
        epochs, first_size = options.first_epochs
        self.size, self.mixed = first_size if epochs else images.size, True
        transform = replace(for_training(images, layout), size=self.size)
        loader = Loader(self.data, transform=transform, sampler=sampler(images), **mixing, **shared)
        return loader, Loader(self.val_data, transform=for_testing(images, layout), **shared)

    def enter(self, epoch):
        """Switch the loader to what this epoch needs."""
        if self.size != self.recipe.images.size and epoch >= self.options.first_epochs[0]:
            self.size = self.recipe.images.size
            self.loader.switch(transform=replace(self.loader.transform, size=self.size))
        if self.mixed and epoch >= self.epochs - self.options.mixing_off_epochs:
            self.mixed = False
            self.learner.mixing.stop(self.loader)

    def begin(self):
        """Begin anew, or resume from the checkpoint."""
        if self.path.exists():
            if not self.options.resume:
                remedy = "--resume goes on with it, another --out begins anew"
                raise ValueError(f"{self.path} is of an earlier run: {remedy}")
            self.resume()
            self.process.print(f"going on after {self.learner.steps} steps")
        else:
            self.process.print(f"{self.path} is not there yet: beginning" if self.options.resume else "beginning")
            self.enter(0)
        self.options.out.mkdir(parents=True, exist_ok=True)

    def run(self):
        for epoch in range(self.loader.epoch, self.epochs):
            self.rows.append(self.train(epoch) | self.measure())
            self.process.print(line(self.rows[-1], self.epochs))
            self.enter(epoch + 1)
            self.save()
            self.write()
        self.write(done=True)
        row, which = self.rows[-1], "the images trained on" if self.val_data is self.data else "the others"
        accuracy = f"accuracy {row['val_accuracy']:.1%} on {which}, not mixed"
        self.process.print(f"{accuracy}; {self.options.out} has the curves")

    def close(self):
        self.loader.close()
        self.val_loader.close()

    def train(self, epoch):
        """Train for the rest of an epoch; returns its part of the row."""
        begun, every = time.monotonic() - self.seconds, self.options.checkpoint_steps
        text, done = f"epoch {epoch + 1}/{self.epochs}", self.learner.steps - epoch * len(self.loader)
        for images, targets in progress(self.loader, text, done, shown=self.process.rank == 0):
            self.sums += self.learner.step(images, targets, self.loader)
            if every and self.learner.steps % every == 0 and self.loader.epoch == epoch:  # the end is saved anyway
                self.seconds = time.monotonic() - begun
                self.save()
        loss, accuracy, images = self.process.sum(self.sums).tolist()
        seconds = time.monotonic() - begun
        self.sums, self.seconds = torch.zeros_like(self.sums), 0.0
        return {
            "epoch": epoch + 1, "loss": loss / images, "accuracy_on_mixed": accuracy / images, "lr": self.learner.lr,
            "images_per_second": images / seconds, "seconds": seconds,
        }  # fmt: skip

    def measure(self):
        accuracies = self.learner.accuracies(self.val_loader)
        return dict(zip(("val_accuracy", "ema_accuracy"), [*accuracies, None], strict=False))

    def write(self, done=False):
        """Write the table, and draw the curves only now and then, because that takes longer."""
        if self.process.rank:
            return
        write_csv(self.rows, self.options.out / "log.csv")
        if done or time.monotonic() - self.drawn > DRAW_EVERY:
            draw_curves(self.rows, self.options.out / "curve.png", f"{self.options.model}, {self.options.method}")
            self.drawn = time.monotonic()

    def save(self):
        own = {"loader": self.loader.state_dict(), "sums": self.sums.cpu(), **self.learner.local_state()}
        processes = self.process.gather(own)
        if self.process.rank == 0:
            shared = {"settings": self.settings, "epoch": self.loader.epoch, "rows": self.rows, "seconds": self.seconds}
            checkpoint.save(self.path, shared | {"learner": self.learner.state(), "processes": processes})
        self.saved = self.learner.steps

    def resume(self):
        shared = checkpoint.load(self.path, self.settings)
        own = shared["processes"][self.process.rank]
        self.enter(shared["epoch"])
        self.loader.load_state_dict(own["loader"])
        self.learner.restore(shared["learner"], own)
        self.rows, self.seconds, self.sums = shared["rows"], shared["seconds"], own["sums"].to(self.sums.device)
        self.saved = self.learner.steps


def summary(training, notes):
    """What is trained on what, as text."""
    options, process, data = training.options, training.process, training.data
    steps = f"{training.epochs} epochs of {len(training.loader)} steps"
    share = process.share(training.recipe.batches.batch_size)
    batch = f"{process.world_size} × {share} images of {training.recipe.images.size} pixels"
    others = f"{len(training.val_data)} others"
    measured = "them, too, not mixed: there is no val folder" if training.val_data is data else others
    model = f"{options.model} by recipe {options.recipe}, method {options.method}: {steps} of {batch}"
    images = f"{len(data)} images of {len(data.classes)} classes; the accuracy is measured on {measured}"
    return "\n".join([*notes, f"{model}, on the {process.dali_device}", images])


def print_recipe(options, recipe, notes):
    """Every value that a run would have; the first process prints for all of them."""
    if os.environ.get("RANK", "0") != "0":
        return
    print("\n".join([*notes, f"recipe {options.recipe}, method {options.method}", described(recipe)]))
    print(f"with this batch_size the learning rate rises to {as_text(highest_lr(recipe))}")


def stopped(saved):
    """What to tell whoever interrupts a run."""
    if saved is None:
        return "stopped before anything was saved"
    return f"stopped; the same command with --resume goes on after {saved} steps"


def main(arguments=None):
    options, recipe = parse(__doc__, arguments)
    options.model, notes = choose_model(options.model, recipe)
    recipe = overridden(recipe, {"model": options.model})
    if options.print_recipe:
        return print_recipe(options, recipe, notes)
    if recipe.batches.threads:
        torch.set_num_threads(recipe.batches.threads)
    with joined(options.device, options.amp) as process:
        training = Training(options, recipe, process)
        process.print(summary(training, notes))
        try:
            training.begin()
            training.run()
        except KeyboardInterrupt:
            process.print(stopped(training.saved))
            sys.exit(130)
        finally:
            training.close()


if __name__ == "__main__":
    try:
        main()
    except (ValueError, ImportError, OSError) as error:
        sys.exit(f"{error}")
