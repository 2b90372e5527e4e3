"""Checks of a loader's arguments, which are brought into one form."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import fields
from difflib import get_close_matches
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec

from dali_ops.loader.reading.order import SEEDS, Order
from dali_ops.loader.reading.shard import Shard
from dali_ops.loader.runtime import Runtime
from dali_ops.operators.targets import Targets
from dali_ops.sources import Source
from dali_ops.sources.callers import warn_caller
from dalimix.support.numbers import is_whole

Parameters = ParamSpec("Parameters")
MANY = 0.05  # share of all images; so many are hardly damaged by chance

ITSELF = "a loader makes whole batches itself, in threads of its own"
AUGMENT = "transform=Train(augment=…) takes a function of DALI's nodes, beside crop and flip"
METHODS = "it is the method's, such as RandomChoice([Mixup(alpha=0.8), CutMix(prob=0.5)])"
EVERY = "transform=Train() shuffles and crops at random, transform=Eval() does not"
SIZE = "transform=Train(size=…) or Eval(size=…) says the side of the images"
LAYOUT = "transform=Train(layout=…) or Eval(layout=…) takes 'CHW', 'HWC' or 'channels_last'"
ADVICE = {  # the keywords of other loaders, and what to write here
    **dict.fromkeys(("num_workers", "workers", "num_proc"), f"{ITSELF}: runtime=Runtime(num_threads=…) says how many"),
    **dict.fromkeys(("persistent_workers", "worker_init_fn", "multiprocessing_context", "timeout"), ITSELF),
    **dict.fromkeys(("collate_fn", "sampler", "batch_sampler"), ITSELF),
    **dict.fromkeys(("shuffle", "train", "training", "is_training"), EVERY),
    **dict.fromkeys(("transforms", "augment"), AUGMENT),
    "prefetch_factor": "runtime=Runtime(prefetch=…) says how many batches are worked ahead",
    "generator": "seed= decides what is random",
    **dict.fromkeys(("label_smoothing", "smooth"), "targets=Targets(smoothing=…) is that"),
    **dict.fromkeys(("size", "image_size", "img_size", "input_size", "crop"), SIZE),
    **dict.fromkeys(("num_shards", "num_replicas"), "world_size= is that"),
    **dict.fromkeys(("num_classes", "classes"), "the source knows how many classes there are"),
    **dict.fromkeys(("normalize", "normalise"), "transform=Train(mean=…, std=…) is that, in the units of bytes"),
    **dict.fromkeys(("prob", "alpha", "mixup_alpha", "cutmix_alpha", "mode", "switch_prob"), METHODS),
    **dict.fromkeys(("color_jitter", "auto_augment", "re_prob", "hflip"), AUGMENT),
    "shard_id": "rank= is that",
    **dict.fromkeys(("layout", "output_layout", "channels_last", "memory_format"), LAYOUT),
    **{name: f"transform=Train({name}=…) or Eval({name}=…) takes it" for name in ("mean", "std", "dtype")},
    **{field.name: f"targets=Targets({field.name}=…) takes it" for field in fields(Targets)},
    **{field.name: f"runtime=Runtime({field.name}=…) takes it" for field in fields(Runtime)},
}


def answering(init: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Let a constructor, or `switch`, answer an unknown keyword with the one that is meant."""
    names = [name for name in signature(init).parameters if name != "self"]

    @wraps(init)
    def answered(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        for name in kwargs:
            if name not in names:
                raise TypeError(f"a loader has no argument {name}: {_meant(name, names)}")
        init(*args, **kwargs)

    return answered


def _meant(name: str, names: list[str]) -> str:
    if name in ADVICE:
        return ADVICE[name]
    near = get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}=?" if near else f"it has {', '.join(names)}"


def source_of(value: Any) -> Source:
    """Check a source. Raises TypeError: it is not one of `dali_ops.sources`. ValueError: it has no images."""
    if isinstance(value, Source):
        if not len(value):
            raise ValueError("source has no images")
        return value
    told = isinstance(value, (str, os.PathLike))
    got = f"the path {os.fspath(value)!r}" if told else type(value).__name__
    kinds = "WebDataset(paths), TFRecord(paths), FileList.open(path) or ImageFolder.scan(path)"
    raise TypeError(f"source must be one of dali_ops.sources, such as {kinds}; a folder is for ImageFolderLoader, "
                    f"got {got}")  # fmt: skip


def seed_of(seed: Any, shard: Shard, training: bool) -> int:
    """Check the seed; a fresh one for None and -1.

    Raises:
        TypeError: it is not a whole number.
        ValueError: it is below -1, or too large; or there are several processes, which must have one in common.
    """
    seed = -1 if seed is None else seed
    if not is_whole(seed):
        raise TypeError(f"seed must be a whole number, got {seed!r}")
    if not -1 <= seed < SEEDS:
        raise ValueError(f"seed must be below 2**64 and from 0, or -1 for a fresh one, got {seed}")
    if seed < 0 and shard.world_size > 1 and training:
        raise ValueError(f"{shard.world_size} processes must shuffle alike: give all the same seed=, from 0")
    return secrets.randbits(31) if seed < 0 else int(seed)


def check_source(source: Source, order: Order, skip_corrupt: bool) -> None:
    """Raise a ValueError if the source is damaged, or too small for one batch."""
    if source.corrupt and not skip_corrupt:
        more = f"; and {len(source.corrupt) - 1} more" if len(source.corrupt) > 1 else ""
        raise ValueError(
            f"{source.corrupt[0]}{more}; if they are no part of the data, skip_corrupt=True leaves them out"
        )
    lost, found = len(source.corrupt), len(source.corrupt) + len(source)
    if lost > MANY * found:
        warn_caller(f"{lost} of {found} images are left out, more than a few: {source.corrupt[0]}")
    if not order.steps:
        share = f"{len(source)} images" + (f", in {order.shard.world_size} shares" * (order.shard.world_size > 1))
        raise ValueError(f"batch_size {order.batch_size} is more than the {share}: "
                         "choose a smaller one, or drop_last=False")  # fmt: skip
