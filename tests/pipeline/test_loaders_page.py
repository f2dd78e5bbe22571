"""The code of docs/loaders.md runs as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import main

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs/loaders.md").read_text(encoding="utf-8")
LIBRARIES = {
    "Hugging Face `datasets`": "datasets",
    "DuckDB": "duckdb",
    "pyarrow.dataset": "pyarrow",
    "torchvision `ImageFolder`": "torchvision",
    "WebDataset": "webdataset",
    "PyTorch `DataLoader`": "torch",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root on which the stages and the page's exports have run, on a few phantoms."""
    place = tmp_path_factory.mktemp("page")
    (place / "params.yaml").write_text("normalize: {height: 64, width: 75}\naugment: {copies: 2}\n")
    exports = [line.split("#")[0].split()[1:] for line in PAGE.splitlines() if line.startswith("cxr-pipeline export")]
    assert len(exports) == 3
    for command in (
        ["phantom", "--films", "40", "--longest-side-px", "120"],
        ["build"],
        *exports,
    ):
        result = CliRunner().invoke(main, [*command, "--root", str(place), "--backend", "sequential"])
        assert result.exit_code == 0, result.output
    return place


def test_every_python_block_of_the_page_runs_as_it_stands_there(root: Path) -> None:
    """All in one process, each with names of its own: the libraries load once."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 8
    script = "\n".join(
        [
            f"blocks = {blocks!r}",
            "if __name__ == '__main__':",
            "    for number, block in enumerate(blocks):",
            "        exec(compile(block, f'block {number} of docs/loaders.md', 'exec'), {'__name__': '__main__'})",
        ]
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "HF_HOME": str(root / "hugging-face"),
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "{'train': " in done.stdout


def test_the_versions_of_the_page_are_those_that_the_tests_use() -> None:
    told = dict(re.findall(r"^\| ([^|]+) \| (\d[\d.]+) \|", PAGE, re.MULTILINE))
    assert {name: told[name] for name in LIBRARIES} == {
        name: version(library).split("+")[0] for name, library in LIBRARIES.items()
    }
