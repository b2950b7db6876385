"""HyperLogLog registers: how many distinct hashes there were, from the longest run of zeros in each of m parts of them.

The estimate is a function of the registers alone, so of the set of hashes, not of their order: Ertl's improved raw
estimator (Otmar Ertl: New cardinality estimation algorithms for HyperLogLog sketches, arXiv 1702.01284, algorithms
4 to 6), without bias from 0 to 2^64 and with a relative standard error of 1.04 / sqrt(m).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from math import ceil, log2, sqrt

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]

_ERROR = 1.04
_DEVIATIONS = 3  # a stated accuracy holds for 99.7 % of all values
_BITS_AT_LEAST, _BITS_AT_MOST = 4, 20
_ALPHA = 0.721347520444481703680  # 1 / (2 ln 2)


def index_bits(accuracy: Decimal) -> int:
    """log2 of the number of registers at which three standard errors are within ``accuracy`` (a share)."""
    wanted = (_DEVIATIONS * _ERROR / float(accuracy)) ** 2
    return min(max(ceil(log2(wanted)), _BITS_AT_LEAST), _BITS_AT_MOST)


def registers(hashes: Words, bits: int) -> tuple[Integers, Integers]:
    """The register of each hash, and the rank it gives: 1 + the zeros before the first one behind the index bits."""
    index = (hashes >> np.uint64(64 - bits)).astype(np.int64)
    rest = hashes & np.uint64((1 << (64 - bits)) - 1)
    high, low = (rest >> np.uint64(32)).astype(np.float64), (rest & np.uint64(0xFFFFFFFF)).astype(np.float64)
    # frexp gives the bit length of what a double holds exactly, 0 for 0
    length = np.where(high > 0, np.frexp(high)[1] + 32, np.frexp(low)[1]).astype(np.int64)
    return index, (64 - bits) - length + 1


def estimate(counts: Sequence[int], bits: int) -> float:
    """How many distinct hashes; ``counts[r]`` is the number of registers of rank r, from 0 to 65 - ``bits``."""
    m = 1 << bits
    q = 64 - bits
    z = m * _tau(1 - counts[q + 1] / m)
    for rank in range(q, 0, -1):
        z = 0.5 * (z + counts[rank])
    z += m * _sigma(counts[0] / m)
    if z == 0:  # all registers are full
        return 2.0**64
    return 0.0 if z == float("inf") else _ALPHA * m * m / z


def _sigma(x: float) -> float:
    if x == 1:
        return float("inf")
    y, z, before = 1.0, x, -1.0
    while z != before:
        x *= x
        before = z
        z += x * y
        y += y
    return z


def _tau(x: float) -> float:
    if x in (0, 1):
        return 0.0
    y, z, before = 1.0, 1 - x, -1.0
    while z != before:
        x = sqrt(x)
        before = z
        y *= 0.5
        z -= (1 - x) ** 2 * y
    return z / 3
