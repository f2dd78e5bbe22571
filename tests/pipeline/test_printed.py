"""The last line of a command: what was done, how fast, what was set aside."""

from __future__ import annotations

import pytest

from pipeline.printed import print_report
from stages.contract import Report


@pytest.mark.parametrize(
    ("done", "seconds", "told"),
    [
        (1, 4.0, "audit: 1 file in 4.0 s (0.2 files/s); nothing set aside"),
        (25, 10.0, "audit: 25 files in 10.0 s (2.5 files/s); nothing set aside"),
        (3000, 2.0, "audit: 3,000 files in 2.0 s (1,500 files/s); nothing set aside"),
    ],
)
def test_the_last_line_counts_one_file_as_one_and_tells_slow_rates(
    capsys: pytest.CaptureFixture[str], done: int, seconds: float, told: str
) -> None:
    """`1 files` reads like a mistake, and `0 files/s` like a standstill."""
    print_report("audit", Report(done=done, unit="files"), seconds, err=False)
    assert capsys.readouterr().out.strip() == told
