import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stages.statistics.bootstrap import FilmSet, draw_recalls, find_patients
from stages.statistics.gap import (
    FORWARD,
    PARTS,
    REVERSED,
    Step,
    accuracies,
    common_classes,
    shares_among,
    take_apart,
)
from stages.statistics.gap_summary import Judged, judged, summarize_gap

CLASSES = ("normal", "bacterial", "viral")
SETS = ("augmented", "train", "leak_probe", "val", "test")
SHIFTED = {"train": 0, "augmented": 0, "leak_probe": 1, "val": 2, "test": 3, "test_refitted": 3}  # set by split
FILM = st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 2))  # patient, truth, said
Films = Mapping[str, list[tuple[int, int, int]]]
WHOLE: Films = {
    name: [(film % 9, film % 3, (film % 3 + (film * film + at) // 4) % 3) for film in range(30)]
    for at, name in enumerate(SETS)
}


def judge(films: Films, *, draws: int = 40) -> Judged:
    """Return what a gap is told from; the test once more with the next class said, as S* stands for other words."""
    of_sets = dict(films)
    if "test" in films:
        of_sets["test_refitted"] = [(patient, truth, (said + patient) % 3) for patient, truth, said in films["test"]]
    every = [(SHIFTED[name], *film) for name, found in of_sets.items() for film in found]
    split, patient, truth, said = np.array(every).T
    # the leak probe's patients have films in train as well
    groups = [f"{0 if of_split == 1 else of_split}/{number}" for of_split, number in zip(split, patient, strict=True)]
    patients = find_patients(groups, truth, split)
    sets, start = {}, 0
    for name, found in of_sets.items():
        here = slice(start, start + len(found))
        sets[name] = FilmSet(patients.of_film[here], truth[here], said[here])
        start += len(found)
    drawn = draw_recalls(list(sets.values()), patients, classes=3, draws=draws, seed=5)
    return judged(sets, dict(zip(sets, drawn, strict=True)), classes=3)


def accuracy_of(films: list[tuple[int, int, int]], kept: list[int], shares: Mapping[int, float]) -> float:
    """Return A(X; p) by its definition, film by film."""
    total = 0.0
    for label in kept:
        of_class = [said == truth for _, truth, said in films if truth == label]
        total += shares[label] * sum(of_class) / len(of_class)
    return total


any_films = st.fixed_dictionaries(
    {"train": st.lists(FILM, min_size=1, max_size=20)},
    optional={name: st.lists(FILM, min_size=1, max_size=20) for name in SETS if name != "train"},
)


@given(any_films)
@example(WHOLE)
@example({"augmented": [(0, 0, 0)], "train": [(0, 0, 1)], "val": [(0, 0, 0)], "test": [(0, 0, 2), (1, 1, 1)]})
@example({"train": [(0, 0, 0)], "test": [(0, 1, 1)]})
def test_the_parts_sum_to_the_total_in_all_and_class_by_class_whatever_is_missing(films: Films) -> None:
    gap = summarize_gap(judge(films), CLASSES)
    kept = [
        label for label in range(3) if all(any(truth == label for _, truth, _ in found) for found in films.values())
    ]
    assert gap["classes"] == [CLASSES[label] for label in kept]
    assert json.loads(json.dumps(gap, allow_nan=False)) == gap
    if gap["total"] is None:
        assert not kept or set(films) == {"train"}
        return
    ends = next(name for name in SETS if name in films), [name for name in SETS if name in films][-1]
    of_ends = []
    for name in ends:
        stands_at = "test" if name == "test" else "train"
        counts = {label: sum(truth == label for _, truth, _ in films[stands_at]) for label in kept}
        shares = {label: counts[label] / sum(counts.values()) for label in kept}
        of_ends.append(accuracy_of(films[name], kept, shares))
    assert gap["total"]["value"] == pytest.approx(of_ends[0] - of_ends[1], abs=1e-9)
    assert_adds_up(gap)


def assert_adds_up(gap: Mapping[str, Any]) -> None:
    parts = gap["parts"].values()
    assert sum(part["value"] for part in parts) == pytest.approx(gap["total"]["value"], abs=1e-9)
    for name in gap["classes"]:
        for what in ("recall", "contribution"):
            added = sum(part[what][name]["value"] for part in parts)
            assert added == pytest.approx(gap["total"][what][name]["value"], abs=1e-9)
    for part in (*parts, gap["total"]):
        added = sum(of_class["value"] for of_class in part["contribution"].values())
        assert added == pytest.approx(part["value"], abs=1e-9)
    named = [name for part in gap["parts"] for name in part.split("+")]
    assert sorted([*named, *gap["not_given"]]) == sorted(PARTS)
    assert named == [name for name in PARTS if name in named]


@given(any_films)
@example(WHOLE)
def test_the_parts_sum_to_the_total_in_every_draw_in_either_order(films: Films) -> None:
    found = judge(films)
    kept = common_classes(found.films)
    shares = {name: shares_among(found.films[name], kept) for name in ("train", "test") if name in films}
    for order in (FORWARD, REVERSED):
        way = order.among(found.films)
        drawn = take_apart(way, found.drawn, shares)
        at_steps = accuracies(way, found.drawn, shares)
        assert drawn.accuracy.shape == (40, len(way.parts))
        assert np.abs(drawn.accuracy.sum(axis=-1) - (at_steps[:, 0] - at_steps[:, -1])).max() < 1e-9
        assert np.abs(drawn.contribution.sum(axis=-1) - drawn.accuracy).max(initial=0) < 1e-9
        ends = found.drawn[way.steps[0].films] - found.drawn[way.steps[-1].films]
        assert np.abs((drawn.recall.sum(axis=-2) - ends)[:, kept]).max(initial=0) < 1e-9


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=6, max_size=6),
    st.lists(st.lists(st.integers(0, 50), min_size=4, max_size=4), min_size=2, max_size=2),
)
def test_each_part_is_the_difference_that_it_is_defined_as(recall: list[list[float]], counts: list[list[int]]) -> None:
    sets = (*SETS, "test_refitted")
    r = {name: np.array(of_set) for name, of_set in zip(sets, recall, strict=True)}
    kept = np.ones(4, np.bool_)
    p, q = (shares_among(np.array(of_set), kept) for of_set in counts)
    found = dict(zip(PARTS, take_apart(FORWARD, r, {"train": p, "test": q}).accuracy, strict=True))
    expected = {
        "augmentation": p @ r["augmented"] - p @ r["train"],
        "fit": p @ r["train"] - p @ r["leak_probe"],
        "leakage": p @ r["leak_probe"] - p @ r["val"],
        "prior": p @ r["val"] - q @ r["val"],
        "shift": q @ r["val"] - q @ r["test_refitted"],
        "threshold": q @ r["test_refitted"] - q @ r["test"],
    }
    assert found == pytest.approx(expected, abs=1e-12)
    reverse = dict(zip(REVERSED.parts, take_apart(REVERSED, r, {"train": p, "test": q}).accuracy, strict=True))
    assert reverse["shift"] == pytest.approx(p @ r["val"] - p @ r["test_refitted"], abs=1e-12)
    assert reverse["prior"] == pytest.approx(p @ r["test_refitted"] - q @ r["test_refitted"], abs=1e-12)
    assert reverse["shift"] + reverse["prior"] == pytest.approx(found["shift"] + found["prior"], abs=1e-9)


def test_the_prior_moves_no_recall() -> None:
    prior = summarize_gap(judge(WHOLE), CLASSES)["parts"]["prior"]
    for of_class in prior["recall"].values():
        assert of_class == {"value": 0, "low": 0, "high": 0}


@pytest.mark.parametrize(
    ("missing", "parts", "not_given"),
    [
        ((), PARTS, ()),
        (("leak_probe",), ("augmentation", "fit+leakage", "prior", "shift", "threshold"), ()),
        (("val",), ("augmentation", "fit", "leakage+prior+shift", "threshold"), ()),
        (("leak_probe", "val"), ("augmentation", "fit+leakage+prior+shift", "threshold"), ()),
        (("augmented",), PARTS[1:], ("augmentation",)),
        (("test",), ("augmentation", "fit", "leakage"), ("prior", "shift", "threshold")),
        (("leak_probe", "val", "test"), ("augmentation",), PARTS[1:]),
        (("augmented", "leak_probe", "val", "test"), (), PARTS),
    ],
)
def test_what_a_missing_set_would_tell_apart_is_one_part_named_after_all(
    missing: tuple[str, ...], parts: tuple[str, ...], not_given: tuple[str, ...]
) -> None:
    gap = summarize_gap(judge({name: films for name, films in WHOLE.items() if name not in missing}), CLASSES)
    assert tuple(gap["parts"]) == parts
    assert tuple(gap["not_given"]) == not_given
    assert gap["joint"] == [part.split("+") for part in parts if "+" in part]
    assert gap["missing"] == [name for name in SETS if name in missing]


def test_without_val_the_prior_can_still_be_told_in_the_reverse_order() -> None:
    gap = summarize_gap(judge({name: films for name, films in WHOLE.items() if name != "val"}), CLASSES)
    assert list(gap["reverse"]) == ["leakage+shift", "prior"]
    assert list(summarize_gap(judge(WHOLE), CLASSES)["reverse"]) == ["shift", "prior"]


def test_a_class_that_a_set_lacks_is_left_out_of_all_and_its_share_goes_to_the_others() -> None:
    films = {**WHOLE, "leak_probe": [film for film in WHOLE["leak_probe"] if film[1] != 2]}
    gap = summarize_gap(judge(films), CLASSES)
    assert gap["left_out"] == {"viral": ["leak_probe"]}
    assert gap["classes"] == ["normal", "bacterial"]
    assert gap["shares"]["train"] == {"normal": 0.5, "bacterial": 0.5}
    assert list(gap["total"]["recall"]) == ["normal", "bacterial"]


def test_sets_that_share_no_class_give_no_total() -> None:
    gap = summarize_gap(judge({"train": [(0, 0, 0)], "test": [(0, 1, 1)]}), CLASSES)
    assert gap["total"] is None
    assert gap["left_out"] == {"normal": ["test"], "bacterial": ["train"]}
    assert gap["not_given"] == list(PARTS)


def test_a_part_between_sets_of_the_same_patients_is_surer_than_between_strangers() -> None:
    parts = summarize_gap(judge({**WHOLE, "augmented": WHOLE["train"]}), CLASSES)["parts"]
    assert (parts["augmentation"]["low"], parts["augmentation"]["high"]) == pytest.approx((0, 0), abs=1e-12)
    assert parts["shift"]["high"] - parts["shift"]["low"] > 0.1


def test_the_mean_of_several_models_is_the_mean_of_their_parts() -> None:
    words = np.random.Generator(np.random.Philox(key=4))
    shares = {"train": np.array([0.3, 0.3, 0.4]), "test": np.array([0.5, 0.1, 0.4])}
    models: list[dict[str, NDArray[np.float64]]] = [
        {name: words.random(3) for name in (*SETS, "test_refitted")} for _ in range(4)
    ]
    means = {name: np.mean([model[name] for model in models], axis=0) for name in models[0]}
    of_models = [take_apart(FORWARD, model, shares).accuracy for model in models]
    assert take_apart(FORWARD, means, shares).accuracy == pytest.approx(np.mean(of_models, axis=0))


def test_the_two_orders_begin_and_end_alike() -> None:
    assert FORWARD.steps[0] == REVERSED.steps[0] == Step("augmented", "train")
    assert FORWARD.steps[-1] == REVERSED.steps[-1] == Step("test", "test")
    assert set(FORWARD.parts) == set(REVERSED.parts)
