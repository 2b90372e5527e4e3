"""The position of a loader, as a dict that can be saved, and whether such a dict fits a loader."""

from __future__ import annotations

import json
from hashlib import sha256
from reprlib import repr as shortened
from typing import Any

import nvidia.dali

import dalimix
from dali_ops.loader.reading.feed import Feed
from dali_ops.loader.reading.order import EPOCHS, SEEDS
from dali_ops.loader.settings import LoaderSettings

VERSION = 2  # of the format of a state; 1: before a loader had a transform
NUMBERS = ("seed", "epoch", "step")
KEYS = {"version", "identity", *NUMBERS, "start", "skipped", "pipeline", "checksum"}
MOST = 300  # characters of a value, in a message
DAMAGED = "the state is damaged"
REASONS = {
    "dalimix": "of another version of dalimix",
    "dali": "of another version of DALI, whose checkpoints it cannot read",
    "source": "of another data set: the names, labels or classes differ",
    "world_size": "of another number of processes",
    "rank": "of another process: each saves its own state",
    "batch_size": "of another batch size",
    "drop_last": "of another rule for the last batch",
    "sampler": "of another sampler: make the loader as it was",
    "transform": "of another kind of transform: make the loader as it was",
    "device": "of another device: make the loader as it was",
    "keep_info": "of a loader with another keep_info: make the loader as it was",
}


def identity(feed: Feed, settings: LoaderSettings) -> dict[str, Any]:
    """Return everything that must be the same where a state is loaded."""
    shard, order = feed.order.shard, feed.order
    return {
        "dalimix": dalimix.__version__,
        "dali": nvidia.dali.__version__,
        "source": feed.source.fingerprint,
        "world_size": shard.world_size,
        "rank": shard.rank,
        **settings.facts(),
        "batch_size": order.batch_size,
        "drop_last": order.drop_last,
    }


def sealed(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state with a checksum over all of it."""
    state = {"version": VERSION, **state}
    return {**state, "checksum": _checksum(state)}


def _checksum(state: dict[str, Any]) -> str:
    told = {name: state[name] for name in sorted(KEYS - {"pipeline", "checksum"})}
    digest = sha256(json.dumps(told, sort_keys=True).encode())
    digest.update(state["pipeline"])
    return digest.hexdigest()


def check_state(state: Any, feed: Feed, settings: LoaderSettings) -> None:
    """Check that the loader with this feed and these settings can resume from a state.

    Raises:
        ValueError: it is of another loader (the message says what differs, and how), or it is damaged.
        TypeError: it is not the state of a loader.
    """
    _check_parts(state)
    _check_identity(state["identity"], identity(feed, settings))
    _check_position(state, feed.order.steps)
    _check_skipped(state["skipped"], len(feed.source))
    if not isinstance(state["pipeline"], bytes):
        raise _damaged("pipeline", state["pipeline"], "bytes")
    _check_seal(state)


def _check_parts(state: Any) -> None:
    expected = "state must be what state_dict() of a loader returned"
    if not isinstance(state, dict):
        raise TypeError(f"{expected}, got {type(state).__name__}")
    if "ranks" in state:
        raise TypeError(f"{expected}, got that of all processes, which as_dataset(gather=True) takes")
    version = state.get("version", 1)
    if version != VERSION and KEYS - {"version"} <= state.keys():
        raise ValueError(f"the state is of format {shortened(version)}, which this version of dalimix cannot read, "
                         f"as it writes format {VERSION}: end the run with the version that saved it")  # fmt: skip
    missing = sorted(KEYS - state.keys())
    if missing:
        raise TypeError(f"{expected}, got a dict without {', '.join(missing)}")
    if not isinstance(state["identity"], dict):
        raise TypeError(f"{expected}, got one whose identity is of type {type(state['identity']).__name__}")


def _check_identity(saved: dict[str, Any], here: dict[str, Any]) -> None:
    for name, value in here.items():
        found = saved.get(name)
        if type(found) is not type(value) or found != value:
            reason = REASONS.get(name, f"of another {name}: call switch first, or make the loader as it was")
            raise ValueError(f"the state is {reason} ({name} was {str(found)[:MOST]}, here it is {value})")


def _check_position(state: dict[str, Any], steps: int) -> None:
    for name, count in zip(NUMBERS, (SEEDS, EPOCHS, steps), strict=True):
        if not _is_below(count, state[name]):
            raise _damaged(name, state[name], f"a whole number from 0, below {count}")
    start, here = state["start"], [state["epoch"], state["step"]]
    whole = isinstance(start, list) and len(start) == 2 and all(map(_is_below, (EPOCHS, steps), start))
    if not whole or start > here:
        raise _damaged("start", start, f"an epoch and a step up to {here}")


def _check_skipped(skipped: Any, count: int) -> None:
    whole = isinstance(skipped, list) and all(_is_below(count, number) for number in skipped)
    if not whole or sorted(set(skipped)) != skipped:
        raise _damaged("skipped", skipped, f"numbers of images, below {count}, in order")


def _is_below(count: int, value: Any) -> bool:
    return type(value) is int and 0 <= value < count


def _check_seal(state: dict[str, Any]) -> None:
    try:
        intact = state["checksum"] == _checksum(state)
    except (TypeError, ValueError, RecursionError):  # it holds something that no state does
        intact = False
    if intact is not True:
        raise ValueError(f"{DAMAGED}: its checksum is of other contents")


def _damaged(name: str, got: Any, expected: str) -> ValueError:
    return ValueError(f"{DAMAGED}: {name} is {shortened(got)}, expected {expected}")
