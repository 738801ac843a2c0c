"""Batches prepared in a thread, so that the trainer does not wait for them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ItemT = TypeVar("ItemT")


def prefetched(make: Callable[[int], ItemT], first: int, stop: int, ahead: int = 4) -> Iterator[ItemT]:
    """Yield ``make(first), ..., make(stop - 1)`` in order, up to ``ahead`` of them made in advance.

    Parameters
    ----------
    make
        Makes one item from its number; must not depend on the others.
    first, stop
        Range of numbers.
    ahead
        Items kept ready.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as pool:
        pending = [pool.submit(make, number) for number in range(first, min(first + ahead, stop))]
        for number in range(first, stop):
            item = pending.pop(0).result()
            if number + ahead < stop:
                pending.append(pool.submit(make, number + ahead))
            yield item
