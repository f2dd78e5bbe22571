from __future__ import annotations

import numpy as np
import pytest

from benchmarks import coverage
from stages.statistics.gap import PARTS


def test_the_true_recalls_are_those_of_very_many_films() -> None:
    words = np.random.Generator(np.random.Philox(key=8))
    means = coverage.means("test")
    labels = np.arange(150_000) % 3
    said = (means[labels] + words.normal(size=(150_000, 3))).argmax(axis=1)
    counted = [np.mean(said[labels == label] == label) for label in range(3)]
    assert coverage.true_recalls(means) == pytest.approx(counted, abs=0.006)


def test_the_best_bias_wins_on_the_test() -> None:
    shares = np.array(coverage.PATIENTS["test"]) / sum(coverage.PATIENTS["test"])
    assert shares @ coverage.best_recalls() > shares @ coverage.true_recalls_of("test") + 0.02


def test_films_of_a_patient_err_together_only_with_clusters() -> None:
    for patient_share, expected in ((0.5, 0.5), (0.0, 0.0)):
        words = np.random.Generator(np.random.Philox(key=2))
        val = [coverage.draw_sets(words, patient_share)["val"] for _ in range(20)]
        pairs = []
        for found in val:
            rest = found.logits - coverage.means("val")[found.labels]
            follows = np.flatnonzero(np.diff(found.patients) == 0)
            pairs += [(rest[at, index], rest[at + 1, index]) for at in follows for index in range(3)]
        first, second = np.array(pairs).T
        assert np.corrcoef(first, second)[0, 1] == pytest.approx(expected, abs=0.04)


def test_half_of_the_probes_patients_have_films_in_train_and_no_other_set_shares_a_patient() -> None:
    sets = coverage.draw_sets(np.random.Generator(np.random.Philox(key=1)), 0.5)
    train = set(sets["train"].patients.tolist())
    assert np.mean([patient in train for patient in sets["leak_probe"].patients.tolist()]) == pytest.approx(0.5)
    assert train.isdisjoint(sets["val"].patients.tolist())
    assert train.isdisjoint(sets["test"].patients.tolist())


def test_a_few_simulations_fill_the_table() -> None:
    found = {"with clusters": coverage.simulate(2, 100, patient_share=0.5)}
    for unit in coverage.UNITS:
        assert set(found["with clusters"]["held"][unit].values()) <= {0.0, 0.5, 1.0}
    truth = found["with clusters"]["truth"]
    assert sum(truth[part] for part in PARTS) == pytest.approx(truth["total"])
    lines = coverage.table(found).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["total", *PARTS, "threshold, best bias"]
