"""Pipelines end outside of DALI's threads; a child process is told that it has none; errors of callbacks come out."""

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections import deque
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("nvidia.dali")
torch = pytest.importorskip("torch")
pytest.importorskip("PIL.Image")

from nvidia.dali.pipeline import Pipeline

import dali_ops
from dali_ops import lifetime
from dalimix import AttentiveCutMix, CutMix
from tests.pipeline_ends import Owner, _pipeline

ROOT = Path(__file__).parents[1]
LIMIT = 300  # seconds, a guard against hanging


def script(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False
    )


def test_pipelines_that_nobody_closes_end():
    ended = script("-m", "tests.pipeline_ends", "--loaders", "60", "--pipelines", "60", "--errors", "40")
    assert ended.returncode == 0, ended.stderr[-2000:]
    for early, late in json.loads(ended.stdout).values():
        assert late["threads"] <= early["threads"] + 1
        assert late["MiB"] < early["MiB"] + 100


EXIT = """
import time, numpy as np, torch, dali_ops
from dalimix import CutMix
from tests.pipeline_ends import Owner, _pipeline
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
    monkeypatch.setattr(lifetime.threading, "Thread", Slow)
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
        patched.setattr(lifetime.threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            undertaker.start()
    undertaker.start()
    undertaker.stop()
    assert not undertaker._thread.is_alive()


def test_what_comes_after_the_end_is_shut_down_at_once():
    ended = []

    class Pipe:
        def Shutdown(self):  # noqa: N802
            ended.append(threading.current_thread().name)

    undertaker = lifetime._Undertaker()
    undertaker.start()
    undertaker.stop()
    undertaker.take([Pipe()], wait=True)
    assert ended == ["MainThread"]


def test_the_collector_hands_a_pipeline_over_in_any_thread():
    """The thread that lets go of it must not be the one that joins DALI's threads."""
    shut_down_by = []

    class Inner:
        def Shutdown(self):  # noqa: N802
            shut_down_by.append(threading.current_thread().name)

    pipeline = _pipeline()
    pipeline._pipe = Inner()
    owner = Owner(pipeline)
    gone = weakref.ref(pipeline)
    del pipeline, owner
    gc.collect()
    assert gone() is None
    assert shut_down_by == ["dalimix-pipelines"]


def test_a_guarded_pipeline_is_still_one_of_its_class():
    pipeline = _pipeline()
    assert type(pipeline).__name__ == "Pipeline"
    assert lifetime.guard(pipeline) is lifetime.guard(pipeline)


def in_child(call):
    """What a forked process says of `call`, and how it ended."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            call()
            said = "nothing"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    for _ in range(LIMIT * 20):
        if os.waitpid(child, os.WNOHANG)[0]:
            with os.fdopen(reader) as answer:
                return answer.read()
        time.sleep(0.05)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return "it hangs"


@pytest.fixture
def loader(root):
    with dali_ops.ImageFolderLoader(root, CutMix(), batch_size=4, size=32, seed=1, device="cpu") as made:
        next(iter(made))
        yield made


def test_a_loader_in_a_forked_process_says_so(loader):
    running = iter(loader)
    calls = [lambda: next(iter(loader)), lambda: next(running), loader.state_dict, lambda: loader.switch(size=16)]
    for call in calls:
        assert in_child(call).startswith("RuntimeError: this loader belongs to another process")
    assert in_child(loader.close) == "nothing"
    assert len(next(iter(loader))[0]) == 4  # here it goes on


def test_a_plain_pipeline_in_a_forked_process_says_so():
    pipelines = [_pipeline()]
    pipelines[0].build()
    pipelines[0].run()
    assert in_child(lambda: pipelines[0].run()).startswith("RuntimeError: this pipeline belongs to another process")
    assert in_child(pipelines.clear) == "nothing"
    assert in_child(lambda: _pipeline().run()) == "nothing"  # a new one is the child's own
    pipelines[0].run()


def test_dynamic_mode_in_a_forked_process_says_so():
    ndd = pytest.importorskip("nvidia.dali.experimental.dynamic")
    from dali_ops import dynamic

    def mixed():
        batch = ndd.as_batch(np.zeros((4, 8, 8, 3), np.uint8), layout="HWC")
        return dynamic.mix(batch, np.arange(4), CutMix(), num_classes=4)

    mixed()
    for call in (mixed, lambda: dynamic.draw(CutMix(), 4)):
        assert in_child(call).startswith("RuntimeError: dynamic mode belongs to another process")


def test_a_forked_process_ends_in_the_usual_way():
    """With all that Python does at exit."""
    body = "from tests.pipeline_ends import _pipeline; import os; p = _pipeline(); p.build(); p.run(); "
    ended = script("-c", body + "c = os.fork(); raise SystemExit(os.waitpid(c, 0)[1] if c else 0)")
    assert (ended.returncode, ended.stderr) == (0, "")


class MyError(Exception):
    pass


def provider(images):
    private = images.float()  # a local variable that refers to DALI's memory
    raise MyError(f"not today: {len(private)}")


@pytest.fixture
def failing(root):
    options = {"batch_size": 4, "size": 32, "seed": 1, "device": "cpu", "heatmaps": provider}
    with dali_ops.ImageFolderLoader(root, AttentiveCutMix(), **options) as made:
        yield made


def test_an_error_of_a_callback_reaches_the_user_of_a_loader(failing):
    for _ in range(2):  # it may be tried again
        with pytest.raises(MyError, match="not today: 4") as caught:
            next(iter(failing))
        assert "ModelHeatmaps" in str(caught.value.__cause__)
        assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "provider"


def test_an_error_that_is_kept_holds_nothing_of_dali(failing):
    with pytest.raises(MyError) as caught:
        next(iter(failing))
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    assert "private" not in frames[-1].f_locals
    assert lifetime.guard(_pipeline()).take() is None


def test_plain_pipelines_keep_no_errors():
    pipeline = _pipeline()
    with pytest.raises(MyError):
        lifetime.guard(pipeline).noted(provider)(torch.zeros(4))
    assert lifetime.guard(pipeline).take() is None


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(5), GeneratorExit()], ids=lambda e: type(e).__name__)
def test_errors_that_are_no_exceptions_come_out_as_they_are(root, error):
    def stopping(images):
        raise error

    loader = dali_ops.ImageFolderLoader(root, AttentiveCutMix(), 4, size=32, device="cpu", heatmaps=stopping)
    with loader, pytest.raises(type(error)):
        next(iter(loader))


def test_an_error_of_a_batch_that_nobody_asked_for_goes_with_the_loader(root):
    tried = []

    def second_time(images):
        tried.append(images)
        if len(tried) > 1:
            raise MyError("not today")
        return torch.zeros(len(images), 7, 7)

    options = {"batch_size": 4, "size": 32, "device": "cpu", "heatmaps": second_time, "prefetch": 3}
    loader = dali_ops.ImageFolderLoader(root, AttentiveCutMix(), **options)
    next(iter(loader))
    callbacks = lifetime.guard(loader._stepper._pipeline)
    while callbacks._last is None:  # the batch that the pipeline works ahead
        time.sleep(0.01)
    loader.close()
    assert callbacks._last is None


def test_one_error_again_and_again_is_told_once(root):
    error = MyError("not today")

    def fails(images):
        raise error

    loader = dali_ops.ImageFolderLoader(root, AttentiveCutMix(), 4, size=32, device="cpu", heatmaps=fails)
    for _ in range(3):
        with pytest.raises(MyError) as caught:
            next(iter(loader))
        assert caught.value.__cause__ is not None
        assert caught.value.__cause__.__cause__ is None


def test_a_provider_that_runs_out_does_not_end_the_epoch(root):
    def empty(images):
        return next(iter(()))

    loader = dali_ops.ImageFolderLoader(root, AttentiveCutMix(), 4, size=32, device="cpu", heatmaps=empty)
    with loader, pytest.raises(RuntimeError, match="a function that the pipeline calls raised StopIteration"):
        list(loader)


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

    loaders.append(dali_ops.ImageFolderLoader(root, AttentiveCutMix(), 4, size=32, device="cpu", heatmaps=using))
    with loaders[0], pytest.raises(RuntimeError, match=message):
        next(iter(loaders[0]))


def test_a_provider_may_use_another_loader(root):
    options = {"batch_size": 4, "size": 32, "device": "cpu"}

    def using(images):
        with dali_ops.ImageFolderLoader(root, CutMix(), **options) as other:
            next(iter(other))
        return torch.zeros(len(images), 7, 7)

    with dali_ops.ImageFolderLoader(root, AttentiveCutMix(), heatmaps=using, **options) as loader:
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
        options = {"batch_size": 4, "size": 32, "device": "cpu", "heatmaps": provider, "prefetch": 4}
        self.loader, self.own = dali_ops.ImageFolderLoader(sys.argv[1], AttentiveCutMix(), **options), self

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
        loader = dali_ops.ImageFolderLoader(root, AttentiveCutMix(), 4, size=32, device="cpu", heatmaps=slowly)
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


def chained(images):
    try:
        {}["missing key"]
    except KeyError as error:
        raise MyError("cannot read maps") from error


def in_passing(images):
    try:
        {}["missing key"]
    except KeyError:
        raise MyError("cannot read maps")  # noqa: B904


def from_none(images):
    try:
        {}["missing key"]
    except KeyError:
        raise MyError("cannot read maps") from None


@pytest.mark.parametrize("function", [chained, in_passing, from_none], ids=lambda way: way.__name__)
def test_what_an_error_was_raised_from_is_told_too(root, function):
    loader = dali_ops.ImageFolderLoader(root, AttentiveCutMix(), 4, size=32, device="cpu", heatmaps=function)
    with loader, pytest.raises(MyError, match="cannot read maps") as caught:
        next(iter(loader))
    told = "".join(traceback.format_exception(caught.value))
    assert ("missing key" in told) == (function is not from_none)
    assert "ModelHeatmaps" in told


AFTER = """
import atexit, time

@atexit.register  # before dali_ops is imported, so that it runs after what that has registered
def late():
    began = time.perf_counter()
    for _ in range(3):
        pipeline = _pipeline()
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
from tests.pipeline_ends import _pipeline
lifetime.PATIENCE = 60  # for each of them, if nobody were there any more to shut them down
loader = dali_ops.ImageFolderLoader(sys.argv[1], CutMix(), 4, size=32, device="cpu")
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

loader = dali_ops.ImageFolderLoader(sys.argv[1], AttentiveCutMix(), 4, size=32, device="cpu", heatmaps=provider)
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
