"""Shards that a stranger sealed: whatever they hold, they are found to be wrong, and end no run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.rows import NORMALIZED, NormalizedRow
from manifests.seal import UNSEALED, seal
from manifests.shards import IMAGE, SHARDS, ImageFolder
from manifests.verify import ShardClaim, check_shard, rows_digest

MadeRow = Callable[..., NormalizedRow]
NAME = "all.parquet"


def _without_bytes(one: pa.Table) -> pa.Table:
    image = pa.array([{"bytes": None, "path": "train/normal/film-0.pgm"}], IMAGE.type)
    return one.set_column(0, one.schema.field(0), [image])


STRANGE: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "numbers for images": (lambda one: one.set_column(0, "image", [[7]]), "columns of other types"),
    "texts for numbers": (
        lambda one: one.set_column(one.schema.get_field_index("lost"), "lost", [["much"]]),
        "columns of other types",
    ),
    "an image of no bytes": (_without_bytes, "row 0: 0 bytes of sha256"),
    "no image at all": (lambda one: one.drop_columns(["image"]), "the columns"),
    "other rows": (
        lambda one: one.set_column(one.schema.get_field_index("lost"), one.schema.field("lost"), [[0.5]]),
        "1 rows that are not the manifest's",
    ),
}


@pytest.mark.parametrize("strange", STRANGE)
def test_a_whole_shard_of_strange_columns_is_a_finding(tmp_path: Path, normalized_row: MadeRow, strange: str) -> None:
    image = b"an image"
    rows = NORMALIZED.table(
        [normalized_row(shard=NAME, encoded_bytes=len(image), sha256=hashlib.sha256(image).hexdigest())]
    )
    ImageFolder(tmp_path, "shards").write(NAME, rows, [image])
    path = tmp_path / SHARDS / NAME
    change, found = STRANGE[strange]
    pq.write_table(change(pq.read_table(path)).replace_schema_metadata(UNSEALED), path)
    claim = ShardClaim(NAME, seal(path), rows=1, digest=rows_digest(rows))

    checked = check_shard(claim, folder=tmp_path, where="data/normalized", schema=NORMALIZED, look=lambda _image: "")

    (finding,) = checked.findings
    assert (finding.kind, finding.where) == ("shard", f"data/normalized/{SHARDS}/{NAME}")
    assert found in finding.found
