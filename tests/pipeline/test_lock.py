from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pipeline.lock import LOCK, locked
from stages.contract import CxrError


def test_who_holds_a_root_is_named_to_whoever_wants_it_too(tmp_path: Path) -> None:
    with locked(tmp_path, "cxr-pipeline augment"):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
        with (
            pytest.raises(CxrError, match=rf"in use by `cxr-pipeline augment` \(process {os.getpid()} on .*, since "),
            locked(tmp_path, "cxr-pipeline normalize"),
        ):
            pass


def test_a_root_is_free_after_a_run_that_failed(tmp_path: Path) -> None:
    with pytest.raises(CxrError, match="failed"), locked(tmp_path, "cxr-pipeline augment"):
        raise CxrError("failed")
    with locked(tmp_path, "cxr-pipeline normalize"):
        pass
    assert (tmp_path / LOCK).read_text() == ""


def test_what_a_killed_run_wrote_into_the_lock_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text('{"pid": 1, "host": "here"')
    with locked(tmp_path, "cxr-pipeline augment"):
        pass


def test_a_lock_that_holds_no_text_refuses_as_well(tmp_path: Path) -> None:
    with locked(tmp_path, "cxr-pipeline augment"):
        (tmp_path / LOCK).write_bytes(b"\xff\xfe")
        with pytest.raises(CxrError, match="in use by another run"), locked(tmp_path, "cxr-pipeline normalize"):
            pass


def test_a_holder_that_has_not_yet_said_its_name_refuses_as_well(tmp_path: Path) -> None:
    with locked(tmp_path, "cxr-pipeline augment"):
        (tmp_path / LOCK).write_text("")
        with pytest.raises(CxrError, match="in use by another run"), locked(tmp_path, "cxr-pipeline normalize"):
            pass


def test_two_roots_do_not_know_each_other(tmp_path: Path) -> None:
    with locked(tmp_path / "one", "cxr-pipeline augment"), locked(tmp_path / "two", "cxr-pipeline augment"):
        pass


def test_a_root_in_which_nothing_can_be_written_is_told_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(CxrError, match=r"file/root: nothing can be written there \(Not a directory\); .*--root"),
        locked(tmp_path / "file/root", "cxr-pipeline audit"),
    ):
        pass
