"""From DALI's batches to arrays and back; the only file that knows DALI's internals.

DALI registers an operator for JAX, ``_JaxFunction``, that hands a callback the whole batch as one tensor, uncopied,
with DALI's CUDA stream, and takes whole batches back. It needs no JAX and keeps no state, so a pipeline with it can be
checkpointed. It is internal to DALI; if it is missing, ``fn.python_function`` does the same, more slowly, because it
passes every sample separately.

**Lifetime on the GPU.** An output that a callback shares with DALI is released when the *host* drops it, while the GPU
may still be reading it; CuPy's pool would then hand the memory to the next batch. DALI's own buffers do not have
that flaw within a pipeline, where they are reused in stream order. So every output is copied once into a buffer of
DALI's; only that copy reads the shared output, on the same stream, and stream order protects it. (Therefore a stream
for every operator is refused.) The copy reads and writes the output once more. It can go once a test with a slow
consumer shows on a GPU that another way is safe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import nvidia.dali.python_function_plugin  # noqa: F401  (registers the operators used here)
from nvidia.dali import fn, ops
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline, StreamPolicy

from dali_ops.decorators import plain_python
from dali_ops.lifetime import guard
from dalimix.arrays import Array, array_module
from dalimix.cuda.stream import borrowed_stream
from dalimix.support.switch_interval import soon_back

Callback = Callable[..., Sequence[Array]]
OPERATOR = "_JaxFunction"


@plain_python  # under enable_conditionals DALI would rewrite the callback, and all it calls, as a graph
def whole_batch(
    function: Callback,
    inputs: Sequence[DataNode],
    num_outputs: int,
    device: str,
    output_layouts: Sequence[str] | None,
    *,
    name: str,
    tensors: bool = False,
) -> list[DataNode]:
    """Make a node that calls ``function(*arrays)`` with whole batches and takes whole batches back.

    Args:
        function: gets one array [B, …] per input, NumPy's or CuPy's, which must not be modified or kept. Returns
            `num_outputs` new contiguous arrays [B, …]. On the GPU it must only queue work on CuPy's current
            stream, which is DALI's (and torch's, with `tensors`).
        inputs: batches of uniform shape on `device`.
        num_outputs: how many arrays `function` returns.
        device: ``"cpu"`` or ``"gpu"``.
        output_layouts: of the samples, one per output, such as ``"CHW"`` or ``""``. None: the first output has that of
            the first input, which must have as many dimensions; only DALI knows it.
        name: of the operator, for DALI's error messages.
        tensors: `function` gets and returns torch tensors instead of arrays.

    Raises:
        RuntimeError: no pipeline is being defined.
        ValueError: on the GPU, in a pipeline with a stream for every operator: see above.
    """
    current = current_pipeline(name)
    if device == "gpu" and current.stream_policy is StreamPolicy.PER_OPERATOR:
        raise ValueError("mixing on the GPU needs one stream for all GPU operators, not StreamPolicy.PER_OPERATOR")
    operator = _Operator(function, num_outputs, device, output_layouts, name, tensors)
    outputs = operator.by_sample(inputs) if _WholeBatch is None else operator.shared(inputs)
    return [fn.copy(output) for output in outputs] if device == "gpu" else outputs


def current_pipeline(name: str, others: str = "") -> Pipeline:
    """Return the pipeline that is being defined.

    Args:
        name: of what is called, for the message.
        others: what to use elsewhere, for the message.

    Raises:
        RuntimeError: no pipeline is being defined.
    """
    current = Pipeline.current()
    if current is None:
        where = "in a function with @pipeline_def, or in a with block of a pipeline"
        raise RuntimeError(f"{name} must be called where a pipeline is defined, {where}{others}")
    return current


def current_threads() -> int:
    """Return how many threads the pipeline that is being defined has; 1 elsewhere."""
    current = Pipeline.current()
    return 1 if current is None else current.num_threads


def moved(node: DataNode, device: str) -> DataNode:
    """Return the node on `device`."""
    if node.device == device:
        return node
    return node.gpu() if device == "gpu" else node.cpu()


def _define_operator() -> Any:
    try:
        base = ops.python_op_factory(OPERATOR, OPERATOR, OPERATOR, generated=False)
    except (AttributeError, KeyError, RuntimeError, TypeError):  # another DALI, without the operator or the factory
        return None

    class WholeBatch(base):  # type: ignore[misc, valid-type]
        def __init__(self, callback: Callback, **kwargs: Any) -> None:
            self.callback = callback  # DALI knows it by its id alone: it must live as long as the operator
            super().__init__(function_id=id(callback), **kwargs)

    return WholeBatch


_WholeBatch = _define_operator()


@dataclass(frozen=True)
class _Operator:
    """A node to make, in one of two ways; see `whole_batch`."""

    function: Callback
    num_outputs: int
    device: str
    layouts: Sequence[str] | None
    name: str
    tensors: bool

    def shared(self, inputs: Sequence[DataNode]) -> list[DataNode]:
        callback = {"cpu": _cpu_callback, "gpu": _gpu_callback}[self.device](self.function, self.tensors)
        operator = type(self.name, (_WholeBatch,), {})  # DALI calls it in its messages as its class is called
        said = {} if self.layouts is None else {"output_layouts": list(self.layouts)}  # else those of the inputs
        made = operator(self._noted(callback), device=self.device, num_outputs=self.num_outputs, **said)
        return self._listed(made(*inputs))

    def by_sample(self, inputs: Sequence[DataNode]) -> list[DataNode]:
        made = fn.python_function(
            *inputs,
            function=self._noted(self._callback_by_sample()),
            num_outputs=self.num_outputs,
            batch_processing=True,
            device=self.device,
            output_layouts=list(self.layouts or [""]),
        )
        outputs = self._listed(made)
        return outputs if self.layouts else [_as_laid_out(inputs[0], outputs[0]), *outputs[1:]]

    def _callback_by_sample(self) -> Callback:
        into, back = _from_dlpack(self.device, self.tensors), _from_dlpack(self.device)

        def callback(*batches: Sequence[Array]) -> Any:
            with _current_stream(self.device, self.tensors):
                outputs = self.function(*(into(array_module(batch[0]).stack(batch)) for batch in batches))
                outputs = [back(output) for output in outputs]
                outputs = tuple([output[k, ...] for k in range(len(output))] for output in outputs)
            return outputs[0] if self.num_outputs == 1 else outputs

        return callback

    def _noted(self, callback: Callback) -> Callback:
        """Guard the pipeline and note the whole callback, since the garbage collector may run anywhere in it.

        Loops for the CPU and launches on a GPU give up the GIL, which the callback would wait for, 5 ms each time,
        where another thread of Python is busy. What takes tensors is a model, which may run for long, and for which
        other threads should not be disturbed.
        """
        quick = callback if self.tensors else partial(soon_back, callback)
        return guard(Pipeline.current()).noted(quick)

    def _listed(self, outputs: Any) -> list[DataNode]:
        """What DALI returns, which is no list where it is one node."""
        return [outputs] if self.num_outputs == 1 else list(outputs)


class Exported:
    """A DALI tensor in the form that `from_dlpack` needs: DALI's ``__dlpack__`` takes the stream and nothing else."""

    def __init__(self, tensor: Any, stream: int | None) -> None:
        self.tensor, self.stream = tensor, stream

    def __dlpack__(self, **_: Any) -> Any:
        return self.tensor.__dlpack__(stream=self.stream)

    def __dlpack_device__(self) -> tuple[int, int]:
        place: tuple[int, int] = self.tensor.__dlpack_device__()
        return place


def _cpu_callback(function: Callback, tensors: bool) -> Callable[..., tuple[Any, ...]]:
    read = _from_dlpack("cpu", tensors)

    def callback(*inputs: Any) -> tuple[Any, ...]:
        outputs = function(*(read(Exported(batch, None)) for batch in inputs))
        return tuple(output.__dlpack__() for output in outputs)

    return callback


def _gpu_callback(function: Callback, tensors: bool) -> Callable[..., tuple[Any, ...]]:
    read = _from_dlpack("gpu", tensors)

    def callback(stream: int, *inputs: Any) -> tuple[Any, ...]:
        with _on_stream(stream, inputs[0].__dlpack_device__()[1], tensors):
            outputs = function(*(read(Exported(batch, stream)) for batch in inputs))
            return tuple(output.__dlpack__(stream=stream) for output in outputs)

    return callback


def _from_dlpack(device: str, tensors: bool = False) -> Callable[[Any], Any]:
    """Return the function that makes arrays of a device, or tensors, of what exports DLPack."""
    library = import_module("torch" if tensors else "cupy" if device == "gpu" else "numpy")
    reader: Callable[[Any], Any] = library.from_dlpack
    return reader


@contextmanager
def _on_stream(pointer: int, device: int, tensors: bool) -> Iterator[None]:
    """Make DALI's stream CuPy's current one, and torch's, whose allocator then reuses memory in its order, too."""
    with borrowed_stream(pointer):
        if not tensors:
            yield
            return
        import torch

        with torch.cuda.stream(torch.cuda.ExternalStream(pointer, device)):
            yield


def _current_stream(device: str, tensors: bool) -> AbstractContextManager[None]:
    """If `function` takes tensors, make CuPy's current stream, which is DALI's in this operator, torch's as well."""
    if device == "cpu" or not tensors:
        return nullcontext()
    import cupy

    return _on_stream(cupy.cuda.get_current_stream().ptr, cupy.cuda.runtime.getDevice(), tensors)


def _as_laid_out(like: DataNode, node: DataNode) -> DataNode:
    """The node, with the layout of `like`: joining it to an empty slice of that one passes the layout on."""
    return fn.cat(fn.cast_like(like[0:0], node), node)
