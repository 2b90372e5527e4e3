"""Peers of bench_peers.py do the same work as ours; and how fast ours is on the CPU."""

import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

import dalimix
from benchmarks.harness import on_cpu
from benchmarks.peers import bench_peers, cases, checks, dali_way, timm_way, torch_way
from benchmarks.peers.cases import Setting
from benchmarks.peers.peer import Peer, Told
from benchmarks.tensors import one_thread
from dalimix import CutMix, Mixup

KINDS = pytest.mark.parametrize("kind", [CutMix, Mixup], ids=lambda kind: kind.__name__)
PERS = pytest.mark.parametrize("per", ["batch", "pair", "sample"])


def case(kind: Any, per: str, number: int = 0) -> tuple[Any, cases.Batch]:
    method = kind(per=per, pairing=cases.PAIRINGS[per])
    return method, cases.batches(method, Setting("cpu", 6, 32, 1, on_cpu))[number]


# ---- the checks notice what is wrong


def one_pixel(pixels: Any, targets: Any) -> tuple[Any, Any]:
    pixels[-1, -1, -1, -1] += 0.1
    return pixels, targets


def shifted_targets(pixels: Any, targets: Any) -> tuple[Any, Any]:
    return pixels, targets.roll(1, 0)


def in_hwc(pixels: Any, targets: Any) -> tuple[Any, Any]:
    return pixels.contiguous(memory_format=torch.channels_last), targets


@pytest.mark.parametrize("change", [one_pixel, shifted_targets, in_hwc])
@KINDS
def test_a_peer_that_is_wrong_is_noticed(kind: Any, change: Callable[..., Any]) -> None:
    """One that is told the plan, and one that draws by itself."""
    method, batch = case(kind, "sample")
    for makers in (torch_way.whole_batch, torch_way.batch_mixer):
        (peer,) = makers(method, torch.float32)
        checks.check(peer, method, *batch.told)
        wrong = replace(peer, mix=lambda *told, peer=peer: change(*peer.mix(*told)))
        with pytest.raises(AssertionError, match=f"{peer.name}|no box"):
            checks.check(wrong, method, *batch.told)


@KINDS
@PERS
def test_timms_way_is_right_and_waits_for_no_device(kind: Any, per: str) -> None:
    """Also where timm itself takes its place. Tensors without memory have no values that could be fetched."""
    method, batch = case(kind, per)
    way = timm_way.written_anew(method, torch.float16)
    checks.check(Peer("timm's way", way, told=True), method, *batch.told)
    images, labels, plan = batch.told
    images, labels, *arrays = (array.to("meta") for array in (images, labels, *plan.arrays()))
    pixels, targets = way(images, labels, Told(*arrays, lists=plan.lists))
    assert (pixels.shape, targets.shape) == ((6, 3, 32, 32), (6, 1000))


@KINDS
def test_the_compiled_peer_is_one_graph(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the compiler behind it, which takes half a minute."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    method, batch = case(kind, "sample")
    (peer,) = torch_way.compiled(method, torch.float16)
    checks.check(peer, method, *batch.told)


def test_a_peer_that_does_not_run_here_is_left_out() -> None:
    def mix(*_: Any) -> Any:
        raise RuntimeError("no compiler\nand more")

    left_out: list[str] = []
    assert not cases.works(Peer("broken", mix, told=True), case(CutMix, "batch")[1], left_out)
    assert left_out == ["broken: no compiler"]


def test_pipelines_are_checked() -> None:
    """Another plan is noticed."""
    method, first = case(CutMix, "sample")
    told, another = map(bench_peers.dali_batch, (first, case(CutMix, "sample", 1)[1]))
    pipelines = dali_way.pipelines(method, "float16", [told], "cpu")
    for name, pipeline in pipelines.items():
        bench_peers.check_pipeline(name, pipeline, "float16", told)
    with pytest.raises(AssertionError, match=f"{dali_way.OWN}: "):
        bench_peers.check_pipeline(dali_way.OWN, pipelines[dali_way.OWN], "float16", (*told[:2], another[2]))


# ---- what is compared with what


def test_speedups_are_the_time_of_the_peer_by_ours() -> None:
    """By a timer that knows who runs: ours 1 ms, ours with pairs of labels 2, a peer 6."""

    def timer(run: Any, _: int) -> float:
        return {"dense": 1.0, "pair": 2.0}.get(run.args[-1], 6.0)

    setting, method = Setting("cpu", 4, 32, 1, timer), CutMix(per="batch", pairing="flip")
    (row,) = cases.bench_case("a case", method, "float32", setting, ["torch"], [])
    assert (row["what"], row["median ms"], row["baseline median ms"], row["speedup"]) == ("a case", 1, 6, 6)
    assert row["GB/s"] == pytest.approx(4 * (32 * 32 * 3 * (1 + 4) + 8 + 4000) / 1e6)


# ---- how fast ours is on the CPU, in interleaved rounds, by a clock of this thread, which others do not hold up


def of_this_thread(run: Any, index: int) -> float:
    """Milliseconds that the CPU worked on one run; all that is timed here runs in one thread."""
    start = time.thread_time()
    run(index)
    return (time.thread_time() - start) * 1e3


@KINDS
def test_ours_keeps_up_with_timms_way(kind: Any) -> None:
    """Twice as fast when measured in peace."""
    setting = Setting("cpu", 64, 224, 3, of_this_thread)
    with one_thread():
        (row,) = cases.bench_case("", kind(per="sample"), "float32", setting, ["timm"], [])
    assert row["speedup"] > 0.8


def lines_run(function: Callable[[], None]) -> int:
    """How many lines of dalimix are executed: a loop over samples shows in it on the busiest machine."""
    counts: Counter[str] = Counter()

    def local(frame: Any, event: str, _: Any) -> Any:
        counts[event] += 1
        return local

    before = sys.gettrace()
    sys.settrace(lambda frame, *_: local if "dalimix" in frame.f_code.co_filename else None)
    try:
        function()
    finally:
        sys.settrace(before)
    return counts["line"]


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
@PERS
@KINDS
def test_more_samples_are_hardly_more_lines(kind: Any, per: str, dtype: str) -> None:
    """Not even one for each sample. The images are so small that all rows of all of them are worked on at once."""
    counts, batches = [], (8, 64)
    for batch in batches:
        images, labels = np.zeros((batch, 16, 16, 3), np.uint8), np.arange(batch)
        method = kind(per=per, pairing="flip")
        drawn = dalimix.draw(method, batch, 0)

        def whole(images: Any = images, labels: Any = labels, method: Any = method, drawn: Any = drawn) -> None:
            plan = dalimix.plan(method, drawn, (16, 16))
            dalimix.compose(images, plan, mean=100.0, std=2.0, dtype=dtype, output_layout="CHW")
            dalimix.soft_labels(labels, plan, 100, smoothing=0.1)

        whole()  # tables are made once
        counts.append(lines_run(whole))
    assert min(counts) > 50  # some are seen
    assert counts[1] - counts[0] < batches[1] - batches[0]
