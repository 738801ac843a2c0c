"""Find where a body fits: exact erosion of the free space, 64 positions at a time.

A row of voxels along x is kept as bits of 64-bit words. Level k holds a bit where 2^k free voxels begin, so that a run
of any length is tested for 64 neighbouring positions with few shifts. A body is a list of such tests (probes); a word
of positions drops out when none of its 64 is left, in crowded space after a handful of probes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVELS: Final = 5
"""Runs of 1, 2, 4, 8 and 16 voxels."""

WORD: Final = 64
"""Positions tested at a time."""


@njit(cache=True, nogil=True)
def pack_free(free: NDArray[np.bool_], pad: int) -> NDArray[np.uint64]:
    """Return the levels of a volume.

    Parameters
    ----------
    free
        ``(z, y, x)``.
    pad
        Words added at either end of a row; beyond the faces along x all is free.

    Returns
    -------
    NDArray
        ``(z, y, words, LEVELS)``; voxel x is bit ``x % 64`` of word ``pad + x // 64``.
    """
    nz, ny, nx = free.shape
    words = (nx + WORD - 1) // WORD + 2 * pad
    levels = np.empty((nz, ny, words, LEVELS), np.uint64)
    for z in range(nz):
        for y in range(ny):
            for w in range(words):
                levels[z, y, w, 0] = ~np.uint64(0)
            for x in range(nx):
                if not free[z, y, x]:
                    levels[z, y, pad + x // WORD, 0] ^= np.uint64(1) << np.uint64(x % WORD)
            _raise_levels(levels[z, y], 0, words - 1)
    return levels


@njit(cache=True, nogil=True)
def _raise_levels(row: NDArray[np.uint64], first: int, last: int) -> None:
    """Renew the upper levels of words ``first`` to ``last`` of a row; beyond its end all is free."""
    for k in range(1, LEVELS):
        shift = np.uint64(1 << (k - 1))
        back = np.uint64(WORD) - shift
        for w in range(first, last + 1):
            after = row[w + 1, k - 1] if w + 1 < row.shape[0] else ~np.uint64(0)
            row[w, k] = row[w, k - 1] & ((row[w, k - 1] >> shift) | (after << back))


@njit(cache=True, nogil=True)
def probes_of(mask: NDArray[np.bool_], seed: np.uint64) -> NDArray[np.int64]:
    """Return the tests that tell whether a mask fits.

    Parameters
    ----------
    mask
        ``(n, n, n)``, centred on voxel ``n // 2``.
    seed
        Of the order: shuffled, so that a misfit shows early.

    Returns
    -------
    NDArray
        ``(probes, 4)``: offset z, y, x of a run from the centre, and its level.
    """
    n = mask.shape[0]
    half = n // 2
    count = 0
    found = np.empty((64, 4), np.int64)
    for z in range(n):
        for y in range(n):
            x = 0
            while x < n:
                if not mask[z, y, x]:
                    x += 1
                    continue
                begin = x
                while x < n and mask[z, y, x]:
                    x += 1
                level = 0
                while level + 1 < LEVELS and (2 << level) <= x - begin:
                    level += 1
                at = begin
                while True:
                    at = min(at, x - (1 << level))
                    if count == found.shape[0]:
                        wider = np.empty((2 * count, 4), np.int64)
                        wider[:count] = found
                        found = wider
                    found[count, 0], found[count, 1] = z - half, y - half
                    found[count, 2], found[count, 3] = at - half, level
                    count += 1
                    at += 1 << level
                    if at >= x:
                        break
    state = seed
    for i in range(count - 1, 0, -1):
        state = next_random(state)
        j = np.int64(scramble(state) % np.uint64(i + 1))
        for c in range(4):
            found[i, c], found[j, c] = found[j, c], found[i, c]
    return found[:count]


@njit(cache=True, nogil=True)
def next_random(state: np.uint64) -> np.uint64:
    """Return the next state of a counter (Weyl sequence) that :func:`scramble` turns into random numbers."""
    return np.uint64(state + np.uint64(0x9E3779B97F4A7C15))


@njit(cache=True, nogil=True)
def scramble(state: np.uint64) -> np.uint64:
    """Return 64 random bits of a state: the finaliser of SplitMix64 (Steele et al., OOPSLA 2014)."""
    z = np.uint64(state)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True, nogil=True)
def fitting_word(levels: NDArray[np.uint64], probes: NDArray[np.int64], z: int, y: int, w: int) -> np.uint64:
    """Return the positions (bits) of one word at which a body fits.

    Beyond the faces along y and x all is free; beyond those along z nothing is.
    """
    nz, ny = levels.shape[0], levels.shape[1]
    here = levels[z, y, w, 0]
    for i in range(probes.shape[0]):
        if here == 0:
            break
        pz, py = z + probes[i, 0], y + probes[i, 1]
        if pz < 0 or pz >= nz:
            return np.uint64(0)
        if py < 0 or py >= ny:
            continue
        start = w * WORD + probes[i, 2]
        at, shift = start >> 6, start & 63
        k = probes[i, 3]
        bits = levels[pz, py, at, k] >> np.uint64(shift)
        if shift:
            bits |= levels[pz, py, at + 1, k] << np.uint64(WORD - shift)
        here &= bits
    return np.uint64(here)


@njit(cache=True, nogil=True)
def fitting_positions(
    levels: NDArray[np.uint64],
    centres: NDArray[np.uint64],
    probes: NDArray[np.int64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return all positions in a block at which a body fits.

    Parameters
    ----------
    levels
        From :func:`pack_free`.
    centres
        ``(z, y, words)`` bits of the voxels where a centre may lie.
    probes
        From :func:`probes_of`.
    low, high
        Corners of the block: z, y, word.

    Returns
    -------
    tuple
        ``(n, 3)`` z, y, word, and ``(n,)`` their positions as bits, none of them 0.
    """
    size = (high[0] - low[0]) * (high[1] - low[1]) * (high[2] - low[2])
    where = np.empty((size, 3), np.int64)
    bits = np.empty(size, np.uint64)
    count = 0
    for z in range(low[0], high[0]):
        for y in range(low[1], high[1]):
            for w in range(low[2], high[2]):
                if centres[z, y, w] == 0 or levels[z, y, w, 0] == 0:
                    continue
                here = fitting_word(levels, probes, z, y, w) & centres[z, y, w]
                if here:
                    where[count, 0], where[count, 1], where[count, 2] = z, y, w
                    bits[count] = here
                    count += 1
    return where[:count], bits[:count]


@njit(cache=True, nogil=True)
def is_free(levels: NDArray[np.uint64], probes: NDArray[np.int64], z: int, y: int, bit: int) -> bool:
    """Tell whether a body fits at one position; ``bit`` counts from the row's first word."""
    here = fitting_word(levels, probes, z, y, bit >> 6)
    return bool((here >> np.uint64(bit & 63)) & np.uint64(1))


@njit(cache=True, nogil=True)
def contacts(levels: NDArray[np.uint64], shell: NDArray[np.int64], z: int, y: int, bit: int) -> int:
    """Count the voxels of a shell (offsets z, y, x) that are taken; outside the volume along y and x none is."""
    nz, ny = levels.shape[0], levels.shape[1]
    count = 0
    for i in range(shell.shape[0]):
        pz, py, px = z + shell[i, 0], y + shell[i, 1], bit + shell[i, 2]
        if 0 <= pz < nz and 0 <= py < ny:
            count += 1 - int((levels[pz, py, px >> 6, 0] >> np.uint64(px & 63)) & np.uint64(1))
        elif not 0 <= pz < nz:
            count += 1
    return count


@njit(cache=True, nogil=True)
def shell_of(mask: NDArray[np.bool_], reach: int, most: int, seed: np.uint64) -> NDArray[np.int64]:
    """Return ``most`` random voxels outside a mask and within ``reach`` (along each axis) of its surface.

    A voxel near many of the surface may come several times: gaps in concave places count for more.

    Returns
    -------
    NDArray
        ``(most or fewer, 3)`` offsets z, y, x from the centre.
    """
    n = mask.shape[0]
    half = n // 2
    surface = _surface(mask)
    kept = np.empty((most, 3), np.int64)
    found = 0
    state = seed
    span = np.uint64(2 * reach + 1)
    for _ in range(4 * most):
        if found == most or len(surface) == 0:
            break
        state = next_random(state)
        bits = scramble(state)
        at = surface[np.int64((bits & np.uint64(0xFFFFFFFF)) % np.uint64(len(surface)))]
        bits >>= np.uint64(32)
        z = at[0] + np.int64(bits % span) - reach
        y = at[1] + np.int64(bits // span % span) - reach
        x = at[2] + np.int64(bits // (span * span) % span) - reach
        if 0 <= z < n and 0 <= y < n and 0 <= x < n and mask[z, y, x]:
            continue
        kept[found, 0], kept[found, 1], kept[found, 2] = z - half, y - half, x - half
        found += 1
    return kept[:found]


@njit(cache=True, nogil=True)
def _surface(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the voxels (z, y, x) of a mask that have a neighbour outside it."""
    n = mask.shape[0]
    surface = np.empty((np.count_nonzero(mask), 3), np.int64)
    count = 0
    for z in range(1, n - 1):
        for y in range(1, n - 1):
            for x in range(1, n - 1):
                if mask[z, y, x] and not (
                    mask[z, y, x - 1]
                    and mask[z, y, x + 1]
                    and mask[z, y - 1, x]
                    and mask[z, y + 1, x]
                    and mask[z - 1, y, x]
                    and mask[z + 1, y, x]
                ):
                    surface[count, 0], surface[count, 1], surface[count, 2] = z, y, x
                    count += 1
    return surface[:count]


@njit(cache=True, nogil=True)
def take(levels: NDArray[np.uint64], probes: NDArray[np.int64], z: int, y: int, bit: int) -> None:
    """Mark a body's voxels as taken."""
    ny, words = levels.shape[1], levels.shape[2]
    for i in range(probes.shape[0]):
        pz, py = z + probes[i, 0], y + probes[i, 1]
        if not 0 <= py < ny:
            continue
        first = bit + probes[i, 2]
        last = first + (1 << probes[i, 3]) - 1
        for x in range(first, last + 1):
            levels[pz, py, x >> 6, 0] &= ~(np.uint64(1) << np.uint64(x & 63))
        _raise_levels(levels[pz, py], max((first >> 6) - 1, 0), min(last >> 6, words - 1))


@njit(cache=True, nogil=True)
def choose_position(
    levels: NDArray[np.uint64],
    centres: NDArray[np.uint64],
    probes: NDArray[np.int64],
    shell: NDArray[np.int64],
    blocks: NDArray[np.int64],
    samples: int,
    seed: np.uint64,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Of ``samples`` random positions at which a body fits, return the one where it touches most.

    Blocks are searched in turn until there are enough samples; every position in a block is equally likely.

    Parameters
    ----------
    levels, centres, probes
        As in :func:`fitting_positions`.
    shell
        From :func:`shell_of`; may be empty for one sample.
    blocks
        ``(n, 2, 3)`` low and high corners (z, y, word).
    samples
        How many positions to draw.
    seed
        Of the draw.

    Returns
    -------
    tuple
        ``(4,)`` z, y, bit (counted from the row's first word) and index of its block, all -1 if the body fits nowhere;
        and for each block searched whether the body fits in it.
    """
    best = np.full(4, -1, np.int64)
    best_score = -1
    drawn, searched = 0, 0
    state = seed
    has_room = np.zeros(len(blocks), np.bool_)
    while searched < len(blocks) and drawn < samples:
        low, high = blocks[searched, 0], blocks[searched, 1]
        where, bits = fitting_positions(levels, centres, probes, low, high)
        ends = np.empty(len(bits), np.int64)
        total = 0
        for i in range(len(bits)):
            total += _count_bits(bits[i])
            ends[i] = total
        has_room[searched] = total > 0
        for _ in range(min(samples - drawn, total)):
            state = next_random(state)
            rank = int(scramble(state) % np.uint64(total))
            i = int(np.searchsorted(ends, rank, side="right"))
            bit = where[i, 2] * WORD + _nth_bit(bits[i], rank - int(ends[i - 1] if i else 0))
            score = contacts(levels, shell, where[i, 0], where[i, 1], bit)
            drawn += 1
            if score > best_score:
                best[0], best[1], best[2], best[3] = where[i, 0], where[i, 1], bit, searched
                best_score = score
        searched += 1
    return best, has_room[:searched]


@njit(cache=True, nogil=True)
def coverable_bits(
    levels: NDArray[np.uint64], centres: NDArray[np.uint64], probes: NDArray[np.int64], covered: NDArray[np.uint64]
) -> None:
    """Mark in ``covered`` (z, y, words) every voxel that a body covers in any place where it fits."""
    nz, ny, words = covered.shape
    for z in range(nz):
        for y in range(ny):
            for w in range(words):
                if centres[z, y, w] == 0 or levels[z, y, w, 0] == 0:
                    continue
                here = fitting_word(levels, probes, z, y, w) & centres[z, y, w]
                if here == 0:
                    continue
                for i in range(probes.shape[0]):
                    py = y + probes[i, 1]
                    if 0 <= py < ny:
                        for step in range(1 << probes[i, 3]):
                            start = w * WORD + probes[i, 2] + step
                            shift = np.uint64(start & 63)
                            covered[z + probes[i, 0], py, start >> 6] |= here << shift
                            if shift:
                                covered[z + probes[i, 0], py, (start >> 6) + 1] |= here >> (np.uint64(WORD) - shift)


@njit(cache=True, nogil=True)
def _count_bits(word: np.uint64) -> int:
    count = 0
    while word:
        word &= word - np.uint64(1)
        count += 1
    return count


@njit(cache=True, nogil=True)
def _nth_bit(word: np.uint64, rank: int) -> int:
    """Return the index of the set bit that has ``rank`` set bits below it."""
    for _ in range(rank):
        word &= word - np.uint64(1)
    lowest = word & (~word + np.uint64(1))
    return _count_bits(lowest - np.uint64(1))
