"""What README, tutorial and the page on fetching tell their readers to type does what they say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from pipeline.cli import main
from tests.docs.console import Ran, agrees, commands, lay_out, require_as_stated, run_page
from tests.docs.markdown import REPOSITORY, Block, blocks, pages
from tests.docs.test_howto_pages import ON_A_SET

RUN = ("README.md", "docs/tutorial.md", "docs/howto-fetch.md")


@pytest.fixture(scope="module", params=RUN)
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Ran]:
    """Return what came of a page's blocks, run in order by one shell in a fresh home."""
    home = tmp_path_factory.mktemp("home")
    text = (REPOSITORY / request.param).read_text(encoding="utf-8")
    lay_out(text, home)
    return run_page(text, home)


def test_every_command_works_and_prints_what_the_page_says(ran: list[Ran]) -> None:
    require_as_stated(ran)


@pytest.mark.parametrize("page", [page for page in pages() if "```console" in page.read_text(encoding="utf-8")])
def test_a_block_that_is_not_run_says_why(page: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8")):
        assert block.language, f"line {block.line} has no language"
        assert set(block.remarks) <= {"not run", "not compared", "numbers vary", "fails"}
        assert all(len(reason) > 10 for reason in block.remarks.values())


@pytest.mark.parametrize("page", [page for page in pages() if "```console" in page.read_text(encoding="utf-8")])
def test_every_page_with_commands_is_run_or_says_of_each_block_why_not(page: Path) -> None:
    if page.relative_to(REPOSITORY).as_posix() not in (*RUN, *ON_A_SET, "docs/commands.md"):
        consoles = [block for block in blocks(page.read_text(encoding="utf-8")) if block.language == "console"]
        assert not [block.line for block in consoles if "not run" not in block.remarks]


def _invocations() -> list[tuple[str, str]]:
    found = []
    for page in pages():
        for block in blocks(page.read_text(encoding="utf-8")):
            if block.language in ("console", "bash", "sh"):
                lines = [line.removeprefix("$ ") for line in commands(block.text)]
                found += [(page.name, line) for line in lines if line.startswith("cxr-pipeline ")]
    return found


@pytest.mark.parametrize(("page", "line"), _invocations())
def test_a_command_in_any_page_exists_with_its_flags(page: str, line: str) -> None:
    words = shlex.split(re.split(r" (?:\||>|&&|;|2>&1) ?", line)[0], comments=True)
    name, *arguments = words[1:]
    if name.startswith("-"):
        return
    command = main.get_command(None, name)  # type: ignore[arg-type]  # the catalogue needs no context
    assert command is not None, f"{page}: {name}"
    known = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)} | {"--help"}
    assert {word.split("=")[0] for word in arguments if word.startswith("--")} <= known


def _ran(stated: str, printed: str, *, vary: bool = False) -> bool:
    return agrees(stated, printed, numbers_vary=vary)


def test_times_are_no_part_of_what_is_compared_and_all_else_is() -> None:
    assert _ran(
        "split: 90 films in 0.3 s (266 films/s); nothing\n", "split: 90 films in 12.0 s (1,266 films/s); nothing\n"
    )
    assert not _ran("split: 90 films in 0.3 s (266 films/s)\n", "split: 91 films in 0.3 s (266 films/s)\n")
    assert not _ran("one\n", "one\ntwo\n")
    assert _ran("one\n...\nthree\n", "one\ntwo\nand a half\nthree\n")
    assert not _ran("one\n...\nthree\n", "one\ntwo\n")


def test_where_numbers_vary_words_do_not() -> None:
    assert _ran("fit  +25.0  [+25.0, +25.0]  0.0\n", "fit   -8.1   [-25.0, +2]  1,000.0\n", vary=True)
    assert not _ran("fit +25.0\n", "leakage +25.0\n", vary=True)


def test_a_block_knows_its_remarks_and_what_it_follows() -> None:
    text = "<!-- not run: a reason -->\n```console\nls\n```\n\n<!-- numbers vary: here -->\n```text\n1\n```\n"
    text += "x\n```text\n```\n"
    assert list(blocks(text)) == [
        Block(line=2, language="console", text="ls\n", remarks={"not run": "a reason"}, follows=False),
        Block(line=7, language="text", text="1\n", remarks={"numbers vary": "here"}, follows=True),
        Block(line=11, language="text", text="", remarks={}, follows=False),
    ]


def test_a_page_ends_at_the_first_command_that_fails(tmp_path: Path) -> None:
    text = "```console\nmkdir a\ncd a\npwd\n```\n```console\nfalse\n```\n```console\ntouch after\n```\n"
    first, second = run_page(text, tmp_path)
    assert first.printed.endswith("work/a\n")
    assert second.failed == "false: exit code 1"
    assert not list(tmp_path.rglob("after"))
