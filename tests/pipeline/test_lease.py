"""A root in a store is one run's: as long as it renews its lock, and no longer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from manifests.addresses import NotKnownError
from manifests.objects import ObjectPath
from pipeline.lease import NO_CONDITIONS, Lease, leased, stores_clock
from pipeline.lock import LOCK, locked
from stages.contract import CxrError
from tests.stores import Gateway


def later(seconds: float) -> Callable[[ObjectPath], datetime]:
    """Return a clock that goes ahead of the store's."""
    return lambda lock: stores_clock(lock) + timedelta(seconds=seconds)


def silent(_text: str) -> None:
    return


def test_who_holds_a_root_is_named_to_whoever_wants_it_too_and_nothing_stays(s3: ObjectPath) -> None:
    with locked(s3, "cxr-pipeline augment"):
        with (
            pytest.raises(CxrError, match=rf"{s3}: in use by `cxr-pipeline augment` \(process .*last heard of . s ago"),
            locked(s3, "cxr-pipeline normalize"),
        ):
            pass
        assert json.loads((s3 / LOCK).read_bytes())["command"] == "cxr-pipeline augment"
    assert not list(s3.under())
    with locked(s3, "cxr-pipeline normalize"):
        pass


def test_a_root_is_free_after_a_run_that_failed(s3: ObjectPath) -> None:
    with pytest.raises(CxrError, match="failed"), locked(s3, "cxr-pipeline augment"):
        raise CxrError("failed")
    assert not list(s3.under())


def test_a_killed_runs_lock_is_taken_over_when_it_is_stale_and_not_before(s3: ObjectPath) -> None:
    Lease(s3 / LOCK, "cxr-pipeline augment").take()  # and never renewed
    early = Lease(s3 / LOCK, "cxr-pipeline augment", clock=later(80))
    with pytest.raises(CxrError, match=r"last heard of 8. s ago.*the root is free in (9|10) s"):
        early.take()
    heir = Lease(s3 / LOCK, "cxr-pipeline split", clock=later(95))
    heir.take()
    assert json.loads((s3 / LOCK).read_bytes())["command"] == "cxr-pipeline split"
    with pytest.raises(CxrError, match="in use by `cxr-pipeline split`"):
        Lease(s3 / LOCK, "cxr-pipeline augment").take()


def test_a_lock_that_nobody_can_read_is_stale_in_time_as_well(s3: ObjectPath) -> None:
    (s3 / LOCK).write_bytes(b"{")
    with pytest.raises(CxrError, match="in use by another run of cxr-pipeline; wait for it to end"):
        Lease(s3 / LOCK, "x").take()
    Lease(s3 / LOCK, "x", clock=later(95)).take()


def test_of_two_that_take_a_stale_lock_over_at_once_one_gets_it(s3: ObjectPath) -> None:
    """The one that looked first and was overtaken before it wrote is refused."""
    Lease(s3 / LOCK, "killed").take()
    looks = 0

    def overtaken(lock: ObjectPath) -> datetime:
        nonlocal looks
        looks += 1
        if looks == 1:
            Lease(lock, "heir", clock=later(95)).take()
            return later(95)(lock)
        return stores_clock(lock)

    with pytest.raises(CxrError, match="in use by `heir`"):
        Lease(s3 / LOCK, "slow", clock=overtaken).take()
    assert json.loads((s3 / LOCK).read_bytes())["command"] == "heir"


def test_a_lock_is_renewed_while_it_is_held(s3: ObjectPath) -> None:
    renewed = threading.Event()
    lease = Lease(s3 / LOCK, "x", renewed_every_s=0.05)
    with leased(lease, silent):
        for _ in range(100):
            if json.loads((s3 / LOCK).read_bytes())["renewals"] >= 2:
                renewed.set()
                break
            threading.Event().wait(0.05)
    assert renewed.is_set()
    assert not list(s3.under())


def test_a_run_whose_lock_was_taken_over_ends_and_leaves_the_other_one_its_lock(s3: ObjectPath) -> None:
    ended = threading.Event()
    lease = Lease(s3 / LOCK, "asleep", renewed_every_s=0.2)
    with (
        pytest.raises(CxrError, match="was not heard of for 90 s, and another one took its place"),
        leased(lease, silent, ended.set),
    ):
        _taken_over(s3, ended)
    assert json.loads((s3 / LOCK).read_bytes())["command"] == "heir"


def test_a_run_that_ends_before_it_hears_that_it_lost_its_lock_leaves_it_to_the_other_one(s3: ObjectPath) -> None:
    """As one whose machine slept, woke and was done before it was time to renew."""
    with (
        pytest.raises(CxrError, match="another one took its place"),
        leased(Lease(s3 / LOCK, "asleep", renewed_every_s=600), silent),
    ):
        Lease(s3 / LOCK, "heir", clock=later(95)).take()
    assert json.loads((s3 / LOCK).read_bytes())["command"] == "heir"


def _taken_over(root: ObjectPath, ended: threading.Event) -> None:
    Lease(root / LOCK, "heir", clock=later(95)).take()
    assert ended.wait(20)


def test_an_answer_that_was_lost_is_no_other_run(counted: tuple[ObjectPath, Gateway]) -> None:
    """A request that is made again after its answer was lost finds what it did itself the first time."""
    root, gateway = counted
    lost: list[str] = []

    def lose(_number: int, method: str, path: str) -> bool:
        if method != "PUT" or len(lost) == 2:
            return False
        lost.append(path)
        return True

    gateway.loses = lose
    lease = Lease(root / LOCK, "x")
    lease.take()
    lease.renew()
    assert len(lost) == 2
    assert json.loads((root / LOCK).read_bytes())["renewals"] == 1


def test_a_store_without_conditional_writes_is_told_of(s3: ObjectPath, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some ignore the condition, and some do not know the word."""
    warnings: list[str] = []
    with monkeypatch.context() as ignoring:
        ignoring.setattr(ObjectPath, "create", _created_anyway)
        with leased(Lease(s3 / LOCK, "x"), warnings.append):
            pass
    assert warnings == [NO_CONDITIONS]
    monkeypatch.setattr(ObjectPath, "create", _unknown)
    with leased(Lease(s3 / LOCK, "x"), warnings.append), pytest.raises(CxrError, match="in use by `x`"):
        Lease(s3 / LOCK, "y").take()
    assert warnings == [NO_CONDITIONS] * 2


def _created_anyway(self: ObjectPath, data: bytes) -> str:
    self.write_bytes(data)
    return self.stat().tag


def _unknown(self: ObjectPath, data: bytes) -> str:  # noqa: ARG001 - the signature of `create`
    raise NotKnownError("a header is not implemented")
