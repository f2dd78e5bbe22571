"""What a shell offers when the tab key is pressed, asked of the shell itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.catalog import COMMANDS

PROGRAMS = Path(sys.executable).parent
PAGE = Path(__file__).resolve().parents[2] / "docs/commands.md"


def told(shell: str) -> str:
    """Return what the page says to put into a shell's own file."""
    (line,) = re.findall(rf"^\| {shell} \|.*?\| `(.*)` \|$", PAGE.read_text(), re.MULTILINE)
    return str(line).replace("\\|", "|")


def offered(*words: str) -> list[str]:
    """Return what bash would offer for the last word of a line, after what the page says was read."""
    line = " ".join(f"'{word}'" for word in words)
    script = f"""
        {told("bash")}
        compopt() {{ COMPREPLY+=("left to -o $2"); }}
        COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}
        _cxr_pipeline_completion cxr-pipeline && printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    environment = {**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}"}
    ran = subprocess.run(["bash", "-c", script], env=environment, check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def test_a_word_begun_is_completed_to_commands() -> None:
    assert offered("cxr-pipeline", "a") == ["audit", "augment"]
    assert offered("cxr-pipeline", "") == [entry.name for entry in COMMANDS]


def test_options_and_their_choices_are_offered() -> None:
    assert offered("cxr-pipeline", "augment", "--mar") == ["--margins"]
    assert set(offered("cxr-pipeline", "augment", "--margins", "re")) == {"reflect", "replicate"}


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("audit", "--raw", ""), "dirnames"),
        (("show", "--out", "re"), "default"),
        (("predict", ""), "default"),
    ],
)
def test_folders_and_files_are_left_to_the_shell(words: tuple[str, ...], kind: str) -> None:
    assert offered("cxr-pipeline", *words) == [f"left to -o {kind}"]


def test_commands_are_offered_without_a_look_at_any_stage() -> None:
    script = """
import os, sys
os.environ.update(COMP_WORDS="cxr-pipeline ", COMP_CWORD="1", _CXR_PIPELINE_COMPLETE="zsh_complete")
from pipeline.cli import main
try:
    main(prog_name="cxr-pipeline")
except SystemExit as end:
    assert end.code == 0
heavy = {"numpy", "pyarrow", "pydantic", "stages.contract"} & set(sys.modules)
assert not heavy, heavy
"""
    ran = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "Write the originals and N copies of every training film." in ran.stdout


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_read_what_the_page_says(shell: str) -> None:
    line = told(shell)
    assert f"_CXR_PIPELINE_COMPLETE={shell}_source cxr-pipeline" in line
    environment = {**os.environ, "_CXR_PIPELINE_COMPLETE": f"{shell}_source"}
    command = [str(PROGRAMS / "cxr-pipeline")]
    source = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    assert f"_CXR_PIPELINE_COMPLETE={shell}_complete" in source
    if (found := shutil.which(shell)) is not None:
        flag = "-n" if shell == "zsh" else "--no-execute"
        subprocess.run([found, flag], input=source, text=True, check=True, capture_output=True)
