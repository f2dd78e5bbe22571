"""Runs what pages tell their readers to type, as they would: one shell, in order, in a fresh folder.

python -m tests.docs.console docs/tutorial.md     runs a page and writes what was printed into its `text` blocks
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from tests.docs.markdown import REPOSITORY, Block, blocks

SMALL = """
normalize: {height: 64, width: 75}
train: {network: alexnet, epochs: 1}
evaluate: {draws: 200}
"""
END = "\x1e"  # between a command's output and its exit code
TIMING = re.compile(r"in [\d,.]+ s \([\d,.]+ ")


class Shell:
    """A shell of a newcomer: the tool on its path, films at ~/films, and nothing else."""

    def __init__(self, home: Path) -> None:
        """Start it in a folder `work` of a home."""
        (home / "work").mkdir(exist_ok=True)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {**os.environ, "PATH": path, "HOME": str(home), "PYTHONPATH": str(REPOSITORY)}
        # on a busy machine, joblib's tracker may miss that a lock was let go before it looks for it
        environment["PYTHONWARNINGS"] = "ignore:resource_tracker:UserWarning"
        self._bash = subprocess.Popen(
            ["bash", "--norc"],
            cwd=home / "work",
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def close(self) -> None:
        """End the shell."""
        self._bash.communicate()

    def run(self, command: str) -> tuple[str, int]:
        """Return what a command prints, on both streams, and its exit code."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f"{{ {command}\n}} </dev/null\nprintf '{END}%s\\n' $?\n")
        self._bash.stdin.flush()
        printed = ""
        while END not in printed:
            line = self._bash.stdout.readline()
            if not line:
                return printed, -1  # the command ended the shell
            printed += line
        output, _, code = printed.rpartition(END)
        return output, int(code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A block that was run: what it printed, and the block that says what it prints, if any does."""

    block: Block
    stated: Block | None
    printed: str
    failed: str

    @property
    def agrees(self) -> bool:
        """Whether it printed what the page states, as far as the page's remarks want that compared."""
        if self.stated is None or "not compared" in (self.stated.remarks | self.block.remarks):
            return True
        return agrees(self.stated.text, self.printed, numbers_vary="numbers vary" in self.stated.remarks)


def run_page(text: str, home: Path) -> list[Ran]:
    """Run every `console` block of a page but those whose remark says why not; end at the first that fails unasked."""
    found = [*blocks(text), None]
    ran: list[Ran] = []
    with closing(Shell(home)) as shell:
        for block, after in pairwise(found):
            if block is None or block.language != "console" or "not run" in block.remarks:
                continue
            stated = after if after and after.language == "text" and after.follows else None
            printed, failed = "", ""
            for command in commands(block.text):
                output, code = shell.run(command)
                printed += output
                failed = failed or (f"{command}: exit code {code}" if code else "")
            ran.append(Ran(block=block, stated=stated, printed=printed, failed=failed))
            if failed and "fails" not in block.remarks:
                break
    return ran


def require_as_stated(ran: list[Ran]) -> None:
    """Require that every block did what its page says."""
    assert ran
    for each in ran:
        if "fails" in each.block.remarks:
            assert each.failed.endswith(": exit code 1"), f"line {each.block.line}: did not fail\n{each.printed}"
            continue
        assert not each.failed, f"line {each.block.line}: {each.failed}\n{each.printed}"
        stated = each.stated.text if each.stated else ""
        assert each.agrees, f"line {each.block.line} states\n{stated}\nand printed\n{each.printed}"


def commands(text: str) -> list[str]:
    """Return a block's commands: a line each, but for lines that end with a backslash."""
    return [line for line in text.replace("\\\n", " ").splitlines() if line.split("#")[0].strip()]


def agrees(stated: str, printed: str, *, numbers_vary: bool) -> bool:
    """Tell whether what is printed is what a page states: times aside, and all numbers where they vary.

    A line of three dots stands for any lines.
    """
    parts = [re.escape(_shape(part, numbers_vary)) for part in re.split(r"^ *\.\.\.\n", stated, flags=re.MULTILINE)]
    return re.fullmatch("(?:.*\n)*?".join(parts), _shape(printed, numbers_vary)) is not None


def _shape(text: str, numbers_vary: bool) -> str:  # noqa: FBT001 - told by its one caller
    text = TIMING.sub("in # s (# ", re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE))
    if numbers_vary:
        text = re.sub(r"[-+]?\d[\d,.]*\d|[-+]?\d", "#", text)
        text = re.sub(r"(?<=\S) {2,}", " ", text)
    return text


def rewritten(text: str, ran: list[Ran]) -> str:
    """Return a page with what was printed in place of what it stated, but where dots stand for lines."""
    for each in ran:
        dotted = each.stated is not None and re.search(r"^ *\.\.\.$", each.stated.text, re.MULTILINE)
        if each.stated is not None and not dotted and "not compared" not in each.block.remarks:
            text = text.replace(f"```text\n{each.stated.text}```", f"```text\n{each.printed}```", 1)
    return text


def main(names: list[str]) -> int:
    """Run pages and write what they print into them; return the exit status."""
    for page in [Path(name).resolve() for name in names]:
        with TemporaryDirectory() as home:
            text = page.read_text(encoding="utf-8")
            lay_out(text, Path(home))
            ran = run_page(text, Path(home))
            page.write_text(rewritten(text, ran), encoding="utf-8")
        if ran and ran[-1].failed and "fails" not in ran[-1].block.remarks:
            sys.stderr.write(f"{page.name}: {ran[-1].failed}\n{ran[-1].printed}")
            return 1
    return 0


def lay_out(text: str, home: Path) -> None:
    """Put into a home what a page takes for given: films, or an archive of some."""
    if "~/films" in text or "~/Downloads" in text:
        films_at(home)
    if "~/Downloads" in text:
        shutil.make_archive(str(home / "Downloads/archive"), "zip", home / "films")


def set_at(home: Path) -> None:
    """Put into a home what readers of the how-to pages have: a set with every stage run, other runs, and new films."""
    films_at(home)
    work = home / "work"
    (work / "data").mkdir()
    (work / "data/raw").symlink_to(home / "films")
    (work / "films").symlink_to(home / "films")
    (home / "films/train/NORMAL/broken.jpeg").write_bytes(b"no film")
    recipe = yaml.safe_load((REPOSITORY / "params/recipe-2020.yaml").read_text(encoding="utf-8"))
    small = yaml.safe_load(SMALL)
    (work / "params").mkdir()
    (work / "params/recipe-2020.yaml").write_text(
        yaml.safe_dump(recipe | {"normalize": recipe["normalize"] | small["normalize"]})
    )
    for command in ("build", "train", "evaluate"):
        _typed(home, command, "--root", str(work))
    for name in ("cover", "black"):
        (work / name).mkdir()
        (work / name / "params.yaml").write_text(SMALL)
    (work / "models/seed-1.safetensors").write_bytes((work / "models/model.safetensors").read_bytes())
    for name in ("run-a", "run-b", "run-c"):
        shutil.copytree(work / "data/evaluation", work / name / "data/evaluation")
    _typed(home, "phantom", "--films", "12", "--longest-side-px", "120", "--out", "new-films", "--root", str(home))


def films_at(home: Path) -> None:
    """Put small phantoms into a home, and beside them a folder `work` whose parameters train a network in seconds."""
    _typed(home, "phantom", "--films", "30", "--longest-side-px", "200", "--out", "films", "--root", str(home))
    (home / "work").mkdir()
    (home / "work/params.yaml").write_text(SMALL)


def _typed(home: Path, *arguments: str) -> None:
    environment = {**os.environ, "HOME": str(home), "PYTHONPATH": str(REPOSITORY)}
    subprocess.run(["cxr-pipeline", *arguments], env=environment, check=True, capture_output=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
