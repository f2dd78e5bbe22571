from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.contract import StageError
from stages.fetching import archive, members
from stages.fetching.archive import unpack

FILMS = {"train/NORMAL/a.jpeg": b"a" * 100, "test/PNEUMONIA/b.png": b"b" * 50}


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive_file:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)  # of 1980: the same bytes every day
            info.compress_type = method
            archive_file.writestr(info, data)
    return file.getvalue()


def taped(members: Mapping[str, bytes], *more: tarfile.TarInfo, mode: Any = "w:gz") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as tape:
        for name, data in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tape.addfile(header, io.BytesIO(data))
        for header in more:
            tape.addfile(header)
    return file.getvalue()


def header(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


def link_in_a_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive_file:
        info = zipfile.ZipInfo("train/NORMAL/a.jpeg")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive_file.writestr(info, "/etc/passwd")
    return file.getvalue()


def unpacked(data: bytes, tmp_path: Path) -> archive.Unpacked:
    (tmp_path / "films").write_bytes(data)
    return unpack(tmp_path / "films", tmp_path / "out", advance=lambda _done: None)


def everything_under(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("pack", [zipped, taped, lambda films: taped(films, mode="w")], ids=["zip", "tar.gz", "tar"])
def test_films_lie_where_the_archive_says_with_their_bytes(
    tmp_path: Path, pack: Callable[[Mapping[str, bytes]], bytes]
) -> None:
    found = unpacked(pack({f"chest_xray/{name}": data for name, data in FILMS.items()}), tmp_path)
    assert everything_under(tmp_path / "out") == FILMS
    assert found.files == sorted(FILMS)
    assert not found.left_out
    assert not found.twice


def test_what_is_no_picture_is_left_out_and_named(tmp_path: Path) -> None:
    more = {"readme.txt": b"", "__MACOSX/train/NORMAL/._a.jpeg": b"x", "train/NORMAL/.DS_Store": b"", "run.py": b"x"}
    found = unpacked(zipped({**FILMS, **more}), tmp_path)
    assert everything_under(tmp_path / "out") == FILMS
    assert set(found.left_out) == set(more)


def test_an_archive_without_a_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"holds no picture; expected films"):
        unpacked(zipped({"readme.txt": b"", "notes.csv": b""}), tmp_path)


def test_a_folder_that_is_in_the_archive_twice_is_taken_once(tmp_path: Path) -> None:
    twice = {f"{top}{name}": data for top in ("chest_xray/", "chest_xray/chest_xray/") for name, data in FILMS.items()}
    found = unpacked(zipped(twice), tmp_path)
    assert everything_under(tmp_path / "out") == FILMS
    assert found.twice == 2


@pytest.mark.parametrize("other", [b"a" * 99 + b"x", b"a" * 99, b"a" * 101, b""], ids=["byte", "short", "long", "none"])
def test_two_films_for_one_place_are_refused(tmp_path: Path, other: bytes) -> None:
    with pytest.raises(StageError, match=r"would both lie at a\.jpeg"):
        unpacked(zipped({"one/train/NORMAL/a.jpeg": b"a" * 100, "two/train/NORMAL/a.jpeg": other}), tmp_path)


def test_a_film_that_lies_in_a_film_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"would lie where another file lies"):
        unpacked(zipped({"train/NORMAL/a.jpeg": b"a", "train/NORMAL/a.jpeg/b.jpeg": b"b"}), tmp_path)


HOSTILE = {
    "parent folder": zipped({"../../a.jpeg": b"x"}),
    "parent folder within": zipped({"train/../../../a.jpeg": b"x"}),
    "absolute": taped({"/tmp/a.jpeg": b"x"}),  # noqa: S108 - never written
    "absolute in a zip": zipped({"//host/a.jpeg": b"x"}),
    "backslash": zipped({"..\\..\\a.jpeg": b"x"}),
    "link in a zip": link_in_a_zip(),
    "link": taped({}, header("train/NORMAL/a.jpeg", tarfile.SYMTYPE, "/etc/passwd")),
    "hard link": taped({}, header("train/NORMAL/a.jpeg", tarfile.LNKTYPE, "/etc/passwd")),
    "folder that is a link": taped({}, header("train", tarfile.SYMTYPE, "/tmp")),  # noqa: S108 - never followed
    "pipe": taped({}, header("train/NORMAL/a.jpeg", tarfile.FIFOTYPE)),
    "device": taped({}, header("train/NORMAL/a.jpeg", tarfile.CHRTYPE)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_leads_out_of_the_folder_is_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "inner").mkdir()
    with pytest.raises(StageError, match=r"expected files and folders; nothing was unpacked"):
        unpacked(HOSTILE[name], tmp_path / "inner")
    assert list(everything_under(tmp_path)) == ["inner/films"]


@pytest.mark.parametrize("pack", [zipped, taped], ids=["zip", "tar.gz"])
def test_a_bomb_is_refused_before_it_unfolds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[Mapping[str, bytes]], bytes]
) -> None:
    monkeypatch.setattr(archive, "SPARE_BYTES", 1000)
    with pytest.raises(StageError, match=r"compressed already; nothing was unpacked"):
        unpacked(pack({"train/NORMAL/a.jpeg": bytes(5_000_000)}), tmp_path)
    assert list(everything_under(tmp_path)) == ["films"]


def test_a_bomb_that_lies_about_its_size_is_cut_off(tmp_path: Path) -> None:
    data = bytearray(zipped({"train/NORMAL/a.jpeg": bytes(5_000_000)}))
    for signature, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", data, data.index(signature) + at, 100)
    with pytest.raises(StageError, match="damaged"):
        unpacked(bytes(data), tmp_path)
    assert sum(map(len, everything_under(tmp_path / "out").values())) <= 100


def test_a_film_larger_than_any_that_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_FILE_BYTES", 1000)
    with pytest.raises(StageError, match=r"'a\.jpeg' has 1,001 bytes; expected 1,000 at most"):
        unpacked(zipped({"a.jpeg": bytes(1001)}), tmp_path)


def test_more_entries_than_films_could_be_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "MOST_MEMBERS", 3)
    with pytest.raises(StageError, match="holds 4 entries; expected 3 at most"):
        unpacked(zipped({f"{number}.jpeg": b"x" for number in range(4)}), tmp_path)
    with pytest.raises(StageError, match="hold more than 3 entries"):
        unpacked(taped({f"{number}.jpeg": b"x" for number in range(4)}), tmp_path)


def test_a_directory_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped(FILMS))
    struct.pack_into("<I", data, data.rindex(b"PK\x05\x06") + 12, 2**31)
    with pytest.raises(StageError, match=r"its directory has 2,147,483,648 bytes"):
        unpacked(bytes(data), tmp_path)


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    long = header("pax", tarfile.XHDTYPE)
    long.size = 2**33
    with pytest.raises(StageError, match="damaged"):
        unpacked(gzip.compress(long.tobuf() + bytes(10_240)), tmp_path)


@pytest.mark.parametrize("data", [b"", b"PK", b"<html>not found</html>" * 99, zipped(FILMS)[:-30], taped(FILMS)[:-40]])
def test_what_is_no_whole_archive_is_one_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(StageError, match=r"damaged|cannot be unpacked"):
        unpacked(data, tmp_path)


def test_an_encrypted_archive_is_one_error(tmp_path: Path) -> None:
    data = bytearray(zipped(FILMS))
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        struct.pack_into("<H", data, data.index(signature) + at, 1)
    with pytest.raises(StageError, match="not encrypted"):
        unpacked(bytes(data), tmp_path)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(pack=st.sampled_from([zipped(FILMS), taped(FILMS), taped(FILMS, mode="w")]), data=st.data())
def test_no_spoilt_byte_ends_in_anything_but_the_films_or_an_error(
    tmp_path: Path, pack: bytes, data: st.DataObject
) -> None:
    spoilt = bytearray(pack)
    spoilt[data.draw(st.integers(0, len(pack) - 1))] ^= data.draw(st.integers(1, 255))
    folder = Path(mkdtemp(dir=tmp_path))
    try:
        unpacked(bytes(spoilt), folder)
    except StageError:
        return
    inside = {path.resolve().is_relative_to(folder.resolve()) for path in folder.rglob("*")}
    assert inside == {True}
