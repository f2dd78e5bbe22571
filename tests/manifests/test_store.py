from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manifests import slices, store, verify
from manifests.checks import ManifestError
from manifests.columns import Schema
from manifests.rows import AUDITED, NORMALIZED, PREDICTIONS, SPLIT, NormalizedRow
from manifests.store import Footer
from stages.drawn import AUGMENTED

MadeRow = Callable[..., NormalizedRow]
SCHEMAS: tuple[Schema[Any], ...] = (AUDITED, SPLIT, NORMALIZED, AUGMENTED, PREDICTIONS)
FOOTER = Footer(
    params={"policy": "cover", "height": 256},
    sources={"data/split/manifest.parquet": "ab" * 32},
    facts={"classes": ["bacteria", "normal", "vírus"]},
)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Return where a manifest goes; its folder is not there yet."""
    return tmp_path / "data" / "normalized" / store.MANIFEST


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.name)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_rows_come_back_from_disk_as_they_went_in(
    data: st.DataObject, schema: Schema[Any], rows_of: Callable[[Schema[Any]], st.SearchStrategy[Any]], manifest: Path
) -> None:
    """Parquet keeps every value that a schema allows, and the documentation beside it."""
    rows = data.draw(st.lists(rows_of(schema), max_size=3))
    store.write(rows, schema, manifest, replace(FOOTER, facts={}))
    assert store.read(schema, manifest) == rows
    assert all(pq.read_schema(manifest).field(field.name).metadata[b"doc"] for field in schema.fields)


def test_the_footer_says_what_the_manifest_is_and_came_from(manifest: Path, normalized_row: MadeRow) -> None:
    """Schema and version are stamped by the store, the rest is the stage's."""
    store.write([normalized_row()], NORMALIZED, manifest, FOOTER)
    footer = store.read_footer(manifest)
    assert (footer.schema, footer.schema_version) == ("NormalizedRow", NORMALIZED.version)
    assert footer.tool_version == store.TOOL_VERSION
    assert (footer.params, footer.sources, footer.facts) == (FOOTER.params, FOOTER.sources, FOOTER.facts)


def test_a_table_is_written_as_its_rows_are(tmp_path: Path, normalized_row: MadeRow) -> None:
    """Stages hand over tables; nothing differs on disk."""
    rows = [normalized_row(number) for number in range(5)]
    store.write(rows, NORMALIZED, tmp_path / "rows.parquet", FOOTER)
    store.write(NORMALIZED.table(rows), NORMALIZED, tmp_path / "table.parquet", FOOTER)
    assert (tmp_path / "rows.parquet").read_bytes() == (tmp_path / "table.parquet").read_bytes()


def test_the_same_rows_write_the_same_bytes(tmp_path: Path, normalized_row: MadeRow) -> None:
    """DVC compares bytes: no clock, no order of keys may show in the file."""
    rows = [normalized_row(number) for number in range(100)]
    turned = Footer(params={"height": 256, "policy": "cover"}, sources=FOOTER.sources, facts=FOOTER.facts)
    store.write(rows, NORMALIZED, tmp_path / "one.parquet", FOOTER)
    store.write(rows, NORMALIZED, tmp_path / "two.parquet", turned)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_a_wrong_row_leaves_the_old_manifest_whole(manifest: Path, normalized_row: MadeRow) -> None:
    """Rows are checked before the first byte goes to disk, tables too."""
    store.write([normalized_row()], NORMALIZED, manifest, FOOTER)
    before = manifest.read_bytes()
    with pytest.raises(ManifestError, match="'lost' holds"):
        store.write([normalized_row(lost=2.0)], NORMALIZED, manifest, FOOTER)
    with pytest.raises(ManifestError, match="columns are"):
        store.write(NORMALIZED.table([normalized_row(1)]).drop_columns(["lost"]), NORMALIZED, manifest, FOOTER)
    assert manifest.read_bytes() == before
    assert list(manifest.parent.iterdir()) == [manifest]


def test_a_write_that_fails_half_way_leaves_the_old_file_and_no_part_of_the_new(tmp_path: Path) -> None:
    """A full disk or a killed run must not cost what was there."""
    path = tmp_path / "report.json"
    path.write_text("old")

    def half() -> None:
        with store.written_aside(path) as aside:
            aside.write_text("ha")
            assert path.read_text() == "old"
            assert aside.parent == path.parent, "a rename is atomic within a folder alone"
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_written_aside_appears_under_its_name(tmp_path: Path) -> None:
    """Folders on the way are made, and nothing is left beside the file."""
    path = tmp_path / "a" / "b" / "film.pgm"
    store.write_bytes(path, b"first")
    store.write_bytes(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]


def test_a_missing_manifest_says_which_and_what_to_do(manifest: Path) -> None:
    """The first thing a new user meets."""
    with pytest.raises(ManifestError, match=rf"{manifest}: not found; run the stage"):
        store.read(NORMALIZED, manifest)


@pytest.mark.parametrize(("folder", "command"), [("audit", "audit"), ("normalized", "normalize")])
def test_a_missing_manifest_names_the_command_that_writes_it(tmp_path: Path, folder: str, command: str) -> None:
    """What is written into data/normalized by `normalize` is not to be guessed."""
    with pytest.raises(ManifestError, match=rf"first \(`cxr-pipeline {command}`\)"):
        store.read(NORMALIZED, tmp_path / folder / "manifest.parquet")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"film_id,path\n", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_a_file_that_is_not_parquet_is_named(manifest: Path, content: bytes) -> None:
    """Whatever lies there, the user reads one line and no traceback."""
    store.write_bytes(manifest, content)
    with pytest.raises(ManifestError, match=rf"{manifest}: not a Parquet file"):
        store.read(NORMALIZED, manifest)


def test_a_manifest_whose_middle_is_spoilt_is_named(manifest: Path, normalized_row: MadeRow) -> None:
    """The footer may be whole where the pages are not."""
    store.write([normalized_row()], NORMALIZED, manifest, FOOTER)
    data = bytearray(manifest.read_bytes())
    data[4:400] = bytes(396)
    manifest.write_bytes(data)
    with pytest.raises(ManifestError, match=rf"{manifest}: cannot be read"):
        store.read(NORMALIZED, manifest)


@pytest.mark.parametrize("footer", [b"not JSON", b'{"unheard_of": 1}', b"[1]"])
def test_a_footer_of_another_kind_is_named(manifest: Path, normalized_row: MadeRow, footer: bytes) -> None:
    """A later version of the tool may write keys that this one does not know."""
    table = NORMALIZED.table([normalized_row()]).replace_schema_metadata({store.FOOTER_KEY: footer})
    manifest.parent.mkdir(parents=True)
    pq.write_table(table, manifest)
    with pytest.raises(ManifestError, match=rf"{manifest}: its footer is not ours"):
        store.read_footer(manifest)


def test_rows_of_another_schema_or_version_are_refused(manifest: Path, normalized_row: MadeRow) -> None:
    """Old manifests are written anew, never misread."""
    store.write([normalized_row()], NORMALIZED, manifest, FOOTER)
    with pytest.raises(ManifestError, match="holds NormalizedRow rows of version 2; expected SplitRow of version 1"):
        store.read(SPLIT, manifest)
    newer = Schema(NORMALIZED.row, version=NORMALIZED.version + 1)
    with pytest.raises(ManifestError, match="version 2; expected NormalizedRow of version 3"):
        store.read(newer, manifest)


def test_parquet_that_is_no_manifest_is_refused(manifest: Path, normalized_row: MadeRow) -> None:
    """A table with the right columns and no footer could be anything."""
    manifest.parent.mkdir(parents=True)
    pq.write_table(NORMALIZED.table([normalized_row()]), manifest)
    with pytest.raises(ManifestError, match="holds no rows of version 0"):
        store.read(NORMALIZED, manifest)


def test_values_are_checked_on_reading_too(manifest: Path, normalized_row: MadeRow) -> None:
    """Another program may have changed a value and kept the footer."""
    store.write([normalized_row(label="normal")], NORMALIZED, manifest, FOOTER)
    rewritten(manifest, "split", ["trian"])
    with pytest.raises(ManifestError, match=rf"{manifest}: column 'split' holds \['trian'\]"):
        store.read(NORMALIZED, manifest)


def rewritten(manifest: Path, column: str, values: Any) -> None:
    """Put other values into a column and leave the footer as it was."""

    def changed(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index(column)
        return table.set_column(place, table.schema.field(place), [values])

    replaced(manifest, changed)


def replaced(manifest: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Put another table in the place of a manifest's and leave the footer as it was."""
    footer = pq.read_metadata(manifest).metadata
    kept = {key: value for key, value in footer.items() if key != b"ARROW:schema"}
    table = change(pq.read_table(manifest)).replace_schema_metadata(kept)
    pq.write_table(table, manifest, compression="zstd")


OUTSIDE = ["../x.pgm", "/etc/passwd", "a/../../x", "..", ".", "a/./b", "a//b", "a/", "", "a\0b", "../../.ssh/id"]


@pytest.mark.parametrize("path", OUTSIDE, ids=repr)
def test_a_path_that_leaves_its_folder_is_refused(manifest: Path, normalized_row: MadeRow, path: str) -> None:
    """A manifest that a stranger wrote names files; none of them may lie elsewhere."""
    store.write([normalized_row()], NORMALIZED, manifest, FOOTER)
    rewritten(manifest, "path", [path])
    with pytest.raises(ManifestError, match=r"column 'path' holds .*expected paths that stay inside the folder"):
        store.read(NORMALIZED, manifest)


@pytest.mark.parametrize(
    "path", ["a/..b", "...", "a/.hidden", "two\nlines", "..a/b..", "a/b c.jpeg", "C:/x", "a\\..\\b"]
)
def test_an_odd_path_that_stays_inside_is_taken(manifest: Path, normalized_row: MadeRow, path: str) -> None:
    store.write([normalized_row(path=path)], NORMALIZED, manifest, FOOTER)
    assert store.read(NORMALIZED, manifest)[0].path == path


@pytest.mark.parametrize(
    "shard",
    ["../x.parquet", "/etc/x.parquet", "a/b.parquet", ".x.parquet", "x", "", "..", "x.parquet\n", "a\0.parquet"],
)
def test_a_shard_that_is_no_name_of_a_file_under_shards_is_refused(
    manifest: Path, normalized_row: MadeRow, shard: str
) -> None:
    store.write([normalized_row()], NORMALIZED, manifest, FOOTER)
    rewritten(manifest, "shard", [shard])
    with pytest.raises(ManifestError, match=r"column 'shard' holds .*expected text matching"):
        store.read(NORMALIZED, manifest)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), -0.1])
@pytest.mark.parametrize("column", ["lost", "scale_x"])
def test_a_number_that_is_none_is_refused(manifest: Path, normalized_row: MadeRow, column: str, value: float) -> None:
    """NaN compares as neither too low nor too high, and infinity is above any lower bound."""
    store.write([normalized_row()], NORMALIZED, manifest, FOOTER)
    rewritten(manifest, column, [value])
    with pytest.raises(ManifestError, match=f"column '{column}' holds"):
        store.read(NORMALIZED, manifest)


def test_a_class_of_a_million_letters_is_refused_and_not_shown_whole(manifest: Path, normalized_row: MadeRow) -> None:
    store.write([normalized_row()], NORMALIZED, manifest, FOOTER)
    for column, most in (("label", "255"), ("reason", "65,536"), ("path", "65,536")):
        rewritten(manifest, column, ["x" * 1_000_000])
        with pytest.raises(ManifestError, match=f"a text of 1,000,000 letters; expected {most} at most") as caught:
            store.read(NORMALIZED, manifest)
        assert len(str(caught.value)) < 500
        rewritten(manifest, column, ["x"])
    rewritten(manifest, "status", ["x" * 10_000])
    with pytest.raises(ManifestError, match="column 'status' holds") as caught:
        store.read(NORMALIZED, manifest)
    assert len(str(caught.value)) < 1000


def test_an_index_of_no_class_is_refused(manifest: Path, normalized_row: MadeRow) -> None:
    store.write([normalized_row(label_index=3)], NORMALIZED, manifest, FOOTER)
    with pytest.raises(ManifestError, match="'label_index' holds 3; expected one of the footer's 3 classes"):
        store.read(NORMALIZED, manifest)


BOMBS: dict[str, Callable[[pa.Table], pa.Table]] = {
    "a column of zeros": lambda one: one.append_column("zeros", pa.array([bytes(100_000_000)], pa.binary())),
    "a text of zeros": lambda one: one.set_column(7, one.schema.field(7), [["\0" * 100_000_000]]),
    "rows": lambda one: one.take(pa.repeat(0, 1_000_000)),
    "a text that all rows share": lambda one: one.take(pa.repeat(0, 2000)).set_column(
        2, one.schema.field(2), [["x" * 50_000] * 2000]
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_manifest_that_unfolds_to_more_than_its_size_explains_is_refused_before_it_does(
    manifest: Path, normalized_row: MadeRow, bomb: str
) -> None:
    """Some kilobytes of Parquet hold what no memory does: here a hundredth of it, so that the test is quick."""
    store.write([normalized_row()], NORMALIZED, manifest, FOOTER)
    replaced(manifest, BOMBS[bomb])
    assert manifest.stat().st_size < 100_000
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(
        ManifestError, match=r"columns are|unfold to 1\d\d,\d*,\d*; expected|hold 1,000,000 rows; expected"
    ):
        store.read(NORMALIZED, manifest)
    assert pa.default_memory_pool().max_memory() == before


READERS: dict[str, Callable[[Schema[Any], Path], object]] = {
    "whole": store.read_table,
    "some rows at a time": lambda schema, path: list(verify.tables_of(schema, path)),
    "a row": lambda schema, path: slices.rows_between(schema, path, 0, 1),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", ["in a column", "in a column of lists"])
def test_a_text_that_all_rows_share_is_refused_however_the_manifest_is_read(
    manifest: Path, text: str, reader: str
) -> None:
    """Parquet keeps it once; each row would have its own in memory, 72 MB of them."""
    store.write(AUDITED.table_of({"path": ["film.png"], "status": ["ok"]}, 1), AUDITED, manifest, Footer())
    column, value = ("reason", "x" * 60_000) if text == "in a column" else ("flags", ["x" * 60_000])
    place = AUDITED.arrow.get_field_index(column)
    many = pa.chunked_array([[value] * 1200], AUDITED.arrow.field(column).type)
    replaced(manifest, lambda one: one.take(pa.repeat(0, 1200)).set_column(place, one.schema.field(place), many))
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(ManifestError, match=r"bytes unfold to 7\d,\d*,\d*; expected 6\d,\d*,\d* at most"):
        READERS[reader](AUDITED, manifest)
    assert pa.default_memory_pool().max_memory() == before


def test_a_footer_that_claims_gigabytes_is_refused_before_it_is_read(manifest: Path) -> None:
    manifest.parent.mkdir(parents=True)
    with manifest.open("wb") as file:
        file.write(b"PAR1")
        file.truncate(1_000_000_000)
        file.seek(0, 2)
        file.write((999_000_000).to_bytes(4, "little") + b"PAR1")
    with pytest.raises(ManifestError, match=r"its footer has 999,000,000 bytes; expected at most 16,000,000"):
        store.read(NORMALIZED, manifest)


def test_a_manifest_that_is_a_pipe_or_a_folder_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(ManifestError, match="is no plain file"):
            store.read(NORMALIZED, path)


ODD_FOOTERS = [
    b"[" * 100_000 + b"]" * 100_000,
    b'{"facts": {"a": ' * 5000 + b"1" + b"}}" * 5000,
    b"null",
    b'"text"',
    b'{"schema": 1}',
    b'{"schema": ["NormalizedRow"]}',
    b'{"schema_version": "1"}',
    b'{"facts": []}',
    b'{"facts": {"classes": "normal"}}',
    b'{"facts": {"classes": [1]}}',
    b'{"facts": {"frame": [256, 300]}}',
    b'{"facts": {"frame": {"height": 1000000, "width": 1000000}}}',
    b'{"facts": {"frame": {"height": 256}}}',
    b'{"facts": {"raw": 7}}',
    b'{"facts": {"raw": "a\\u0000b"}}',
    b'{"params": {"layout": {}}}',
    b'{"sources": {"x": 1}}',
    b'{"files": {"0-aa.parquet": 7}}',
    b'{"versions": {"numpy": null}}',
    b"\xff\xfe",
    b"9" * 10_000,
]


@pytest.mark.parametrize("footer", ODD_FOOTERS, ids=lambda footer: footer[:40].decode("latin-1"))
def test_a_footer_of_odd_parts_is_named_in_one_line(manifest: Path, normalized_row: MadeRow, footer: bytes) -> None:
    table = NORMALIZED.table([normalized_row()]).replace_schema_metadata({store.FOOTER_KEY: footer})
    manifest.parent.mkdir(parents=True)
    pq.write_table(table, manifest)
    with pytest.raises(ManifestError, match="its footer is not ours") as caught:
        store.read(NORMALIZED, manifest)
    assert len(str(caught.value)) < 500


def test_an_odd_part_of_a_footer_is_told_with_what_was_expected(manifest: Path, normalized_row: MadeRow) -> None:
    store.write([normalized_row()], NORMALIZED, manifest, replace(FOOTER, facts={"classes": "normal"}))
    with pytest.raises(
        ManifestError, match=r"its footer is not ours \(classes is 'normal'; expected a list of texts\)"
    ):
        store.read(NORMALIZED, manifest)


def test_what_a_footer_does_not_say_is_an_error_where_it_is_asked_for(manifest: Path, normalized_row: MadeRow) -> None:
    """A stage asks for the frame or the classes: a manifest without them ends the run in one line."""
    store.write([normalized_row()], NORMALIZED, manifest, Footer())
    with pytest.raises(ManifestError, match="its footer says nothing of 'frame'"):
        _ = store.read_footer(manifest).facts["frame"]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.integers(0, 40),
)
def test_a_spoilt_manifest_is_read_or_refused_and_nothing_else(
    manifest: Path, normalized_row: MadeRow, places: list[tuple[int, int]], cut: int
) -> None:
    """Flipped bytes anywhere, the footer among them: rows that keep every promise, or one line."""
    store.write([normalized_row(number) for number in range(20)], NORMALIZED, manifest, FOOTER)
    data = bytearray(manifest.read_bytes())
    for place, value in places:
        data[-1 - place % len(data)] = value
    manifest.write_bytes(data[: len(data) - cut if cut > 30 else len(data)])
    with contextlib.suppress(ManifestError):
        assert len(store.read(NORMALIZED, manifest)) <= 20


def test_json_is_readable_and_plain(tmp_path: Path) -> None:
    """Reports are for people first: indented, letters as they are, a newline at the end."""
    path = tmp_path / "reports" / "audit.json"
    store.write_json(path, {"class": "vírus", "films": 3})
    assert path.read_text(encoding="utf-8") == '{\n  "class": "vírus",\n  "films": 3\n}\n'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"deep": [1.0, float("nan")]}])
def test_json_refuses_nan_and_leaves_the_old_report(tmp_path: Path, value: Any) -> None:
    """No other JSON reader knows NaN."""
    path = tmp_path / "report.json"
    store.write_json(path, {"films": 3})
    with pytest.raises(ValueError, match="JSON compliant"):
        store.write_json(path, value)
    assert json.loads(path.read_text()) == {"films": 3}
    assert list(tmp_path.iterdir()) == [path]


def test_a_files_hash_is_that_of_its_bytes(tmp_path: Path) -> None:
    """The `sources` of a footer can be checked with sha256sum."""
    path = tmp_path / "film"
    path.write_bytes(b"film" * 100_000)
    assert store.file_sha256(path) == hashlib.sha256(b"film" * 100_000).hexdigest()
