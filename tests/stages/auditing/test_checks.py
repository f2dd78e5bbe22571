"""Checks: each fault is counted by its own check and by no other, and a limit that is passed fails the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from manifests import store
from stages import audit, build, paths
from stages.auditing import checks
from stages.auditing.checks import Limits
from stages.contract import Machine, StageError

GATES = [check.name for check in checks.CHECKS]


def found_by(root: Path) -> dict[str, Any]:
    summary = json.loads((root / paths.AUDIT_SUMMARY).read_text())
    return {check["name"]: check["found"] for check in summary["checks"]}


def test_each_check_has_a_limit_and_each_limit_a_check() -> None:
    assert sorted(Limits.model_fields) == sorted(GATES)


def test_a_run_without_a_gate_passes_whatever_it_finds(project: Path, machine: Machine) -> None:
    (project / "data/raw/train/NORMAL/IM-0777-0001.jpeg").write_bytes(b"")
    report = audit.run(audit.AuditParams(), project, machine)
    assert not report.failed
    assert found_by(project)["corrupt"] == 1


@pytest.mark.parametrize("fail_on", ["corrupt", "all", "leakage, corrupt"])
def test_a_limit_that_is_passed_fails_the_run_and_says_which(project: Path, machine: Machine, fail_on: str) -> None:
    (project / "data/raw/train/NORMAL/IM-0777-0001.jpeg").write_bytes(b"")
    report = audit.run(audit.AuditParams(fail_on=fail_on), project, machine)
    assert report.failed
    assert "corrupt: 1 files that cannot be used, limit 0" in report.verdict
    assert (project / paths.AUDIT_PAGE).is_file()


def test_what_is_within_its_limit_passes(project: Path, machine: Machine) -> None:
    (project / "data/raw/train/NORMAL/IM-0777-0001.jpeg").write_bytes(b"")
    params = audit.AuditParams(fail_on="corrupt", limits=Limits(corrupt=1))
    assert not audit.run(params, project, machine).failed


def test_a_gate_changes_no_byte_of_the_manifest(project: Path, machine: Machine) -> None:
    audit.run(audit.AuditParams(), project, machine)
    before = store.file_sha256(project / paths.AUDIT)
    audit.run(audit.AuditParams(fail_on="all", limits=Limits(corrupt=7)), project, machine)
    assert store.file_sha256(project / paths.AUDIT) == before


def test_build_stops_at_a_gate(tmp_path: Path, machine: Machine, film_file: Callable[..., Path]) -> None:
    film_file(tmp_path / "data/raw/well/x.png", 1)
    film_file(tmp_path / "data/raw/ill/y.png", 2)
    (tmp_path / "data/raw/ill/z.png").write_bytes(b"")
    params = build.BuildParams(audit=audit.AuditParams(fail_on="corrupt"))
    with pytest.raises(StageError, match="audit: corrupt: 1 files"):
        build.run(params, tmp_path, machine)
    assert (tmp_path / paths.AUDIT_PAGE).is_file()
    assert not (tmp_path / paths.SPLIT).exists()


def test_a_text_beside_the_films_is_no_broken_film_and_a_jpeg_that_is_none_is(project: Path, machine: Machine) -> None:
    for name in ("readme.txt", "films.csv"):
        (project / "data/raw" / name).write_text("no film")
    audit.run(audit.AuditParams(), project, machine)
    assert found_by(project)["corrupt"] == 0
    for name in ("IM-0777-0001.JPG", "IM-0778-0001.mpo"):
        (project / "data/raw/train/NORMAL" / name).write_text("no film")
    audit.run(audit.AuditParams(), project, machine)
    assert found_by(project)["corrupt"] == 2


def test_the_same_bytes_under_two_labels_are_one_conflict_and_a_wrong_folder_is_another(
    tmp_path: Path, machine: Machine, film_file: Callable[..., Path]
) -> None:
    for seed in range(4):
        film_file(tmp_path / f"data/raw/train/NORMAL/IM-{seed:04d}-0001.jpeg", seed)
    film_file(tmp_path / "data/raw/train/PNEUMONIA/person1_virus_1.jpeg", 9)
    film_file(tmp_path / "data/raw/train/PNEUMONIA/person2_bacteria_2.jpeg", 9)
    film_file(tmp_path / "data/raw/train/NORMAL/person3_virus_3.jpeg", 10)
    audit.run(audit.AuditParams(), tmp_path, machine)
    assert found_by(tmp_path)["conflicts"] == 2


def test_an_unknown_check_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValidationError, match="'leakge' is no check; did you mean 'leakage'"):
        audit.AuditParams(fail_on="leakge")


@given(st.dictionaries(st.sampled_from(GATES), st.integers(0, 5)), st.sets(st.sampled_from(GATES)))
def test_a_gate_fails_where_one_of_its_checks_is_over_and_names_each(over: dict[str, int], asked: set[str]) -> None:
    told = [
        {"name": name, "found": n, "limit": 0, "passed": n == 0, "told": "films", "section": ""}
        for name, n in over.items()
    ]
    words = checks.failed(told, sorted(asked))
    for name, n in over.items():
        assert (f"{name}: {n} films" in words) is (n > 0 and name in asked)
