"""What the page on extending tells to write is written, into a copy of the sources, and run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from pipeline.cli import main
from tests.docs.markdown import REPOSITORY, blocks

PAGE = REPOSITORY / "docs/extending.md"
SOURCES = ("pipeline", "stages", "manifests", "docs", "pyproject.toml")


def diff_of(section: str) -> str:
    """Return the one diff of a section of the page."""
    text = PAGE.read_text(encoding="utf-8")
    (part,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    (found,) = [block.text for block in blocks(part) if block.language == "diff"]
    return found


class Copy:
    """A copy of the sources with a section's diff, and a root to run it in."""

    def __init__(self, folder: Path, section: str) -> None:
        """Copy the sources into a folder and change them."""
        self.sources, self.root = folder / "sources", folder / "root"
        self.root.mkdir()
        for name in SOURCES:
            if (REPOSITORY / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "pictures", "*.svg")
                shutil.copytree(REPOSITORY / name, self.sources / name, ignore=ignored)
            else:
                shutil.copy(REPOSITORY / name, self.sources / name)
        diff = diff_of(section)
        subprocess.run(["git", "apply", "-"], cwd=self.sources, input=diff, text=True, check=True, capture_output=True)
        self.changed = re.findall(r"^\+\+\+ b/(.+)$", diff, re.MULTILINE)

    def run(self, *command: str, module: str = "pipeline") -> str:
        """Return what a command of the copy prints."""
        arguments = [*command, "--root", str(self.root), "--jobs", "1"] if module == "pipeline" else command
        result = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.sources,
            env={**os.environ, "PYTHONPATH": str(self.sources)},
            check=False,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of phantoms."""
    root = tmp_path_factory.mktemp("phantoms")
    command = ["phantom", "--films", "20", "--longest-side-px", "120", "--backend", "sequential"]
    assert CliRunner().invoke(main, [*command, "--root", str(root)]).exit_code == 0
    return root / "data/raw"


@pytest.fixture
def copy(tmp_path: Path, request: pytest.FixtureRequest) -> Copy:
    return Copy(tmp_path, request.param)


ALL = ("An operation", "A network", "A stage", "A format")


@pytest.mark.parametrize("copy", ALL, indirect=True)
def test_what_the_page_adds_is_written_as_the_house_writes(copy: Copy) -> None:
    assert copy.changed
    copy.run("check", "--no-cache", *copy.changed, module="ruff")
    copy.run("format", "--check", "--no-cache", *copy.changed, module="ruff")


@pytest.mark.parametrize("copy", ["An operation"], indirect=True)
def test_the_operation_has_a_column_a_line_of_the_docs_and_is_replayed(copy: Copy, films: Path) -> None:
    recipe = {"operations": [{"op": "window", "share": 0.2}, {"op": "rotate"}], "copies": 3}
    params = {"normalize": {"height": 64, "width": 75}, "augment": recipe}
    (copy.root / "params.yaml").write_text(yaml.safe_dump(params))
    copy.run("build", "--raw", str(films))
    rows = pq.read_table(copy.root / "data/augmented/manifest.parquet", columns=["copy", "window_low"]).to_pylist()
    drawn = [row["window_low"] for row in rows if row["copy"] > 0]
    assert all(0 <= low < 0.2 for low in drawn)
    assert len(set(drawn)) == len(drawn) > 20
    assert {row["window_low"] for row in rows if row["copy"] == 0} == {None}
    assert "byte for byte the same" in copy.run("replay", "--all")
    copy.run(module="docs.reference")
    assert "| `window_low` | double" in (copy.sources / "docs/manifests.md").read_text()


@pytest.mark.parametrize("copy", ["A network"], indirect=True)
def test_the_network_can_be_named_and_has_the_weights_it_should(copy: Copy) -> None:
    assert f"{64 * 75 * 3 + 3:,}" in copy.run("networks", "linear", "--height", "64", "--width", "75")


@pytest.mark.parametrize("copy", ["A stage"], indirect=True)
def test_the_stage_has_a_command_a_block_of_dvc_and_a_section_of_the_docs(copy: Copy, films: Path) -> None:
    copy.run("audit", "--raw", str(films))
    copy.run("split")
    copy.run("tally")
    lines = (copy.root / "reports/tally.csv").read_text().splitlines()
    assert lines[0] == "split,label,number"
    assert sum(int(line.rpartition(",")[2]) for line in lines[1:]) == 20
    copy.run("tally", "--by-patient")
    assert len((copy.root / "reports/tally.csv").read_text().splitlines()) == len(lines)
    copy.run(module="docs.reference")
    block = yaml.safe_load((copy.sources / "dvc.yaml").read_text())["stages"]["tally"]
    assert block["cmd"] == "cxr-pipeline tally"
    assert "stages/tally.py" in block["deps"]
    assert block["outs"] == ["reports/tally.csv"]
    assert "## tally" in (copy.sources / "docs/commands.md").read_text()


@pytest.mark.parametrize("copy", ["A format"], indirect=True)
def test_the_format_is_read_and_was_not_before(copy: Copy) -> None:
    for label in ("NORMAL", "PNEUMONIA"):
        folder = copy.root / "data/raw" / label
        folder.mkdir(parents=True)
        Image.linear_gradient("L").resize((120, 100)).rotate(180 * (label == "NORMAL")).save(folder / "film.pcx")
    copy.run("audit")
    columns = ["status", "format", "warning"]
    rows = pq.read_table(copy.root / "data/audit/manifest.parquet", columns=columns).to_pylist()
    assert [(row["status"], row["format"]) for row in rows] == [("ok", "PCX")] * 2
    assert not any("extension" in (row["warning"] or "") for row in rows)
    shutil.rmtree(copy.sources / "stages")
    shutil.copytree(REPOSITORY / "stages", copy.sources / "stages")
    copy.run("audit")
    before = pq.read_table(copy.root / "data/audit/manifest.parquet", columns=["status"]).column("status").to_pylist()
    assert set(before) == {"not_an_image"}
