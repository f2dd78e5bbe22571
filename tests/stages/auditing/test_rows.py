"""Rows: what a file is odd in is said, a kind for each."""

from __future__ import annotations

import pytest

from stages.auditing.rows import Examined, film_row
from stages.films.decode import Header
from stages.films.frame import Frame
from stages.named import Named


@pytest.mark.parametrize("name", ["a.jpeg", "a.x; y: z", "a", "a.; "])
def test_a_wrong_extension_is_one_warning_whatever_it_is(name: str) -> None:
    """Figures count warnings by what stands before a colon, and part them at semicolons."""
    header = Header(20, 30, "L", "PNG", oddities=("ICC profile is ignored",))
    row = film_row(name, Examined("ok", None, "0" * 64, 9, header), Named("ill", None, None), Frame(256, 300))
    kinds = [warning.split(":")[0] for warning in (row.warning or "").split("; ")]
    assert kinds == ["wrong extension", "ICC profile is ignored"]
