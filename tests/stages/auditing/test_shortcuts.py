"""A shortcut that was planted is found, in the file and in the pixels, and where there is none, none is found."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from manifests import store
from manifests.rows import AUDITED, AuditedRow
from stages import ahead, audit, paths
from stages.auditing import examine
from stages.auditing import shortcuts as asked
from stages.auditing.figures import usable
from stages.auditing.sample import Sample
from stages.auditing.schema import Audit
from stages.auditing.shortcuts import SOURCES, shortcuts
from stages.contract import Machine
from stages.films import codec, phantom
from stages.films.frame import Frame, Gray
from stages.films.phantom_plan import Patient, PhantomFilm
from stages.films.specimen import SPECIMEN

Audited = Callable[..., AuditedRow]
Qualities = Mapping[tuple[str, str], int]  # by split and class
EACH = 40  # patients of a class in a split
FRAME = {"height": 128, "width": 150}


@pytest.fixture(scope="module")
def pictures() -> list[Gray]:
    """Return films of one kind and size, of a patient each: whatever class they are given, they do not show it."""
    drawn = []
    for number in range(4 * EACH):
        patient = Patient(label="normal", series="IM", number=number + 1)
        told = PhantomFilm(
            path="",
            patient=patient,
            likeness=patient,
            film=0,
            delivered_split="train",
            frame=Frame(height=208, width=240),
            mode="L",
            quality=0,
        )
        drawn.append(phantom.draw(told, seed=5))
    return drawn


def test_the_terminal_says_the_worst_of_it_and_which_policy_to_take(
    tmp_path: Path, pictures: list[Gray], machine: Machine
) -> None:
    audited_films(tmp_path, pictures[:80], BY_CLASS_IN_TRAIN, machine)
    lines = audit.run(audit.AuditParams(**FRAME), tmp_path, machine).lines
    assert any(line.startswith("normalize by policy cover, the default, is advised: ") for line in lines)
    assert any(line.startswith("In train, ") and "alone tells" in line for line in lines)


def audited_films(root: Path, pictures: list[Gray], qualities: Qualities, machine: Machine) -> dict[str, Any]:
    """Save the pictures as films of two classes at the qualities, audit them and return the summary."""
    places = [(split, label) for split in ("train", "test") for label in ("ill", "well")]
    for number, picture in enumerate(pictures):
        split, label = places[number % 4]
        path = root / f"data/raw/{split}/{label}/{number:03d}.jpeg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(codec.encode(picture, encoding="jpeg", quality=qualities[split, label]))
    audit.run(audit.AuditParams(**FRAME), root, machine)
    told: dict[str, Any] = json.loads((root / paths.AUDIT_SUMMARY).read_text())
    return told


BY_CLASS_IN_TRAIN = {("train", "ill"): 60, ("train", "well"): 92, ("test", "ill"): 75, ("test", "well"): 75}
THE_SAME = dict.fromkeys(BY_CLASS_IN_TRAIN, 75)


def test_a_shortcut_planted_in_train_is_found_and_found_not_to_hold_in_the_test(
    tmp_path: Path, pictures: list[Gray], machine: Machine
) -> None:
    told = audited_films(tmp_path, pictures, BY_CLASS_IN_TRAIN, machine)
    found = told["shortcuts"]
    assert found["features"]["train"]["jpeg quality"]["well"]["auc"] == 1
    assert found["features"]["test"]["jpeg quality"]["well"]["auc"] == 0.5
    assert found["feature_drops"]["jpeg quality"]["well"]["low"] > 0.3
    assert found["feature_drops"]["bytes per pixel"]["ill"]["low"] > 0.3, "told by less of it"
    for source in ("file", "traces", "traces at equal scale", "blocks"):
        of = found["joint"][source]
        assert of["within"]["train"]["well"]["low"] > 0.75, source
        assert of["transfer"]["well"]["auc"] < 0.75, source
        assert of["drop"]["well"]["low"] > 0.1, source
    assert found["joint"]["border"]["within"]["train"]["well"]["low"] < 0.6, "the border shows the same"
    assert found["sample"] == {split: {"ill": EACH, "well": EACH} for split in ("train", "test")}
    assert told["shift"]["by_class"]["well"]["file"]["low"] > 0.9, "train and test were not saved alike"
    assert told["shift"]["by_class"]["well"]["pixels"]["low"] < 0.6
    said = " ".join(found["said"])
    assert "In train, jpeg quality alone tells" in said
    assert "In train, fine texture (what compression, rescaling and processing left in the pixels) tells" in said
    assert "a network that rests on it does worse there" in said
    assert any(sentence.startswith("well: the test's films can be told") for sentence in told["shift"]["said"])
    assert Audit.model_validate(told)


def test_where_all_films_are_saved_alike_no_shortcut_is_found(
    tmp_path: Path, pictures: list[Gray], machine: Machine
) -> None:
    found = audited_films(tmp_path, pictures, THE_SAME, machine)
    for source, of in found["shortcuts"]["joint"].items():
        tells = [tell for by_class in (*of["within"].values(), of["transfer"]) for tell in by_class.values()]
        assert all(tell["low"] < 0.6 for tell in tells), source
    shifts = found["shift"]["by_class"].values()
    assert all(one["low"] < 0.65 for of in shifts for name, one in of.items() if name != "films")
    assert found["shortcuts"]["said"] == ["Nothing that was looked at tells a class from the rest for sure."]
    assert found["shift"]["said"] == ["The test's films of no class are told from train's for sure."]
    assert found["costs"]["recommendation"]["scores"]["cover"]["marks"] == 0


def test_a_network_gets_the_frames_that_the_audit_looks_at(tmp_path: Path, pictures: list[Gray]) -> None:
    """What `build` lays down for normalize is looked at where it is the same frame, and made anew where it is not."""
    raw = tmp_path / "data/raw"
    raw.mkdir(parents=True)
    (raw / "x.png").write_bytes(codec.encode(pictures[0], encoding="png"))
    params = audit.AuditParams(**FRAME)
    alone = examine.audit_one("x.png", raw=raw, aim=params.aim)
    for frame, policy in ((params.frame, "cover"), (params.frame, "crop"), (Frame(height=64, width=64), "cover")):
        with ahead.kept_ahead(tmp_path / "normalized", frame, policy) as kept:  # type: ignore[arg-type]
            assert examine.audit_one("x.png", raw=raw, ahead=kept, aim=params.aim).specimen == alone.specimen
    assert len(alone.specimen) == SPECIMEN.itemsize
    assert examine.audit_one("x.png", raw=raw).specimen == b""


def test_the_summary_is_the_same_in_whatever_order_the_workers_work(
    tmp_path: Path, pictures: list[Gray], machine: Machine, upside_down: Machine
) -> None:
    told = [
        audited_films(tmp_path / name, pictures[:40], BY_CLASS_IN_TRAIN, on)
        for name, on in (("one", machine), ("other", upside_down))
    ]
    assert told[0] == told[1]


def rows_of(audited: Audited, labels: NDArray[np.int64], splits: list[str]) -> list[AuditedRow]:
    names = ("normal", "bacterial", "viral")
    return [
        audited(f"{at}.png", label=names[label], delivered_split=split, bits_per_pixel=float(label + at % 3))
        for at, (label, split) in enumerate(zip(labels.tolist(), splits, strict=True))
    ]


def specimens(films: int, *, unknown: int = 0) -> Sample:
    words = np.random.Generator(np.random.Philox(key=1))
    sample = Sample()
    for at in range(films):
        one = np.zeros((), SPECIMEN)
        one["traces"] = words.normal(size=one["traces"].shape) if at >= unknown else np.nan
        one["pixels"] = words.integers(0, 255, one["pixels"].shape)
        sample.add(f"{at}.png", one.tobytes())
    return sample


def test_films_too_small_for_traces_are_not_asked_about(audited: Audited) -> None:
    rows = rows_of(audited, np.arange(60) % 3, ["train"] * 60)
    found = shortcuts(usable(AUDITED.table(rows)), specimens(60, unknown=12))
    assert found["shortcuts"]["sample"] == {"train": {"normal": 16, "bacterial": 16, "viral": 16}}
    none = shortcuts(usable(AUDITED.table(rows)), specimens(60, unknown=60))
    assert (none["shortcuts"]["joint"], none["shift"]["by_class"]) == ({}, {})
    assert none["shortcuts"]["features"]["train"]["bytes per pixel"]["viral"]["auc"] > 0.6


def test_without_a_test_there_is_no_transfer_and_no_shift(audited: Audited) -> None:
    rows = rows_of(audited, np.arange(60) % 3, ["train"] * 60)
    found = shortcuts(usable(AUDITED.table(rows)), specimens(60))
    assert set(found["shortcuts"]["joint"]) == set(SOURCES)
    assert all(of["transfer"] == {} == of["drop"] for of in found["shortcuts"]["joint"].values())
    assert found["shift"] == {"by_class": {}, "said": []}


@pytest.mark.parametrize("films", [0, 1, 2, 5])
def test_a_few_films_or_one_class_give_figures_or_none(audited: Audited, films: int) -> None:
    splits = ["train", "test"] * films
    for labels in (np.zeros(2 * films, np.int64), np.arange(2 * films) % 3):
        rows = rows_of(audited, labels, splits)
        found = shortcuts(usable(AUDITED.table(rows)), specimens(2 * films))
        assert set(found) == {"shortcuts", "shift"}


def test_of_a_class_for_each_film_the_first_are_judged(audited: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.auditing.figures.MOST_CLASSES", 2)
    rows = rows_of(audited, np.array([0] * 9 + [1] * 5 + [2] * 7), ["train"] * 21)
    found = shortcuts(usable(AUDITED.table(rows)), specimens(21))
    assert set(found["shortcuts"]["features"]["train"]["bytes per pixel"]) == {"normal", "viral"}


def test_a_ridge_sees_the_same_of_films_whatever_else_is_asked(audited: Audited) -> None:
    """Bins and cubics of train are those of train: films of the test change nothing of what they say of train."""
    rows = rows_of(audited, np.arange(80) % 3, ["train"] * 40 + ["test"] * 40)
    looked = asked.looked_at(usable(AUDITED.table(rows)), specimens(80))
    train = looked.where(np.arange(80) < 40)
    for source, seen in SOURCES.items():
        both = seen(train, looked)
        assert np.array_equal(both[:40], seen(train, train)), source


@pytest.mark.real
def test_kermanys_train_normals_are_told_by_their_bytes_and_those_of_the_test_are_not(
    tmp_path: Path, machine: Machine, real_films: Path
) -> None:
    on = replace(machine, raw=real_films / "kermany-raw")
    audit.run(audit.AuditParams(labels="kermany"), tmp_path, on)
    told = json.loads((tmp_path / paths.AUDIT_SUMMARY).read_text())
    train, test = (told["shortcuts"]["features"][split]["bytes per pixel"]["normal"] for split in ("train", "test"))
    assert train["auc"] == 1
    assert test["low"] < 0.648 < test["high"]
    assert told["costs"]["recommendation"]["policy"] == "cover"
    assert len(store.read(AUDITED, tmp_path / paths.AUDIT)) == told["files"]
