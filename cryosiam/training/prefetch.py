"""Batches prepared in a thread, so that the trainer does not wait for them."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ItemT = TypeVar("ItemT")


class Prefetched(Generic[ItemT]):
    """Items ``make(first), ..., make(stop - 1)`` in order, some of them made in advance.

    Parameters
    ----------
    make
        Makes one item from its number; must not depend on the others.
    first, stop
        Range of numbers.
    ahead
        Items kept ready.

    Attributes
    ----------
    waited_s
        Seconds for which whoever iterates had to wait.
    """

    def __init__(self, make: Callable[[int], ItemT], first: int, stop: int, ahead: int = 4) -> None:
        self._make, self._first, self._stop, self._ahead = make, first, stop, ahead
        self.waited_s = 0.0
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")

    def __len__(self) -> int:
        return max(0, self._stop - self._first)

    def __iter__(self) -> Iterator[ItemT]:
        """Yield the items."""
        pending: deque[Future[ItemT]] = deque()
        for number in range(self._first, self._stop):
            while len(pending) <= min(self._ahead, self._stop - 1 - number):
                pending.append(self._pool.submit(self._make, number + len(pending)))
            started = time.monotonic()
            item = pending.popleft().result()
            self.waited_s += time.monotonic() - started
            yield item

    def close(self) -> None:
        """End the thread; items that are not begun are not made."""
        self._pool.shutdown(wait=True, cancel_futures=True)
