"""The films that are looked at as a network would: drawn by their paths, as many of each class and split."""

from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.auditing import sample
from stages.auditing.sample import IN_ALL, LEAST, OF_A_CLASS, Sample, drawn
from stages.films.specimen import SPECIMEN

Film = tuple[str, str | None, str | None]
FILMS = st.lists(
    st.tuples(
        st.text(min_size=1, max_size=6), st.sampled_from(["a", "b", None]), st.sampled_from(["train", "test", None])
    ),
    unique_by=lambda film: film[0],
    max_size=40,
)


def many(number: int, label: str = "a", split: str | None = "train") -> list[Film]:
    return [(f"{split}/{label}/{at}", label, split) for at in range(number)]


@given(FILMS, st.randoms())
def test_the_order_of_the_films_does_not_matter(films: list[Film], order: Random) -> None:
    shuffled = list(films)
    order.shuffle(shuffled)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "OF_A_CLASS", 3)
        assert drawn(films) == drawn(shuffled)


def test_as_many_are_drawn_of_each_class_and_split_and_all_where_there_are_fewer() -> None:
    films = [*many(900), *many(500, "b"), *many(30, "b", "test"), *many(700, "a", None)]
    chosen = drawn(films)
    counts = Counter((label, split) for path, label, split in films if path in chosen)
    assert counts == {
        ("a", "train"): OF_A_CLASS,
        ("b", "train"): OF_A_CLASS,
        ("b", "test"): 30,
        ("a", None): OF_A_CLASS,
    }


def test_of_very_many_classes_fewer_of_each_are_drawn() -> None:
    films = [film for number in range(100) for film in many(90, f"class {number}")]
    assert len(drawn(films)) == IN_ALL
    films = [film for number in range(IN_ALL) for film in many(3, f"class {number}")]
    assert len(drawn(films)) == LEAST * IN_ALL


def test_a_film_that_joins_moves_one_at_most() -> None:
    films = many(900)
    before, after = drawn(films), drawn([*films, ("new", "a", "train")])
    assert len(before - after) <= 1


def test_films_without_a_label_are_not_drawn() -> None:
    assert drawn([("x", None, "train")]) == set()


def test_what_was_kept_comes_back_beside_its_film() -> None:
    kept = Sample()
    for number in range(5):
        specimen = np.zeros((), SPECIMEN)
        specimen["scale"] = number
        kept.add(f"{number}.png", specimen.tobytes() if number != 3 else b"")
    films = pa.table({"path": ["4.png", "9.png", "3.png", "1.png"]})
    some, found = kept.of(films)
    assert some.column("path").to_pylist() == ["4.png", "1.png"]
    assert found["scale"][:, 0].tolist() == [4, 1]
