"""What there is: how films spread by split and class, and the film at each end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.rows import AUDITED, AuditedRow
from stages.auditing.census import BINS, census
from stages.auditing.figures import usable

Audited = Callable[..., AuditedRow]
FILMS = st.lists(
    st.tuples(
        st.integers(8, 3000),
        st.integers(8, 3000),
        st.floats(0.01, 20),
        st.sampled_from(["normal", "viral"]),
        st.sampled_from(["train", "test", None]),
    ),
    min_size=1,
    max_size=25,
)


def found(rows: list[AuditedRow]) -> dict[str, Any]:
    return census(usable(AUDITED.table(rows)))


def rows_of(audited: Audited, films: list[tuple[int, int, float, str, str | None]]) -> list[AuditedRow]:
    return [
        audited(f"{at:02d}.png", width=width, height=height, bits_per_pixel=bits, label=label, delivered_split=split)
        for at, (width, height, bits, label, split) in enumerate(films)
    ]


@given(FILMS)
def test_each_end_is_the_film_that_is_most_so(
    audited: Audited, films: list[tuple[int, int, float, str, str | None]]
) -> None:
    rows = rows_of(audited, films)
    for label, ends in found(rows)["extremes"].items():
        own = [row for row in rows if row.label == label]
        aspects = {row.path: (row.width or 0) / (row.height or 1) for row in own}
        bits = {row.path: row.bits_per_pixel or 0 for row in own}
        assert aspects[ends["narrowest"]["path"]] == min(aspects.values())
        assert ends["widest"]["path"] == min(path for path, one in aspects.items() if one == max(aspects.values()))
        assert bits[ends["most compressed"]["path"]] == min(bits.values())
        assert bits[ends["least compressed"]["path"]] == max(bits.values())


@given(FILMS)
def test_histograms_hold_every_film_once(
    audited: Audited, films: list[tuple[int, int, float, str, str | None]]
) -> None:
    histogram = found(rows_of(audited, films))["histograms"]["aspect"]
    assert len(histogram["edges"]) == BINS + 1
    assert sum(
        n for by_class in histogram["counts"].values() for of_class in by_class.values() for n in of_class
    ) == len(films)


def test_quantiles_and_qualities_are_told_by_split_and_class(audited: Audited) -> None:
    rows = [
        audited(f"{at}.jpg", bits_per_pixel=at + 1.0, delivered_split="train", jpeg_quality=75 if at < 60 else None)
        for at in range(101)
    ]
    told = found(rows)
    spread = told["spreads"]["bits_per_pixel"]["train"]["normal"]
    assert spread == {"min": 1, "p5": 6, "p25": 26, "median": 51, "p75": 76, "p95": 96, "max": 101}
    assert told["quality_counts"] == {"train": {"normal": {"75": 60}}}
    assert told["spreads"]["aspect"]["train"]["normal"]["median"] == pytest.approx(80 / 60, abs=1e-4)


def test_films_of_which_nothing_is_known_have_no_figures(audited: Audited) -> None:
    told = found([audited("x.png", bits_per_pixel=None, jpeg_quality=None)])
    assert told["spreads"]["bits_per_pixel"]["none"]["normal"] == {}
    assert told["histograms"]["bits_per_pixel"] == {}
    assert "most compressed" not in told["extremes"]["normal"]
    assert np.isfinite(told["sizes"]["normal"]["aspect_median"])
