"""Wrong usage is answered with what to type instead."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import main


def refused(*arguments: str) -> str:
    """Return the words of a command that is refused as wrong usage, line breaks aside."""
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2, result.output
    return " ".join(result.output.split())


def test_a_folder_without_its_option_is_answered_with_raw(tmp_path: Path) -> None:
    """Most tools take the folder without a flag."""
    assert f"Did you mean '--raw {tmp_path}'?" in refused("audit", str(tmp_path))


def test_a_value_without_dashes_is_answered_with_its_option() -> None:
    """As `dvc` and `make` take them."""
    assert "Did you mean '--copies=3'?" in refused("augment", "copies=3")


@pytest.mark.parametrize("word", ["colour=3", "nowhere"])
def test_a_word_that_stands_for_nothing_is_refused_without_a_guess(word: str) -> None:
    """A wrong guess would be worse."""
    told = refused("augment", word)
    assert f"unexpected extra argument ({word})" in told
    assert "Did you mean" not in told


def test_an_archive_for_a_folder_is_answered_with_the_command_that_unpacks_it(tmp_path: Path) -> None:
    """Data sets come as archives."""
    archive = tmp_path / "films.ZIP"
    with zipfile.ZipFile(archive, "w"):
        pass
    assert f"unpack it first (`cxr-pipeline fetch --url '{archive}'" in refused("audit", "--raw", str(archive))


def test_a_film_for_a_folder_is_answered_with_the_folder(tmp_path: Path) -> None:
    """Completing a path goes one step too far."""
    film = tmp_path / "film.png"
    film.write_bytes(b"")
    assert "is a file; expected the folder that holds it" in refused("audit", "--raw", str(film))


def test_an_empty_name_is_no_folder() -> None:
    """`--raw "$FILMS"`, FILMS not being set, would audit whatever folder one is in."""
    assert "is empty" in refused("audit", "--raw", "")


@pytest.mark.parametrize("root", ["", "set", "data"])
def test_a_raw_folder_that_holds_the_root_is_refused(tmp_path: Path, root: str) -> None:
    """Else contact sheets and normalized films would be films to the next audit."""
    where = tmp_path / root
    assert "holds the root" in refused("audit", "--raw", str(tmp_path), "--root", str(where))
    assert not where.exists() or not any(where.iterdir())


def test_the_folder_of_all_data_is_no_raw_folder(tmp_path: Path) -> None:
    """`data` holds `data/normalized` as well as `data/raw`."""
    (tmp_path / "data" / "raw").mkdir(parents=True)
    assert "holds the root" in refused("audit", "--raw", str(tmp_path / "data"), "--root", str(tmp_path))
