from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from manifests.objects import ObjectPath
from pipeline.cli import main
from stages import fetch
from stages.contract import Machine, StageError
from stages.fetching import archive
from stages.fetching.known import KERMANY
from tests.stages.fetching.served import Served, served
from tests.stages.fetching.test_archive import FILMS, HOSTILE, everything_under, zipped

ARCHIVE = zipped({f"chest_xray/{name}": data for name, data in FILMS.items()})
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def shelf() -> Iterator[Served]:
    with served(ARCHIVE) as shelf:
        yield shelf


def run(root: Path, url: str, *more: str) -> Result:
    return CliRunner().invoke(main, ["fetch", "--root", str(root), "--url", url, *more])


def test_an_archive_s_films_lie_in_data_raw_and_where_they_came_from_beside(tmp_path: Path, shelf: Served) -> None:
    result = run(tmp_path, shelf.url)
    assert result.exit_code == 0, result.output
    assert everything_under(tmp_path / "data/raw") == FILMS
    origin = json.loads((tmp_path / "data/raw-origin.json").read_text())
    assert (origin["url"], origin["sha256"], origin["films"]) == (shelf.url, SHA256, 2)
    assert SHA256 in result.output
    assert "compared with none, since none is known" in result.output
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["raw", "raw-origin.json"]


def test_a_set_that_is_there_is_left_alone_and_nobody_is_asked(tmp_path: Path, shelf: Served) -> None:
    run(tmp_path, shelf.url)
    asked = len(shelf.asked)
    again = run(tmp_path, shelf.url)
    assert again.exit_code == 0
    assert "nothing to fetch" in again.output
    assert len(shelf.asked) == asked


def test_a_folder_of_other_films_is_never_mixed_with_them(tmp_path: Path, shelf: Served) -> None:
    (tmp_path / "data/raw/NORMAL").mkdir(parents=True)
    (tmp_path / "data/raw/NORMAL/mine.png").touch()
    result = run(tmp_path, shelf.url)
    assert result.exit_code == 1
    assert "holds 1 files; expected a new or empty folder" in result.output
    assert not shelf.asked


def test_a_set_of_which_a_film_was_lost_is_not_taken_for_whole(tmp_path: Path, shelf: Served) -> None:
    run(tmp_path, shelf.url)
    next((tmp_path / "data/raw").rglob("*.png")).unlink()
    assert "holds 1 files (2 films came from" in run(tmp_path, shelf.url).output


@pytest.mark.parametrize("right", [True, False])
def test_a_hash_that_is_given_is_compared(tmp_path: Path, shelf: Served, *, right: bool) -> None:
    result = run(tmp_path, shelf.url, "--sha256", SHA256.upper() if right else "0" * 64)
    assert result.exit_code == (0 if right else 1)
    assert ("that is the sha256 expected, by --sha256" in result.output) == right
    assert (f"its sha256 is {SHA256}; expected {'0' * 64}, by --sha256" in result.output) != right
    assert (tmp_path / "data/raw").exists() == right
    assert not list((tmp_path / "data").glob("raw.archive*"))


def test_a_file_that_changed_since_the_first_fetch_is_refused(tmp_path: Path, shelf: Served) -> None:
    run(tmp_path, shelf.url)
    (tmp_path / "data/raw").rename(tmp_path / "away")
    shelf.data = zipped({**FILMS, "train/NORMAL/c.png": b"c"})
    result = run(tmp_path, shelf.url)
    assert result.exit_code == 1
    assert f"expected {SHA256}, by the first fetch" in result.output
    assert not (tmp_path / "data/raw").exists()


@pytest.mark.parametrize("form", ["path", "address"])
def test_a_file_on_this_machine_is_unpacked_and_stays(tmp_path: Path, form: str) -> None:
    mine = tmp_path / "my archive.zip"
    mine.write_bytes(ARCHIVE)
    result = run(tmp_path, str(mine) if form == "path" else mine.as_uri())
    assert result.exit_code == 0, result.output
    assert everything_under(tmp_path / "data/raw") == FILMS
    assert mine.read_bytes() == ARCHIVE


def test_an_archive_is_kept_on_request(tmp_path: Path, shelf: Served) -> None:
    run(tmp_path, shelf.url, "--keep")
    assert (tmp_path / "data/raw.archive").read_bytes() == ARCHIVE


def test_a_hostile_archive_leaves_no_folder(tmp_path: Path) -> None:
    with served(HOSTILE["parent folder"]) as shelf:
        result = run(tmp_path, shelf.url)
    assert result.exit_code == 1
    assert "nothing was unpacked" in result.output
    assert list((tmp_path / "data").iterdir()) == []


def test_an_archive_that_was_cut_off_by_a_server_that_tells_no_size_is_found_damaged(tmp_path: Path) -> None:
    with served(ARCHIVE, says_size=False, drops=[len(ARCHIVE) - 40]) as shelf:
        result = run(tmp_path, shelf.url)
    assert result.exit_code == 1
    assert "damaged" in result.output
    assert list((tmp_path / "data").iterdir()) == []


def test_an_archive_whose_films_have_no_room_is_kept_and_that_is_said(
    tmp_path: Path, shelf: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "disk_usage", lambda _folder: SimpleNamespace(free=0))
    result = run(tmp_path, shelf.url)
    assert result.exit_code == 1
    assert "0 MB free; expected room for films of 0 MB; mend that and run the same command again" in result.output
    assert (tmp_path / "data/raw.archive").read_bytes() == ARCHIVE


def test_an_archive_is_not_asked_for_again_where_only_its_films_found_no_room(
    tmp_path: Path, shelf: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.jpeg")

    with monkeypatch.context() as patched:
        patched.setattr(archive, "_copy", full)
        result = run(tmp_path, shelf.url)
    assert result.exit_code == 1
    assert "No space left on device; mend that and run the same command again" in result.output
    assert run(tmp_path, shelf.url).exit_code == 0
    assert len(shelf.asked) == 1
    assert everything_under(tmp_path / "data/raw") == FILMS


def test_a_folder_that_is_a_link_to_a_larger_disk_stays_one(tmp_path: Path, shelf: Served) -> None:
    (tmp_path / "large").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/raw").symlink_to(tmp_path / "large")
    assert run(tmp_path, shelf.url).exit_code == 0
    assert (tmp_path / "data/raw").is_symlink()
    assert everything_under(tmp_path / "large") == FILMS


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ftp://host/a.zip",), "expected an address of http, https or file"),
        (("https://me:secret@host/a.zip",), "expected an address without"),
        (("/nowhere/a.zip",), "no such file"),
        (("https://host/a.zip", "--sha256", "abc"), "expected 64 hexadecimal digits"),
        (("https://host/a.zip", "--out", "../raw"), "expected the name of a folder under the root"),
    ],
)
def test_what_cannot_be_fetched_is_said_before_anything_is_tried(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    result = run(tmp_path, *arguments)
    assert result.exit_code in (1, 2)
    assert said in result.output


def test_kermany_s_films_are_known_by_their_number_and_named_with_licence(tmp_path: Path) -> None:
    names = [
        f"{split}/{label}/{number}.jpeg"
        for label, films in KERMANY.films.items()
        for number in range(films)
        for split in ("train" if number % 9 else "test",)
    ]
    (tmp_path / "archive.zip").write_bytes(zipped(dict.fromkeys(names, b"x")))
    result = run(tmp_path, str(tmp_path / "archive.zip"))
    assert result.exit_code == 0, result.output
    assert "CC BY 4.0" in result.output
    assert "10.17632/rscbjbr9sj" in result.output
    assert json.loads((tmp_path / "data/raw-origin.json").read_text())["citation"] == KERMANY.citation
    assert sum(KERMANY.films.values()) == 5856


def test_a_root_in_an_object_store_is_refused(shelf: Served, machine: Machine) -> None:
    with pytest.raises(StageError, match=r"s3://bucket/set: is in an object store; .*: fetch there, then copy it"):
        fetch.run(fetch.FetchParams(url=shelf.url), ObjectPath.of("s3://bucket/set"), machine)
    assert not shelf.asked


def test_the_default_is_the_published_record() -> None:
    params = fetch.FetchParams()
    assert "rscbjbr9sj" in params.url
    assert params.out == "data/raw"
