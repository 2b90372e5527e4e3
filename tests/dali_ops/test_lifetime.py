"""Pipelines end outside of DALI's threads, also at the end of Python."""

import gc
import json
import threading
import time
import weakref

import pytest
from nvidia.dali.pipeline import Pipeline

from dali_ops import lifetime
from tests.support.programs.pipeline_ends import Owner, a_pipeline
from tests.support.scripts import script


def test_pipelines_that_nobody_closes_end():
    ended = script(
        "-m", "tests.support.programs.pipeline_ends", "--loaders", "60", "--pipelines", "60", "--errors", "40"
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    for early, late in json.loads(ended.stdout).values():
        assert late["threads"] <= early["threads"] + 1
        assert late["MiB"] < early["MiB"] + 100


EXIT = """
import time, numpy as np, torch, dali_ops
from dalimix import CutMix
from tests.support.programs.pipeline_ends import Owner, a_pipeline
from nvidia.dali import fn, pipeline_def

def slow(images):
    for _ in range(100):
        time.sleep(0.002)
    return torch.zeros(len(images), 7, 7)

@pipeline_def(batch_size=4, num_threads=1, device_id=None)
def watched():
    return dali_ops.model_heatmaps(fn.constant(idata=[0] * 48, shape=[4, 4, 3], dtype=0, layout="HWC"), slow)

kept, dropped = watched(), watched()
for pipeline in (kept, dropped):
    pipeline.build()
    pipeline.schedule_run()
Owner(dropped)
del dropped, pipeline
"""


def test_the_interpreter_ends_while_callbacks_work():
    ended = script("-c", EXIT)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_pipelines_made_in_several_threads_share_one_that_ends_them(monkeypatch):
    """A second one would be left over at the end, and which of them then ends is a matter of chance."""

    class Slow(threading.Thread):
        def __init__(self, **options):
            made.append(self)
            time.sleep(0.05)
            super().__init__(**options)

    made, undertaker = [], lifetime._Undertaker()
    makers = [threading.Thread(target=undertaker.start) for _ in range(4)]
    monkeypatch.setattr(threading, "Thread", Slow)
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    undertaker.stop()
    assert len(made) == 1


BLOCKED = """
import threading, torch, dali_ops
from dali_ops import lifetime
from nvidia.dali import fn, pipeline_def

lifetime.LAST_PATIENCE = 0.2
begun = threading.Event()

def blocked(images):
    begun.set()
    threading.Event().wait()

@pipeline_def(batch_size=4, num_threads=1, device_id=None)
def watched():
    return dali_ops.model_heatmaps(fn.constant(idata=[0] * 48, shape=[4, 4, 3], dtype=0, layout="HWC"), blocked)

pipeline = watched()
pipeline.build()
pipeline.schedule_run()
begun.wait()
"""


def test_the_interpreter_does_not_wait_for_ever():
    ended = script("-c", BLOCKED)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_thread_that_cannot_be_started_is_started_later(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    undertaker = lifetime._Undertaker()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            undertaker.start()
    undertaker.start()
    undertaker.stop()
    assert not undertaker._thread.is_alive()


class Inner:
    """What is inside of a pipeline: it tells which threads shut it down."""

    def __init__(self):
        self.shut_down_by = []

    def Shutdown(self):  # noqa: N802
        self.shut_down_by.append(threading.current_thread().name)


def test_what_comes_after_the_end_is_shut_down_at_once():
    inner, undertaker = Inner(), lifetime._Undertaker()
    undertaker.start()
    undertaker.stop()
    undertaker.take([inner], wait=True)
    assert inner.shut_down_by == ["MainThread"]


def test_the_collector_hands_a_pipeline_over_in_any_thread():
    """The thread that lets go of it must not be the one that joins DALI's threads."""
    pipeline = a_pipeline()
    pipeline._pipe = inner = Inner()
    owner = Owner(pipeline)
    gone = weakref.ref(pipeline)
    del pipeline, owner
    gc.collect()
    assert gone() is None
    assert inner.shut_down_by == ["dalimix-pipelines"]


def test_a_guarded_pipeline_is_still_one_of_its_class():
    pipeline = a_pipeline()
    assert type(pipeline).__name__ == "Pipeline"
    assert lifetime.guard(pipeline) is lifetime.guard(pipeline)


def test_a_class_of_pipelines_is_not_kept():
    class Own(Pipeline):
        pass

    lifetime.guard(Own(batch_size=4, num_threads=1, device_id=None))
    gone = weakref.ref(Own)
    del Own
    gc.collect()
    assert gone() is None


def test_a_class_of_the_users_own_ends_as_it_says():
    ended = []

    class Own(Pipeline):
        def __init_subclass__(cls, *, must):
            """Wants more than we know."""

        def __del__(self):
            ended.append(True)
            super().__del__()

    pipeline = Own(batch_size=4, num_threads=1, device_id=None)
    lifetime.guard(pipeline)
    Owner(pipeline)
    del pipeline
    gc.collect()
    assert ended == [True]


def test_ctrl_c_while_dali_ends_a_pipeline_is_not_lost():
    class Own(Pipeline):
        def __del__(self):
            super().__del__()
            raise KeyboardInterrupt

    def made_and_dropped():
        lifetime.guard(Own(batch_size=4, num_threads=1, device_id=None))
        time.sleep(20 * lifetime.SOON)

    with pytest.raises(KeyboardInterrupt):
        made_and_dropped()
