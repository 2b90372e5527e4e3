"""A loader is closed by whom, where and when one likes: no abort, no hang, and one sentence."""

import signal
import threading
import time
from collections import deque
from itertools import chain, repeat

import numpy as np
import pytest
import torch

from dalimix import AttentiveCutMix, CutMix
from tests.support.loaders import load
from tests.support.scripts import script

OWN = {  # what a provider may do with its own loader, and what comes of it
    "close": (lambda own: own.close(), "the loader is closed"),
    "next": (lambda own: next(iter(own)), "a loader cannot be used by a function that its pipeline calls"),
    "epoch": (lambda own: own.set_epoch(3), "a loader cannot be used by a function that its pipeline calls"),
    "state": (lambda own: own.state_dict(), "a loader cannot be used by a function that its pipeline calls"),
}


@pytest.mark.parametrize("name", OWN)
def test_a_provider_that_uses_its_own_loader(root, name):
    use, message = OWN[name]
    loaders = []

    def using(images):
        use(loaders[0])
        return torch.zeros(len(images), 7, 7)

    loaders.append(load(root, AttentiveCutMix(), heatmaps=using))
    with loaders[0], pytest.raises(RuntimeError, match=message):
        next(iter(loaders[0]))


def test_a_provider_may_use_another_loader(root):
    def using(images):
        with load(root, CutMix()) as other:
            next(iter(other))
        return torch.zeros(len(images), 7, 7)

    with load(root, AttentiveCutMix(), heatmaps=using) as loader:
        assert len(list(loader)) == len(loader)


OWNER = """
import gc, sys, threading, torch, dali_ops
from dalimix import AttentiveCutMix

class Collected(torch.Tensor):
    # the collector may run whenever memory is asked for, also where the batch goes back to DALI
    def __dlpack__(self, **options):
        gc.collect()
        return self.as_subclass(torch.Tensor).__dlpack__(**options)

def provider(images):
    return torch.rand(len(images), 7, 7).as_subclass(Collected)

class Trainer:
    def __init__(self):
        runtime = dali_ops.Runtime("cpu", prefetch=4)
        options = {"transform": dali_ops.Train(32), "runtime": runtime, "heatmaps": provider}
        self.loader = dali_ops.ImageFolderLoader(sys.argv[1], AttentiveCutMix(), 4, **options)
        self.own = self

    def __del__(self):
        self.loader.close()

gc.disable()
for _ in range(8):
    trainer = Trainer()
    next(iter(trainer.loader))
    del trainer
"""


def test_an_owner_that_closes_its_loader_when_it_goes(root):
    ended = script("-c", OWNER, str(root))
    assert (ended.returncode, ended.stderr) == (0, "")


def slowly(images):
    time.sleep(0.005)
    return torch.zeros(len(images), 7, 7)


@pytest.mark.parametrize("how", ["another thread", "a signal"])
def test_a_loader_that_is_closed_in_the_midst_of_an_epoch_says_so(root, how):
    for wait in np.linspace(0.01, 0.05, 5):
        loader = load(root, AttentiveCutMix(), heatmaps=slowly)
        if how == "a signal":
            before = signal.signal(signal.SIGALRM, lambda *_, closed=loader: closed.close())
            signal.setitimer(signal.ITIMER_REAL, wait)
        else:
            threading.Timer(wait, loader.close).start()
        try:
            with pytest.raises(RuntimeError, match="^the loader is closed$"):
                deque(chain.from_iterable(repeat(loader)), maxlen=0)  # epoch after epoch
        finally:
            if how == "a signal":
                signal.signal(signal.SIGALRM, before)


def test_a_loader_that_is_closed_while_its_checkpoint_is_asked_for_says_so(root, monkeypatch):
    with load(root, CutMix()) as loader:
        running = iter(loader)
        next(running)
        batches = loader._prefetcher._batches
        checkpoints = batches.checkpoints
        monkeypatch.setattr(batches, "checkpoints", lambda: loader.close() or checkpoints())
        with pytest.raises(RuntimeError, match="^the loader is closed$"):
            next(running)


def test_a_loader_that_is_closed_when_its_batch_has_come_says_so(root, monkeypatch):
    with load(root, CutMix()) as loader:
        running = iter(loader)
        next(running)
        outputs = loader._prefetcher._outputs
        monkeypatch.setattr(loader._prefetcher, "_outputs", lambda loop: (outputs(loop), loader.close())[0])
        with pytest.raises(RuntimeError, match="^the loader is closed$"):
            next(running)


AFTER = """
import atexit, time

@atexit.register  # before dali_ops is imported, so that it runs after what that has registered
def late():
    began = time.perf_counter()
    for _ in range(3):
        pipeline = a_pipeline()
        pipeline.build()
        pipeline.run()
        del pipeline
    try:
        next(iter(loader))
    except RuntimeError as error:
        print(error)
    print(time.perf_counter() - began < lifetime.PATIENCE)

import sys
import dali_ops
from dali_ops import lifetime
from dalimix import CutMix
from tests.support.programs.pipeline_ends import a_pipeline
lifetime.PATIENCE = 60  # for each of them, if nobody were there any more to shut them down
options = {"transform": dali_ops.Train(32), "runtime": dali_ops.Runtime("cpu")}
loader = dali_ops.ImageFolderLoader(sys.argv[1], CutMix(), 4, **options)
next(iter(loader))
"""


def test_pipelines_of_functions_that_run_at_exit_end_at_once(root):
    ended = script("-c", AFTER, str(root))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.split("\n")[-2] == "True"
    assert "this pipeline is closed" in ended.stdout


INTERRUPTED = """
import os, signal, sys, threading, time, torch, dali_ops
from dalimix import AttentiveCutMix

signal.signal(signal.SIGINT, signal.default_int_handler)

def provider(images):
    time.sleep(0.5)
    return torch.rand(len(images), 7, 7)

options = {"transform": dali_ops.Train(32), "runtime": dali_ops.Runtime("cpu"), "heatmaps": provider}
loader = dali_ops.ImageFolderLoader(sys.argv[1], AttentiveCutMix(), 4, **options)
next(iter(loader))
threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    del loader
    time.sleep(100)
    print("slept")
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_is_not_lost_while_a_pipeline_goes(root):
    began = time.perf_counter()
    ended = script("-c", INTERRUPTED, str(root))
    assert time.perf_counter() - began < 90
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "interrupted\n", "")
