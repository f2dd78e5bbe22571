"""What --dry-run tells is what the run then does, and telling it changes nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from manifests import shards
from pipeline.catalog import COMMANDS, Entry
from pipeline.cli import main
from stages import augment, normalize
from stages.augment_params import AugmentParams
from stages.contract import Failure, Machine, Params, ParamsError, StageError, heard
from stages.export import ExportParams
from stages.fetch import FetchParams
from stages.films.codec import Encoding
from stages.foreseen.amounts import Amount, Foreseen, Verb, lines, room
from stages.phantom import PhantomParams
from stages.reporting import text
from tests.stages.fetching.served import served
from tests.stages.fetching.test_archive import FILMS, zipped

FilesOf = Callable[[Path], dict[str, bytes]]
StampsOf = Callable[[Path], dict[str, tuple[int, int]]]
TAR_END = 10_240  # bytes at most: a tar is filled up to whole records
ENTRIES = {entry.name: entry for entry in COMMANDS if entry.foresees}


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few films make several shards."""
    monkeypatch.setattr(shards, "IMAGES_PER_SHARD", 24)
    monkeypatch.setattr(normalize, "FILMS_PER_SHARD", 8)


@pytest.fixture
def foreseen(files_of: FilesOf) -> Callable[..., Foreseen]:
    """Return what asks what a run would do, and sees to it that asking changes no file."""

    def ask(name: str, params: Params, root: Path, machine: Machine) -> Foreseen:
        before = files_of(root)
        told = ENTRIES[name].foresee(params, root, machine)
        assert files_of(root) == before
        return told

    return ask


def total(told: Foreseen, verb: Verb, of: str) -> int:
    return sum(getattr(amount, of) or 0 for amount in told.of(verb))


def images_in(folder: Path, stamps_of: StampsOf) -> dict[str, tuple[int, int]]:
    """Return inode and time of each file of a folder but its manifest."""
    return {name: stamp for name, stamp in stamps_of(folder).items() if name != "manifest.parquet"}


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("layout", ["shards", "folder"])
@pytest.mark.parametrize("stage", ["normalize", "augment"])
def test_what_would_be_written_kept_and_deleted_is_what_then_is(
    stage: str,
    layout: str,
    project: Path,
    machine: Machine,
    foreseen: Callable[..., Foreseen],
    stamps_of: StampsOf,
) -> None:
    told: dict[str, Any] = {"layout": layout}
    params: Params = AugmentParams(copies=2, **told)
    run: Callable[..., Any] = augment.run
    if stage == "normalize":
        params, run = normalize.NormalizeParams(height=40, width=32, **told), normalize.run
    folder = project / ("data/normalized" if stage == "normalize" else "data/augmented")
    run(params, project, machine)
    standing = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.parquet")
    for path in standing[::2]:
        path.unlink()  # a run that was killed
    stray = folder / "shards/stray.parquet"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"of another run")
    before = images_in(folder, stamps_of)

    asked = foreseen(stage, params, project, machine)
    report = run(params, project, machine)

    after = images_in(folder, stamps_of)
    written = {name for name, stamp in after.items() if before.get(name) != stamp}
    assert total(asked, "write", "files") == len(written)
    assert total(asked, "keep", "files") == len(after) - len(written)
    assert total(asked, "keep", "files") == (len(standing) // 2 if layout == "shards" else 0)
    assert total(asked, "delete", "files") == len(before.keys() - after.keys()) == 1
    assert total(asked, "delete", "bytes") == len(b"of another run")
    assert total(asked, "write", "units") + total(asked, "keep", "units") == report.done


@pytest.mark.parametrize("encoding", ["pgm", "png", "jpeg"])
def test_the_bytes_of_copies_are_those_of_a_sample(
    encoding: Encoding, project: Path, machine: Machine, foreseen: Callable[..., Foreseen]
) -> None:
    params = AugmentParams(copies=30, encoding=encoding, layout="folder")  # more than are sampled of each film
    asked = foreseen("augment", params, project, machine)
    augment.run(params, project, machine)
    images = [path.stat().st_size for path in (project / "data/augmented").rglob(f"*.{encoding}")]
    assert total(asked, "write", "files") == len(images)
    assert total(asked, "write", "bytes") == pytest.approx(sum(images), rel=0 if encoding == "pgm" else 0.05)
    assert "by the images of" in asked.amounts[0].known_by


@pytest.mark.usefixtures("small_shards")
def test_a_shard_that_a_disk_has_spoilt_is_not_kept(
    project: Path, machine: Machine, foreseen: Callable[..., Foreseen]
) -> None:
    params = AugmentParams(copies=2)
    augment.run(params, project, machine)
    whole = foreseen("augment", params, project, machine)
    assert total(whole, "write", "files") == 0
    spoilt = next((project / "data/augmented/shards").iterdir())
    data = bytearray(spoilt.read_bytes())
    data[len(data) // 2] ^= 1
    spoilt.write_bytes(data)
    asked = foreseen("augment", params, project, machine)
    assert total(asked, "write", "files") == 1
    assert total(asked, "keep", "files") == total(whole, "keep", "files") - 1
    assert total(asked, "delete", "files") == 0


def test_other_parameters_write_all_anew_and_delete_what_stood(
    project: Path, machine: Machine, foreseen: Callable[..., Foreseen]
) -> None:
    augment.run(AugmentParams(copies=2), project, machine)
    stood = len(list((project / "data/augmented/shards").iterdir()))
    asked = foreseen("augment", AugmentParams(copies=2, quality=90), project, machine)
    assert not asked.of("keep")
    assert total(asked, "delete", "files") == stood


@pytest.mark.parametrize("to", ["folder", "webdataset", "hf"])
def test_an_export_is_told_before_it_is_made_and_after(
    to: str, project: Path, machine: Machine, foreseen: Callable[..., Foreseen]
) -> None:
    augment.run(AugmentParams(copies=2), project, machine)
    params = ExportParams.model_validate({"to": to, "files": 2, "out": "out"})
    asked = foreseen("export", params, project, machine)

    report = ENTRIES["export"].load().run(params, project, machine)

    index = json.loads((project / "out/export.json").read_text())
    images = {"folder": "*.[pj][gp]*", "webdataset": "*.tar", "hf": "*.parquet"}[to]
    made = [path.stat().st_size for path in (project / "out").rglob(images)]
    assert total(asked, "write", "units") == report.done
    assert total(asked, "write", "files") == len(made)
    told = total(asked, "write", "bytes")
    if to == "hf":  # the images alone: so small, their rows take more
        as_files = ExportParams(to="folder", out="other")
        assert told == total(foreseen("export", as_files, project, machine), "write", "bytes") < sum(made)
    else:
        assert 0 <= sum(made) - told <= (TAR_END * len(made) if to == "webdataset" else 0)
    again = foreseen("export", params, project, machine)
    assert not again.of("write")
    assert total(again, "keep", "units") == report.done
    other = foreseen("export", params.model_copy(update={"split": "train"}), project, machine)
    assert total(other, "delete", "units") == report.done
    assert total(other, "write", "units") == index["splits"]["train"]["images"]


def test_a_network_is_one_file_and_not_foreseen(project: Path, machine: Machine) -> None:
    with pytest.raises(ParamsError, match=r"--dry-run tells of --to; --onnx writes one file, net\.onnx"):
        ENTRIES["export"].foresee(ExportParams(onnx="net.onnx"), project, machine)


def test_phantoms_are_counted_and_their_bytes_are_near(
    tmp_path: Path, machine: Machine, foreseen: Callable[..., Foreseen], files_of: FilesOf
) -> None:
    params = PhantomParams(films=40, longest_side_px=96, faults="truncated,empty,duplicate")
    asked = foreseen("phantom", params, tmp_path, machine)
    report = ENTRIES["phantom"].load().run(params, tmp_path, machine)
    drawn = files_of(tmp_path / "data/raw")
    assert total(asked, "write", "files") == len(drawn)
    assert total(asked, "write", "bytes") == pytest.approx(sum(map(len, drawn.values())), rel=0.1)
    assert set(asked.lines) & set(report.lines) == {line for line in report.lines if ": " in line}
    with pytest.raises(StageError, match="expected a new or empty folder"):
        foreseen("phantom", params, tmp_path, machine)


def test_an_archive_at_hand_is_looked_into(tmp_path: Path, machine: Machine, foreseen: Callable[..., Foreseen]) -> None:
    archive = tmp_path / "films.zip"
    archive.write_bytes(
        zipped({f"chest_xray/{name}": data for name, data in FILMS.items()} | {"notes.txt": b"no film"})
    )
    asked = foreseen("fetch", FetchParams(url=str(archive)), tmp_path, machine)
    (write,) = asked.amounts
    assert (write.where, write.units, write.bytes) == ("data/raw", len(FILMS), sum(map(len, FILMS.values())))
    assert f"from {archive}" in asked.lines
    archive.write_bytes(zipped({"../films/x.png": b"x"}))
    with pytest.raises(StageError, match="leads out of the folder"):
        foreseen("fetch", FetchParams(url=str(archive)), tmp_path, machine)


def test_of_an_archive_elsewhere_the_server_is_asked_for_the_size_alone(
    tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch, foreseen: Callable[..., Foreseen]
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    data = zipped(FILMS)
    with served(data) as shelf:
        asked = foreseen("fetch", FetchParams(url=shelf.url), tmp_path, machine)
        download, unpacked = asked.amounts
        assert (download.where, download.bytes) == ("data/raw.archive", len(data))
        assert (unpacked.where, unpacked.files, unpacked.known_by) == (
            "data/raw",
            None,
            "known when the archive is here",
        )
        (tmp_path / "data").mkdir(exist_ok=True)
        params = FetchParams(url=shelf.url, sha256=hashlib.sha256(data).hexdigest())
        ENTRIES["fetch"].load().run(params, tmp_path, machine)
        (keep,) = foreseen("fetch", params, tmp_path, machine).amounts
        assert (keep.verb, keep.files) == ("keep", len(FILMS))
        shelf.statuses.append(503)
        with pytest.raises(StageError, match="503"):
            foreseen("fetch", FetchParams(url=shelf.url, out="data/more"), tmp_path, machine)


def test_a_build_is_told_at_most(project: Path, machine: Machine, foreseen: Callable[..., Foreseen]) -> None:
    build = ENTRIES["build"]
    params = build.load().params.model_validate({"augment": {"copies": 2}, "normalize": {"height": 32, "width": 40}})
    (project / "data/raw/train/NORMAL/broken.jpeg").write_bytes(b"no film")
    asked = foreseen("build", params, project, machine)
    report = build.load().run(params, project, machine)
    (normalized, augmented) = asked.of("write")
    assert normalized.units == len([path for path in (project / "data/raw").rglob("*") if path.is_file()])
    assert report.done < (augmented.units or 0) == 3 * (normalized.units or 0)
    assert normalized.bytes == (normalized.units or 0) * len(b"P5\n40 32\n255\n" + bytes(40 * 32))
    for path in (project / "data/raw").rglob("*.jpeg"):
        path.write_bytes(b"no film")
    with pytest.raises(StageError, match=r"none of .* files that were looked at is a film"):
        build.foresee(params, project, machine)


def test_a_raw_file_that_ends_its_process_is_passed_over_and_is_known_by_name(project: Path, machine: Machine) -> None:
    begun: list[str] = []

    def fatal_first(work: Any, jobs: Any, *, retry: Any = None, **_shown: Any) -> list[Any]:
        assert retry.alone(jobs[0], jobs[0]) == jobs[0]
        passed_over = retry.without(jobs[0], {jobs[0]: Failure("crashed", "SIGSEGV")})
        with heard(begun.append):
            return [work(job) for job in (passed_over, *jobs[1:])]

    build = ENTRIES["build"]
    told = build.foresee(build.load().params(), project, replace(machine, fan_out=fatal_first))
    assert len(begun) > 3
    assert f"by {len(begun)} films" in told.amounts[0].known_by


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=lambda entry: entry.name)
def test_every_command_that_foresees_takes_the_flag_and_no_other_does(entry: Entry) -> None:
    assert "--dry-run" in CliRunner().invoke(main, [entry.name, "--help"]).output
    assert "--dry-run" not in CliRunner().invoke(main, ["split", "--help"]).output


def test_the_command_tells_writes_nothing_and_takes_no_lock(project: Path, files_of: FilesOf) -> None:
    before = files_of(project)
    result = CliRunner().invoke(main, ["augment", "--root", str(project), "--copies", "2", "--dry-run", "--jobs", "1"])
    assert result.exit_code == 0, result.output
    assert "write to data/augmented" in result.output
    assert result.output.splitlines()[-1] == "augment: dry run; nothing was written or deleted"
    assert files_of(project) == before


def test_to_a_program_it_tells_json(project: Path) -> None:
    told = ["augment", "--root", str(project), "--copies", "2", "--dry-run", "--jobs", "1", "--json"]
    found = json.loads(CliRunner().invoke(main, told).stdout)
    assert (found["command"], found["dry_run"], found["unit"]) == ("augment", True, "images")
    (write,) = found["amounts"]
    assert (write["verb"], write["where"], write["files"]) == ("write", "data/augmented", 1)
    assert write["bytes"] > 0


def test_what_a_run_would_refuse_is_refused_alike(project: Path) -> None:
    (project / "data/split/manifest.parquet").unlink()
    for more in ([], ["--dry-run"]):
        result = CliRunner().invoke(main, ["normalize", "--root", str(project), *more])
        assert result.exit_code == 1
        assert "data/split/manifest.parquet: not found" in result.output


def test_what_is_not_known_is_a_dash_and_too_little_room_is_said(tmp_path: Path) -> None:
    foreseen = Foreseen(unit="films", amounts=[Amount(verb="write", where="data/raw", known_by="later")])
    assert lines(foreseen)[1].split() == ["write", "to", "data/raw", *[text.UNKNOWN] * 3, "later"]
    (line,) = room(tmp_path / "not there yet", 10**18)
    assert "that is too little" in line
    (line,) = room(tmp_path, 1)
    assert "too little" not in line
