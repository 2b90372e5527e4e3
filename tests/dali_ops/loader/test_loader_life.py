"""Loaders come to an end: threads, files and memory, a loop that is left, and Ctrl-C."""

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dalimix import CutMix, RandomChoice
from tests.support.loaders import load
from tests.support.memory import used
from tests.support.paths import ROOT
from tests.support.scripts import script

TICK = 1 / os.sysconf("SC_CLK_TCK")


def held():
    """Threads and open files of this process."""
    gc.collect()
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))


def test_nothing_is_left_after_close(root):
    with load(root, CutMix()) as loader:
        list(loader)
    before = held()
    for _ in range(3):
        with load(root, RandomChoice()) as loader:
            running = iter(loader)
            next(running)
            assert held()[0] > before[0]
        assert held() == before


def test_nothing_is_left_of_a_loader_that_is_forgotten(root):
    list(load(root, CutMix()))
    before = held()
    loader = load(root, CutMix())
    running = iter(loader)
    next(running)
    del loader, running
    assert held() == before


def test_batches_outlive_their_loader(root):
    with load(root, CutMix()) as loader:
        batches = list(loader)
        copies = [images.clone() for images, _ in batches]
    del loader
    gc.collect()
    list(load(root, CutMix(), seed=3))  # takes memory that was given back
    assert all(torch.equal(images, copy) for (images, _), copy in zip(batches, copies, strict=True))


def test_a_closed_loader(root):
    loader = load(root, CutMix(), keep_info=True)
    running = iter(loader)
    next(running)
    loader.close()
    loader.close()
    unread = load(root, CutMix())
    unread.close()
    with pytest.raises(RuntimeError, match="the loader is closed"):
        next(iter(unread))
    for use in (lambda: next(running), lambda: next(iter(loader)), loader.state_dict, lambda: loader.batch_info):
        with pytest.raises(RuntimeError, match="the loader is closed|batch_info is there"):
            use()


def test_a_thousand_batches_take_no_memory(root):
    loader = load(root, RandomChoice(), size=64, keep_info=True)
    for epochs in (60, 340):  # of three batches; the first ones to warm up
        before = used()
        for _ in range(epochs):
            for _ in loader:
                loader.state_dict()
    assert used() - before < 3 << 20  # a batch that stayed would be 200 KB, of each of 1020


@pytest.mark.cuda
def test_a_thousand_batches_take_no_memory_of_the_gpu(root, gpu):
    loader = load(root, RandomChoice(), size=64, keep_info=True, device="gpu")
    for epochs in (60, 340):
        torch.cuda.synchronize()
        before, _ = torch.cuda.mem_get_info()
        for _ in range(epochs):
            for _ in loader:
                pass
    torch.cuda.synchronize()
    assert before - torch.cuda.mem_get_info()[0] < 32 << 20


LEFT = """
import sys
from dali_ops import ImageFolderLoader, Runtime, Train
from dalimix import CutMix

options = {"transform": Train(32), "runtime": Runtime("cpu", num_threads=2), "seed": 1}
loaders = [ImageFolderLoader(sys.argv[1], CutMix(), 4, **options) for _ in range(3)]
running = [iter(loader) for loader in loaders]
for loop in running:
    next(loop)
print("left")
"""


def test_loops_that_are_left_do_not_hang_the_interpreter(root):
    done = script("-c", LEFT, root)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "left", "")


FOREVER = """
import sys
from dali_ops import ImageFolderLoader, Runtime, Train
from dalimix import CutMix

options = {"transform": Train(96), "runtime": Runtime("cpu", num_threads=2), "seed": 1}
loader = ImageFolderLoader(sys.argv[1], CutMix(), 8, **options)
while True:
    for _ in loader:
        print("batch", flush=True)
"""


def seconds_of_cpu(process):
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) * TICK


def test_ctrl_c_ends_at_once(root):
    started = subprocess.Popen(
        [sys.executable, "-c", FOREVER, root], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for _ in range(5):
        assert started.stdout.readline() == "batch\n"
    before = seconds_of_cpu(started.pid)
    started.send_signal(signal.SIGINT)
    said = started.stderr.read()  # until it ends
    _, status, used = os.wait4(started.pid, 0)
    # Seconds of work, as others may be at work here, too: half a one on a quiet core, one where two share a core.
    assert used.ru_utime + used.ru_stime - before < 3
    assert os.waitstatus_to_exitcode(status) == -signal.SIGINT
    assert said.strip().endswith("KeyboardInterrupt")
