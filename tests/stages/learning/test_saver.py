import os
import signal
import time
from collections.abc import Iterator

import pytest

from stages.learning.saver import Saver, held_back


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """Signals that reach whoever set a handler before; the first one is deaf to more, as a run that ends is."""
    found: list[int] = []

    def hear(number: int, _frame: object) -> None:
        found.append(number)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    before = signal.signal(signal.SIGTERM, hear)
    yield found
    signal.signal(signal.SIGTERM, before)


def test_a_signal_waits_for_the_end_of_an_update_and_for_what_comes_first(heard: list[int]) -> None:
    done: list[str] = []
    with held_back(lambda: done.append("saved")) as between_updates:
        between_updates()
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("the update goes on")
        assert not heard
        between_updates()

    assert done == ["the update goes on", "saved"]
    assert heard == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN, "what the handler set stays"


def test_a_signal_after_the_last_update_is_heard_at_the_end(heard: list[int]) -> None:
    done: list[str] = []
    with held_back(lambda: done.append("saved")) as between_updates:
        between_updates()
        os.kill(os.getpid(), signal.SIGTERM)

    assert done == ["saved"]
    assert heard == [signal.SIGTERM]


def test_a_run_whose_handler_returns_goes_on_and_hears_of_a_signal_once() -> None:
    noted: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: noted.append(number))
    try:
        with held_back(lambda: None) as between_updates:
            os.kill(os.getpid(), signal.SIGTERM)
            for _update in range(3):
                between_updates()
    finally:
        signal.signal(signal.SIGTERM, before)

    assert noted == [signal.SIGTERM]


def test_handlers_are_given_back_whatever_happens(heard: list[int]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError, match="within"), held_back(lambda: None):
        raise ValueError("within")

    assert signal.getsignal(signal.SIGTERM) is before
    assert not heard


def test_states_are_so_many_seconds_apart_and_a_slow_disk_spaces_them_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now, takes_s = 0.0, 1.0
    saved: list[float] = []

    def save() -> None:
        nonlocal now
        saved.append(now)
        now += takes_s

    monkeypatch.setattr(time, "monotonic", lambda: now)
    every = Saver(save, every_s=10.0)
    every.saved_at = 0.0
    for second in range(100):
        now = max(now, float(second))
        every.perhaps()

    # the first after 10 s; from then on 20 times what saving took, counted from its end
    assert saved == [10.0, 31.0, 52.0, 73.0, 94.0]


def test_no_seconds_between_states_are_a_state_after_every_update() -> None:
    saved: list[int] = []
    always = Saver(lambda: saved.append(1), every_s=0.0)
    for _ in range(3):
        always.perhaps()

    assert len(saved) == 3
