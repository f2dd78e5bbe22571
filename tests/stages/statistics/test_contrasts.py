"""Contrasts of models: tests, intervals and corrections put together, and true to what one model's scores are."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stages.statistics.bootstrap import FilmSet, draw_recalls, find_patients
from stages.statistics.contrasts import Films, compare_models
from stages.statistics.paired import holm, mcnemar
from stages.statistics.summary import summarize

CLASSES = ("normal", "bacterial", "viral")
LABELS = np.arange(90) % 3
GROUPS = [f"{label}/p{place // 6}" for place, label in enumerate(LABELS)]
FILMS = Films(LABELS, GROUPS, split=2)


def saying(right: float, key: int) -> NDArray[np.int64]:
    words = np.random.Generator(np.random.Philox(key=key))
    return np.where(words.random(90) < right, LABELS, (LABELS + 1) % 3).astype(np.int64)


MODELS = {"weak": saying(0.4, 1), "middle": saying(0.6, 2), "strong": saying(0.95, 3)}


def test_every_two_models_are_compared_the_later_one_against_the_earlier() -> None:
    found = compare_models(FILMS, MODELS, CLASSES, draws=400, seed=0)
    pairs = [(one["first"], one["second"]) for one in found["contrasts"]]
    assert pairs == [("weak", "middle"), ("weak", "strong"), ("middle", "strong")]
    for one in found["contrasts"]:
        first, second = MODELS[one["first"]] == LABELS, MODELS[one["second"]] == LABELS
        assert one["difference"] == pytest.approx(second.mean() - first.mean())
        assert one["low"] < one["difference"] < one["high"]
        assert (one["first_alone"], one["second_alone"]) == ((first & ~second).sum(), (second & ~first).sum())
        assert one["mcnemar_p"] == mcnemar(one["first_alone"], one["second_alone"])
        assert set(one["recall"]) == set(CLASSES)
    assert [one["holm_p"] for one in found["contrasts"]] == holm([one["permutation_p"] for one in found["contrasts"]])
    assert found["contrasts"][1]["holm_p"] < 0.001


def test_the_first_alone_as_reference_makes_fewer_contrasts_and_a_milder_correction() -> None:
    every = compare_models(FILMS, MODELS, CLASSES, draws=100, seed=0)
    some = compare_models(FILMS, MODELS, CLASSES, draws=100, seed=0, first_only=True)
    assert [(one["first"], one["second"]) for one in some["contrasts"]] == [("weak", "middle"), ("weak", "strong")]
    assert some["contrasts"][0]["permutation_p"] == every["contrasts"][0]["permutation_p"]
    assert some["contrasts"][1]["holm_p"] < every["contrasts"][1]["holm_p"]


def test_a_models_interval_is_that_of_its_own_evaluation_whoever_else_is_compared() -> None:
    patients = find_patients(GROUPS, LABELS, np.full(90, 2))
    films = FilmSet(patients.of_film, LABELS, MODELS["middle"])
    alone = summarize(films, draw_recalls([films], patients, classes=3, draws=300, seed=5)[0], CLASSES)
    assert compare_models(FILMS, MODELS, CLASSES, draws=300, seed=5)["models"]["middle"] == alone


def test_equal_models_differ_by_nothing() -> None:
    twins = {"one": MODELS["middle"], "other": MODELS["middle"].copy()}
    (found,) = compare_models(FILMS, twins, CLASSES, draws=100, seed=0)["contrasts"]
    assert (found["difference"], found["low"], found["high"]) == (0, 0, 0)
    assert (found["permutation_p"], found["mcnemar_p"], found["holm_p"]) == (1, 1, 1)


def test_a_patient_with_films_of_two_classes_is_exchanged_whole() -> None:
    labels = np.array([0, 1] * 5)
    groups = [f"p{place // 2}" for place in range(10)]
    models = {"none": 1 - labels, "all": labels}
    (found,) = compare_models(Films(labels, groups, 2), models, CLASSES, draws=100, seed=0)["contrasts"]
    assert found["permutation_p"] == pytest.approx(2 / 2**5)  # five patients, not ten films
    assert found["mcnemar_p"] == pytest.approx(2 / 2**10)
