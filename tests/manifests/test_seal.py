"""Seals: any change of a sealed file shows, and no file keeps its reader for ever."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests import seal


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file that was sealed."""
    path = tmp_path_factory.mktemp("seal") / "sealed.parquet"
    table = pa.table({"film": [f"{number}.png" for number in range(50)]})
    pq.write_table(table.replace_schema_metadata(seal.UNSEALED), path)
    assert seal.seal(path) == seal.claimed_by(path)
    return path


def test_a_sealed_file_is_whole_and_its_seal_tells_its_own_hash_and_size(sealed: Path) -> None:
    data = sealed.read_bytes()
    found = seal.examine(sealed)
    assert found.whole
    assert (found.sha256, found.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert pq.read_table(sealed).num_rows == 50


@given(data=st.data())
def test_a_change_of_any_byte_breaks_the_seal(sealed: Path, data: st.DataObject) -> None:
    whole = bytearray(sealed.read_bytes())
    place, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    whole[place] ^= 1 << bit
    spoilt = sealed.with_name("spoilt.parquet")
    spoilt.write_bytes(whole)
    assert not seal.is_whole(spoilt)


@given(left=st.integers(0, 200))
def test_a_file_that_was_cut_off_claims_nothing(sealed: Path, left: int) -> None:
    cut = sealed.with_name("cut.parquet")
    cut.write_bytes(sealed.read_bytes()[:left])
    assert seal.examine(cut).claimed is None
    assert seal.claimed_by(cut) is None


def test_a_file_without_a_seal_or_without_bytes_or_that_is_not_there_is_not_whole(tmp_path: Path) -> None:
    pq.write_table(pa.table({"film": ["a.png"]}), tmp_path / "plain.parquet")
    (tmp_path / "empty.parquet").touch()
    assert [seal.is_whole(tmp_path / f"{name}.parquet") for name in ("plain", "empty", "none")] == [False] * 3


def test_a_file_that_is_cut_while_it_is_read_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its seal lay was told by bytes that are gone."""
    (tmp_path / "cut.parquet").write_bytes(b"what is left")
    monkeypatch.setattr(seal, "_position", lambda _file: 1000)
    assert not seal.examine(tmp_path / "cut.parquet").whole
