"""SnapshotHeatmap in distributed training: two processes, each with a loader and a snapshot of its replica."""

from tests.support.data.coloured import coloured_folder
from tests.support.scripts import in_two_processes


def test_each_rank_has_a_snapshot_of_its_own_replica(tmp_path):
    done = in_two_processes("tests.support.programs.snapshot_ranks", coloured_folder(tmp_path / "images"))
    assert done.returncode == 0, done.stderr
