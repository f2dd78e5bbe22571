from typing import Any, Literal

import pytest

from stages.learning.schedule import Schedule, scaled_rate, updates_per_epoch


def schedule(updates: int = 10, **changes: Any) -> Schedule:
    return Schedule(**{"shape": "cosine", "learning_rate": 1e-3, "warm_up": 0.2, "updates": updates, **changes})


def test_the_last_batch_counts_as_an_update() -> None:
    assert updates_per_epoch(70, 35) == 2
    assert updates_per_epoch(71, 35) == 3


def test_a_constant_rate_is_constant_after_its_warm_up() -> None:
    rates = [schedule(shape="constant").rate_at(update) for update in range(10)]

    assert rates == pytest.approx([0.5e-3, *[1e-3] * 9])
    assert {schedule(shape="constant", warm_up=0).rate_at(update) for update in range(10)} == {1e-3}


@pytest.mark.parametrize("shape", ["cosine", "one_cycle"])
@pytest.mark.parametrize("warm_up", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("updates", [1, 2, 3, 10, 1000])
def test_the_rate_rises_to_its_highest_and_falls_without_reaching_0(updates: int, warm_up: float, shape: str) -> None:
    rates = [schedule(updates, warm_up=warm_up, shape=shape).rate_at(update) for update in range(updates)]

    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(1e-3)
    assert min(rates) > 0
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def test_the_momentum_of_one_cycle_goes_against_the_rate() -> None:
    cycle = schedule(1000, shape="one_cycle")
    momenta = [cycle.momentum_at(update) or 0.0 for update in range(1000)]

    assert min(momenta) == pytest.approx(0.85)
    assert max(momenta) == pytest.approx(0.95, abs=1e-3)
    rates = [cycle.rate_at(update) for update in range(1000)]
    assert rates.index(max(rates)) == momenta.index(min(momenta))
    assert schedule().momentum_at(3) is None


@pytest.mark.parametrize(("how", "factor"), [("none", 1), ("linear", 4), ("sqrt", 2)])
def test_the_rate_grows_with_the_batch_as_asked(how: Literal["none", "linear", "sqrt"], factor: float) -> None:
    assert scaled_rate(1e-3, 4 * 35, how=how) == pytest.approx(factor * 1e-3)
    assert scaled_rate(1e-3, 35, how=how) == pytest.approx(1e-3)
