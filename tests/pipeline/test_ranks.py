from __future__ import annotations

import pytest

from pipeline.ranks import Processes, ranks

TOLD = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "here", "MASTER_PORT": "1"}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*TOLD, "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def test_without_torchrun_a_process_is_alone() -> None:
    assert ranks() == Processes(rank=0, count=1, local_rank=0, local_count=1)


def test_what_torchrun_told_is_taken_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")  # a scheduler may set one of them
    assert ranks() == Processes()
    for name, value in TOLD.items():
        monkeypatch.setenv(name, value)
    assert ranks() == Processes(rank=3, count=8, local_rank=1, local_count=1)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert ranks() == Processes(rank=3, count=8, local_rank=1, local_count=4)
