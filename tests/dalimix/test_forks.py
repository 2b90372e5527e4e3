"""In a forked process, where torch's threads are lost: what casts by torch goes on, and gives the same."""

import multiprocessing
from zlib import crc32

import numpy as np
import pytest
import torch

import dalimix
from dalimix.heatmaps import FeatureHeatmap
from dalimix.torch import BatchMixer
from tests.support.scripts import script

SHAPE = (4, 3, 128, 128)  # large enough that torch shares it among threads
METHOD = dalimix.CutMix()
DRAWS = dalimix.draw(METHOD, len(SHAPE), np.random.default_rng(0))
BYTES = np.random.default_rng(1).integers(0, 256, SHAPE, np.uint8)
IMAGES = {name: torch.from_numpy(BYTES).to(getattr(torch, name)) for name in ("uint8", "bfloat16", "float32")}
LABELS = torch.arange(len(SHAPE))


@pytest.fixture
def several_threads():
    """As a parent has them that has computed something: their threads are there before the fork."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.from_numpy(BYTES).half()
    yield
    torch.set_num_threads(threads)


def in_a_fork(work):
    """The checksum of what `work` gives there; and how many threads torch has there afterwards."""
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(target=lambda: results.put((crc32(work()), torch.get_num_threads())))
    child.start()
    child.join(60)
    ended = child.exitcode
    child.kill()
    assert ended == 0, "it hangs" if ended is None else ended
    return results.get()


def composed(dtype, source):
    plan = dalimix.plan(METHOD, DRAWS, SHAPE[2:])
    return dalimix.compose(BYTES.astype(source), plan, mean=1.0, dtype=dtype, layout="CHW").tobytes()


def mixed(source, dtype):
    out = BatchMixer(METHOD, len(SHAPE), mean=1.0, dtype=dtype)(IMAGES[source], LABELS, draws=DRAWS)[0]
    return out.view(torch.uint8).numpy().tobytes()


def looked():
    return FeatureHeatmap(torch.nn.ReLU(), "")(IMAGES["uint8"]).numpy().tobytes()


WORK = {
    "compose, bytes to float16": lambda: composed("float16", "uint8"),
    "compose, float32 to float16": lambda: composed("float16", "float32"),
    "mixer, bfloat16": lambda: mixed("bfloat16", None),
    "mixer, float32 to bfloat16": lambda: mixed("float32", "bfloat16"),
    "mixer, float32 to float16": lambda: mixed("float32", "float16"),
    "provider": looked,
}


@pytest.mark.parametrize("name", WORK)
def test_what_is_computed_by_torch_does_not_wait_for_lost_threads(several_threads, name):
    inside, threads = in_a_fork(WORK[name])
    assert inside == crc32(WORK[name]())
    assert threads == 2


def test_also_where_the_child_is_the_first_to_import(tmp_path):
    """Torch has its threads before the fork; dalimix is imported only after it."""
    first = tmp_path / "first.py"
    first.write_text(
        "import multiprocessing, numpy, torch\n"
        "torch.set_num_threads(2)\n"
        "images = numpy.ones((4, 128, 128, 3), numpy.float32)\n"
        "torch.from_numpy(images).half()\n"
        "def work(number):\n"
        "    import dalimix\n"
        "    method = dalimix.CutMix()\n"
        "    plan = dalimix.plan(method, dalimix.draw(method, 4, numpy.random.default_rng(0)), (128, 128))\n"
        "    return dalimix.compose(images, plan, dtype='float16').sum(dtype=float)\n"
        "with multiprocessing.get_context('fork').Pool(1) as pool:\n"
        "    print(*pool.map_async(work, [0]).get(60))\n"
    )
    ran = script(first)
    assert ran.stdout == f"{float(np.prod((4, 128, 128, 3)))}\n", ran.stderr
