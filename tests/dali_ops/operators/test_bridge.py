"""The way from DALI to arrays and back: whole batches uncopied, or the fallback by sample."""

import gc
import sys
import weakref

import numpy as np
import pytest
from nvidia.dali import fn
from nvidia.dali.pipeline import Pipeline, StreamPolicy

from dali_ops.operators import bridge
from dalimix.support.switch_interval import SHORT
from tests.support.pipelines import BATCH, build, images_and_labels, run
from tests.support.same import same


def node(function, num_outputs=1, layouts=None, inputs=images_and_labels):
    layouts = layouts or [""] * num_outputs
    return lambda: tuple(bridge.whole_batch(function, list(inputs()), num_outputs, "cpu", layouts, name="Test"))


def test_this_dali_shares_whole_batches():
    assert bridge._WholeBatch is not None


def test_a_dali_without_the_operator_is_noticed(monkeypatch):
    monkeypatch.setattr(bridge, "OPERATOR", "_NoSuchOperator")
    assert bridge._define_operator() is None


def test_a_stream_for_every_operator_is_refused_on_the_gpu():
    class PerOperator:
        stream_policy = StreamPolicy.PER_OPERATOR

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pipeline, "current", staticmethod(PerOperator))
        with pytest.raises(ValueError, match="one stream for all GPU operators, not StreamPolicy.PER_OPERATOR"):
            bridge.whole_batch(lambda x: [x], [], 1, "gpu", [""], name="Test")


def test_arrays_are_whole_batches(way):
    seen = []

    def function(images, labels):
        seen.append((type(images), images.shape, images.dtype.name, labels.shape, labels.dtype.name))
        return [images + 0]

    run(build(node(function)))
    assert seen[0] == (np.ndarray, (BATCH, 32, 48, 3), "uint8", (BATCH, 1), "int32")


def test_outputs_of_any_number_type_and_rank(way):
    def function(images, labels):
        return [images.astype(np.float16), labels[:, 0] * 2, np.eye(BATCH, dtype=np.float32)]

    ((halves, doubled, identity),) = run(build(node(function, 3)))
    assert halves.dtype == np.float16
    assert doubled.tolist() == [0, 2, 4, 6, 8, 10]
    assert np.array_equal(identity, np.eye(BATCH))


def test_a_callback_gets_the_gil_back_soon(way):
    """Otherwise each loop that gives it up would wait 5 ms beside a busy thread."""
    seen = []

    def function(images, labels):
        seen.append(sys.getswitchinterval())
        return [images + 0]

    run(build(node(function)))
    assert seen[0] == pytest.approx(SHORT * 1e-6, rel=0.02)


def test_a_model_does_not_disturb_other_threads(way):
    seen, usual = [], sys.getswitchinterval()

    def function(images):
        seen.append(sys.getswitchinterval())
        return [images + 0]

    def nodes():
        return tuple(bridge.whole_batch(function, [images_and_labels()[0]], 1, "cpu", [""], name="Test", tensors=True))

    run(build(nodes))
    assert seen[0] == usual


def test_given_layouts(way):
    outputs = build(node(lambda x, y: [x.transpose(0, 3, 1, 2).copy(), y + 0], 2, ["CHW", ""])).run()
    assert [output.layout() for output in outputs] == ["CHW", ""]


def test_inputs_are_not_copied_when_batches_are_shared():
    seen = []
    body = node(lambda x, y: [seen.append((x.flags.owndata, x.flags.writeable)) or x + 0])
    run(build(body))
    assert seen[0] == (False, False)


def test_both_ways_agree(monkeypatch):
    def body():
        images, labels = images_and_labels()
        chance = fn.random.uniform(range=[0.0, 1.0], shape=[2])
        outputs = bridge.whole_batch(
            lambda x, y, u: [255 - x, y * u], [images, labels, chance], 2, "cpu", ["HWC", ""], name="Test"
        )
        return tuple(outputs)

    shared = run(build(body), 3)
    monkeypatch.setattr(bridge, "_WholeBatch", None)
    assert same(shared, run(build(body), 3))


def test_the_callback_lives_as_long_as_the_pipeline(way):
    class Function:
        def __call__(self, images, labels):
            return [images + 0]

    def build_it():
        function = Function()
        return build(node(function)), weakref.ref(function)

    pipeline, alive = build_it()
    gc.collect()
    run(pipeline, 3)
    assert alive() is not None


def test_an_error_names_its_cause_and_the_pipeline_can_be_built_anew(way):
    def failing(images, labels):
        raise ValueError("labels has 31 entries but the batch has 32 images")

    with pytest.raises(RuntimeError, match="labels has 31 entries but the batch has 32 images"):
        run(build(node(failing)))
    assert len(run(build(node(lambda x, y: [x + 0])))) == 1


def test_samples_of_different_size_are_an_error():
    def ragged():
        images = fn.external_source(lambda: [np.zeros((8 + k, 8, 3), np.uint8) for k in range(BATCH)], batch=True)
        return [images]

    with pytest.raises(RuntimeError, match=r"uniform shape|different shapes"):
        run(build(node(lambda x: [x + 0], inputs=ragged)))


def test_dropping_a_pipeline_that_has_run_ahead_does_not_hang(way):
    for _ in range(3):
        pipeline = build(node(lambda x, y: [x + 0]), prefetch_queue_depth=4)
        pipeline.run()
        del pipeline
        gc.collect()


def test_outputs_outlive_the_pipeline_and_the_following_batches(way):
    counter = iter(range(1000))
    pipeline = build(node(lambda x, y: [np.full_like(x, next(counter))]))
    kept = [pipeline.run()[0] for _ in range(10)]
    del pipeline
    gc.collect()
    assert [int(np.array(output.as_array()).max()) for output in kept] == list(range(10))
