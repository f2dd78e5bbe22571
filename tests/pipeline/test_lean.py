from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.skipif(find_spec("pandas") is None, reason="pandas is not installed, so nothing can bring it")

ARRAY = "import sys, pyarrow; pyarrow.array(['a']); print('pandas' in sys.modules)"


def brought_pandas(before: str) -> bool:
    code = f"{before}; {ARRAY}"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return printed.strip() == "True"


def test_an_array_brings_no_pandas_into_a_process_that_does_without() -> None:
    assert not brought_pandas(
        "from pipeline.lean import keep_pandas_from_arrow; keep_pandas_from_arrow(); keep_pandas_from_arrow()"
    )


def test_a_worker_does_without_pandas() -> None:
    assert not brought_pandas("import os; from pipeline.watched import prepare; prepare(os.getppid())")


COMMAND = """
import contextlib, io, sys
from pipeline.__main__ import run
sys.argv = ["cxr-pipeline", "audit", "--help"]
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    run()
pass"""


def test_a_command_does_without_pandas() -> None:
    assert not brought_pandas(COMMAND)


def test_whoever_else_asks_for_pandas_finds_it() -> None:
    before = "from pipeline.lean import keep_pandas_from_arrow; keep_pandas_from_arrow(); import pandas"
    assert brought_pandas(f"{before}; from importlib.util import find_spec; assert find_spec('pandas')")


def test_elsewhere_pandas_is_found_as_ever() -> None:
    assert brought_pandas("import pipeline.lean")
