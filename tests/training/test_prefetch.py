"""Batches made ahead: in order, each once, with the wait measured."""

import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryosiam.training.prefetch import Prefetched


def counting(made: list[int]) -> Callable[[int], int]:
    def make(number: int) -> int:
        made.append(number)
        return number

    return make


@given(st.integers(0, 20), st.integers(0, 30), st.integers(0, 6))
def test_every_item_comes_once_and_in_order(first: int, count: int, ahead: int) -> None:
    made: list[int] = []
    items = Prefetched(counting(made), first, first + count, ahead)
    assert len(items) == count
    assert list(items) == made == list(range(first, first + count))
    items.close()


def test_items_are_made_ahead_but_no_further() -> None:
    made: list[int] = []
    items = Prefetched(counting(made), 0, 100, ahead=3)
    iterator = iter(items)
    assert [next(iterator), next(iterator)] == [0, 1]
    items.close()
    assert 2 <= len(made) <= 5


def test_the_wait_is_measured() -> None:
    items = Prefetched(lambda number: time.sleep(0.02), 0, 5)
    list(items)
    assert items.waited_s >= 0.08
    items.close()


def test_an_error_reaches_whoever_iterates() -> None:
    items = Prefetched(lambda number: 1 // (2 - number), 0, 5)
    iterator = iter(items)
    assert [next(iterator), next(iterator)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(iterator)
    items.close()


def test_closing_ends_the_thread() -> None:
    before = set(threading.enumerate())
    items = Prefetched(lambda number: number, 0, 5)
    next(iter(items))
    assert set(threading.enumerate()) > before
    items.close()
    assert set(threading.enumerate()) == before
