import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.statistics import subgroups
from stages.statistics.subgroups import Answered, by_third, by_value, score_subgroups

CLASSES = ("normal", "bacterial", "viral")
FILMS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 5), st.sampled_from(["L", "RGB", "P", None])),
    min_size=1,
    max_size=40,
)


def answered(films: list[tuple[int, int, int, str | None]]) -> Answered:
    labels, predicted, patients, _ = zip(*films, strict=True)
    return Answered([str(patient) for patient in patients], np.array(labels), np.array([predicted]))


@given(FILMS)
def test_a_subgroups_scores_are_those_of_its_films(films: list[tuple[int, int, int, str | None]]) -> None:
    modes = [mode for *_, mode in films]
    found = score_subgroups(answered(films), {"mode": by_value(modes)}, CLASSES, draws=100, seed=0)
    present = {mode for mode in modes if mode is not None}
    assert list(found.get("mode", {})) == (sorted(present) if len(present) > 1 else [])
    for mode, figures in found.get("mode", {}).items():
        of_mode = [film for film in films if film[3] == mode]
        assert figures["films"] == len(of_mode)
        assert figures["patients"] == len({(label, patient) for label, _, patient, _ in of_mode})
        assert sum(figures["class_films"].values()) == len(of_mode)
        assert figures["accuracy"] == sum(truth == said for truth, said, *_ in of_mode) / len(of_mode)
        # the interval is one of percentiles: it lies within what redrawing can give, and need not hold the value
        assert 0 <= figures["accuracy_low"] <= figures["accuracy_high"] <= 1


def test_one_property_is_scored_alike_whatever_else_is_asked_for() -> None:
    words = np.random.Generator(np.random.Philox(key=5))
    films = Answered([str(n // 2) for n in range(60)], words.integers(0, 3, 60), words.integers(0, 3, (1, 60)))
    mode, shape = by_value(["L", "RGB"] * 30), by_value(["wide"] * 20 + ["narrow"] * 40)
    alone = score_subgroups(films, {"mode": mode}, CLASSES, draws=200, seed=1)
    assert score_subgroups(films, {"shape": shape, "mode": mode}, CLASSES, draws=200, seed=1)["mode"] == alone["mode"]


@given(st.lists(st.integers(0, 30), max_size=50), st.lists(st.none() | st.integers(-5, 40), max_size=20))
def test_a_third_holds_what_lies_between_its_edges(everyone: list[int], values: list[int | None]) -> None:
    found = by_third(values, everyone, str)
    edges = subgroups.tertile_edges(everyone)
    if edges is None:
        assert set(found.of_film.tolist()) <= {subgroups.UNKNOWN}
        return
    low, high = edges
    for value, third in zip(values, found.of_film, strict=True):
        expected = subgroups.UNKNOWN if value is None else 0 if value < low else 1 if value < high else 2
        assert third == expected
    assert found.values == [f"below {low}", f"{low} to below {high}", f"{high} and above"]


@given(st.lists(st.floats(0, 1e6), min_size=3, max_size=50, unique=True))
def test_numbers_that_all_differ_fall_into_thirds_of_like_size(values: list[float]) -> None:
    sizes = np.bincount(by_third(values, values, str).of_film, minlength=3)
    assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize("values", [[], [4.0], [2.0] * 9, [1.0, 2.0], [1.0, 2.0, 2.0, 2.0]])
def test_numbers_without_three_thirds_part_no_films(values: list[float]) -> None:
    assert (
        score_subgroups(
            Answered(
                [str(place) for place in range(len(values))],
                np.zeros(len(values), np.int64),
                np.zeros((1, len(values)), np.int64),
            ),
            {"size": by_third(values, values, str)},
            CLASSES,
            draws=100,
            seed=0,
        )
        == {}
    )


def test_a_property_with_a_value_for_each_film_is_none_to_group_by() -> None:
    films = Answered([str(n) for n in range(30)], np.zeros(30, np.int64), np.zeros((1, 30), np.int64))
    assert score_subgroups(films, {"name": by_value([str(n) for n in range(30)])}, CLASSES, draws=100, seed=0) == {}


def test_the_scores_of_several_models_are_the_means_of_theirs() -> None:
    words = np.random.Generator(np.random.Philox(key=6))
    patients, labels, predicted = (
        [str(n // 2) for n in range(60)],
        words.integers(0, 3, 60),
        words.integers(0, 3, (3, 60)),
    )
    mode = {"mode": by_value(["L", "RGB"] * 30)}
    together = score_subgroups(Answered(patients, labels, predicted), mode, CLASSES, draws=200, seed=1)["mode"]["L"]
    each = [
        score_subgroups(Answered(patients, labels, of_model[None]), mode, CLASSES, draws=200, seed=1)["mode"]["L"]
        for of_model in predicted
    ]
    assert together["accuracy"] == pytest.approx(np.mean([found["accuracy"] for found in each]))
    for count in ("films", "patients", "class_films"):
        assert together[count] == each[0][count]
