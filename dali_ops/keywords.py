"""Keywords that a loader and its parts do not have, as other loaders call them: each is answered with what to write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from difflib import get_close_matches
from functools import wraps
from inspect import signature
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Part = TypeVar("Part", bound=type)

ITSELF = "a loader makes whole batches itself, in threads of its own"
AUGMENT = "transform=Train(augment=…) takes a name such as 'rand-m9-n2', or a function of DALI's nodes"
METHODS = "it is the method's, such as RandomChoice([Mixup(alpha=0.8), CutMix(prob=0.5)])"
EVERY = "transform=Train() shuffles and crops at random, transform=Eval() does not"
SIZE = "transform=Train(size=…) or Eval(size=…) says the size of the images"
INTERPOLATION = "transform=Train(interpolation=…) or Eval(interpolation=…) takes it"
LAYOUT = "transform=Train(layout=…) or Eval(layout=…) takes 'CHW', 'HWC' or 'channels_last'"
DRAWS = "Weighted(weights) draws with replacement, as many images as the source has"
ADVICE = {  # the keywords of other loaders, and what to write here
    **dict.fromkeys(("num_workers", "workers", "num_proc"), f"{ITSELF}: runtime=Runtime(num_threads=…) says how many"),
    **dict.fromkeys(("persistent_workers", "worker_init_fn", "multiprocessing_context", "timeout"), ITSELF),
    **dict.fromkeys(("collate_fn", "batch_sampler"), ITSELF),
    **dict.fromkeys(("shuffle", "train", "training", "is_training"), EVERY),
    "prefetch_factor": "runtime=Runtime(prefetch=…) says how many batches are worked ahead",
    "generator": "seed= decides what is random",
    "sampler": "a loader takes it when it is made",
    **dict.fromkeys(("num_repeats", "aug_repeats", "repeated_aug"), "sampler=Repeated(3) of dali_ops.samplers is that"),
    **dict.fromkeys(("num_samples", "replacement"), DRAWS),
    **dict.fromkeys(("label_smoothing", "smooth"), "targets=Targets(smoothing=…) is that"),
    **dict.fromkeys(("size", "image_size", "img_size", "input_size"), SIZE),
    **dict.fromkeys(("num_shards", "num_replicas"), "world_size= is that"),
    **dict.fromkeys(("num_classes", "classes"), "the source knows how many classes there are"),
    **dict.fromkeys(("normalize", "normalise"), "transform=Train(mean=…, std=…) is that, in the units of bytes"),
    **dict.fromkeys(("prob", "alpha", "mixup_alpha", "cutmix_alpha", "mode", "switch_prob"), METHODS),
    **dict.fromkeys(("transforms", "augment", "color_jitter", "auto_augment", "aa"), AUGMENT),
    **dict.fromkeys(("re_prob", "reprob", "random_erasing"), "transform=Train(erase=Erase(prob=…)) is that"),
    "hflip": "transform=Train(flip=…) is that",
    "crop_pct": "transform=Eval(crop=…) is that",
    **dict.fromkeys(("interpolation", "train_interpolation"), INTERPOLATION),
    "shard_id": "rank= is that",
    **dict.fromkeys(("layout", "output_layout", "channels_last", "memory_format"), LAYOUT),
    **{name: f"transform=Train({name}=…) or Eval({name}=…) takes it" for name in ("mean", "std", "dtype")},
}


def answering(init: Callable[Parameters, None], owner: str = "a loader") -> Callable[Parameters, None]:
    """Let a constructor, or `switch`, answer an unknown keyword with the one that is meant."""
    names = [name for name in signature(init).parameters if name != "self"]

    @wraps(init)
    def answered(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        for name in kwargs:
            if name not in names:
                raise TypeError(f"{owner} has no argument {name}: {_meant(name, names)}")
        init(*args, **kwargs)

    return answered


def part_of_loader(argument: str) -> Callable[[Part], Part]:
    """Let a dataclass that is this argument of a loader answer, too, and a loader for the fields of the dataclass."""

    def decorate(part: Part) -> Part:
        for field in fields(part):
            ADVICE.setdefault(field.name, f"{argument}={part.__name__}({field.name}=…) takes it")
        part.__init__ = answering(part.__init__, part.__name__)  # type: ignore[misc]
        return part

    return decorate


def _meant(name: str, names: list[str]) -> str:
    if name in ADVICE:
        return ADVICE[name]
    near = get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}=?" if near else f"it has {', '.join(names)}"
