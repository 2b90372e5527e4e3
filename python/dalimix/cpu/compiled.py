"""How the loops are compiled, and where what was compiled is kept: the only file that knows Numba's compiler.

Compiling takes seconds, so the machine code is kept on disk: in ``NUMBA_CACHE_DIR``, or beside the source, or in the
user's cache where that cannot be written to. Numba looks only at the file of a function for changes, but a loop
contains what it calls from other files; so all loops count as changed when any file here does.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import caching
from numba.core.compiler_lock import global_compiler_lock

if numba.config.DISABLE_JIT:
    raise RuntimeError("NUMBA_DISABLE_JIT is set, but the loops for the CPU are made to be compiled: unset it")

Function = TypeVar("Function", bound=Callable[..., Any])
logger = logging.getLogger(__name__)
OPTIONS = {"error_model": "numpy", "_nrt": False, "no_cfunc_wrapper": True}


def compiled(function: Function) -> Function:
    """Compile `function` when it is first called. It is short, and keeps the GIL.

    Who gives up the GIL waits for it afterwards, where another thread of Python is busy. Planning 64 images takes
    0.2 ms at most, and 1,024 with heatmaps of 28 × 28 cells 9 ms.

    It is given all the memory that it needs. If it could allocate some (by NRT), every array would be counted, which is
    two calls for each row. Floating-point operations keep their order and their roundings: there is no fastmath, and
    nothing is contracted.
    """
    return _kept(function, numba.njit(**OPTIONS)(function))


def without_gil(function: Function) -> Function:
    """Compile `function` likewise; it gives up the GIL while it runs, because it may take long."""
    return _kept(function, numba.njit(**OPTIONS, nogil=True)(function))


def _kept(function: Function, dispatcher: Any) -> Any:
    """Return the dispatcher, which keeps what it compiles on disk."""
    try:
        dispatcher._cache = _Cache(function)
    except RuntimeError:
        _nowhere()
    return dispatcher


def inlined(function: Function) -> Function:
    """Compile `function` as a part of each loop that calls it."""
    return numba.njit(**OPTIONS, forceinline=True, no_cpython_wrapper=True)(function)


if hasattr(os, "register_at_fork"):  # a child forked while another thread compiles would find the lock held for ever
    _lock = global_compiler_lock
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class _Cache(caching.FunctionCache):
    """Compiled code on disk. It only saves time, so whatever goes wrong with it means to compile again."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            loaded = super().load_overload(sig, target_context)
        except Exception as error:
            logger.debug("compiled code could not be read: %r", error)
            self._forget()
            return _missed()
        # Processes that compile at the same time may give two versions of a function one file.
        return loaded if loaded is not None and tuple(loaded.signature.args) == tuple(sig) else _missed()

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception as error:  # a full disk, for example
            logger.debug("compiled code could not be kept: %r", error)

    def _forget(self) -> None:
        """Empty the index, which would stay damaged otherwise."""
        with suppress(Exception):
            self.flush()


@cache
def _nowhere() -> None:
    """Say once why every process takes longer."""
    logger.info("compiling the loops takes some seconds in every process: set NUMBA_CACHE_DIR to a folder to keep them")


@cache
def _missed() -> None:
    """Say once why the first batch takes longer."""
    logger.info("compiling the loops for this processor, which takes some seconds the first time")


class _Changes:
    def get_source_stamp(self) -> str:
        return _stamp()


@cache
def _stamp() -> str:
    """What the compiled code depends on, beside Numba and the processor."""
    sources = sorted(Path(__file__).parent.rglob("*.py"))
    if not sources:
        raise RuntimeError("without sources, nobody can tell whether compiled code is that of this version")
    contents = b"".join(source.read_bytes() for source in sources)
    return sha256(contents).hexdigest() + f" boundscheck={numba.config.BOUNDSCHECK}"


class _Given(_Changes, caching.UserProvidedCacheLocator):
    pass


class _Beside(_Changes, caching.InTreeCacheLocator):
    pass


class _OfUser(_Changes, caching.UserWideCacheLocator):
    pass


FOLDERS = [_Given, _Beside, _OfUser]  # in which it is kept: the first that can be written to


class _Files(caching.CompileResultCacheImpl):
    _locator_classes = FOLDERS


_Cache._impl_class = _Files
