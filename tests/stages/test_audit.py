"""Audit: every raw file is remembered once, good or bad, and what is odd about it is said."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import socket
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from manifests import store
from manifests.rows import AUDITED, AuditedRow
from pipeline.workers import Workers
from stages import audit, normalize, paths, phantom
from stages.auditing import examine
from stages.auditing import files as audit_files
from stages.auditing import summary as audit_summary
from stages.auditing.schema import Audit
from stages.contract import Machine, StageError
from stages.films.frame import Gray
from stages.statistics.alignment import SIDE

Draw = Callable[..., Gray]
Encoded = Callable[..., bytes]
FilmFile = Callable[..., Path]


def audited_rows(root: Path, machine: Machine, **params: Any) -> dict[str, AuditedRow]:
    """Run the audit of root's raw films and return its rows by path."""
    report = audit.run(audit.AuditParams(**params), root, machine)
    rows = store.read(AUDITED, root / paths.AUDIT)
    assert report.done == len(rows) == len({row.path for row in rows})
    return {row.path: row for row in rows}


def summary_of(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / paths.AUDIT_SUMMARY).read_text())
    return found


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "data/raw"
    folder.mkdir(parents=True)
    return folder


# --- every file once -------------------------------------------------------------------------------------------


def test_every_file_has_exactly_one_row_good_or_bad(
    tmp_path: Path, raw: Path, machine: Machine, film_file: FilmFile
) -> None:
    for seed, name in enumerate(["a b.jpeg", "ü/肺 炎.png", "a/b.jpeg", "a.jpeg/b.jpeg", ".hidden.png", "c;d,e.png"]):
        film_file(raw / name, seed)
    for name in ["readme.txt", ".DS_Store", "__MACOSX/a/._b.jpeg", "a/empty.jpeg"]:
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).write_bytes(b"" if "empty" in name else b"\0\5\x16\7 junk")
    (raw / "a/gone.jpeg").symlink_to(raw / "nowhere")
    rows = audited_rows(tmp_path, machine)
    files = {path.relative_to(raw).as_posix() for path in raw.rglob("*") if not path.is_dir()}
    assert set(rows) == files
    assert list(rows) == sorted(files)
    assert len(files) == 11


def test_the_manifest_is_the_same_whatever_order_the_workers_keep(
    project: Path, machine: Machine, upside_down: Machine
) -> None:
    audit.run(audit.AuditParams(), project, machine)
    first = (project / paths.AUDIT).read_bytes()
    audit.run(audit.AuditParams(), project, upside_down)
    assert (project / paths.AUDIT).read_bytes() == first


@pytest.mark.parametrize(
    ("name", "mode", "kind"),
    [
        ("x.jpeg", "L", "JPEG"),
        ("x.jpg", "RGB", "JPEG"),
        ("x.jpeg", "CMYK", "JPEG"),
        ("x.png", "L", "PNG"),
        ("x.png", "RGB", "PNG"),
        ("x.png", "RGBA", "PNG"),
        ("x.png", "P", "PNG"),
        ("x.png", "LA", "PNG"),
        ("x.png", "1", "PNG"),
        ("x.png", "I;16", "PNG"),
        ("x.tif", "I;16", "TIFF"),
    ],
)
def test_a_good_file_of_any_mode_is_measured(
    raw: Path, draw: Draw, encoded: Encoded, name: str, mode: str, kind: str
) -> None:
    data = encoded(draw(3, height=50, width=90), kind=kind, mode=mode)
    (raw / name).write_bytes(data)
    examined = examine.audit_one(name, raw=raw)
    assert (examined.status, examined.reason) == ("ok", None)
    assert examined.film_id == hashlib.sha256(data).hexdigest()
    assert examined.file_bytes == len(data)
    assert examined.header is not None
    assert (examined.header.width, examined.header.height) == (90, 50)
    assert (examined.header.mode, examined.header.format) == (mode, kind)
    assert (examined.header.jpeg_quality == 75) is (kind == "JPEG")
    assert len(examined.thumbnail) == SIDE * SIDE


def test_a_row_holds_what_the_file_says(tmp_path: Path, raw: Path, machine: Machine, film_file: FilmFile) -> None:
    film = film_file(raw / "train/NORMAL/IM-0001-0001.jpeg", 1, height=100, width=200, quality=83)
    row = audited_rows(tmp_path, machine)["train/NORMAL/IM-0001-0001.jpeg"]
    size = film.stat().st_size
    assert (row.width, row.height, row.mode, row.format, row.jpeg_quality) == (200, 100, "L", "JPEG", 83)
    assert (row.file_bytes, row.bits_per_pixel) == (size, 8 * size / 20000)
    assert (row.label, row.label_index, row.group_id, row.delivered_split) == ("normal", 0, "normal/IM/1", "train")
    assert (row.status, row.reason, row.warning, row.split) == ("ok", None, None, None)


@pytest.mark.parametrize(
    ("height", "width", "lost", "padded"),
    [(256, 300, 0.0, 0.0), (100, 100, 0.0, 44 / 300), (100, 200, 212 / 512, 0.0), (200, 100, 0.5, 44 / 300)],
)
def test_a_row_tells_what_the_2020_crop_would_lose_and_pad(  # noqa: PLR0917 - as many fixtures as it needs
    tmp_path: Path,
    raw: Path,
    machine: Machine,
    film_file: FilmFile,
    height: int,
    width: int,
    lost: float,
    padded: float,
) -> None:
    film_file(raw / "a/x.png", 1, height=height, width=width)
    row = audited_rows(tmp_path, machine)["a/x.png"]
    assert row.crop_lost == pytest.approx(lost)
    assert row.pad_added == pytest.approx(padded)


def test_the_summary_is_what_its_schema_says(project: Path) -> None:
    found = summary_of(project)
    told = Audit.model_validate_json((project / paths.AUDIT_SUMMARY).read_bytes(), strict=True)
    assert told.model_dump(mode="json", exclude_unset=True) == found


# --- files that cannot be used ---------------------------------------------------------------------------------


def test_bad_files_become_rows_that_say_why(
    tmp_path: Path, raw: Path, machine: Machine, draw: Draw, encoded: Encoded
) -> None:
    good = encoded(draw(1), kind="JPEG")
    bad = {
        "empty.jpeg": (b"", "empty"),
        "text.jpeg": (b"no film", "not_an_image"),
        "cut.jpeg": (good[: len(good) // 2], "truncated"),
        "speck.png": (encoded(draw(2, height=7, width=60)), "unsupported"),
    }
    for name, (data, _) in bad.items():
        (raw / name).write_bytes(data)
    rows = audited_rows(tmp_path, machine, labels="folder")
    for name, (data, status) in bad.items():
        row = rows[name]
        assert row.status == status
        assert row.reason
        assert (row.file_bytes, row.film_id) == (len(data), hashlib.sha256(data).hexdigest())
    assert summary_of(tmp_path)["set_aside"] == dict(Counter(status for _, status in bad.values()))
    assert {film["path"] for film in summary_of(tmp_path)["set_aside_films"]} == set(bad)


def test_a_file_that_cannot_be_read_is_a_row_and_not_the_end(
    tmp_path: Path, raw: Path, machine: Machine, film_file: FilmFile
) -> None:
    film_file(raw / "a/good.jpeg", 1)
    (raw / "a/dangling.jpeg").symlink_to(tmp_path / "nowhere.jpeg")
    (raw / "a/loop.jpeg").symlink_to(raw / "a/loop.jpeg")
    os.mkfifo(raw / "a/pipe.jpeg")
    (raw / "a/folder.jpeg").mkdir()
    (raw / "labels.csv").write_text(
        "path,label\na/good.jpeg,a\na/dangling.jpeg,a\na/loop.jpeg,a\na/pipe.jpeg,a\na/folder.jpeg,a\na/never.jpeg,a\n"
    )
    rows = audited_rows(tmp_path, machine)
    found = {path: row.status for path, row in rows.items()}
    assert found == {
        "a/dangling.jpeg": "unreadable",
        "a/folder.jpeg": "unreadable",
        "a/good.jpeg": "ok",
        "a/loop.jpeg": "unreadable",
        "a/never.jpeg": "missing",
        "a/pipe.jpeg": "unreadable",
    }
    assert "CSV" not in str(rows["a/dangling.jpeg"].reason)
    assert "CSV lists" in str(rows["a/never.jpeg"].reason)
    assert all(rows[path].film_id is None for path in found if path != "a/good.jpeg")


def test_a_name_that_is_no_utf8_is_a_row_and_not_the_end(tmp_path: Path, raw: Path, machine: Machine) -> None:
    name = os.fsencode(raw) + b"/caf\xe9.jpeg"
    try:
        Path(os.fsdecode(name)).write_bytes(b"junk")
    except OSError:
        pytest.skip("this file system refuses such names")
    (row,) = audited_rows(tmp_path, machine).values()
    assert (row.path, row.status) == ("caf\\xe9.jpeg", "unreadable")
    assert "UTF-8" in str(row.reason)


def test_a_wrong_extension_is_a_warning_and_the_film_is_used(
    tmp_path: Path, raw: Path, machine: Machine, film_file: FilmFile
) -> None:
    film_file(raw / "a/x.jpeg", 1, kind="PNG")
    film_file(raw / "a/y.JPG", 2)
    rows = audited_rows(tmp_path, machine)
    assert (rows["a/x.jpeg"].status, rows["a/x.jpeg"].format) == ("ok", "PNG")
    assert rows["a/x.jpeg"].warning == "wrong extension: the name ends in '.jpeg', the bytes are PNG"
    assert rows["a/y.JPG"].warning is None
    assert summary_of(tmp_path)["warnings"] == {"wrong extension": 1}


@pytest.mark.parametrize("exists", [True, False])
def test_a_raw_folder_that_is_missing_or_empty_stops_the_run(tmp_path: Path, machine: Machine, *, exists: bool) -> None:
    if exists:
        (tmp_path / "data/raw/train/NORMAL").mkdir(parents=True)
    with pytest.raises(StageError, match=r"data/raw: (holds no file|no such folder).*cxr-pipeline phantom"):
        audit.run(audit.AuditParams(), tmp_path, machine)
    assert not (tmp_path / paths.AUDIT).exists()


def test_a_set_of_bad_files_alone_is_audited_all_the_same(tmp_path: Path, raw: Path, machine: Machine) -> None:
    (raw / "x.jpeg").write_bytes(b"no film")
    assert audited_rows(tmp_path, machine)["x.jpeg"].status == "not_an_image"
    assert summary_of(tmp_path)["usable"] == 0


def test_a_file_of_100_gb_is_a_row_and_is_not_read(raw: Path) -> None:
    with (raw / "x.jpeg").open("wb") as file:
        file.truncate(100_000_000_000)  # sparse: it takes no room
    examined = examine.audit_one("x.jpeg", raw=raw)
    assert (examined.status, examined.film_id, examined.file_bytes) == ("too_large", None, 100_000_000_000)
    assert examined.reason == "found 100000000000 bytes; expected at most 300000000"


@pytest.mark.parametrize("name", ["a\0b.jpeg", "x" * 300 + ".jpeg"])
def test_a_name_that_no_file_can_have_is_unreadable(raw: Path, name: str) -> None:
    examined = examine.audit_one(name, raw=raw)
    assert examined.status == "unreadable"
    assert examined.reason


def test_a_socket_and_a_device_are_rows_and_nothing_waits_for_them(
    tmp_path: Path, raw: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(raw)  # a socket's path has 108 bytes at most
        listener.bind("socket.jpeg")
    (raw / "zero.jpeg").symlink_to("/dev/zero")
    (raw / "random.jpeg").symlink_to("/dev/random")
    rows = audited_rows(tmp_path, machine)
    assert {path: row.status for path, row in rows.items()} == dict.fromkeys(
        ("random.jpeg", "socket.jpeg", "zero.jpeg"), "unreadable"
    )
    assert {row.reason for row in rows.values()} == {"found a pipe, socket or device; expected a file"}


def test_a_file_that_two_names_spell_alike_is_two_rows(
    tmp_path: Path, raw: Path, machine: Machine, film_file: FilmFile
) -> None:
    film_file(raw / "a/caf\\xe9.png", 1)
    film_file(raw / "a/other.png", 2)
    (raw / "a/zwin.png").write_bytes((raw / "a/caf\\xe9.png").read_bytes())
    try:
        Path(os.fsdecode(os.fsencode(raw) + b"/a/caf\xe9.png")).write_bytes(b"junk")
    except OSError:
        pytest.skip("this file system refuses such names")
    audit.run(audit.AuditParams(), tmp_path, machine)
    found = [(row.path, row.status) for row in store.read(AUDITED, tmp_path / paths.AUDIT)]
    assert sorted(found) == [
        ("a/caf\\xe9.png", "ok"),
        ("a/caf\\xe9.png", "unreadable"),
        ("a/other.png", "ok"),
        ("a/zwin.png", "duplicate"),
    ]


NAMES = ["two\nlines.png", "quo\"te's.png", "<script>alert(1)</script>.png", "tab\tstop.png", "\x1b[2J.png", "-rf.png"]


def test_odd_names_are_kept_as_they_are_and_shown_as_text(
    tmp_path: Path, raw: Path, machine: Machine, film_file: FilmFile
) -> None:
    for seed, name in enumerate(NAMES):
        (raw / "a").mkdir(exist_ok=True)
        film_file(raw / "a" / name, seed // 2)
    rows = audited_rows(tmp_path, machine)
    assert set(rows) == {f"a/{name}" for name in NAMES}
    assert Counter(row.status for row in rows.values()) == {"ok": 3, "duplicate": 3}
    page = (tmp_path / paths.AUDIT_PAGE).read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_any_bytes_are_a_row_and_what_is_ok_becomes_a_frame(tmp_path: Path) -> None:
    """The promise of the audit: whoever passes it is in the data set, and nothing surprises a later stage."""

    @settings(max_examples=200)
    @given(
        start=st.sampled_from(
            [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"BM", b"P5\n", b"P6 ", b"P4\n"]
        ),
        size=st.sampled_from([b"", b"9 9\n255\n", b"12 8 65535 ", b"16 16\n"]),
        rest=st.binary(max_size=400),
    )
    def holds(start: bytes, size: bytes, rest: bytes) -> None:
        data = start + size + rest
        (tmp_path / "x").write_bytes(data)
        examined = examine.audit_one("x", raw=tmp_path)
        assert (examined.reason is None) is (examined.status == "ok")
        assert examined.film_id == hashlib.sha256(data).hexdigest()
        if examined.status == "ok":
            image, _ = normalize.normalize_one(data, params=normalize.NormalizeParams())
            assert image.shape == (256, 300)

    holds()


# --- folders ---------------------------------------------------------------------------------------------------


def test_a_linked_folder_is_followed_and_a_loop_of_links_ends(
    tmp_path: Path, raw: Path, machine: Machine, film_file: FilmFile
) -> None:
    film_file(tmp_path / "elsewhere/b/x.png", 1)
    film_file(raw / "a/y.png", 2)
    (raw / "b").symlink_to(tmp_path / "elsewhere/b")
    (tmp_path / "elsewhere/b/up").symlink_to(raw)
    (raw / "a/self").symlink_to(raw / "a")
    assert set(audited_rows(tmp_path, machine)) == {"a/y.png", "b/x.png"}


def test_a_folder_that_is_linked_beside_itself_is_read_once_under_its_own_name(raw: Path, film_file: FilmFile) -> None:
    film_file(raw / "m/x.png", 1)
    (raw / "a").symlink_to(raw / "m")
    (raw / "z").symlink_to(raw / "m")
    assert audit_files.files_under(raw) == ["m/x.png"]


def test_a_folder_keeps_its_own_name_where_a_link_to_it_comes_first(raw: Path, film_file: FilmFile) -> None:
    film_file(raw / "z/deep/x.png", 1)
    (raw / "a").mkdir()
    (raw / "a/link").symlink_to(raw / "z/deep")
    assert audit_files.files_under(raw) == ["z/deep/x.png"]


def test_a_link_to_a_folder_that_holds_the_raw_folder_is_a_row_and_is_not_followed(
    tmp_path: Path, raw: Path, machine: Machine, film_file: FilmFile
) -> None:
    film_file(raw / "a/x.png", 1)
    (raw / "root").symlink_to("/")
    (raw / "a/up").symlink_to(tmp_path)
    rows = audited_rows(tmp_path, machine)
    assert {path: row.status for path, row in rows.items()} == {
        "a/up": "unreadable",
        "a/x.png": "ok",
        "root": "unreadable",
    }
    assert "a link to one that holds the raw folder" in str(rows["root"].reason)


def test_folders_may_be_nested_deeper_than_any_stack_or_system_call(
    tmp_path: Path, raw: Path, machine: Machine, encoded: Encoded, draw: Draw
) -> None:
    """A path of 10,000 bytes cannot be opened at once; its film is a film like any other."""
    name = "n" * 99
    folder = os.open(raw, os.O_RDONLY)
    try:
        for depth in range(1500):
            part = name if depth < 100 else "d"
            os.mkdir(part, dir_fd=folder)
            inner = os.open(part, os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = inner
        with os.fdopen(os.open("x.png", os.O_WRONLY | os.O_CREAT, dir_fd=folder), "wb") as file:
            file.write(encoded(draw(1)))
    finally:
        os.close(folder)
    try:
        (row,) = audited_rows(tmp_path, machine).values()
    finally:
        subprocess.run(["rm", "-rf", raw], check=True)  # what pytest removes folders with recurses
    assert len(row.path) > 10_000
    assert row.status == "ok"


def test_a_folder_that_cannot_be_listed_is_a_row(
    tmp_path: Path, raw: Path, machine: Machine, film_file: FilmFile
) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may list every folder")
    film_file(raw / "a/x.png", 1)
    (raw / "locked").mkdir(mode=0)
    rows = audited_rows(tmp_path, machine)
    assert {path: row.status for path, row in rows.items()} == {"a/x.png": "ok", "locked": "unreadable"}


def test_junk_folders_make_no_classes(tmp_path: Path, raw: Path, machine: Machine, film_file: FilmFile) -> None:
    film_file(raw / "well/x.png", 1)
    film_file(raw / "ill/y.png", 2)
    for junk in ("__MACOSX/well/._x.png", "Docs/readme.txt"):
        (raw / junk).parent.mkdir(parents=True)
        (raw / junk).write_bytes(b"junk")
    rows = audited_rows(tmp_path, machine)
    assert store.read_footer(tmp_path / paths.AUDIT).facts["classes"] == ["ill", "well"]
    assert (rows["well/x.png"].label_index, rows["ill/y.png"].label_index) == (1, 0)
    assert rows["Docs/readme.txt"].status == "not_an_image"


# --- what a new user gets wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("films", "told"),
    [
        (("well/x.png",), "one class alone, well: a network has nothing to tell apart; expected a folder of films"),
        (("x.png", "y.png"), "no film has a class; expected a folder of films for each class"),
    ],
)
def test_less_than_two_classes_are_told_in_words(
    tmp_path: Path, raw: Path, machine: Machine, film_file: FilmFile, films: tuple[str, ...], told: str
) -> None:
    for number, film in enumerate(films):
        film_file(raw / film, number)
    lines = audit.run(audit.AuditParams(), tmp_path, machine).lines
    assert [line for line in lines if line.startswith(told)]


def test_two_classes_are_nothing_to_speak_of(tmp_path: Path, raw: Path, machine: Machine, film_file: FilmFile) -> None:
    for number, film in enumerate(("well/x.png", "ill/y.png")):
        film_file(raw / film, number)
    text = "\n".join(audit.run(audit.AuditParams(), tmp_path, machine).lines)
    assert "expected a folder of films" not in text
    assert "0 of 2 names have Kermany's form (person12_virus_30.jpeg)" in text
    assert "counts as a patient of its own; --group-pattern or a labels.csv can name them" in text


def test_the_policy_that_the_audit_calls_the_default_is_normalizes() -> None:
    assert normalize.NormalizeParams().policy == audit_summary.DEFAULT


# --- labels ----------------------------------------------------------------------------------------------------


def test_the_summary_says_what_the_labels_are_and_where_they_come_from(project: Path, machine: Machine) -> None:
    summary = summary_of(project)
    assert summary["classes"] == ["normal", "bacterial", "viral"]
    assert summary["label_source"] == "kermany"
    assert summary["label_source_reason"] == "file names (kermany): 36 of 36 have Kermany's form"
    assert "numbers restart" in summary["group_source"]
    assert summary["by_class"]["train"]["normal"] == {"films": 12, "patients": 11}
    assert summary["by_class"]["test"] == {
        name: {"films": 1, "patients": 1} for name in ("normal", "bacterial", "viral")
    }
    report = audit.run(audit.AuditParams(labels="folder"), project, machine)
    assert summary_of(project)["label_source"] == "folder"
    assert summary_of(project)["classes"] == ["NORMAL", "PNEUMONIA"]
    assert report.lines[0] == "labels from folder names: as asked for"


def test_classes_are_kept_in_the_order_asked_for_and_others_are_set_aside(project: Path, machine: Machine) -> None:
    rows = audited_rows(project, machine, classes=("viral", "normal"))
    assert store.read_footer(project / paths.AUDIT).facts["classes"] == ["viral", "normal"]
    indices = {(row.label, row.label_index, row.status) for row in rows.values()}
    assert indices == {("viral", 0, "ok"), ("normal", 1, "ok"), (None, None, "unlabelled")}
    others = [row for row in rows.values() if row.status == "unlabelled"]
    assert {row.reason for row in others} == {"label 'bacterial' is none of the classes viral, normal"}


def test_a_broken_file_is_broken_first_and_unlabelled_second(tmp_path: Path, raw: Path, machine: Machine) -> None:
    (raw / "nothing.jpeg").write_bytes(b"")
    assert audited_rows(tmp_path, machine)["nothing.jpeg"].status == "empty"


def test_a_film_whose_name_and_folder_disagree_is_set_aside(
    tmp_path: Path, raw: Path, machine: Machine, film_file: FilmFile
) -> None:
    film_file(raw / "train/NORMAL/person1_virus_1.jpeg", 1)
    film_file(raw / "train/NORMAL/IM-0001-0001.jpeg", 2)
    row = audited_rows(tmp_path, machine)["train/NORMAL/person1_virus_1.jpeg"]
    assert (row.status, row.reason) == ("label_conflict", "the name says viral, the folder NORMAL")


def test_a_csv_beside_the_films_labels_them_and_is_no_film(
    tmp_path: Path, raw: Path, machine: Machine, film_file: FilmFile
) -> None:
    film_file(raw / "one.png", 1)
    film_file(raw / "two.png", 2)
    film_file(raw / "three.png", 3)
    (raw / "labels.csv").write_text("path,label,group,split\none.png,ill,p1,train\ntwo.png,well,p2,test\n")
    rows = audited_rows(tmp_path, machine)
    assert set(rows) == {"one.png", "two.png", "three.png"}
    assert (rows["one.png"].label, rows["one.png"].group_id) == ("ill", "p1")
    assert rows["two.png"].delivered_split == "test"
    assert rows["three.png"].status == "unlabelled"
    assert summary_of(tmp_path)["label_source"] == "csv"


def test_films_without_a_patient_are_patients_of_their_own(
    tmp_path: Path, raw: Path, machine: Machine, film_file: FilmFile
) -> None:
    for seed in range(5):
        film_file(raw / f"a/{seed}.png", seed)
    rows = audited_rows(tmp_path, machine)
    assert len({row.group_id for row in rows.values()}) == 5
    assert all(str(row.group_id) == f"film/{str(row.film_id)[:12]}" for row in rows.values())


def test_a_group_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError, match="not a regular expression"):
        audit.AuditParams(group_pattern="p(")


def test_the_footer_says_where_the_films_lie_relative_to_the_root_where_it_can(
    project: Path, machine: Machine, tmp_path: Path
) -> None:
    assert store.read_footer(project / paths.AUDIT).facts["raw"] == "data/raw"
    elsewhere = dataclasses.replace(machine, raw=project / "data/raw")
    audit.run(audit.AuditParams(), tmp_path / "other", elsewhere)
    assert store.read_footer(tmp_path / "other" / paths.AUDIT).facts["raw"] == str((project / "data/raw").resolve())


# --- duplicates ------------------------------------------------------------------------------------------------


def test_a_broken_file_is_nobodys_duplicate(tmp_path: Path, raw: Path, machine: Machine) -> None:
    for name in ("a.jpeg", "b.jpeg"):
        (raw / name).write_bytes(b"")
    assert [row.status for row in audited_rows(tmp_path, machine).values()] == ["empty", "empty"]


# --- near duplicates -------------------------------------------------------------------------------------------


def test_the_same_radiograph_in_other_bytes_is_found_and_others_are_not(
    tmp_path: Path, raw: Path, machine: Machine, film_file: FilmFile, draw: Draw, encoded: Encoded
) -> None:
    for seed in range(30):
        film_file(raw / f"a/{seed:02d}.png", seed, height=128, width=128)
    (raw / "a/04 worse.jpeg").write_bytes(encoded(draw(4, height=128, width=128), kind="JPEG", quality=30))
    (raw / "a/07 smaller.png").write_bytes(encoded(draw(7, height=128, width=128)[::2, ::2]))
    (raw / "a/09 colour.png").write_bytes(encoded(draw(9, height=128, width=128), mode="RGB"))
    rows = audited_rows(tmp_path, machine)
    found = {path: row.near_duplicate_of for path, row in rows.items() if row.near_duplicate_of}
    assert found == {
        "a/04.png": "a/04 worse.jpeg",
        "a/07.png": "a/07 smaller.png",
        "a/09.png": "a/09 colour.png",
    }
    assert all(row.status == "ok" for row in rows.values())
    assert summary_of(tmp_path)["duplicates"]["near"] == 3


def test_a_film_with_the_pixels_of_another_is_told_from_one_that_only_looks_like_it(
    tmp_path: Path, raw: Path, machine: Machine, draw: Draw, encoded: Encoded
) -> None:
    (raw / "a").mkdir()
    film = draw(4, height=300, width=400)
    touched = film.copy()
    touched[0, 0] ^= 1  # too little to be seen in a thumbnail
    for name, image, kind in (("1.png", film, "PNG"), ("2.tif", film, "TIFF"), ("3.png", touched, "PNG")):
        (raw / "a" / name).write_bytes(encoded(image, kind=kind))
    rows = audited_rows(tmp_path, machine)
    assert {path: row.near_duplicate_how for path, row in rows.items()} == {
        "a/1.png": None,
        "a/2.tif": "same_pixels",
        "a/3.png": "recompressed",
    }
    assert [row.near_similarity for row in rows.values()] == [None, 1.0, 1.0]


@pytest.mark.parametrize("seed", [1, 2])
def test_phantoms_without_faults_have_no_duplicates(tmp_path: Path, machine: Machine, seed: int) -> None:
    phantom.run(phantom.PhantomParams(films=60, longest_side_px=160, seed=seed), tmp_path, machine)
    audited_rows(tmp_path, machine)
    found = summary_of(tmp_path)["duplicates"]
    assert (found["exact"], found["near"], found["radiographs"]) == (0, 0, 0)


def test_two_workers_find_the_same_duplicates_as_one(
    tmp_path: Path, raw: Path, machine: Machine, film_file: FilmFile, draw: Draw, encoded: Encoded
) -> None:
    for seed in range(12):
        film_file(raw / f"a/{seed:02d}.png", seed, height=128, width=128)
    (raw / "a/04 worse.jpeg").write_bytes(encoded(draw(4, height=128, width=128), kind="JPEG", quality=30))
    (raw / "a/05 again.tif").write_bytes(encoded(draw(5, height=128, width=128), kind="TIFF"))
    (raw / "a/06 mirrored.png").write_bytes(encoded(draw(6, height=128, width=128)[:, ::-1]))
    two = dataclasses.replace(machine, fan_out=Workers(backend="loky", jobs=2, track=machine.track))
    found = []
    for on in (machine, two):
        rows = audited_rows(tmp_path, on)
        found.append([(tmp_path / path).read_bytes() for path in (paths.AUDIT, paths.AUDIT_SUMMARY)])
        assert [row.near_duplicate_how for row in rows.values() if row.near_duplicate_how] == [
            "recompressed",
            "same_pixels",
            "flipped",
        ]
    assert found[0] == found[1]


def test_blank_films_resemble_nothing(tmp_path: Path, raw: Path, machine: Machine, encoded: Encoded) -> None:
    (raw / "a").mkdir()
    for level in range(4):
        (raw / f"a/{level}.png").write_bytes(encoded(np.full((40, 40), 60 * level, np.uint8)))
    rows = audited_rows(tmp_path, machine)
    assert [row.near_duplicate_of for row in rows.values()] == [None] * 4
