"""A checkup says what is there; what is wrong, slow or missing is told with what to do."""

from __future__ import annotations

import fcntl
import io
import os
import tomllib
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from PIL import Image, features

from manifests.objects import ObjectPath
from stages import doctor
from stages.checkup import codecs, disk, libraries, machine
from stages.checkup.finding import Finding
from stages.contract import Machine
from stages.films import codec
from stages.films.frame import Gray

REPOSITORY = Path(__file__).resolve().parents[2]


def parts(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.part: finding for finding in findings}


def test_this_machine_can_do_what_the_tests_ask_of_it(machine: Machine, tmp_path: Path) -> None:
    report = doctor.run(doctor.DoctorParams(), tmp_path, machine)
    assert not report.failed
    assert report.done == len([line for line in report.lines if not line.startswith(" ")])
    assert list(tmp_path.iterdir()) == []  # what was written to try the disk is gone


def test_what_is_wrong_fails_and_is_named_with_what_to_do(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Finding("python", "3.11"), Finding("locks", "not kept here", "wrong", "start one run at a time")]
    monkeypatch.setattr(doctor, "examined", lambda _root, _device: iter(found))
    report = doctor.run(doctor.DoctorParams(), tmp_path, machine)
    assert report.failed
    assert report.verdict == "wrong: locks"
    assert [line.split() for line in report.lines][-1] == ["start", "one", "run", "at", "a", "time"]


# --- the machine -----------------------------------------------------------------------------------------------------


def test_a_quota_below_the_cores_is_slow_and_says_how_many_workers_fit(tmp_path: Path) -> None:
    quotas = tmp_path / "cpu.max"
    quotas.write_text("50000 100000\n")
    assert machine.quota(quotas) == 0.5
    finding = machine.processors(quotas)
    assert (finding.verdict, finding.advice) == ("slow", "--jobs 1")
    for text in ("max 100000\n", "", "nonsense"):
        quotas.write_text(text)
        assert machine.quota(quotas) is None
        assert machine.processors(quotas).verdict == "ok"
    assert machine.quota(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("free_mb", "workers", "advice"), [(100_000, 64, ""), (1_000, 8, "--jobs 2"), (100, 2, "--jobs 1")]
)
def test_workers_that_do_not_fit_into_the_memory_are_told_of(free_mb: int, workers: int, advice: str) -> None:
    finding = machine.memory(free_mb * 10**6, "made up", workers)
    assert finding.verdict == ("slow" if advice else "ok")
    assert finding.advice.endswith(advice)


# --- libraries -------------------------------------------------------------------------------------------------------


def test_a_library_that_is_older_or_missing_is_not_met() -> None:
    assert libraries.is_met(Requirement("numpy>=1"))
    assert not libraries.is_met(Requirement("numpy>=99"))
    assert not libraries.is_met(Requirement("no-such-package-anywhere"))
    assert libraries.unmet() == []


def test_an_extra_that_is_missing_is_no_fault_and_is_told_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "find_spec", lambda name: None if name == "pydicom" else object())
    found = parts(list(libraries.extras()))
    assert "dicom" not in found["extras"].found
    assert "ray" in found["extras"].found
    assert (found["extra dicom"].verdict, found["extra dicom"].advice) == (
        "without",
        "pip install 'cxr-pipeline[dicom]'",
    )


def test_every_extra_that_commands_ask_for_is_looked_at() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(project["optional-dependencies"]) - {"dev", "bench"} == set(libraries.EXTRAS)


# --- codecs ----------------------------------------------------------------------------------------------------------


def test_a_format_that_cannot_be_read_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    save = Image.Image.save

    def without_webp(image: Image.Image, file: io.BytesIO, format: str, **how: object) -> None:  # noqa: A002 - Pillow's
        if format == "WEBP":
            raise KeyError("WEBP")
        save(image, file, format=format, **how)

    monkeypatch.setattr(Image.Image, "save", without_webp)
    found = parts(list(codecs.codecs()))
    assert found["codec WEBP"].verdict == "wrong"
    assert "WEBP" not in found["codecs"].found
    assert "JPEG" in found["codecs"].found


def test_a_codec_that_changes_the_image_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    decode = codec.decode

    def changed(data: bytes) -> Gray:
        found = decode(data)
        return np.asarray(255 - found) if data.startswith(b"\x89PNG") else found

    monkeypatch.setattr(codec, "decode", changed)
    found = parts(list(codecs.codecs()))
    assert "codec png" in found
    assert "grey levels off" in found["codec png"].found
    assert "codec pgm" not in found


def test_a_plain_jpeg_library_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    assert codecs.jpeg_library().verdict == "ok"
    monkeypatch.setattr(features, "check_feature", lambda _name: False)
    assert codecs.jpeg_library().found == "Pillow without libjpeg-turbo"


# --- the disk --------------------------------------------------------------------------------------------------------


def test_a_root_that_is_not_there_yet_is_asked_of_where_it_would_be_made(tmp_path: Path) -> None:
    found = parts(list(disk.disk(tmp_path / "deep" / "root")))
    assert str(tmp_path) in found["disk space"].found
    assert found["locks"].verdict == "ok"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_root_that_cannot_be_written_is_wrong(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert parts(list(disk.disk(tmp_path)))["disk"].verdict == "wrong"


def test_a_disk_that_is_full_is_wrong_and_not_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_folder: Path) -> Finding:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk, "_speed", full)
    finding = parts(list(disk.disk(tmp_path)))["disk"]
    assert finding.verdict == "wrong"
    assert "No space left on device" in finding.found


def test_a_file_system_without_locks_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(_file: object, _how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    finding = parts(list(disk.disk(tmp_path)))["locks"]
    assert (finding.verdict, finding.found) == ("wrong", "not kept here (ENOLCK)")
    monkeypatch.setattr(fcntl, "flock", lambda _file, _how: None)
    assert parts(list(disk.disk(tmp_path)))["locks"].found == "two processes get one lock"


def test_an_object_that_does_not_come_back_is_wrong_and_not_left_behind(
    s3: ObjectPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(_path: ObjectPath) -> bytes:
        raise OSError("no such range")

    monkeypatch.setattr(ObjectPath, "read_bytes", unreadable)
    finding = parts(list(disk.disk(s3)))["store"]
    assert finding.verdict == "wrong"
    assert "no such range" in finding.found
    assert list(s3.under()) == []
