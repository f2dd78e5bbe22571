from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.contract import StageError
from stages.fetching.download import discard, download, shown
from tests.conftest import silent
from tests.stages.fetching.served import bytes_asked_from, served, unused_port

DATA = np.random.default_rng(0).bytes(3_000_000)
AT_ONCE = (0.0, 0.0, 0.0)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def fetched(url: str, target: Path) -> list[str]:
    return download(url, target, track=silent, pauses_s=AT_ONCE)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_there_whole_and_what_is_known_of_it_goes_with_it(tmp_path: Path) -> None:
    with served(DATA) as shelf:
        assert fetched(shelf.url, tmp_path / "films.zip") == []
    assert (tmp_path / "films.zip").read_bytes() == DATA
    assert left(tmp_path) == ["films.zip", "films.zip.part.json"]
    discard(tmp_path / "films.zip")
    assert left(tmp_path) == []


def test_as_much_is_told_of_as_the_file_has_however_small_the_blocks(tmp_path: Path) -> None:
    bars: list[list[int]] = []

    @contextmanager
    def track(_total: int, *, unit: str) -> Iterator[Callable[..., None]]:
        assert unit == "kB"
        bars.append([])
        yield bars[-1].append

    with served(DATA, drops=[1_000_001]) as shelf:
        download(shelf.url, tmp_path / "films.zip", track=track, pauses_s=AT_ONCE)
    assert len(bars) == 2
    assert sum(bars[1]) == 3000, "the second begins with what came before"


def test_a_file_that_is_there_is_not_asked_for_again(tmp_path: Path) -> None:
    with served(DATA) as shelf:
        fetched(shelf.url, tmp_path / "films.zip")
        assert fetched(shelf.url, tmp_path / "films.zip") == ["films.zip was there already"]
        assert len(shelf.asked) == 1
        (tmp_path / "films.zip").write_bytes(DATA[:-1])
        fetched(shelf.url, tmp_path / "films.zip")
    assert (tmp_path / "films.zip").read_bytes() == DATA


def test_a_connection_that_drops_is_taken_up_where_it_ended(tmp_path: Path) -> None:
    with served(DATA, drops=[1_000_000, 500_000]) as shelf:
        fetched(shelf.url, tmp_path / "films.zip")
        starts = bytes_asked_from(shelf)
    assert (tmp_path / "films.zip").read_bytes() == DATA
    assert len(starts) == 3
    assert 0 == starts[0] < starts[1] <= 1_000_000
    assert starts[1] < starts[2] <= starts[1] + 500_000


def test_it_is_taken_up_behind_an_address_that_leads_elsewhere(tmp_path: Path) -> None:
    with served(DATA, drops=[1_000_000]) as shelf:
        fetched(shelf.url.replace("films.zip", "moved"), tmp_path / "films.zip")
        starts = bytes_asked_from(shelf)
    assert (tmp_path / "films.zip").read_bytes() == DATA
    assert len(starts) == 2
    assert starts[1] > 0


@pytest.mark.parametrize("name", ["fílms.zip", "a b.zip", "\n"])
def test_an_address_that_is_none_is_one_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(StageError, match="cannot be reached"):
        fetched(f"http://127.0.0.1:{unused_port()}/{name}", tmp_path / "films.zip")


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(drops=st.lists(st.integers(0, 5000), max_size=3), ranges=st.booleans(), etag=st.sampled_from(["", '"one"']))
def test_wherever_it_drops_the_bytes_are_the_file_s(
    tmp_path: Path, drops: list[int], etag: str, *, ranges: bool
) -> None:
    data, target = DATA[:5000], tmp_path / "films.zip"
    for path in tmp_path.iterdir():
        path.unlink()
    with served(data, drops=list(drops), ranges=ranges, etag=etag) as shelf:
        fetched(shelf.url, target)
    assert target.read_bytes() == data


def test_the_next_process_goes_on_where_the_one_before_gave_up(tmp_path: Path) -> None:
    target = tmp_path / "films.zip"
    with served(DATA, drops=[1_000_000, 0, 0, 0, 0]) as shelf:
        with pytest.raises(StageError, match=r"are kept; run the same command again to go on"):
            fetched(shelf.url, target)
        assert not target.exists()
        kept = (tmp_path / "films.zip.part").stat().st_size
        assert 0 < kept <= 1_000_000
        shelf.drops.clear()
        shelf.asked.clear()
        fetched(shelf.url, target)
        assert bytes_asked_from(shelf) == [kept]
    assert target.read_bytes() == DATA


def test_a_server_without_ranges_sends_the_whole_again_and_that_is_said(tmp_path: Path) -> None:
    with served(DATA, ranges=False, drops=[1_000_000]) as shelf:
        told = fetched(shelf.url, tmp_path / "films.zip")
    assert (tmp_path / "films.zip").read_bytes() == DATA
    assert ["the server sends no parts of it" in line for line in told] == [True]


@pytest.mark.parametrize("change", ["etag", "size", "shorter"])
def test_a_file_that_changed_meanwhile_is_never_patched_together(tmp_path: Path, change: str) -> None:
    target, other = tmp_path / "films.zip", np.random.default_rng(1).bytes(2_999_999)
    with served(DATA, drops=[1_000_000, 0, 0, 0]) as shelf:
        with pytest.raises(StageError):
            fetched(shelf.url, target)
        shelf.drops.clear()
        shelf.data, shelf.etag = {
            "etag": (other + b"x", '"two"'),
            "size": (other, '"one"'),
            "shorter": (other[:1000], '"one"'),
        }[change]
        told = fetched(shelf.url, target)
        assert target.read_bytes() == shelf.data
    assert "another file than the one that was begun" in " ".join(told)


def test_bytes_of_no_known_version_are_not_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "films.zip.part").write_bytes(b"of something else")
    with served(DATA) as shelf:
        fetched(shelf.url, tmp_path / "films.zip")
        assert bytes_asked_from(shelf) == [0]
    assert (tmp_path / "films.zip").read_bytes() == DATA


def test_a_server_that_is_busy_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    with served(DATA, statuses=[503, 429]) as shelf:
        fetched(shelf.url, tmp_path / "films.zip")
        assert len(shelf.asked) == 3


@pytest.mark.parametrize(
    ("status", "said"), [(404, "may have moved"), (403, "does not give to a program"), (410, "may have moved")]
)
def test_what_is_not_there_is_said_at_once_with_the_way_out(tmp_path: Path, status: int, said: str) -> None:
    with served(DATA, statuses=[status]) as shelf:
        with pytest.raises(StageError, match=rf"HTTP {status} .*{said}.*--url FILE"):
            fetched(shelf.url, tmp_path / "films.zip")
        assert len(shelf.asked) == 1
    assert left(tmp_path) == []


def test_no_network_is_one_error_that_names_the_way_out(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{unused_port()}/films.zip"
    with pytest.raises(StageError, match=rf"^{re.escape(url)}: cannot be reached \(.*refused.*\); mend the network"):
        fetched(url, tmp_path / "films.zip")
    assert left(tmp_path) == []


def test_a_file_that_the_disk_has_no_room_for_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with served(b"a" * 10, says_size=True) as shelf:
        shelf.data = _Vast(b"a" * 10)
        with pytest.raises(StageError, match=r"MB free; expected room for .* MB more of films\.zip"):
            fetched(shelf.url, tmp_path / "films.zip")


class _Vast(bytes):
    """Bytes that say they are as many as no disk holds."""

    def __len__(self) -> int:
        return 2**60

    def __getitem__(self, _place: object) -> _Vast:  # type: ignore[override]  # a slice alone is asked for
        return self


def test_an_address_is_shown_without_password_and_signature() -> None:
    assert shown("https://me:secret@host.org:8080/a/b.zip?signature=abc#x") == "https://host.org:8080/a/b.zip"
