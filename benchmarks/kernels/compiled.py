"""A kernel as CuPy would have NVRTC compile it, and what that made of it. Needs no GPU."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any

from dalimix.cuda.loader import compile_options, kernel_folder

Symbols = tuple[tuple[str, Any], ...]  # of the preprocessor
Accesses = Counter[tuple[str, str, int]]  # how many instructions, by the argument, "ld" or "st", and bytes

INSTRUCTION = re.compile(r"^\s*(?:@!?%p\d+\s+)?(\w[\w.:]*)\s+([^;]*);", re.MULTILINE)
TO_GLOBAL = re.compile(r"^(ld|st)(?!\.(?:param|shared|local|const))[\w.:]*?(?:\.v(\d))?\.[a-z]+(\d+)$")


@dataclass(frozen=True)
class Compiled:
    """Of one kernel for one architecture. Registers are those of a thread, bytes of shared memory those of a block."""

    name: str
    log: str
    ptx: str

    @property
    def registers(self) -> int:
        return self._number(r"Used (\d+) registers")

    @property
    def stack(self) -> int:
        """Bytes."""
        return self._number(r"(\d+) bytes stack frame")

    @property
    def spills(self) -> tuple[int, int]:
        """Bytes stored and loaded."""
        return self._number(r"(\d+) bytes spill stores"), self._number(r"(\d+) bytes spill loads")

    @property
    def shared(self) -> int:
        """Static; the log is silent where there is none."""
        return self._number(r"(\d+) bytes smem") if "bytes smem" in self.log else 0

    def accesses(self) -> Accesses:
        """The instructions in the PTX that load from global memory and store to it; atomic ones are not counted.

        What becomes of them may have more of the narrow ones: ptxas copies code when it unrolls loops.
        """
        names, behind = _arguments(self.name), _behind(self.ptx)
        found: Accesses = Counter()
        for opcode, operands in INSTRUCTION.findall(self.ptx):
            if access := TO_GLOBAL.match(opcode):
                (address,) = re.findall(r"\[(%\w+)", operands)
                (place,) = behind[address]
                found[names[place], access[1], int(access[2] or 1) * int(access[3]) // 8] += 1
        return found

    def _number(self, pattern: str) -> int:
        (number,) = re.findall(pattern, self.log)
        return int(number)


def missing() -> str:
    """Why nothing can be compiled here; empty if it can."""
    try:
        from cupy.cuda import nvrtc

        nvrtc.getVersion()  # CuPy may be there without the library
    except (ImportError, RuntimeError) as error:
        return f"compiling for GPUs needs CuPy and NVRTC: {error}"
    return ""


@cache
def compiled(name: str, architecture: int, symbols: Symbols) -> Compiled:
    """The kernel of kernels/`name`.cu.

    Raises:
        AssertionError: it does not compile; with the compiler's log.
    """
    from cupy.cuda import nvrtc

    program = nvrtc.createProgram(_source(name), f"{name}.cu", (), ())
    # CuPy adds -ftz=true to whatever it is given.
    options = [*compile_options(**dict(symbols)), "-ftz=true", f"--gpu-architecture=sm_{architecture}"]
    options.append("--ptxas-options=-v")
    try:
        nvrtc.compileProgram(program, options)
    except nvrtc.NVRTCError as error:
        raise AssertionError(f"{error}:\n{nvrtc.getProgramLog(program)}") from None
    ptx = nvrtc.getPTX(program)
    return Compiled(name, nvrtc.getProgramLog(program), ptx if isinstance(ptx, str) else ptx.decode())


def _source(name: str) -> str:
    return (kernel_folder() / f"{name}.cu").read_text()


def _arguments(name: str) -> list[str]:
    """Their names, in the kernel's order."""
    (signature,) = re.findall(rf"__global__ void {name}\((.*?)\)\s*{{", re.sub(r"//.*", "", _source(name)), re.DOTALL)
    return [argument.split()[-1] for argument in signature.split(",")]


def _behind(ptx: str) -> dict[str, set[int]]:
    """Which arguments, by their places, lie behind the address that a register holds."""
    behind: dict[str, set[int]] = {}
    found = -1
    while found < (found := sum(map(len, behind.values()))):  # more than once: loops bring addresses back
        for opcode, operands in INSTRUCTION.findall(ptx):
            target, *sources = re.findall(r"%\w+", operands) or [""]
            if opcode == "ld.param.u64":
                behind[target] = {int(operands.rstrip("]").rpartition("_")[2])}
            elif not opcode.startswith(("ld", "st", "atom", "red")):
                behind[target] = behind.get(target, set()).union(*(behind.get(source, ()) for source in sources))
    return behind
