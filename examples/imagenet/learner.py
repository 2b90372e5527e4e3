"""The model of train.py and everything that changes it, step by step."""

import torch
from mixing import make_mixing
from models import any_size, make_model
from optimization import optimizer_and_schedule
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dalimix.torch import soft_target_accuracy


class Learner:
    """A model in training.

    Attributes:
        mixing: how batches are mixed, and the loss of a mixed batch.
        ema: the moving average of the model, or None.
        lr: learning rate of the last step, of the highest layer.
    """

    def __init__(self, options, recipe, classes, process):
        self.recipe, self.process = recipe, process
        torch.manual_seed(options.seed)  # the same weights in every process
        model = make_model(options.model, classes, recipe, options.pretrained)
        if not any_size(model):
            self.check_sizes(options, recipe.images)
        layout = torch.channels_last if options.channels_last else torch.contiguous_format
        self.model, self.ema = model.to(process.device, memory_format=layout), None
        if decay := recipe.optimization.ema:  # also of buffers, such as the statistics of BatchNorm
            self.ema = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
        self.mixing = make_mixing(options, recipe, self.model, classes, process)
        self.network = self.mixing.network(self.model)
        if process.world_size > 1:
            self.network = DistributedDataParallel(self.network)
        self.scaler = torch.amp.GradScaler(process.device.type, enabled=process.amp is torch.float16)
        torch.manual_seed(options.seed * process.world_size + process.rank)  # for dropout: another in every process

    @staticmethod
    def check_sizes(options, images):
        """Refuse several sizes for a model with one."""
        one = f"but {options.model} takes images of one size only"
        if options.first_epochs[0]:
            raise ValueError(f"--first-epochs is for CNNs, {one}")
        if images.test_size != images.size:
            raise ValueError(f"--test-size {images.test_size} is not --size {images.size}, {one}")

    def begin(self, steps):
        """Called before the first step, with the number of steps per epoch."""
        self.optimizer, self.schedule = optimizer_and_schedule(self.model, self.recipe, steps)

    @property
    def steps(self):
        """How many steps have been made."""
        return self.schedule.last_epoch

    @property
    def models(self):
        """The models whose accuracy is measured."""
        return [self.model] if self.ema is None else [self.model, self.ema.module]

    def step(self, images, targets, loader):
        """Train on a batch; float64 [3]: sums over its images of loss, accuracy on the mixed targets, and ones."""
        self.network.train()
        with self.process.autocast():
            loss, logits, targets = self.mixing.loss(self.network, images, targets, loader)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        if largest := self.recipe.optimization.clip_grad:
            self.scaler.unscale_(self.optimizer)
            clip_grad_norm_(self.model.parameters(), largest)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.lr = max(self.schedule.get_last_lr())
        self.schedule.step()
        if self.ema is not None:
            self.ema.update_parameters(self.model)
        self.mixing.stepped()
        accuracy = soft_target_accuracy(logits.detach(), targets)
        return torch.stack([loss.detach(), accuracy, torch.ones_like(accuracy)]).double() * len(images)

    @torch.no_grad()
    def accuracies(self, loader):
        """Of each of `models`, on the images of all processes; a process may have none in its last batch."""
        self.process.share_buffers(self.models)
        counts = torch.zeros(len(self.models) + 1, device=self.process.device, dtype=torch.float64)
        for model in self.models:
            model.eval()
        for images, labels in loader:
            if len(images):
                with self.process.autocast():
                    correct = [(model(images).argmax(1) == labels).sum() for model in self.models]
                counts += torch.stack([*correct, torch.ones_like(labels).sum()])
        *correct, images = self.process.sum(counts).tolist()
        return [count / images for count in correct]

    def state(self):
        """The part of a checkpoint that is the same in every process."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def local_state(self):
        """The part that is this process's own."""
        cuda = torch.cuda.get_rng_state() if self.process.device.type == "cuda" else None
        return {"rng": torch.get_rng_state(), "cuda": cuda, "mixing": self.mixing.state()}

    def restore(self, state, local):
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        torch.set_rng_state(local["rng"])
        if local["cuda"] is not None:
            torch.cuda.set_rng_state(local["cuda"])
        self.mixing.restore(local["mixing"])

    def _parts(self):
        parts = {name: vars(self)[name] for name in ("model", "ema", "optimizer", "schedule", "scaler")}
        return {name: part for name, part in parts.items() if part is not None}
