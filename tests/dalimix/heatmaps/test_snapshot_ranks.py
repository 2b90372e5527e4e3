"""SnapshotHeatmap in distributed training: two processes, each with a loader and a snapshot of its replica."""

import subprocess
import sys

from tests.support.data.coloured import coloured_folder
from tests.support.paths import ROOT


def test_each_rank_has_a_snapshot_of_its_own_replica(tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "tests.support.programs.snapshot_ranks", str(coloured_folder(tmp_path / "images"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
