"""The model of train_imagenet.py and all that changes it, one step after another."""

import torch
from imagenet_mixing import make_mixing
from imagenet_models import any_size, make_model
from imagenet_recipes import optimizer_and_schedule
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dalimix.torch import soft_target_accuracy


class Learner:
    """A model in training.

    Attributes:
        mixing: how batches are mixed, and what their loss is.
        ema: the moving average of the model, or None.
        lr: learning rate of the last step.
    """

    def __init__(self, options, recipe, classes, place):
        self.recipe, self.place = recipe, place
        torch.manual_seed(options.seed)  # the same weights in every process
        model = make_model(options.model, classes, recipe)
        if options.first_epochs[0] and not any_size(model):
            raise ValueError(f"--first-epochs is for CNNs, but {options.model} takes images of one size only")
        layout = torch.channels_last if options.channels_last else torch.contiguous_format
        self.model = model.to(place.device, memory_format=layout)
        self.ema = _average(self.model, recipe.ema) if recipe.ema else None
        self.mixing = make_mixing(options, recipe, self.model, classes, place)
        self.network = self.mixing.network(self.model)
        if place.processes > 1:
            self.network = DistributedDataParallel(self.network)
        self.scaler = torch.amp.GradScaler(place.device.type, enabled=place.amp is torch.float16)
        torch.manual_seed(options.seed * place.processes + place.rank)  # of dropout: others in every process

    def begin(self, steps):
        """Before the first step, as soon as it is known how many make an epoch."""
        made = optimizer_and_schedule(self.model, self.recipe, self.place.processes, steps)
        self.optimizer, self.schedule = made

    @property
    def steps(self):
        """Made so far."""
        return self.schedule.last_epoch

    @property
    def models(self):
        """To be measured."""
        return [self.model] if self.ema is None else [self.model, self.ema.module]

    def step(self, images, targets, loader):
        """One batch; float64 [3]: its loss and its accuracy on the mixed targets, times its images, and these."""
        self.network.train()
        with self.place.autocast():
            loss, logits, targets = self.mixing.loss(self.network, images, targets, loader)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        if self.recipe.clip_grad:
            self.scaler.unscale_(self.optimizer)
            clip_grad_norm_(self.model.parameters(), self.recipe.clip_grad)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.lr = self.schedule.get_last_lr()[0]
        self.schedule.step()
        if self.ema is not None:
            self.ema.update_parameters(self.model)
        self.mixing.stepped()
        accuracy = soft_target_accuracy(logits.detach(), targets)
        return torch.stack([loss.detach(), accuracy, torch.ones_like(accuracy)]).double() * len(images)

    @torch.no_grad()
    def accuracies(self, loader):
        """Of all images of all processes, for each of `models`; a process may have none in its last batch."""
        self.place.with_one_state(self.models)
        counts = torch.zeros(len(self.models) + 1, device=self.place.device, dtype=torch.float64)
        for model in self.models:
            model.eval()
        for images, labels in loader:
            if len(images):
                with self.place.autocast():
                    right = [(model(images).argmax(1) == labels).sum() for model in self.models]
                counts += torch.stack([*right, torch.ones_like(labels).sum()])
        *right, images = self.place.total(counts).tolist()
        return [count / images for count in right]

    def state(self):
        """The same in every process, but for what `local_state` gives."""
        return {name: thing.state_dict() for name, thing in self._kept.items()}

    def local_state(self):
        cuda = torch.cuda.get_rng_state() if self.place.device.type == "cuda" else None
        return {"rng": torch.get_rng_state(), "cuda": cuda, "mixing": self.mixing.state()}

    def restore(self, state, local):
        for name, thing in self._kept.items():
            thing.load_state_dict(state[name])
        torch.set_rng_state(local["rng"])
        if local["cuda"] is not None:
            torch.cuda.set_rng_state(local["cuda"])
        self.mixing.restore(local["mixing"])

    @property
    def _kept(self):
        kept = {name: vars(self)[name] for name in ("model", "ema", "optimizer", "schedule", "scaler")}
        return {name: thing for name, thing in kept.items() if thing is not None}


def _average(model, decay):
    """Of weights and of what else a model keeps, such as the statistics of BatchNorm."""
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
