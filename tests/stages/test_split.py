"""Split: the delivered test stays, no patient crosses, shares are exact, and little moves when films are added."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from shutil import rmtree
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from manifests import store
from manifests.rows import AUDITED, SPLIT, AuditedRow, SplitRow
from stages import audit, augment, normalize, paths, phantom, split, verify
from stages.augment_params import AugmentParams
from stages.columns import ok_rows
from stages.contract import Machine, StageError
from stages.leaks import LEAKS
from stages.patients import Patients, clusters_of
from stages.statistics.splits import gathered

Audited = Callable[..., AuditedRow]
PARAMS = split.SplitParams()
LABELS = st.sampled_from(["normal", "bacterial", "viral"])
DELIVERED = st.sampled_from(["train", "train", "train", "val", "test", None])


def assigned(rows: Sequence[AuditedRow], params: split.SplitParams = PARAMS) -> dict[str, str | None]:
    """Return the split of each usable film by its path."""
    return {row.path: row.split for row in divided(rows, params)[0]}


def divided(
    rows: Sequence[AuditedRow], params: split.SplitParams = PARAMS
) -> tuple[list[SplitRow], pa.Table, Patients]:
    """Return the split's rows, as objects and as a table, and who is one patient."""
    table = AUDITED.table(rows)
    usable, patients = ok_rows(table), clusters_of(table)
    found = split.split_rows(usable, split.assign(usable, patients, params))
    return SPLIT.rows(found), found, patients


@st.composite
def audits(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw films: of patients by class or, now and then, of two classes; some the same radiograph as another."""
    films: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 60))):
        label = draw(LABELS)
        mixed = draw(st.integers(0, 9)) == 0
        patient = draw(st.integers(0, 25))
        film: dict[str, Any] = {
            "path": f"{number:02d}.jpeg",
            "label": label,
            "group_id": f"mixed/{patient}" if mixed else f"{label}/{patient}",
            "delivered_split": draw(DELIVERED),
        }
        twin = f"{draw(st.integers(0, max(0, number - 1))):02d}.jpeg"
        if number and draw(st.integers(0, 14)) == 0:
            film |= {"near_duplicate_of": twin}
        elif number and draw(st.integers(0, 14)) == 0:
            film |= {"exact_duplicate_of": twin, "status": "duplicate", "reason": "same bytes"}
        films.append(film)
    return films


def rows_of(films: Sequence[dict[str, Any]], audited: Audited) -> list[AuditedRow]:
    return [audited(**film) for film in films]


@given(audits())
def test_no_patient_crosses_and_every_usable_film_goes_to_one_place(
    audited: Audited, films: list[dict[str, Any]]
) -> None:
    rows = rows_of(films, audited)
    splits = assigned(rows)
    assert set(splits) == {row.path for row in rows if row.status == "ok"}
    neighbours = [  # patients that must not be torn apart: one patient, or two that share a radiograph
        (row, other)
        for row in rows
        for other in rows
        if row.group_id == other.group_id or other.path in (row.near_duplicate_of, row.exact_duplicate_of)
    ]
    sides = {path: "train" if found == "leak_probe" else found for path, found in splits.items()}
    for row, other in neighbours:
        if sides.get(row.path) and sides.get(other.path):
            assert sides[row.path] == sides[other.path]


@given(audits())
def test_the_delivered_test_split_is_untouched(audited: Audited, films: list[dict[str, Any]]) -> None:
    rows = rows_of(films, audited)
    delivered = {row.path for row in rows if row.status == "ok" and row.delivered_split == "test"}
    found = {path for path, place in assigned(rows).items() if place == "test"}
    assert found == delivered if delivered else True


@given(audits(), st.randoms())
def test_the_order_of_rows_does_not_matter(audited: Audited, films: list[dict[str, Any]], words: Any) -> None:
    shuffled = list(films)
    words.shuffle(shuffled)
    assert assigned(rows_of(films, audited)) == assigned(rows_of(shuffled, audited))


def share(fraction: float, number: int) -> int:
    """Return the share of a number, rounded half up, without floating point."""
    return math.floor(Fraction(str(fraction)) * number + Fraction(1, 2))


SIZES = st.fixed_dictionaries(
    {label: st.lists(st.integers(1, 4), max_size=45) for label in ("normal", "bacterial", "viral")}
)


def films_of_patients(sizes: dict[str, list[int]], audited: Audited, **told: Any) -> list[AuditedRow]:
    return [
        audited(f"{label}/{patient:03d}/{film}", label=label, group_id=f"{label}/{patient:03d}", **told)
        for label, of_label in sizes.items()
        for patient, films in enumerate(of_label)
        for film in range(films)
    ]


@given(sizes=SIZES, delivered=st.booleans())
def test_shares_are_exact_in_every_class(audited: Audited, sizes: dict[str, list[int]], *, delivered: bool) -> None:
    rows = films_of_patients(sizes, audited)
    if delivered:
        rows.append(audited("test/0", delivered_split="test", group_id="other"))
    splits = assigned(rows)
    for label, patients in sizes.items():
        of_split = gathered(
            [str(splits[row.path]) for row in rows if row.label == label and row.path in splits],
            [row for row in rows if row.label == label],
        )
        held = {name: {row.group_id for row in found} - {"other"} for name, found in of_split.items()}
        test = 0 if delivered else share(0.15, len(patients))
        assert len(held.get("test", set())) == test
        assert len(held.get("val", set())) == share(0.15, len(patients) - test)
        pool = [row for row in rows if row.label == label and splits[row.path] != "test"]
        left = sum(splits[row.path] != "val" for row in pool)
        assert len(of_split.get("leak_probe", [])) == min(left, share(0.05, len(pool)))


def test_shares_are_exact_where_floating_point_is_not(audited: Audited) -> None:
    rows = films_of_patients({"normal": [1] * 1250}, audited)
    rows.append(audited("t", delivered_split="test"))
    assert Counter(assigned(rows).values()) == {"val": 188, "leak_probe": 63, "train": 999, "test": 1}  # 187.5, 62.5


@given(SIZES, LABELS, st.integers(100, 140))
def test_a_patient_who_joins_moves_at_most_the_one_at_the_boundary(
    audited: Audited, sizes: dict[str, list[int]], label: str, number: int
) -> None:
    test = audited("test/0", delivered_split="test", group_id="other")
    rows = [*films_of_patients(sizes, audited), test]
    joins = audited(f"{label}/{number}/0", label=label, group_id=f"{label}/{number}")
    before, after = assigned(rows), assigned([*rows, joins])
    held_before = {row.group_id for row in rows if before[row.path] == "val"}
    held_after = {row.group_id for row in rows if after[row.path] == "val"}
    assert len(held_before ^ held_after) <= 1
    moved = {row.label for row in rows if before[row.path] != after[row.path]}
    assert moved <= {label}
    # whoever enters or leaves val takes up to 4 films along, and each may shift the boundary of the probe by one
    probe_before = {row.path for row in rows if before[row.path] == "leak_probe"}
    probe_after = {row.path for row in rows if after[row.path] == "leak_probe"}
    assert len(probe_before ^ probe_after) <= 6


def test_the_same_seed_draws_the_same_and_another_draws_otherwise(audited: Audited) -> None:
    rows = films_of_patients({"normal": [1] * 100}, audited)
    assert assigned(rows) == assigned(rows)
    assert assigned(rows) != assigned(rows, split.SplitParams(seed=1))


def test_the_leak_probe_is_drawn_film_by_film_so_that_siblings_may_stay_in_train(audited: Audited) -> None:
    rows = films_of_patients({"normal": [3] * 60}, audited)
    splits = assigned(rows)
    probed = {row.group_id for row in rows if splits[row.path] == "leak_probe"}
    trained = {row.group_id for row in rows if splits[row.path] == "train"}
    assert probed
    assert probed & trained


def test_films_delivered_as_val_join_the_pool(audited: Audited) -> None:
    rows = [audited(f"{number}", delivered_split="val") for number in range(100)]
    rows.append(audited("t", delivered_split="test"))
    assert Counter(assigned(rows).values()) == {"train": 80, "val": 15, "leak_probe": 5, "test": 1}


def test_a_patient_of_the_delivered_test_is_kept_out_of_all_else(audited: Audited) -> None:
    rows = [
        audited("train/a", delivered_split="train", group_id="p1"),
        audited("val/b", delivered_split="val", group_id="p1"),
        audited("train/c", delivered_split="train", group_id="p2"),
        audited("test/d", delivered_split="test", group_id="p1"),
    ]
    splits = assigned(rows)
    assert splits == {"train/a": None, "val/b": None, "train/c": "train", "test/d": "test"}
    row = divided(rows)[0][0]
    assert (row.status, row.split) == ("crosses_test", None)
    assert "patient p1 is in the delivered test split" in str(row.reason)


@pytest.mark.parametrize("how", ["near_duplicate_of", "exact_duplicate_of"])
def test_a_patient_whose_radiograph_is_in_the_test_under_another_name_is_kept_out_as_well(
    audited: Audited, how: str
) -> None:
    set_aside = {"status": "duplicate", "reason": "same bytes"} if how == "exact_duplicate_of" else {}
    rows = [
        audited("test/d", delivered_split="test", group_id="p1"),
        audited("train/a", group_id="p2", **{how: "test/d"}, **set_aside),
        audited("train/b", group_id="p2"),
        audited("train/c", group_id="p3"),
    ]
    splits = assigned(rows)
    assert splits["train/b"] is None
    assert splits["train/c"] == "train"


def test_the_proof_that_no_patient_crosses_can_fail(audited: Audited) -> None:
    films = AUDITED.table([audited(name, group_id="p1") for name in "abc"])
    rows = split.split_rows(films, pa.array(["train", "leak_probe", "val"]))
    assert split.crossing_clusters(rows, clusters_of(films)) == ["p1"]
    assert split.crossing_clusters(rows.slice(0, 2), clusters_of(films)) == []


# --- the arms: the careless split, and blocks -------------------------------------------------------------------

BY_FILM = split.SplitParams(unit="film")
BLOCKS = split.SplitParams(holdout="block")


@given(sizes=SIZES, delivered=st.booleans())
def test_by_film_shares_are_of_films_and_exact_in_every_class(
    audited: Audited, sizes: dict[str, list[int]], *, delivered: bool
) -> None:
    rows = films_of_patients(sizes, audited)
    if delivered:
        rows.append(audited("test/0", delivered_split="test", group_id="other"))
    splits = assigned(rows, BY_FILM)
    for label in sizes:
        places = Counter(splits[row.path] for row in rows if row.label == label and row.path != "test/0")
        test = 0 if delivered else share(0.15, places.total())
        pool = places.total() - test
        assert places["test"] == test
        assert places["val"] == share(0.15, pool)
        assert places["leak_probe"] == min(pool - places["val"], share(0.05, pool))


def test_by_film_patients_cross(audited: Audited) -> None:
    rows = films_of_patients({"normal": [4] * 60}, audited)
    splits = assigned(rows, BY_FILM)
    _, table, patients = divided(rows, BY_FILM)
    summary = split.summarize(table, patients, BY_FILM)
    held = {row.group_id for row in rows if splits[row.path] == "val"}
    trained = {row.group_id for row in rows if splits[row.path] in ("train", "leak_probe")}
    tested = {row.group_id for row in rows if splits[row.path] == "test"}
    crossing = (held & trained) | (held & tested) | (tested & trained)
    assert summary["patients_crossing"] == len(crossing) > 30
    assert summary["patients"] == 60
    assert summary["leaks"]
    assert summary["with_siblings_in_train"]["val"] > 20


def test_by_film_a_sibling_of_a_delivered_test_film_stays_where_a_careless_split_leaves_it(audited: Audited) -> None:
    rows = [
        audited("train/a", delivered_split="train", group_id="p1"),
        audited("train/b", near_duplicate_of="test/d", group_id="p2"),
        audited("test/d", delivered_split="test", group_id="p1"),
    ]
    assert assigned(rows, BY_FILM) == {"train/a": "train", "train/b": "train", "test/d": "test"}


@given(SIZES)
def test_blocks_hold_patients_of_consecutive_numbers_and_nobody_crosses(
    audited: Audited, sizes: dict[str, list[int]]
) -> None:
    rows = films_of_patients(sizes, audited)
    rows.append(audited("test/0", delivered_split="test", group_id="other"))
    splits = assigned(rows, BLOCKS)
    for label, numbers in sizes.items():
        held = sorted({int(row.path.split("/")[1]) for row in rows if row.label == label and splits[row.path] == "val"})
        assert len(held) == share(0.15, len(numbers))
        assert held == list(range(held[0], held[-1] + 1)) if held else True
    _, table, patients = divided(rows, BLOCKS)
    assert split.crossing_clusters(table, patients) == []


@given(audits())
def test_with_blocks_no_patient_crosses_whatever_the_films(audited: Audited, films: list[dict[str, Any]]) -> None:
    rows = rows_of(films, audited)
    _, table, patients = divided(rows, BLOCKS)
    assert split.crossing_clusters(table, patients) == []


def test_a_block_of_films_is_refused() -> None:
    with pytest.raises(ValidationError, match="a block holds whole patients; expected unit patient"):
        split.SplitParams(unit="film", holdout="block")


# --- the stage -------------------------------------------------------------------------------------------------


def test_the_manifest_and_the_summary_say_the_same(project: Path) -> None:
    rows = store.read(SPLIT, project / paths.SPLIT)
    usable = {row.path: row for row in store.read(AUDITED, project / paths.AUDIT) if row.status == "ok"}
    assert {row.path for row in rows} == set(usable)
    assert all((row.label, row.group_id) == (usable[row.path].label, usable[row.path].group_id) for row in rows)
    summary = json.loads((project / paths.SPLIT_SUMMARY).read_text())
    assert summary["patients_crossing"] == 0
    assert summary["test"] == "as delivered"
    for name, figures in summary["splits"].items():
        inside = [row for row in rows if row.split == name]
        assert figures["films"] == len(inside)
        assert figures["patients"] == len({row.group_id for row in inside})
        assert {label: of["films"] for label, of in figures["classes"].items()} == Counter(row.label for row in inside)
    footer = store.read_footer(project / paths.SPLIT)
    assert footer.sources == {paths.AUDIT: store.file_sha256(project / paths.AUDIT)}
    assert footer.params == PARAMS.model_dump(mode="json")
    assert (footer.facts["unit"], footer.facts["holdout"]) == ("patient", "patients")


def test_the_terminal_shows_films_patients_and_shares_and_that_nobody_crosses(project: Path, machine: Machine) -> None:
    report = split.run(PARAMS, project, machine)
    summary = json.loads((project / paths.SPLIT_SUMMARY).read_text())
    assert report.lines[0].split() == ["split", "films", "patients", "normal", "bacterial", "viral"]
    train = summary["splits"]["train"]
    of_normal = train["classes"]["normal"]
    assert report.lines[1].split()[:3] == ["train", str(train["films"]), str(train["patients"])]
    assert f"{of_normal['films']} ({100 * of_normal['share']:.1f} %)" in report.lines[1]
    assert f"; 0 of {summary['patients']} patients cross; " in report.lines[5]
    assert len(report.lines) == 6


def test_the_careless_split_says_that_it_leaks_from_stage_to_stage(project: Path, machine: Machine) -> None:
    report = split.run(BY_FILM, project, machine)
    assert LEAKS in report.lines
    assert "0 of" not in report.lines[5]
    reports = [normalize.run(normalize.NormalizeParams(height=32, width=40), project, machine)]
    reports.append(augment.run(AugmentParams(copies=1), project, machine))
    for path in (paths.SPLIT, paths.NORMALIZED_MANIFEST, paths.AUGMENTED_MANIFEST):
        assert store.read_footer(project / path).facts["unit"] == "film"
    reports.append(verify.run(verify.VerifyParams(), project, machine))
    assert all(LEAKS in each.lines for each in reports)
    assert not reports[-1].failed, reports[-1].lines


def test_verify_names_patients_who_cross_where_the_split_is_not_a_careless_one(project: Path, machine: Machine) -> None:
    split.run(BY_FILM, project, machine)
    rows, footer = store.read(SPLIT, project / paths.SPLIT), store.read_footer(project / paths.SPLIT)
    honest = replace(footer, facts={**footer.facts, "unit": "patient"})
    store.write(rows, SPLIT, project / paths.SPLIT, honest)
    rmtree(project / paths.NORMALIZED)  # of another split
    report = verify.run(verify.VerifyParams(), project, machine)
    assert report.failed
    assert any("patients lie in several of train, val and test" in line for line in report.lines)
    assert LEAKS not in report.lines


def test_where_no_test_is_delivered_one_is_drawn_by_patient(
    tmp_path: Path, machine: Machine, film_file: Callable[..., Path]
) -> None:
    for seed in range(40):
        film_file(tmp_path / f"data/raw/ill/p{seed // 2}_{seed % 2}.png", seed)
    audit.run(audit.AuditParams(group_pattern=r"p\d+"), tmp_path, machine)
    split.run(PARAMS, tmp_path, machine)
    rows = store.read(SPLIT, tmp_path / paths.SPLIT)
    assert Counter(row.split for row in rows) == {"test": 6, "val": 6, "leak_probe": 2, "train": 26}
    assert json.loads((tmp_path / paths.SPLIT_SUMMARY).read_text())["test"] == "drawn by patient"


def test_without_a_usable_film_there_is_no_split(tmp_path: Path, machine: Machine) -> None:
    (tmp_path / "data/raw").mkdir(parents=True)
    (tmp_path / "data/raw/x.jpeg").write_bytes(b"no film")
    audit.run(audit.AuditParams(), tmp_path, machine)
    with pytest.raises(StageError, match=r"1 files, none usable; see reports/audit.html"):
        split.run(PARAMS, tmp_path, machine)
    assert not (tmp_path / paths.SPLIT).exists()


def test_labels_patients_splits_and_copies_are_those_of_the_truth_table(tmp_path: Path, machine: Machine) -> None:
    """What is odd about the films is held against it in test_phantom_faults.py."""
    phantom.run(phantom.PhantomParams(films=60, faults="all", longest_side_px=300), tmp_path, machine)
    audit.run(audit.AuditParams(), tmp_path, machine)
    split.run(PARAMS, tmp_path, machine)
    with (tmp_path / "data/raw-truth.csv").open(newline="") as file:
        truth = list(csv.DictReader(file))
    audits = {row.path: row for row in store.read(AUDITED, tmp_path / paths.AUDIT)}
    splits: dict[str, SplitRow] = {row.path: row for row in store.read(SPLIT, tmp_path / paths.SPLIT)}
    found = [
        {
            "path": path,
            "label": row.label or "",
            "group": row.group_id or "",
            "delivered_split": row.delivered_split,
            "expected_status": splits[path].status if path in splits else row.status,
            "same_bytes_as": row.exact_duplicate_of or "",
        }
        for path, row in audits.items()
    ]
    expected = [
        {
            **{name: line[name] for name in ("path", "label", "group", "delivered_split", "expected_status")},
            "same_bytes_as": line["duplicate_of"] if line["fault"] == "duplicate" else "",
        }
        for line in truth
    ]
    assert found == expected
