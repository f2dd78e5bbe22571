import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from stages.statistics.bootstrap import FilmSet, Patients, draw_recalls, find_patients
from stages.statistics.summary import summarize_sets

CLASSES = ("normal", "bacterial", "viral")
SETS = ("train", "leak_probe", "test")


def films_of(
    sizes: Mapping[str, int], *, accuracy: Mapping[str, float], copies: int = 0
) -> tuple[dict[str, FilmSet], Patients]:
    """Return sets of two films per patient, named rightly for about a share of them; some copies of train."""
    words = np.random.Generator(np.random.Philox(key=1))
    names = [(name, film) for name, films in sizes.items() for film in range(films)]
    labels = np.array([film // 2 % len(CLASSES) for _, film in names])
    right = words.random(len(names)) < [accuracy[name] for name, _ in names]
    said = np.where(right, labels, (labels + 1) % len(CLASSES))
    # the leak probe's patients have films in train as well
    groups = [f"{'train' if name == 'leak_probe' else name}{film // 2}" for name, film in names]
    patients = find_patients(groups, labels, np.array([SETS.index(name) for name, _ in names]))
    sets = {}
    for name in sizes:
        places = np.array([place for place, (of, _) in enumerate(names) if of == name])
        sets[name] = FilmSet(patients.of_film[places], labels[places], said[places])
    if copies:
        train = sets["train"]
        sets["augmented"] = FilmSet(
            np.repeat(train.patients, copies), np.repeat(train.labels, copies), np.repeat(train.predicted, copies)
        )
    return sets, patients


def summarized(
    sets: Mapping[str, FilmSet], patients: Patients, classes: Sequence[str] = CLASSES, *, draws: int
) -> dict[str, Any]:
    drawn = draw_recalls(list(sets.values()), patients, classes=len(classes), draws=draws, seed=0)
    return summarize_sets(sets, dict(zip(sets, drawn, strict=True)), classes)


SIZES = {"train": 240, "leak_probe": 60, "test": 90}
ACCURACY = {"train": 0.95, "leak_probe": 0.9, "test": 0.6}


def test_a_gap_is_the_difference_of_its_sides_and_its_interval_holds_it() -> None:
    sets, patients = films_of(SIZES, accuracy=ACCURACY)
    found = summarized(sets, patients, draws=500)
    gap = found["differences"]["train_minus_test"]
    splits = found["splits"]
    assert gap["difference"] == splits["train"]["accuracy"] - splits["test"]["accuracy"]
    assert 0 < gap["low"] < gap["difference"] < gap["high"] < 1
    for name in CLASSES:
        of_class = gap["recall"][name]
        assert of_class["difference"] == splits["train"]["recall"][name] - splits["test"]["recall"][name]
        assert of_class["low"] <= of_class["difference"] <= of_class["high"]


def test_the_gaps_start_with_the_augmentation_and_name_every_other_split() -> None:
    sets, patients = films_of(SIZES, accuracy=ACCURACY, copies=3)
    found = summarized(sets, patients, draws=100)
    assert list(found["differences"]) == ["augmented_minus_train", "train_minus_leak_probe", "train_minus_test"]
    assert list(found["splits"]) == ["train", "leak_probe", "test"]
    assert found["augmented"]["images"] == 720
    assert found["augmented_accuracy"] == found["augmented"]["accuracy"]


def test_copies_that_are_named_as_their_films_add_no_gap_in_any_draw() -> None:
    sets, patients = films_of(SIZES, accuracy=ACCURACY, copies=4)
    gap = summarized(sets, patients, draws=200)["differences"]["augmented_minus_train"]
    assert (gap["difference"], gap["low"], gap["high"]) == pytest.approx((0, 0, 0), abs=1e-12)


def test_the_majority_is_that_of_train_whatever_the_split_holds() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1, 1, 0])
    sets_of = np.array([0] * 4 + [1] * 4)
    patients = find_patients([str(film) for film in range(8)], labels, sets_of)
    sets = {
        name: FilmSet(patients.of_film[sets_of == index], labels[sets_of == index], labels[sets_of == index])
        for index, name in enumerate(("train", "test"))
    }
    assert summarized(sets, patients, draws=100)["majority"] == {"train": 0.75, "test": 0.25}


def test_a_class_without_films_is_left_out_of_recalls_and_gaps_and_the_summary_is_json() -> None:
    sets, patients = films_of({"train": 12, "test": 4}, accuracy={"train": 1, "test": 0.5})
    found = summarized(sets, patients, draws=100)
    assert list(found["splits"]["test"]["recall"]) == ["normal", "bacterial"]
    assert list(found["differences"]["train_minus_test"]["recall"]) == ["normal", "bacterial"]
    assert found["splits"]["test"]["confusion"]["viral"] == dict.fromkeys(CLASSES, 0)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_leak_probes_siblings_make_its_gap_surer_than_strangers_would() -> None:
    # siblings are judged alike: half of the patients rightly, in both sets
    labels, said = np.zeros(200, np.int64), np.tile(np.repeat([0, 1], 50), 2)
    sets_of = np.repeat([0, 1], 100)
    width = {}
    for kind, groups in (("siblings", list(range(100)) * 2), ("strangers", list(range(200)))):
        patients = find_patients([str(group) for group in groups], labels, sets_of)
        sets = {
            name: FilmSet(patients.of_film[sets_of == index], labels[:100], said[:100])
            for index, name in enumerate(("train", "leak_probe"))
        }
        gap = summarized(sets, patients, ("a", "b"), draws=500)["differences"]["train_minus_leak_probe"]
        width[kind] = gap["high"] - gap["low"]
    assert width["siblings"] == pytest.approx(0)
    assert width["strangers"] > 0.1
