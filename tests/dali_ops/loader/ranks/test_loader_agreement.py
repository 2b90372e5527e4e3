"""Processes that train together find out, without waiting for each other, that they were told differently."""

import torch

from dalimix import CutMix
from tests.support.data.coloured import coloured_folder
from tests.support.loaders import load
from tests.support.scripts import in_two_processes


def test_two_processes(tmp_path):
    folders = [coloured_folder(tmp_path / name) for name in ("one", "other")]
    (folders[1] / "red" / "7.png").unlink()
    done = in_two_processes("tests.support.programs.loader_ranks", *folders)
    assert done.returncode == 0, done.stderr


class Deaf:
    """A store that can do nothing of what is asked of it."""

    def compare_set(self, *_):
        raise RuntimeError("compareSet is not implemented")


def test_a_process_group_whose_store_cannot_tell(root, monkeypatch):
    distributed = torch.distributed
    for name, value in {"is_initialized": True, "get_rank": 1, "get_world_size": 2}.items():
        monkeypatch.setattr(distributed, name, lambda value=value: value)
    for answer in (Deaf, lambda: distributed.distributed_c10d.no_such_thing):
        monkeypatch.setattr(distributed.distributed_c10d, "_get_default_store", answer)
        for seed in (1, 2):
            assert len(load(root, CutMix(), seed=seed)) == 1
