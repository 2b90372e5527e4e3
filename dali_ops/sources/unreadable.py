"""Finding the images that a pipeline could not read or decode: DALI does not say which they were."""

from __future__ import annotations

from collections.abc import Iterable

from nvidia.dali import fn, pipeline_def, types

from dali_ops.sources.source import Source


def unreadable(error: RuntimeError, source: Source, numbers: Iterable[int]) -> list[int]:
    """Those of some images that cannot be decoded, if a pipeline's `error` comes from reading or decoding.

    Each is decoded by itself, in the way of the training pipeline, so `numbers` should be few.
    """
    if not any(operator in str(error) for operator in ("decoders", "peek_image_shape", "io.file.read")):
        return []
    pipeline = _decode(batch_size=1, num_threads=1, device_id=None, prefetch_queue_depth=1)
    return [number for number in numbers if not _decodes(pipeline, source, number)]


def refuse_unreadable(error: RuntimeError, source: Source, numbers: Iterable[int]) -> None:
    """Raise a ValueError that names the first image that cannot be decoded, if the `error` comes from one."""
    for number in unreadable(error, source, numbers):
        raise ValueError(f"{source.place(number)} cannot be decoded as an image") from error


def _decodes(pipeline: object, source: Source, number: int) -> bool:
    try:
        pipeline.feed_input("encoded", [source.read(number)])  # type: ignore[attr-defined]
        pipeline.run()  # type: ignore[attr-defined]
    except (RuntimeError, OSError):
        return False
    return True


@pipeline_def
def _decode() -> object:
    encoded = fn.external_source(name="encoded")
    return fn.decoders.image(encoded, output_type=types.RGB)
