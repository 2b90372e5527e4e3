"""Optimizers, their groups of weights, and the learning rate of every step."""

from importlib.util import find_spec
from math import cos, pi

import torch
from lamb import Lamb
from torch.optim.lr_scheduler import LambdaLR


def highest_lr(recipe):
    """The learning rate at the end of the warm-up."""
    how, share = recipe.optimization, recipe.batches.batch_size / recipe.optimization.lr_batch
    return how.lr * {"none": 1.0, "linear": share, "sqrt": share**0.5}[how.lr_scaling]


def optimizer_and_schedule(model, recipe, steps):
    """The schedule makes a step for every batch; `steps` are those of an epoch."""
    how, lr = recipe.optimization, highest_lr(recipe)
    optimizer = OPTIMIZERS[how.optimizer](_groups(model, how, lr), lr, how)

    def share(step):
        epoch = step // steps if recipe.schedule.lr_per == "epoch" else step / steps
        return lr_at(epoch, lr, recipe.schedule) / lr if lr else 0.0

    return optimizer, LambdaLR(optimizer, share)


def lr_at(epoch, lr, schedule):
    """The learning rate at a time, in epochs that need not be whole; `lr` is the highest."""
    if epoch < schedule.warmup_epochs:
        return schedule.warmup_lr + (lr - schedule.warmup_lr) * epoch / schedule.warmup_epochs
    if epoch >= schedule.epochs:
        return schedule.min_lr
    begin = schedule.warmup_epochs if schedule.cosine_from == "warmup" else 0
    done = (epoch - begin) / (schedule.epochs - begin)
    return schedule.min_lr + (lr - schedule.min_lr) * (1 + cos(pi * done)) / 2


def _groups(model, how, lr):
    """Biases and norms, and what the model names (timm: embeddings of places), are not decayed."""
    kept = set(model.no_weight_decay()) if hasattr(model, "no_weight_decay") else set()
    if how.layer_decay != 1:
        return _groups_by_layer(model, how, lr, kept)
    decayed, others = [], []
    for name, parameter in model.named_parameters():
        (others if parameter.ndim < 2 or name in kept else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": how.weight_decay}, {"params": others, "weight_decay": 0.0}]


def _groups_by_layer(model, how, lr, kept):
    """timm knows the layers of its models."""
    if not hasattr(model, "group_matcher"):
        raise ValueError(f"--layer-decay {how.layer_decay} needs a model of timm, which tells what its layers are")
    from timm.optim import param_groups_layer_decay

    groups = param_groups_layer_decay(model, how.weight_decay, kept, layer_decay=how.layer_decay)
    return [group | {"lr": lr * group["lr_scale"]} for group in groups]


def _adamw(groups, lr, how):
    return torch.optim.AdamW(groups, lr, betas=how.betas, eps=how.eps)


def _sgd(groups, lr, how):
    return torch.optim.SGD(groups, lr, momentum=how.momentum, nesterov=how.momentum > 0)


def _lamb(groups, lr, how):
    """timm's where it is installed. The gradient is clipped before, by `clip_grad`, not by timm's own option."""
    if find_spec("timm") is None:
        return Lamb(groups, lr, how.betas, how.eps)
    from timm.optim import Lamb as LambOfTimm

    return LambOfTimm(groups, lr, betas=how.betas, eps=how.eps, max_grad_norm=None)


OPTIMIZERS = {"adamw": _adamw, "sgd": _sgd, "lamb": _lamb}
