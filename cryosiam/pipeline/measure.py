"""Seconds and peak memory of a piece of work."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLING_SECONDS = 0.05


@dataclass
class Measurement:
    """What a piece of work took; complete once its block has ended.

    Parameters
    ----------
    seconds
        Wall time.
    peak_memory_mib
        Largest resident set of the process in MiB, sampled twenty times a second.
    """

    seconds: float = 0.0
    peak_memory_mib: float = 0.0


@contextmanager
def measured() -> Iterator[Measurement]:
    """Measure the block. The operating system's own peak counter is left alone, so outer tools still read it."""
    import psutil

    process, result, done = psutil.Process(), Measurement(), threading.Event()

    def sample() -> None:
        finished = False
        while True:
            result.peak_memory_mib = max(result.peak_memory_mib, process.memory_info().rss / 2**20)
            # The last sample is taken at the end, so that work shorter than the interval is seen too.
            if finished:
                return
            finished = done.wait(SAMPLING_SECONDS)

    sampler = threading.Thread(target=sample, name="memory-sampler", daemon=True)
    started = time.perf_counter()
    sampler.start()
    try:
        yield result
    finally:
        done.set()
        sampler.join()
        result.seconds = time.perf_counter() - started
