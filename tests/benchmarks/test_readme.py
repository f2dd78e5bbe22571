"""Whoever looks for a benchmark finds it, and what it measures, in one table."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks import films

FOLDER = Path(films.__file__).parent
README = (FOLDER / "README.md").read_text(encoding="utf-8")
SCRIPTS = {path.name for path in FOLDER.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")}


def test_every_script_has_a_row_and_every_other_module_is_named() -> None:
    rows = re.findall(r"^\| `(\w+\.py)` \|", README, re.MULTILINE)
    assert sorted(rows) == sorted(SCRIPTS)
    for module in {path.name for path in FOLDER.glob("*.py")} - SCRIPTS:
        assert f"`{module}`" in README, module


def test_every_script_says_first_how_it_is_called() -> None:
    for name in SCRIPTS:
        text = (FOLDER / name).read_text(encoding="utf-8")
        assert f"\npython benchmarks/{name}" in text[:1000], name
        assert "ArgumentParser(description=__doc__, formatter_class=" in text, name
