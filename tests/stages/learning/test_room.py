from pathlib import Path

import psutil
import torch

from stages.learning.room import free_on, left_in_cgroups


def cgroup(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_the_tightest_limit_above_a_process_holds_and_pages_of_files_count_as_free(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/slice/job\n")
    cgroup(tmp_path / "slice/job", memory__max="max\n", memory__current="5\n", memory__stat="inactive_file 3\n")
    cgroup(tmp_path / "slice", memory__max="1000\n", memory__current="400\n", memory__stat="anon 7\ninactive_file 50\n")

    assert left_in_cgroups(own, tmp_path) == 650


def test_limits_of_the_older_version_are_read_as_well(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("4:memory:/job\n3:cpu,cpuacct:/\n0::/\n")
    files = {"memory__limit_in_bytes": "900", "memory__usage_in_bytes": "100", "memory__stat": "total_inactive_file 10"}
    cgroup(tmp_path / "memory/job", **files)

    assert left_in_cgroups(own, tmp_path) == 810


def test_a_limit_at_the_top_holds_within_a_container_that_knows_another_path(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/docker/abc\n")
    cgroup(tmp_path, memory__max="100", memory__current="130", memory__stat="inactive_file 0")

    assert left_in_cgroups(own, tmp_path) == 0


def test_without_cgroups_there_is_no_limit(tmp_path: Path) -> None:
    assert left_in_cgroups(tmp_path / "none", tmp_path) is None


def test_a_host_has_some_memory_free_and_no_more_than_it_has() -> None:
    room = free_on(torch.device("cpu"))

    assert 0 < room.free <= psutil.virtual_memory().total
    assert "this host's memory" in room.what
