"""A child process is told that nothing of DALI is there."""

import os
import time

import numpy as np
import pytest

from dalimix import CutMix
from tests.support.loaders import load, sized
from tests.support.programs.pipeline_ends import a_pipeline
from tests.support.scripts import LIMIT, script


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
    with load(root, CutMix()) as made:
        next(iter(made))
        yield made


def test_a_loader_in_a_forked_process_says_so(loader):
    running = iter(loader)
    smaller = sized(loader, 16)
    calls = [lambda: next(iter(loader)), lambda: next(running), loader.state_dict]
    calls.append(lambda: loader.switch(transform=smaller))
    for call in calls:
        assert in_child(call).startswith("RuntimeError: this loader belongs to another process")
    assert in_child(loader.close) == "nothing"
    assert len(next(iter(loader))[0]) == 4  # here it goes on


def test_a_plain_pipeline_in_a_forked_process_says_so():
    pipelines = [a_pipeline()]
    pipelines[0].build()
    pipelines[0].run()
    assert in_child(lambda: pipelines[0].run()).startswith("RuntimeError: this pipeline belongs to another process")
    assert in_child(pipelines.clear) == "nothing"
    assert in_child(lambda: a_pipeline().run()) == "nothing"  # a new one is the child's own
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
    body = (
        "import os; from tests.support.programs.pipeline_ends import a_pipeline; p = a_pipeline(); p.build(); p.run(); "
    )
    ended = script("-c", body + "c = os.fork(); raise SystemExit(os.waitpid(c, 0)[1] if c else 0)")
    assert (ended.returncode, ended.stderr) == (0, "")
