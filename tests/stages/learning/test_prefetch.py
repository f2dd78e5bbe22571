import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.learning.prefetch import prefetched


def threads() -> int:
    return sum(thread.name == "prefetch" for thread in threading.enumerate())


@given(items=st.lists(st.integers()), depth=st.integers(0, 5))
def test_all_items_come_in_their_order(items: list[int], depth: int) -> None:
    assert list(prefetched(items, depth)) == items
    assert threads() == 0


def test_items_are_made_ahead_but_not_more_than_so_many() -> None:
    made: list[int] = []
    ready, too_far = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            if number == 4:  # the one that was taken, three that wait, one in the thread's hand
                ready.set()
            if number > 4:
                too_far.set()
            yield number

    ahead = prefetched(items(), 3)
    assert next(ahead) == 0
    assert ready.wait(60)
    assert not too_far.wait(0.05)
    ahead.close()
    assert made == [0, 1, 2, 3, 4]


def test_what_the_thread_raises_is_raised_at_the_item_that_failed() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("the third")

    ahead = prefetched(items(), 8)
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(ValueError, match="the third"):
        next(ahead)
    assert threads() == 0


def test_whoever_stops_early_ends_the_thread_and_closes_what_it_reads() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    ahead = prefetched(items(), 2)
    next(ahead)
    ahead.close()

    assert closed.is_set()
    assert threads() == 0
