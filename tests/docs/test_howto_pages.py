"""What the how-to pages tell to type works on a set on which every stage was run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs.console import require_as_stated, run_page, set_at
from tests.docs.markdown import REPOSITORY

NAMES = ("howto-split", "howto-margins", "howto-use", "inputs", "audit", "evaluation", "proof", "loaders")
ON_A_SET = tuple(f"docs/{name}.md" for name in NAMES)


@pytest.fixture(scope="module")
def set_of_films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home in which a set was built, trained on and evaluated; nobody writes into it."""
    home = tmp_path_factory.mktemp("set") / "home"
    home.mkdir()
    set_at(home)
    return home


@pytest.mark.parametrize("page", ON_A_SET)
def test_every_command_works_and_prints_what_the_page_says(page: str, set_of_films: Path, tmp_path: Path) -> None:
    home = shutil.copytree(set_of_films, tmp_path / "home", symlinks=True)
    require_as_stated(run_page((REPOSITORY / page).read_text(encoding="utf-8"), home))
