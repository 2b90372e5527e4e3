"""A shard as an array whose bytes are those of the file, read when they are touched."""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref

import numpy as np

from dali_ops.sources.archives.shard_files import ShardFile

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_FAILED = ctypes.c_void_p(-1).value


def map_shard(shard: ShardFile) -> np.ndarray:
    """Map a shard into memory, until the array and all its parts are gone.

    Python's own mmap keeps a descriptor of the file, unless told not to from Python 3.13 on, and so does
    ``np.memmap``: the shards of ImageNet as TFRecords, 1024, would reach the usual limit of open files. This one keeps
    none. A file that shrinks while it is mapped, or a disk that fails, ends the process (SIGBUS), as with any map.

    Returns:
        uint8 [bytes of the file], read-only.

    Raises:
        OSError: it cannot be opened or mapped, or has changed since it was found.
    """
    with open(shard.path, "rb") as file:
        facts = os.fstat(file.fileno())
        if (facts.st_size, facts.st_mtime_ns) != (shard.size, shard.modified):
            raise OSError(f"{shard.path} has changed since it was listed, then {shard.size} bytes, now {facts.st_size}")
        address = _LIBC.mmap(None, shard.size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
    if address == _FAILED:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), shard.path)
    memory = (ctypes.c_uint8 * shard.size).from_address(address)
    unmap = weakref.finalize(memory, _LIBC.munmap, address, shard.size)
    unmap.atexit = False  # a pipeline's threads may still read when the interpreter ends
    array = np.ctypeslib.as_array(memory)
    array.flags.writeable = False
    return array
