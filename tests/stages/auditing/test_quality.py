"""Flags: what a person should look at, told from columns and thumbnails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from manifests import store
from manifests.rows import AUDITED, AuditedRow
from stages import audit, paths
from stages.auditing.borders import borders
from stages.auditing.figures import usable
from stages.auditing.quality import FEWEST_FILMS, flagged, quality
from stages.contract import Machine
from stages.films import phantom
from stages.films.phantom_plan import plan
from stages.statistics.alignment import SIDE

Audited = Callable[..., AuditedRow]
GOOD = {"level_1": 5, "level_5": 20, "level_50": 120, "level_95": 200, "level_99": 230, "clipped": 0.0, "border": 0.0}
UNTOLD = {"compared": False, "why_not": "too few", "likeness": None}


def chests() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the thumbnails of 48 small phantoms of other patients than the reference's."""
    drawn = [Image.fromarray(phantom.draw(film, seed=1)) for film in plan(48, 1, longest_side_px=96)]
    small = [np.asarray(film.resize((SIDE, SIDE), Image.Resampling.BOX)).ravel() for film in drawn]
    return np.stack(small)


def told(rows: list[AuditedRow], thumbnails: Any = None) -> tuple[list[AuditedRow], dict[str, Any]]:
    """Return rows with their flags, and how they were told."""
    pictures = np.zeros((len(rows), SIDE * SIDE), np.uint8) if thumbnails is None else thumbnails
    table, facts = flagged(AUDITED.table(rows), pictures)
    AUDITED.check(table, where="the flagged rows")
    return AUDITED.rows(table), facts


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({}, []),
        ({"level_95": 60}, ["low_contrast"]),
        ({"clipped": 0.2}, ["clipped"]),
        ({"clipped": 0.9, "marks": 3, "mode": "1"}, []),
        ({"border": 0.4}, ["black_border"]),
        ({"marks": 2}, ["burnt_in"]),
        ({"marks": 0}, []),
        ({"colour": 40.0}, ["unlike"]),
        ({"colour": 40.0, "marks": 4}, ["unlike"]),
        ({"level_95": 60, "clipped": 0.2, "marks": 1}, ["low_contrast", "clipped", "burnt_in"]),
    ],
)
def test_a_films_own_numbers_make_its_flags(audited: Audited, changes: dict[str, Any], flags: list[str]) -> None:
    (row,), _ = told([audited("a", **GOOD | changes)])
    assert row.flags == flags


def test_a_row_without_a_picture_has_no_flags_and_keeps_its_warning(audited: Audited) -> None:
    rows = [audited("a", warning="wrong extension: x"), audited("b", **GOOD, status="blank", reason="r")]
    found, _ = told(rows)
    assert [(row.flags, row.warning) for row in found] == [(None, "wrong extension: x"), (None, None)]


def test_a_flags_sentence_follows_what_was_odd_before(audited: Audited) -> None:
    rows = [audited("a", **GOOD | {"level_95": 60}, warning="ICC profile is ignored"), audited("b", **GOOD)]
    found, _ = told(rows)
    assert [(row.warning or "").split(":")[0] for row in found] == ["ICC profile is ignored; low contrast", ""]


def test_few_films_are_not_compared_and_the_facts_say_why(audited: Audited) -> None:
    few = chests()[: FEWEST_FILMS - 1]
    few[0] = 255 - few[0]
    rows, facts = told([audited(f"{n:02d}", **GOOD) for n in range(len(few))], few)
    assert not any(row.flags for row in rows)
    assert {(row.askew, row.distance) for row in rows} == {(None, None)}
    assert facts["compared"] is False
    assert (
        facts["why_not"]
        == f"the set has {FEWEST_FILMS - 1} films; expected {FEWEST_FILMS} or more to compare them with"
    )


def test_pictures_of_something_else_are_not_compared(audited: Audited) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 8, 8), np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    rows, facts = told([audited(f"{n:02d}", **GOOD) for n in range(40)], noise.reshape(40, -1))
    assert not any(row.flags for row in rows)
    assert "correlation with drawn chests" in facts["why_not"]


def test_films_that_lie_askew_are_flagged_and_their_numbers_stand_in_the_row(audited: Audited) -> None:
    pictures = chests().reshape(-1, SIDE, SIDE).copy()
    pictures[0], pictures[1], pictures[2] = 255 - pictures[0], np.rot90(pictures[1], -1), np.rot90(pictures[2], 2)
    films = [audited(f"{n:02d}", **GOOD | {"clipped": 0.0 if n else 0.3}) for n in range(48)]  # a border made white
    rows, facts = told(films, pictures.reshape(48, -1))
    assert [row.flags for row in rows[:3]] == [["inverted"], ["rotated_90"], ["rotated_180"]]
    assert [(row.path, row.flags) for row in rows[3:] if row.flags] == []
    assert all((row.askew or 0) > 0.3 for row in rows[:3])
    assert facts["compared"] is True


def test_figures_count_films_by_flag_split_and_class_and_name_the_worst_first(audited: Audited) -> None:
    films = [
        audited(f"{n:02d}", **GOOD | {"level_95": 30 + n}, delivered_split="train", label=("normal", "viral")[n % 2])
        for n in range(15)
    ]
    table, _ = flagged(AUDITED.table(films), np.zeros((15, SIDE * SIDE), np.uint8))
    found = quality(usable(table), {"quality": UNTOLD})["quality"]
    assert found["flags"]["low_contrast"]["films"] == 15
    assert found["flags"]["low_contrast"]["by_class"] == {"train": {"normal": 8, "viral": 7}}
    assert found["flags"]["low_contrast"]["examples"] == [f"{n:02d}" for n in range(12)]
    assert found["levels"]["train"]["normal"]["contrast_min"] == 10


def test_borders_are_told_by_split_and_class(audited: Audited) -> None:
    shares = {"a": 0.0, "b": 0.005, "c": 0.2, "d": 0.3}
    films = [
        audited(name, border=share, border_left=round(100 * share), border_top=0, border_right=0, border_bottom=0)
        for name, share in shares.items()
    ]
    found = borders(usable(AUDITED.table([*films, audited("e")])))["borders"]["none"]["normal"]
    assert (found["films"], found["median"], found["bordered_share"], found["bars_share"]) == (4, 0.1025, 0.5, 0.5)
    assert found["deepest_px"] == {"left": 30, "top": 0, "right": 0, "bottom": 0}


def test_flags_come_through_a_manifest(audited: Audited, tmp_path: Path) -> None:
    rows, _ = told([audited("a", **GOOD | {"clipped": 0.5}), audited("b")])
    store.write(AUDITED.table(rows), AUDITED, tmp_path / "manifest.parquet", store.Footer(params={}, facts={}))
    assert [row.flags for row in store.read(AUDITED, tmp_path / "manifest.parquet")] == [["clipped"], None]


def test_a_flag_that_nobody_knows_is_refused(audited: Audited) -> None:
    from manifests.checks import ManifestError  # noqa: PLC0415 - this test's alone

    with pytest.raises(ManifestError, match="column 'flags' holds \\['crooked'\\]"):
        AUDITED.table([audited("a", flags=["crooked"])])


@pytest.mark.real
def test_no_real_film_is_called_turned_inverted_unlike_flat_or_clipped(
    real_films: Path, tmp_path: Path, machine: Machine
) -> None:
    raw = tmp_path / "raw"
    for film in sorted((real_films / "kermany-raw").rglob("*.jpeg"))[::3]:
        place = raw / film.relative_to(real_films / "kermany-raw")
        place.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(film) as image:
            image.reduce(max(1, min(image.size) // 256)).save(place, quality=95)
    audit.run(audit.AuditParams(), tmp_path, replace(machine, raw=raw))
    rows = store.read(AUDITED, tmp_path / paths.AUDIT)
    assert len(rows) > 100
    assert {flag for row in rows for flag in row.flags or ()} == {"burnt_in"}
    assert pa.compute.sum(AUDITED.table(rows).column("marks")).as_py() > len(rows)
