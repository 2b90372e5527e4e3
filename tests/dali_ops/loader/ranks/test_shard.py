"""Which of several processes this one is."""

import pytest
import torch

from dali_ops.loader.reading.shard import Shard


@pytest.fixture
def ranks(monkeypatch):
    """A process group as torch would tell of it."""

    def say(rank, world_size):
        monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.distributed, "get_rank", lambda: rank)
        monkeypatch.setattr(torch.distributed, "get_world_size", lambda: world_size)

    return say


def test_alone():
    assert Shard.of(None, None) == Shard(0, 1)


def test_as_torch_says(ranks):
    ranks(2, 5)
    assert Shard.of(None, None) == Shard(2, 5)


def test_arguments_come_first(ranks):
    ranks(2, 5)
    assert Shard.of(0, 1) == Shard(0, 1)


def test_a_launcher_without_a_process_group(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ValueError, match=r"4 processes were launched, but torch.distributed does not run yet: call"):
        Shard.of(None, None)
    assert Shard.of(1, 4) == Shard(1, 4)
    for alone in ("1", ""):
        monkeypatch.setenv("WORLD_SIZE", alone)
        assert Shard.of(None, None) == Shard(0, 1)
    monkeypatch.setenv("WORLD_SIZE", "four")
    with pytest.raises(ValueError, match="WORLD_SIZE must be a whole number from 1, got 'four'"):
        Shard.of(None, None)


@pytest.mark.parametrize(("rank", "world_size"), [(1, None), (None, 2)])
def test_half_of_it(rank, world_size):
    with pytest.raises(ValueError, match=f"rank and world_size go together, got {rank} and {world_size}"):
        Shard.of(rank, world_size)


@pytest.mark.parametrize(("rank", "world_size"), [(-1, 2), (2, 2), (0, 0), (0.0, 2), (0, "2")])
def test_out_of_range(rank, world_size):
    with pytest.raises(ValueError, match=rf"rank must be in 0 … world_size - 1, got {rank!r} of {world_size!r}"):
        Shard.of(rank, world_size)
