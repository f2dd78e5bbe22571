"""Rows: what a file is odd in is said, a kind for each; classes are numbered, as many as there is room for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from manifests.rows import AUDITED, AuditedRow
from stages.auditing.rows import MOST_CLASSES, Examined, classified, film_row
from stages.contract import StageError
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


def test_a_folder_for_each_of_very_many_patients_is_no_class_and_the_error_says_what_to_do(
    audited: Callable[..., AuditedRow],
) -> None:
    names = [f"patient{number:05d}" for number in range(MOST_CLASSES + 1)]
    rows = AUDITED.table([audited("normal/x.png")])
    assert classified(rows, [*names[2:], "normal"]).column("label_index").to_pylist() == [MOST_CLASSES - 1]
    with pytest.raises(StageError, match=r"found 32,769 classes, from 'patient00000' to 'patient32768'.*--labels csv"):
        classified(rows, names)
