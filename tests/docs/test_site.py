"""The site of docs/ builds, from what is here alone."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from docs.gallery import MOST_BYTES, PICTURES, draw
from docs.navigation import SECTIONS, navigation
from tests.docs.conftest import Traced
from tests.docs.markdown import REPOSITORY

DOCS = REPOSITORY / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_is_in_the_site_and_in_its_navigation(site: Path) -> None:
    index = (site / "index.html").read_text()
    for page in DOCS.glob("*.md"):
        assert (site / f"{page.stem}.html").is_file()
        assert f'href="{page.stem}.html"' in index


def test_no_page_asks_another_machine_for_anything(site: Path) -> None:
    asked = re.compile(r"""(?:src|<link[^>]*href|@import|url\()\s*=?\s*["']?(?:https?:)?//""")
    for page in [*site.glob("*.html"), *site.rglob("*.css")]:
        assert not asked.search(page.read_text()), page.name


def test_no_code_and_no_cache_is_in_the_site(site: Path) -> None:
    assert not [path for path in site.rglob("*") if path.suffix in (".py", ".pyc")]


def test_each_page_stands_in_one_section_and_an_unknown_one_is_not_lost() -> None:
    names = [path.name for path in DOCS.glob("*.md")]
    sections = navigation([*names, "unheard-of.md", "howto-new.md"])
    found = {name: pages for section in sections for name, pages in section.items()}
    every = [page for pages in found.values() for page in ([pages] if isinstance(pages, str) else pages)]
    assert sorted(every) == sorted([*names, "unheard-of.md", "howto-new.md"])
    assert list(found) == ["Home", *SECTIONS]
    assert "howto-new.md" in found["How-to guides"]
    assert "unheard-of.md" in found["Explanation"]


def test_the_pictures_are_small_and_told_in_words() -> None:
    names = {path.name for path in PICTURES.iterdir()}
    assert sum(path.stat().st_size for path in PICTURES.iterdir()) <= MOST_BYTES
    readme = (REPOSITORY / "README.md").read_text()
    told = dict(re.findall(r"!\[(.+?)\]\(docs/pictures/(.+?)\)", readme))
    assert set(told.values()) == names
    assert all(len(words) > 40 for words in told)


def test_the_pictures_are_drawn_of_any_root_that_was_evaluated(traced: Traced, tmp_path: Path) -> None:
    draw(traced.root, tmp_path / "pictures")
    svg = (tmp_path / "pictures/gap.svg").read_text()
    assert "augmentation: the copies" in svg
    assert "var(--" not in re.sub(r"var\(--(?:ink|line)\)", "", svg)  # the two colours that it brings
    with Image.open(tmp_path / "pictures/sheet.png") as sheet:
        assert sheet.width > 800
        assert sheet.getpixel((2, 2)) == 250  # paper: the head with the question is cut off, no picture is
