"""Splits: drawn shares are exact, repeatable and hardly move; linked names stay together."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stages.statistics.splits import (
    apportioned,
    draw_blocks,
    draw_share,
    gathered,
    linked,
    rank_key,
    rounded_share,
    series_of,
)

NAMES = st.sets(st.text("abcdef", min_size=1, max_size=6), max_size=40)
SHARES = st.sampled_from([0.0, 0.05, 0.15, 0.2, 0.29, 0.5, 0.99])


@given(st.dictionaries(st.sampled_from("xyz"), NAMES), SHARES, st.integers(0, 9))
def test_the_share_of_each_class_is_exact(by_class: dict[str, set[str]], share: float, seed: int) -> None:
    renamed = {key: {f"{key}/{name}" for name in names} for key, names in by_class.items()}
    drawn = draw_share(renamed, share, seed=seed, purpose="val")
    exact = Fraction(str(share))
    for names in renamed.values():
        assert len(drawn & names) == math.floor(exact * len(names) + Fraction(1, 2))
    assert drawn <= set().union(*renamed.values())


def test_half_a_name_counts_as_one_though_binary_fractions_fall_short() -> None:
    assert (rounded_share(0.29, 50), rounded_share(0.15, 10), rounded_share(0.15, 9)) == (15, 2, 1)


@given(st.lists(st.text("abcdef", max_size=4), max_size=40, unique=True), st.randoms(), SHARES)
def test_the_order_of_names_does_not_matter(names: list[str], words: Any, share: float) -> None:
    shuffled = [*names]
    words.shuffle(shuffled)
    one = draw_share({"x": names}, share, seed=1, purpose="val")
    assert draw_share({"x": shuffled}, share, seed=1, purpose="val") == one


@given(NAMES, st.text("abcdef", min_size=1, max_size=6), SHARES)
def test_a_name_that_joins_moves_at_most_one_other(names: set[str], new: str, share: float) -> None:
    before = draw_share({"x": names - {new}}, share, seed=1, purpose="val")
    after = draw_share({"x": names | {new}}, share, seed=1, purpose="val")
    assert len((before ^ after) - {new}) <= 1


@given(NAMES, SHARES)
def test_a_larger_share_holds_the_smaller_one(names: set[str], share: float) -> None:
    small = draw_share({"x": names}, share / 2, seed=1, purpose="val")
    assert small <= draw_share({"x": names}, share, seed=1, purpose="val")


def test_seeds_and_purposes_draw_apart() -> None:
    names = {"x": [f"p{number}" for number in range(400)]}
    draws = [
        draw_share(names, 0.5, seed=seed, purpose=purpose) for seed, purpose in ((0, "val"), (1, "val"), (0, "test"))
    ]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert 60 < len(draws[one] & draws[other]) < 140  # 100 expected, standard deviation 7
    assert rank_key(0, "val", "p1") != rank_key(0, "va", "lp1")


PAIRS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=14)


@given(PAIRS)
def test_what_is_linked_shares_the_first_of_its_cluster_and_others_do_not(pairs: list[tuple[int, int]]) -> None:
    reach = [{one} for one in range(13)]
    for _ in range(13):  # brute force: spread what is reached until it rests
        for one, other in pairs:
            joined = reach[one] | reach[other]
            for each in joined:
                reach[each] |= joined
    assert linked(13, pairs).tolist() == [min(reached) for reached in reach]


def test_gathered_keeps_the_order_of_values() -> None:
    assert gathered(["b", "a", "b", "b"], [3, 1, 2, 3]) == {"b": [3, 2, 3], "a": [1]}


def test_a_series_is_in_the_order_of_its_numbers_and_strangers_make_one_of_their_own() -> None:
    names = [
        "normal/IM/10",
        "normal/IM/9",
        "normal/IM/100",
        "normal/NORMAL2-IM/9",
        "p7",
        "odd",
        "film/3fa01",
        "film/b7",
    ]
    assert series_of(names) == {
        "normal/IM/": ["normal/IM/9", "normal/IM/10", "normal/IM/100"],
        "": ["film/3fa01", "film/b7", "normal/NORMAL2-IM/9", "odd", "p7"],
    }


def test_names_that_are_numbers_alone_are_in_the_order_of_their_numbers() -> None:
    assert series_of(["10", "9", "100", "odd", "p7"]) == {"": ["9", "10", "100", "odd", "p7"]}
    drawn = draw_blocks({"ill": [str(number) for number in range(95, 125)]}, 0.2, seed=3, purpose="val")
    numbers = sorted(map(int, drawn))
    assert numbers == list(range(numbers[0], numbers[0] + 6))


def test_names_that_are_given_once_only_are_all_in_a_series() -> None:
    assert series_of(iter(["p1", "p2", "odd"])) == {"p": ["p1", "p2"], "": ["odd"]}


NUMBERED_NAMES = st.sets(
    st.builds("{}{}".format, st.sampled_from(["IM/", "NORMAL2-IM/", "person", "x", ""]), st.integers(0, 300))
    | st.text("abc", min_size=1, max_size=4),
    max_size=60,
)


@given(st.dictionaries(st.sampled_from("xyz"), NUMBERED_NAMES), SHARES, st.integers(0, 9))
def test_blocks_are_consecutive_and_their_share_of_each_class_is_exact(
    by_class: dict[str, set[str]], share: float, seed: int
) -> None:
    renamed = {key: {f"{key}/{name}" for name in names} for key, names in by_class.items()}
    drawn = draw_blocks(renamed, share, seed=seed, purpose="val")
    for names in renamed.values():
        number = math.floor(Fraction(str(share)) * len(names) + Fraction(1, 2))
        assert len(drawn & names) == number
        for members in series_of(names).values():
            held = [place for place, name in enumerate(members) if name in drawn]
            assert held == list(range(held[0], held[0] + len(held))) if held else True
            assert abs(len(held) - number * len(members) / len(names)) < 1


def test_a_seed_moves_the_block_and_every_place_can_be_its_beginning() -> None:
    names = [f"p{number}" for number in range(10)]
    blocks = [draw_blocks({"x": names}, 0.3, seed=seed, purpose="val") for seed in range(200)]
    assert {min(int(name[1:]) for name in block) for block in blocks} == set(range(8))
    assert draw_blocks({"x": names[::-1]}, 0.3, seed=5, purpose="val") == blocks[5]


@given(st.dictionaries(st.text("abcd", max_size=2), st.integers(0, 30)), st.data())
def test_what_is_apportioned_adds_up_and_none_is_off_by_one(sizes: dict[str, int], data: st.DataObject) -> None:
    total = sum(sizes.values())
    number = data.draw(st.integers(0, total))
    found = apportioned(number, sizes)
    assert sum(found.values()) == number
    assert all(abs(found[name] - number * size / total) < 1 for name, size in sizes.items() if total)
    assert all(found[name] <= size for name, size in sizes.items())
