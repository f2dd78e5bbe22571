from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.films.words import Words, words_of_copies, words_of_films
from tests.stages.films.made_words import keyed_words

FILM = "ab" * 32
SEEDS = st.integers(0, 2**63 - 1)
FILMS = st.text("0123456789abcdef", min_size=64, max_size=64)
OPERATIONS = st.sampled_from(["rotate", "flip", "shift", "brightness", "cover"])


@given(seed=SEEDS, film=FILMS, operation=OPERATIONS, copies=st.integers(1, 25), more=st.integers(0, 40))
def test_the_words_of_a_copy_do_not_depend_on_how_many_copies_there_are(
    seed: int, film: str, operation: str, copies: int, more: int
) -> None:
    """Raising `copies` from 20 to 40 keeps the first 20 as they were."""
    few = words_of_copies(seed, film, operation, copies).words
    many = words_of_copies(seed, film, operation, copies + more).words
    np.testing.assert_array_equal(many[:, :copies], few)
    assert many.shape == (4, copies + more)


@given(seed=SEEDS, film=FILMS, operation=OPERATIONS, copies=st.integers(1, 25))
def test_one_copys_words_are_those_it_has_among_the_others(seed: int, film: str, operation: str, copies: int) -> None:
    """Replaying one row needs no other."""
    together = words_of_copies(seed, film, operation, copies).words
    alone = [keyed_words(seed, film, operation, copy).words for copy in range(1, copies + 1)]
    np.testing.assert_array_equal(np.stack(alone, axis=1), together)


@given(
    seed=SEEDS,
    films=st.lists(FILMS, max_size=4),
    operation=OPERATIONS,
    copies=st.integers(0, 9),
    first=st.integers(1, 10**12),
)
def test_many_films_copies_from_any_on_have_the_words_that_they_have_alone(
    seed: int, films: list[str], operation: str, copies: int, first: int
) -> None:
    """A later epoch's copies go on where the last ones stopped."""
    together = words_of_films(seed, films, operation, copies, first=first).words
    assert together.shape == (4, len(films), copies)
    for place, film in enumerate(films):
        of_film = words_of_copies(seed, film, operation, copies, first=first).words
        np.testing.assert_array_equal(together[:, place], of_film)
        for number in range(copies):
            alone = keyed_words(seed, film, operation, first + number).words
            np.testing.assert_array_equal(of_film[:, number], alone)


def test_the_stream_never_changes_silently() -> None:
    """Pinned: another word here means that every data set made so far can no longer be replayed."""
    assert keyed_words(0, FILM, "rotate", 1).words.tolist() == [
        0xF79E50128902B069,
        0x21932DB20E7C29AE,
        0x7C2F690086435CF7,
        0xEEAA22315010AEDB,
    ]
    assert keyed_words(0, FILM, "rotate", 2).words.tolist() == [
        0x9406F2EAF8CB3384,
        0x2F2302063EDD8AD8,
        0xBEB57B341D44DA11,
        0x991974B1EBE60E61,
    ]
    assert keyed_words(7, FILM, "flip", 20).words.tolist() == [
        0x3D40C8F936D9057B,
        0x135E5AA473CD2BC7,
        0x449CA4EB446DFA23,
        0xB496052D79D55A3B,
    ]


def test_a_word_becomes_a_number_by_its_upper_53_bits() -> None:
    """Every step of 2^-53 is exact, so all platforms agree, and 1 is never reached."""
    words = Words(np.array([0, 2**64 - 1, 2**63, 0b1111_1111_111], np.uint64))
    assert [words.unit() for _ in range(4)] == [0.0, 1 - 2.0**-53, 0.5, 0.0]


def test_an_operation_may_spend_four_words_and_no_fifth() -> None:
    """A fifth would be the next copy's first."""
    words = keyed_words(0, FILM, "rotate", 1)
    first = [words.unit() for _ in range(4)]
    assert len(set(first)) == 4
    with pytest.raises(IndexError):
        words.unit()


def test_seed_film_operation_and_copy_each_change_the_words() -> None:
    """Neighbouring keys share nothing."""
    keys = [
        (0, FILM, "rotate", 1),
        (1, FILM, "rotate", 1),
        (0, "ab" * 31 + "ac", "rotate", 1),
        (0, FILM, "flip", 1),
        (0, FILM, "rotate", 2),
        (10, FILM, "rotate", 1),
    ]
    words = [word for key in keys for word in keyed_words(*key).words.tolist()]
    assert len(set(words)) == 4 * len(keys)


@given(seed=SEEDS, low=st.floats(-1e3, 1e3), span=st.floats(1e-3, 1e3))
def test_uniform_numbers_lie_in_their_range(seed: int, low: float, span: float) -> None:
    """From low to high, and no farther."""
    words = keyed_words(seed, FILM, "shift", 1)
    assert all(low <= words.uniform(low, low + span) <= low + span for _ in range(4))


def test_uniform_numbers_fill_their_range_evenly_and_are_not_tied_to_their_neighbours() -> None:
    """A tenth of 4,000 numbers in each tenth, within five standard deviations."""
    words = words_of_copies(3, FILM, "rotate", 1000)
    numbers = np.stack([words.uniform(-15, 15) for _ in range(4)], axis=1)
    counts, _ = np.histogram(numbers, bins=10, range=(-15, 15))
    assert np.abs(counts - 400).max() < 5 * np.sqrt(4000 * 0.1 * 0.9)
    assert abs(np.corrcoef(numbers[:-1, 0], numbers[1:, 0])[0, 1]) < 5 / np.sqrt(1000)
    assert abs(np.corrcoef(numbers[:, 0], numbers[:, 1])[0, 1]) < 5 / np.sqrt(1000)


def test_numbers_of_neighbouring_seeds_are_not_tied() -> None:
    """Seeds 0 to 999 give what a thousand copies would."""
    one, other = (
        np.array([keyed_words(seed + add, FILM, "rotate", 1).unit() for seed in range(1000)]) for add in (0, 1)
    )
    assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(1000)
    assert abs(one.mean() - 0.5) < 5 * np.sqrt(1 / 12 / 1000)


@given(seed=SEEDS)
def test_chance_0_never_comes_and_chance_1_always(seed: int) -> None:
    """Also for the words at both ends of what there is."""
    assert not any(keyed_words(seed, FILM, "flip", copy).chance(0) for copy in range(1, 9))
    assert all(keyed_words(seed, FILM, "flip", copy).chance(1) for copy in range(1, 9))
    assert not Words(np.array([0], np.uint64)).chance(0)
    assert Words(np.array([2**64 - 1], np.uint64)).chance(1)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.8])
def test_a_chance_comes_as_often_as_it_says(probability: float) -> None:
    """Within five standard deviations over 4,000 copies."""
    share = np.mean(words_of_copies(0, FILM, "flip", 4000).chance(probability))
    assert abs(share - probability) < 5 * np.sqrt(probability * (1 - probability) / 4000)


def test_no_copies_have_no_words() -> None:
    """A recipe of 0 copies keeps the originals alone."""
    assert words_of_copies(0, FILM, "rotate", 0).uniform(-1, 1).shape == (0,)
