"""Checks that processes which train together agree on what they read; else some images are read twice or never."""

from __future__ import annotations

import json
import sys
from collections import Counter
from hashlib import sha256
from typing import Any

from dali_ops.loader.reading.feed import Feed
from dali_ops.loader.reading.shard import Shard, shard_of_torch
from dali_ops.loader.settings import LoaderSettings

MUST_AGREE = {  # by argument: what to do where processes differ
    "seed": "give all processes the same seed=",
    "source": "all processes must read the same images, in the same order",
    "sampler": "give all processes the same sampler=",
}
_MADE: Counter[str] = Counter()  # how many loaders this process has made, by their key


def check_agreement(feed: Feed, settings: LoaderSettings) -> None:
    """Compare the seed, source and sampler of a loader with those of the other processes of torch.distributed.

    No process waits. The first process that makes a loader leaves its seed in the process group's store, and the others
    compare theirs with it; likewise the source and the sampler. The key in the store is everything else about the
    loader, and how many such loaders the process has made before. So a process may make several loaders, in any order:
    each is compared only with those that are like it in all but the seed (or the source, or the sampler). Loaders of
    validation are not compared.

    If the process group does not make the shares, or its store cannot compare, nothing is checked.

    Raises:
        ValueError: another process has another seed, source or sampler.
    """
    store = _store_of(feed.order.shard) if settings.training else None
    if store is None:
        return
    facts = _facts(feed, settings)
    keys = {name: _key(name, facts) for name in MUST_AGREE}
    for name, key in keys.items():
        _compare(store, name, f"{key}/{_MADE[key]}", [facts[name], feed.order.shard.rank])
    _MADE.update(keys.values())  # one that was refused does not count


def _facts(feed: Feed, settings: LoaderSettings) -> dict[str, Any]:
    order, source = feed.order, feed.source
    images = f"{len(source)} images, digest {source.fingerprint[:16]}"
    first = source.location(0)  # data sets that begin with the same file are meant to be the same
    own = {"batch_size": order.batch_size, "drop_last": order.drop_last, "first": first}
    return {**settings.facts(), **own, "seed": order.seed, "source": images}


def _key(name: str, facts: dict[str, Any]) -> str:
    others = {other: value for other, value in facts.items() if other != name}
    return f"dalimix/{name}/{sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()}"


def _compare(store: Any, name: str, key: str, own: list[Any]) -> None:
    """Compare with what the first process left at this key; `own`: the value and the rank of this process."""
    try:
        first, rank = json.loads(store.compare_set(key, "", json.dumps(own)))
    except (NotImplementedError, RuntimeError):  # a store that cannot do this, or is gone
        return
    if first != own[0]:
        alone = "A loader for one process alone takes rank=0, world_size=1."
        raise ValueError(f"{name} is {own[0]} in process {own[1]}, but {first} in process {rank}, so that some "
                         f"images would be read twice and some never: {MUST_AGREE[name]}. {alone}")  # fmt: skip


def _store_of(shard: Shard) -> Any:
    """The store of the process group of torch.distributed, if that group makes the shares."""
    if shard.world_size == 1 or shard_of_torch() != shard:
        return None
    try:
        return sys.modules["torch"].distributed.distributed_c10d._get_default_store()
    except (AttributeError, ValueError, RuntimeError):  # its name is not public, and may change
        return None
