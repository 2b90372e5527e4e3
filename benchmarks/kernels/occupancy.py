"""How many warps of a kernel a multiprocessor holds at once, by the rules of CUDA's cuda_occupancy.h."""

from __future__ import annotations

from dataclasses import dataclass

WARP = 32
REGISTERS = 65536  # of a multiprocessor, on all architectures here
QUARTERS = 4  # of a multiprocessor; each has its own registers
REGISTER_GRANULE = 256  # registers are given to warps in such portions


@dataclass(frozen=True)
class Multiprocessor:
    """What fits on one at a time; bytes of shared memory."""

    threads: int
    blocks: int
    shared: int
    reserved: int = 1 << 10  # shared memory that the driver takes of every block
    granule: int = 128  # shared memory is given to blocks in such portions


# CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
MULTIPROCESSORS = {
    75: Multiprocessor(1024, 16, 64 << 10, reserved=0, granule=256),
    80: Multiprocessor(2048, 32, 164 << 10),
    86: Multiprocessor(1536, 16, 100 << 10),
    89: Multiprocessor(1536, 24, 100 << 10),
    90: Multiprocessor(2048, 32, 228 << 10),
    100: Multiprocessor(2048, 32, 228 << 10),
    120: Multiprocessor(1536, 24, 100 << 10),
}


def occupancy(architecture: int, registers: int, shared: int, threads: int) -> float:
    """Warps at a time ÷ the most there can be.

    Args:
        architecture: such as 90.
        registers: of a thread.
        shared: bytes of static shared memory of a block.
        threads: of a block.
    """
    sm, warps = MULTIPROCESSORS[architecture], -(-threads // WARP)
    of_warp = rounded_up(registers * WARP, REGISTER_GRANULE)
    by_registers = REGISTERS // QUARTERS // of_warp * QUARTERS // warps
    by_shared = sm.shared // rounded_up(max(shared + sm.reserved, 1), sm.granule)
    blocks = min(sm.blocks, sm.threads // WARP // warps, by_registers, by_shared)
    return blocks * warps * WARP / sm.threads


def rounded_up(number: int, granule: int) -> int:
    return -(-number // granule) * granule
