"""The inputs of our operators in a pipeline: nodes of one shape on one device, and the layout of the images.

**Facts.** DALI knows the layout of a node and the shapes of its samples only when the pipeline runs, and its operator
for whole batches refuses samples of several shapes before it calls us. So these facts travel along as one more node, a
row of integers for each sample: the layout in bytes, -1, the shape of the images, -1, the shape of the labels, and so
on. DALI makes the rows from what it knows about the samples, and reads no pixel for them, on a GPU as on the CPU. Rows
that differ from the first one of the batch go to `_Refuse`, in a branch of the graph that is skipped if there are none.

**Layouts of outputs** are given when a graph is made, or left out: then DALI passes on the layout of the input in the
same position. So the images are the first input and the first output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline

from dali_ops.device import check_device, device_number
from dali_ops.operators import bridge
from dalimix import checks
from dalimix.arrays import Array

END = -1  # of the layout and of every shape
MOST_CHANNELS = 4  # of what a decoder makes
TYPES = {"fn": {"f": "types.FLOAT", "i": "types.INT64"}, "ndd": {"f": "ndd.float32", "i": "ndd.int64"}}


def check_node(name: str, given: Any, such_as: str = "that of a reader or a decoder") -> None:
    """Refuse what is not a node.

    Raises:
        TypeError: with the function to use for it instead.
    """
    if isinstance(given, DataNode):
        return
    others = "; for arrays there are dalimix.plan and dalimix.compose, for tensors dalimix.torch.BatchMixer"
    remedy = others if hasattr(given, "__dlpack__") else ""
    raise TypeError(f"{name} must be a pipeline node, such as {such_as}, got {type(given).__name__}{remedy}")


def check_cpu_node(name: str, given: Any) -> None:
    """Refuse what is not a node on the CPU.

    Raises:
        TypeError, ValueError: it is something else, or on the GPU.
    """
    check_node(name, given)
    if given.device != "cpu":
        raise ValueError(f"{name} must be on the CPU, got a node on the GPU")


def device_of(given: Any, node: DataNode) -> str:
    """Return ``"cpu"`` or ``"gpu"``: what is given, or the device of the node.

    Raises:
        TypeError, ValueError: it is not a device, or another GPU than that of the pipeline.
        ModuleNotFoundError: a GPU without CuPy.
    """
    device = check_device(node.device if given is None else given)
    number, pipeline = device_number(given), Pipeline.current()
    if number is not None and pipeline is not None and pipeline.device_id not in (None, number):
        raise ValueError(f"device is {str(given)!r}, but the pipeline runs on GPU {pipeline.device_id}")
    return device


def facts(layout: str | None, images: DataNode, **others: DataNode | None) -> DataNode | None:
    """Return the node of what is known about a batch; None if DALI's executor cannot tell it for nodes on a GPU.

    Args:
        layout: given by the user.
        images: the node whose layout counts.
        others: further nodes, by name, each of one shape.

    Raises:
        ValueError: neither the executor nor the user tells the layout.
    """
    inputs = {"images": images, **{name: node for name, node in others.items() if node is not None}}
    try:
        rows = rows_of(*inputs.values())
    except RuntimeError:  # only the dynamic executor goes from the GPU back to the CPU
        if layout is None:
            raise ValueError("layout must be said, such as layout='HWC', where exec_dynamic=False") from None
        return None
    return _alike(rows, tuple(inputs))


def rows_of(images: DataNode, *others: DataNode) -> DataNode:
    """Int32 [n], on the CPU: the facts of each sample; see above."""
    said, shapes = images.property("layout"), [node.shape(dtype=types.INT32) for node in (images, *others)]
    end = fn.constant(idata=[END], shape=[1], dtype=types.INT32)
    return fn.cat(fn.cast(said, dtype=types.INT32), *[part for shape in shapes for part in (end, shape)])


def layout_and_shape(row: Any) -> tuple[str, list[int]]:
    """The layout and the shape of an image, by the facts of one sample."""
    said, shape, *_ = _parts(row.tolist())
    return bytes(said).decode(), shape


def _alike(rows: DataNode, names: tuple[str, ...]) -> DataNode:
    """Return the same rows, after an operator that raises an error if they differ."""
    first = fn.permute_batch(rows, indices=fn.constant(idata=0, shape=[]))
    differs = fn.reductions.rms(rows - first) > 0  # every operator here costs some µs per image
    wrong, right = fn._conditional.split(rows, predicate=differs, _if_stmt=True)
    expected, _ = fn._conditional.split(first, predicate=differs, _if_stmt=True)
    (wrong,) = bridge.whole_batch(_Refuse(names), [wrong, expected], 1, "cpu", [""], name="MixInputs")
    return fn._conditional.merge(wrong, right, predicate=differs)


@dataclass(frozen=True)
class _Refuse:
    """The callback for rows that differ from the first one of their batch."""

    names: tuple[str, ...]

    def __call__(self, rows: Any, expected: Any) -> NoReturn:
        _, *got = _parts(rows[0].tolist())
        _, *first = _parts(expected[0].tolist())
        for name, one, other in zip(self.names, first, got, strict=True):
            if one != other:
                raise unequal(name, one, other)
        raise ValueError("images must be of one layout to be mixed")


def unequal(name: str, one: Sequence[int], other: Sequence[int]) -> ValueError:
    """Return the error to raise if samples of the argument `name` have these two shapes."""
    remedy = _to_one_shape(one, other) if name in ("images", "batch") else f"all {name} of a batch need one shape"
    return ValueError(f"{name} must be of one shape to be mixed, got {list(one)} and {list(other)}: {remedy}")


def _to_one_shape(one: Sequence[int], other: Sequence[int]) -> str:
    """What to do with images of two shapes of equally many dimensions."""
    if len(one) == 1:
        return "decode before mixing, as decoders.image does"
    if len(one) == 3:
        differ = [k for k in range(3) if one[k] != other[k]]
        channels = next((k for k in (2, 0) if k in differ and max(one[k], other[k]) <= MOST_CHANNELS), None)
        if channels is not None:
            resize = ", and resize before mixing" if len(differ) > 1 else ""
            return f"decode all with output_type=types.RGB, for three channels{resize}"
    return "resize before mixing"


def check_images(images: Array, calls: str = "fn") -> None:
    """Refuse images of a dtype that cannot be mixed, and what `check_decoded` refuses.

    Args:
        images: whole batch.
        calls: the module of DALI's operators, ``"fn"``, or in dynamic mode ``"ndd"``.

    Raises:
        TypeError, ValueError: with the operator to call.
    """
    name, dtype = "images" if calls == "fn" else "batch", images.dtype
    check_decoded(images, name, calls)
    if str(dtype) not in checks.OF_NUMPY:
        remedy = f"cast before, as {calls}.cast({name}, dtype={TYPES[calls]['f']}) does"
        raise TypeError(f"{name} must have dtype {', '.join(checks.OF_NUMPY)}, got {dtype}: {remedy}")


def check_decoded(images: Any, name: str = "images", calls: str = "fn") -> None:
    """Refuse samples that are not images yet; `images` is an array or a tensor.

    Raises:
        ValueError: with the operator that is missing.
    """
    shape, dtype = list(images.shape[1:]), str(images.dtype).rpartition(".")[2]
    if len(shape) < 3:
        expected = f"{name} must be [H, W, C] or [C, H, W], got {dtype} {shape}"
        raise ValueError(f"{expected}: {_to_an_image(name, len(shape), dtype, calls)}")


def _to_an_image(name: str, ndim: int, dtype: str, calls: str) -> str:
    """What to do with samples of one dimension, of two, or of none."""
    if ndim == 2:
        return f"a channel axis is missing, which {calls}.expand_dims({name}, axes=2) adds"
    if ndim == 1 and dtype == "uint8":
        return f"decode before mixing, as {calls}.decoders.image({name}, output_type=types.RGB) does"
    return "are images and labels in each other's place?"


def check_labels(labels: Array, calls: str = "fn") -> None:
    """Refuse labels of nodes that have the other kind of numbers, with the operator to call.

    Raises:
        TypeError: floating scalars, or several integers for each image.
        ValueError: labels of two dimensions or more.
    """
    shape, dtype = list(labels.shape[1:]), labels.dtype
    expected = f"labels must be integer, one class index for each image, or floating [classes], got {dtype} {shape}"
    if len(shape) > 1:
        raise ValueError(f"{expected}: are images and labels in each other's place?")
    kind = "i" if dtype.kind == "f" and not shape else "f" if dtype.kind in "iub" and shape not in ([], [1]) else None
    if kind is not None:
        which = "class indices" if kind == "i" else "several classes an image"
        raise TypeError(f"{expected}: {which} are {calls}.cast(labels, dtype={TYPES[calls][kind]})")


def _parts(row: Sequence[int]) -> list[list[int]]:
    """Split a row at its ends: the layout in bytes, then shapes."""
    parts: list[list[int]] = [[]]
    for number in row:
        if number == END:
            parts.append([])
        else:
            parts[-1].append(number)
    return parts


class NodeLayout:
    """The layout of a node's images, found from its first batch, since the layout of a node never changes.

    On a GPU the host waits for that batch, and for no other.

    Args:
        given: by the user; None: the node's own.
    """

    def __init__(self, given: checks.Layout | None) -> None:
        self.given = given
        self._known: checks.Layout | None = None

    def of(self, rows: Any | None, shape: Sequence[int]) -> checks.Layout:
        """Return the layout of images [B, …], by the facts of their batch, if there are any.

        Raises:
            ValueError: as in `layout_of_images`.
        """
        if self._known is None:
            own = "" if rows is None else layout_and_shape(rows[0])[0]
            self._known = layout_of_images(self.given, own, shape)
        return self._known


def layout_of_images(
    given: checks.Layout | None, own: str, shape: Sequence[int], name: str = "images"
) -> checks.Layout:
    """Return ``"HWC"`` or ``"CHW"``: the images' own layout, else the user's, else HWC, as everywhere in DALI.

    Args:
        given: by the user, or None.
        own: of the images, or empty.
        shape: [B, …] of the images.
        name: the argument's name, for the message.

    Raises:
        ValueError: they contradict each other, or the shape contradicts the assumption, or the layout is not of images.
    """
    if own and own not in checks.LAYOUTS:
        remedy = "give grey images a channel: images[:, :, dali.newaxis('C')]" if own == "HW" else "mix single images"
        raise ValueError(f"{name} has layout {own!r}, but 'HWC' or 'CHW' is expected: {remedy}")
    if own and given and own != given:
        raise ValueError(f"{name} has layout {own!r}, but layout is {given!r}: leave layout out")
    if not own and not given and len(shape) == 4 and checks.seems_other(shape, "HWC"):
        raise ValueError(f"{name} {list(shape)} look like CHW, but layout is not said: give layout='CHW'")
    return "CHW" if (own or given) == "CHW" else "HWC"
