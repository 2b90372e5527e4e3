"""Where a loader stands, as a dict that can be saved, and whether such a dict fits a loader."""

from __future__ import annotations

from typing import Any

import nvidia.dali

import dalimix
from dali_ops.feed import Feed
from dali_ops.loader_settings import LoaderSettings

KEYS = {"identity", "seed", "epoch", "step", "start", "skipped", "pipeline"}
REASONS = {
    "dalimix": "of another version of dalimix",
    "dali": "of another version of DALI, whose checkpoints it cannot read",
    "source": "of another data set: the names, labels or classes differ",
    "world_size": "of another number of processes",
    "rank": "of another process: each saves its own state",
    "batch_size": "of another batch size",
    "drop_last": "of another rule for the last batch",
}


def identity(feed: Feed, settings: LoaderSettings) -> dict[str, Any]:
    """All that must be the same where a state is loaded."""
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


def check_state(state: Any, expected: dict[str, Any]) -> None:
    """Compare with the `identity` of the loader that is to go on from a state.

    Raises:
        ValueError: something differs; the message says what, and how much.
        TypeError: it is no state of a loader.
    """
    missing = sorted(KEYS - state.keys()) if isinstance(state, dict) else []
    if not isinstance(state, dict) or missing or not isinstance(state["identity"], dict):
        got = f"a dict without {', '.join(missing)}" if missing else type(state).__name__
        raise TypeError(f"expected what state_dict() of a loader returned, got {got}")
    saved = state["identity"]
    for name, here in expected.items():
        if saved.get(name) != here:
            reason = REASONS.get(name, f"of another {name}: call switch first, or make the loader as it was")
            raise ValueError(f"the state is {reason} ({name} was {saved.get(name)}, here it is {here})")
