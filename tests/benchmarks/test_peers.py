"""bench_peers.py times ours against others that do the same; the twin keeps up with them and loops over no samples."""

import sys
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("nvidia.dali")

import dalimix
from dalimix import CutMix, Mixup
from tests.benchmarks.test_benchmarks import imported, run

bench_peers = imported("bench_peers")
dali_way, timm_way, torch_way = bench_peers.dali_way, bench_peers.timm_way, bench_peers.torch_way
peer_checks, one_thread, on_cpu = bench_peers.peer_checks, bench_peers.one_thread, bench_peers.on_cpu
Peer, Setting, Told = bench_peers.Peer, bench_peers.Setting, bench_peers.Told
TIMM = "timm's Mixup" if timm_way.installed() else "timm's way"
KINDS = pytest.mark.parametrize("kind", [CutMix, Mixup])
PERS = pytest.mark.parametrize("per", ["batch", "pair", "sample"])


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """All peers but the compiled one, which takes half a minute."""
    peers = [name for name in [*bench_peers.PEERS, bench_peers.DALI] if name != "compiled"]
    tiny = "--batch", "4", "--size", "32", "--rounds", "1", "--dtype", "float16", "--peers", *peers
    return run(tmp_path_factory.mktemp("peers"), *tiny, script="bench_peers.py")


def test_every_peer_is_timed(ran):
    _, result = ran
    found = {(row["what"], row["baseline"]) for row in result["rows"]}
    expected = set()
    for kind in ("CutMix", "Mixup"):
        batch, pair, sample = (f"{kind}, per {per}, float16" for per in ("batch", "pair", "sample"))
        expected |= {(case, peer) for case in (batch, pair, sample) for peer in ("BatchMixer", "torch", TIMM)}
        expected |= {(f"pipeline, {sample}", own) for own in (dali_way.OWN, dali_way.ALONE)}
        expected |= {(batch, "ours, per sample")}
        if find_spec("kornia"):
            expected |= {(f"{case}, labels in pairs", "Kornia") for case in (batch, sample)}
        expected |= {(batch, "torchvision v2")} if find_spec("torchvision") else set()
    assert found == expected
    assert len(found) == len(result["rows"])
    assert all(row["median ms"] > 0 and row["speedup"] > 0 for row in result["rows"])


def test_what_is_left_out_is_said(ran):
    text, result = ran
    missing = [name for name in ("torchvision", "kornia") if not find_spec(name)]
    wanted = ["compiled (--peers)", *(f"{name}: No module" for name in missing), "the CUDA kernels"]
    wanted += [] if timm_way.installed() else ["timm itself (not installed)"]
    assert len(result["left out"]) == len(wanted)
    for beginning in wanted:
        assert any(sentence.startswith(beginning) for sentence in result["left out"]), beginning
        assert f"left out: {beginning}" in text


def test_bytes_are_counted_once(ran):
    _, result = ran
    for row in result["rows"]:
        assert row["batch"] == 4
        labels = 8 + 8 + 8 if "labels in pairs" in row["what"] else 4000
        assert row["GB/s"] * row["median ms"] * 1e6 == pytest.approx(4 * 32 * 32 * 3 * 3 + 4 * (8 + labels))


# ---- the checks notice what is wrong


def case(kind, per, batch=6, size=32):
    setting = Setting("cpu", batch, size, 1, on_cpu)
    method = kind(per=per, pairing=bench_peers.PAIRINGS[per])
    return method, bench_peers.batches(method, setting)[0]


def spoilt(peer, change):
    """The peer with other results."""
    return replace(peer, mix=lambda *told: change(*peer.mix(*told)))


def shifted_pixels(pixels, targets):
    return pixels.roll(1, 3), targets


def one_pixel(pixels, targets):
    pixels[-1, -1, -1, -1] += 0.1
    return pixels, targets


def shifted_targets(pixels, targets):
    return pixels, targets.roll(1, 0)


def unsmoothed(pixels, targets):
    return pixels, targets / targets.max()


def in_hwc(pixels, targets):
    return pixels.contiguous(memory_format=torch.channels_last), targets


@pytest.mark.parametrize("change", [shifted_pixels, one_pixel, shifted_targets, unsmoothed, in_hwc])
@KINDS
@PERS
def test_a_peer_that_is_wrong_is_noticed(kind, per, change):
    method, batch = case(kind, per)
    for makers in (torch_way.whole_batch, torch_way.batch_mixer):  # told, and drawing by itself
        (peer,) = makers(method, torch.float32)
        peer_checks.check(peer, method, *batch.told)
        with pytest.raises(AssertionError, match=f"{peer.name}|no box"):
            peer_checks.check(spoilt(peer, change), method, *batch.told)


@KINDS
@PERS
def test_timms_way_is_right(kind, per):
    """Also where timm itself takes its place."""
    method, batch = case(kind, per)
    for dtype in (torch.float16, torch.float32):
        peer = Peer("timm's way", timm_way.written_anew(method, dtype), told=True)
        peer_checks.check(peer, method, *batch.told)


@KINDS
@PERS
def test_timms_way_waits_for_no_device(kind, per):
    """Tensors without memory have no values that could be fetched."""
    method, batch = case(kind, per)
    images, labels, plan = batch.told
    images, labels, *arrays = (array.to("meta") for array in (images, labels, *plan.arrays()))
    pixels, targets = timm_way.written_anew(method, torch.float16)(images, labels, Told(*arrays, lists=plan.lists))
    assert (pixels.shape, targets.shape) == ((6, 3, 32, 32), (6, 1000))


@KINDS
def test_a_share_that_does_not_fit_the_pixels_is_noticed(kind):
    """Of a peer that draws, only what comes out is known."""
    method, batch = case(kind, "sample")
    (peer,) = torch_way.batch_mixer(method, torch.float32)

    def mix(images, labels, plan):
        pixels, _ = peer.mix(images, labels, plan)
        return pixels, peer.mix(images, labels, plan)[1]

    with pytest.raises(AssertionError, match="BatchMixer: other"):
        peer_checks.check(replace(peer, mix=mix), method, *batch.told)


def test_the_compiled_peer_is_one_graph(monkeypatch):
    """Without the compiler behind it, which takes half a minute."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    for kind in (CutMix, Mixup):
        method, batch = case(kind, "sample")
        peer_checks.check(*torch_way.compiled(method, torch.float16), method, *batch.told)


def test_a_peer_that_does_not_run_here_is_left_out():
    _, batch = case(CutMix, "batch")

    def mix(*_):
        raise RuntimeError("no compiler\nand more")

    left_out = []
    assert not bench_peers.works(Peer("broken", mix, told=True), batch, left_out)
    assert left_out == ["broken: no compiler"]


def test_what_is_pasted_must_be_a_box():
    pixels = torch.zeros(2, 3, 4, 4) - peer_checks.MEAN[0] / peer_checks.STD[0]  # painted with 0
    pixels[1] += 1 / peer_checks.STD[0]
    pixels[0, :, 1:3, 2:4] = 1.0
    assert peer_checks.read_boxes(pixels).tolist() == [[1, 2, 3, 4], [0, 0, 0, 0]]
    pixels[0, :, 0, 0] = 1.0
    with pytest.raises(AssertionError, match="no box"):
        peer_checks.read_boxes(pixels)


@KINDS
def test_pipelines_are_checked(kind):
    """Other images, another plan, or another type."""
    method, first = case(kind, "sample")
    told, another = map(bench_peers.dali_batch, (first, other_batch(method)))
    pipelines = dali_way.pipelines(method, "float16", [told], "cpu")
    assert list(pipelines) == [dali_way.OURS, dali_way.OWN, dali_way.ALONE]
    for name, pipeline in pipelines.items():
        bench_peers.check_pipeline(name, pipeline, "float16", told)
    other_plan, other_images = (*told[:2], another[2]), (another[0], *told[1:])
    wrong = [(dali_way.OURS, "float32", told), (dali_way.OWN, "float16", other_plan)]
    wrong += [(name, "float16", other_images) for name in (dali_way.OWN, dali_way.ALONE)]
    for name, dtype, batch in wrong:
        with pytest.raises(AssertionError, match=f"{name}: "):
            bench_peers.check_pipeline(name, pipelines[name], dtype, batch)


def other_batch(method):
    return bench_peers.batches(method, Setting("cpu", 6, 32, 1, on_cpu))[1]


# ---- what is compared with what


def test_ratios_are_its_time_by_ours():
    """By a timer that knows who runs: ours 1 ms, ours with pairs of labels 2, a peer 6."""

    def timer(run, _):
        return {"dense": 1.0, "pair": 2.0}.get(run.args[-1], 6.0)

    setting, method = Setting("cpu", 4, 32, 1, timer), CutMix(per="batch", pairing="flip")
    rows = list(bench_peers.bench_case("a case", method, "float32", setting, ["torch", "kornia"], []))
    found = {row["what"]: (row["median ms"], row["baseline median ms"], row["speedup"]) for row in rows}
    assert found["a case"] == (1, 6, 6)
    if find_spec("kornia"):
        assert found["a case, labels in pairs"] == (2, 6, 3)


def test_sharing_is_measured_as_per_sample_by_per_batch():
    def timer(run, _):
        return {"sample": 3.0, "batch": 2.0}[run.args[0][0].method.per]

    row = bench_peers.bench_sharing(Mixup, "float16", Setting("cpu", 4, 32, 1, timer))
    assert (row["what"], row["baseline"]) == ("Mixup, per batch, float16", "ours, per sample")
    assert (row["median ms"], row["baseline median ms"], row["speedup"]) == (2, 3, 1.5)


# ---- the twin's speed; ratios are of interleaved rounds, by a clock of this thread, which others do not hold up.
# To float32: with float16, how fast the peers are depends on what the machine calculates in it.


def of_this_thread(run, index):
    """Milliseconds that the CPU worked on one run; all that is timed here runs in one thread."""
    start = time.thread_time()
    run(index)
    return (time.thread_time() - start) * 1e3


def ratios(kind, per, peers, size=224, rounds=5):
    """The time of each peer ÷ ours, at B = 64."""
    method = kind(per=per, pairing=bench_peers.PAIRINGS[per])
    setting = Setting("cpu", 64, size, rounds, of_this_thread)
    with one_thread():
        rows = list(bench_peers.bench_case("", method, "float32", setting, peers, []))
    return {row["baseline"]: row["speedup"] for row in rows}


@pytest.mark.parametrize("per", ["batch", "sample"])
@KINDS
def test_the_twin_keeps_up_with_timms_way(kind, per):
    """At least as fast when measured in peace."""
    assert ratios(kind, per, ["timm"])[TIMM] > 0.6


@KINDS
def test_the_twin_is_faster_than_kornia(kind):
    """Four times as fast, and for CutMix ten times, when measured in peace."""
    pytest.importorskip("kornia")
    assert ratios(kind, "sample", ["kornia"], size=112, rounds=3)["Kornia"] > 1.5


@KINDS
def test_mixing_per_sample_costs_what_mixing_per_batch_costs(kind):
    with one_thread():
        row = bench_peers.bench_sharing(kind, "float32", Setting("cpu", 64, 224, 7, of_this_thread))
    assert row["speedup"] < 1.5


def lines_run(function):
    """How many lines of dalimix are executed: a loop over samples shows in it on the busiest machine."""
    counts = Counter()

    def local(frame, event, _):
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
def test_more_samples_are_hardly_more_lines(kind, per, dtype):
    """Not even one for each sample. The images are so small that all rows of all of them are worked on at once."""
    counts, batches = [], (8, 64)
    for batch in batches:
        images, labels = np.zeros((batch, 16, 16, 3), np.uint8), np.arange(batch)
        method = kind(per=per, pairing="flip")
        drawn = dalimix.draw(method, batch, 0)

        def whole(images=images, labels=labels, method=method, drawn=drawn):
            plan = dalimix.plan(method, drawn, (16, 16))
            dalimix.compose(images, plan, mean=100.0, std=2.0, dtype=dtype, output_layout="CHW")
            dalimix.soft_labels(labels, plan, 100, smoothing=0.1)

        whole()  # tables are made once
        counts.append(lines_run(whole))
    assert min(counts) > 50  # some are seen
    assert counts[1] - counts[0] < batches[1] - batches[0]
