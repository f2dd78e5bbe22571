from __future__ import annotations

import errno
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests import shards
from manifests.checks import ManifestError
from manifests.prefixes import films_by_prefix
from manifests.rows import NORMALIZED, NormalizedRow
from manifests.seal import UNSEALED, seal
from manifests.shards import IMAGE, SHARDS, ImageFolder, rows_per_group, shard_name
from manifests.store import MANIFEST
from stages.drawn import AUGMENTED

MadeRow = Callable[..., NormalizedRow]
Blobs = Callable[[int], list[bytes]]
ROWS_PER_GROUP = 16  # the fewest
MANY = 2 * ROWS_PER_GROUP + 5  # three row groups, the last one short

# few hex digits at the front, so that films often share long prefixes and shards split deep
FILM_IDS = st.builds(
    lambda head, tail: f"{head}{tail:060x}", st.text("08f", min_size=4, max_size=4), st.integers(0, 2**240 - 1)
)
FILMS = st.lists(FILM_IDS, max_size=40, unique=True)


@pytest.fixture(autouse=True)
def _few_rows_per_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few images fill several row groups."""
    monkeypatch.setattr(shards, "GROUP_BYTES", 1)


def local(folder: ImageFolder) -> Path:
    """Return the folder of this machine that images lie in."""
    assert isinstance(folder.path, Path)
    return folder.path


def test_a_shard_holds_fewer_films_where_their_images_are_large() -> None:
    """A worker holds a shard's images in memory: 100 MB of them, or one film's."""
    assert shards.films_per_shard(21, 256 * 300, at_most=1000) == 47
    assert shards.films_per_shard(1, 256 * 300, at_most=128) == 128
    assert shards.films_per_shard(1, 4096 * 4096, at_most=128) == 5
    assert shards.films_per_shard(21, 4096 * 4096, at_most=1000) == 1


def test_a_row_group_holds_images_of_some_megabytes_whatever_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "GROUP_BYTES", 2_500_000)
    assert rows_per_group([bytes(76_815)] * 128) == 32
    assert rows_per_group([bytes(16_300)] * 700) == 128
    assert rows_per_group([bytes(6_000)] * 700) == 256
    assert rows_per_group([bytes(5_000_000)] * 3) == 16
    assert rows_per_group([b"tiny"]) == 1024
    assert rows_per_group([]) == 16


def planned(films: Sequence[str], *, films_per_shard: int) -> dict[str, list[str]]:
    """Return the films of each shard, by its prefix."""
    shards = films_by_prefix(pa.chunked_array([films], pa.string()), films_per_shard=films_per_shard)
    return {prefix: [films[place] for place in places] for prefix, places in shards.items()}


def _bits(film_id: str) -> str:
    return f"{int(film_id, 16):0256b}"


@given(films=FILMS, films_per_shard=st.integers(1, 9))
def test_a_plan_is_a_partition_by_hash_prefix_into_shards_that_are_not_too_full(
    films: list[str], films_per_shard: int
) -> None:
    """Every film is in one shard, the one whose name begins its hash."""
    shards = planned(films, films_per_shard=films_per_shard)
    assert sorted(film for inside in shards.values() for film in inside) == sorted(films)
    for prefix, inside in shards.items():
        assert 1 <= len(inside) <= films_per_shard
        assert all(_bits(film).startswith(prefix) for film in inside)
        assert inside == sorted(inside)
        parent = [film for film in films if _bits(film).startswith(prefix[:-1])]
        assert not prefix or len(parent) > films_per_shard, "a shorter prefix would have done"


@given(films=FILMS, films_per_shard=st.integers(1, 9), seed=st.integers(0, 99))
def test_a_plan_does_not_depend_on_the_order_of_the_films(films: list[str], films_per_shard: int, seed: int) -> None:
    """Neither of the shards nor of the films within them."""
    mixed = random.Random(seed).sample(films, len(films))  # noqa: S311 - a shuffle, no secret
    one, other = planned(films, films_per_shard=films_per_shard), planned(mixed, films_per_shard=films_per_shard)
    assert list(one.items()) == list(other.items())


@given(films=FILMS, added=FILMS, films_per_shard=st.integers(1, 9))
def test_added_films_change_only_the_shards_whose_prefix_they_share(
    films: list[str], added: list[str], films_per_shard: int
) -> None:
    """So that ten new films cost the rewriting of ten shards at most."""
    new = set(added) - set(films)
    before = planned(films, films_per_shard=films_per_shard)
    after = planned([*films, *new], films_per_shard=films_per_shard)
    for prefix, inside in before.items():
        if not any(_bits(film).startswith(prefix) for film in new):
            assert after[prefix] == inside


@pytest.mark.parametrize("films_per_shard", [1, 2, 10])
def test_a_film_that_is_named_twice_is_refused(films_per_shard: int) -> None:
    """Two rows of one film would write one image twice."""
    films = ["ab" * 32, "cd" * 32, "ab" * 32]
    with pytest.raises(ValueError, match="abab more than once; expected each film once"):
        planned(films, films_per_shard=films_per_shard)


def test_no_films_need_no_shard_and_few_need_one() -> None:
    """The empty prefix holds all there is."""
    assert planned([], films_per_shard=3) == {}
    assert planned(["cd" * 32, "ab" * 32], films_per_shard=3) == {"": ["ab" * 32, "cd" * 32]}


def test_a_shards_name_tells_its_place_and_everything_that_decides_its_bytes() -> None:
    """The same key names the same file, in any order of its keys; another key another file."""
    name = shard_name("0110", {"seed": 0, "copies": 20})
    assert name == shard_name("0110", {"copies": 20, "seed": 0})
    assert name.startswith("0110-")
    assert name.endswith(".parquet")
    assert name != shard_name("0110", {"seed": 1, "copies": 20})
    assert shard_name("", {}).startswith("all-")


@pytest.fixture
def filled(tmp_path: Path, normalized_row: MadeRow, blobs: Blobs) -> Callable[[str], tuple[ImageFolder, list[Any]]]:
    """Return the maker of a folder of two shards, or of their files, and its rows with their bytes."""

    def fill(layout: str) -> tuple[ImageFolder, list[tuple[NormalizedRow, bytes]]]:
        folder = ImageFolder(tmp_path / "data" / "normalized", layout)
        pairs: list[tuple[NormalizedRow, bytes]] = []
        images = blobs(MANY + 7)
        for shard, start, stop in (("0-aa.parquet", 0, MANY), ("1-bb.parquet", MANY, MANY + 7)):
            place = [(shard, number - start) if layout == "shards" else (None, None) for number in range(start, stop)]
            rows = [
                normalized_row(number, shard=name, index=index)
                for number, (name, index) in zip(range(start, stop), place, strict=True)
            ]
            folder.write(shard, NORMALIZED.table(rows), images[start:stop])
            pairs += zip(rows, images[start:stop], strict=True)
        return folder, pairs

    return fill


@pytest.mark.parametrize("layout", ["shards", "folder"])
def test_images_come_back_with_their_rows_in_any_order_of_asking(
    filled: Callable[[str], tuple[ImageFolder, list[Any]]], layout: str
) -> None:
    """Over several shards and row groups, all or some of them, each exactly once."""
    folder, pairs = filled(layout)
    mixed = random.Random(3).sample(pairs, len(pairs))  # noqa: S311 - a shuffle, no secret
    for asked in (mixed, mixed[:9], [pairs[ROWS_PER_GROUP]], [pairs[ROWS_PER_GROUP - 1]], [pairs[-1]], []):
        found = list(folder.read_images([row for row, _ in asked]))
        assert sorted((row.path, image) for row, image in found) == sorted((row.path, image) for row, image in asked)


def test_images_are_read_shard_by_shard_and_in_their_order_within(
    filled: Callable[[str], tuple[ImageFolder, list[Any]]],
) -> None:
    """However they are asked for, each shard is opened once and each row group read once."""
    folder, pairs = filled("shards")
    mixed = random.Random(3).sample(pairs, len(pairs))  # noqa: S311 - a shuffle, no secret
    found = list(folder.read_images([row for row, _ in mixed]))
    assert [row.path for row, _ in found] == [row.path for row, _ in pairs]


def test_the_folder_layout_is_a_tree_that_image_folder_reads(
    filled: Callable[[str], tuple[ImageFolder, list[Any]]],
) -> None:
    """Each image lies at its row's path, and nothing else lies there."""
    folder, pairs = filled("folder")
    on_disk = {path.relative_to(local(folder)).as_posix(): path.read_bytes() for path in local(folder).rglob("*.pgm")}
    assert on_disk == {row.path: image for row, image in pairs}
    assert not (folder.path / SHARDS).exists()


def test_the_bytes_of_a_shard_stand_beside_their_rows(filled: Callable[[str], tuple[ImageFolder, list[Any]]]) -> None:
    """Any reader of Parquet gets image and row, from one shard or from the folder of them."""
    folder, pairs = filled("shards")
    table = ds.dataset(folder.path / SHARDS, format="parquet").to_table().sort_by("encoded_bytes")
    assert table.schema.names == ["image", *NORMALIZED.arrow.names]
    assert table.column("image").to_pylist() == [{"bytes": image, "path": row.path} for row, image in pairs]
    assert NORMALIZED.rows(table.drop_columns(["image"])) == [row for row, _ in pairs]


def test_a_shard_is_read_some_images_at_a_time_and_its_images_are_not_compressed_again(
    filled: Callable[[str], tuple[ImageFolder, list[Any]]],
) -> None:
    """Random access costs one row group, and encoded images do not shrink."""
    folder, _ = filled("shards")
    with pq.ParquetFile(folder.path / SHARDS / "0-aa.parquet") as file:
        groups = [file.metadata.row_group(group) for group in range(file.num_row_groups)]
    assert [group.num_rows for group in groups] == [ROWS_PER_GROUP, ROWS_PER_GROUP, 5]
    codecs = {groups[0].column(n).path_in_schema: groups[0].column(n).compression for n in range(groups[0].num_columns)}
    assert codecs.pop("image.bytes") == "UNCOMPRESSED"
    assert set(codecs.values()) == {"SNAPPY"}


def test_hugging_face_is_told_an_image_and_the_type_of_every_other_column(tmp_path: Path, blobs: Blobs) -> None:
    """The features in the metadata name every column, with types that `datasets` knows."""
    folder = ImageFolder(tmp_path, "shards")
    folder.write("all.parquet", AUGMENTED.table([]), blobs(0))
    schema = pq.read_schema(tmp_path / SHARDS / "all.parquet")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features.pop("image") == {"_type": "Image"}
    assert schema.field("image").type == pa.struct([("bytes", pa.binary()), ("path", pa.string())]) == IMAGE.type
    assert schema.field("image").nullable  # or `datasets` takes it for a struct, whatever the metadata say
    assert list(features) == AUGMENTED.arrow.names
    assert {feature["_type"] for feature in features.values()} == {"Value"}
    assert {feature["dtype"] for feature in features.values()} == {
        "string",
        "int16",
        "int32",
        "int64",
        "float64",
        "bool",
    }
    assert features["angle_deg"]["dtype"] == "float64"
    assert features["copy"]["dtype"] == "int16"


def test_the_same_images_write_the_same_shard(
    tmp_path: Path, filled: Callable[[str], tuple[ImageFolder, list[Any]]]
) -> None:
    """DVC compares bytes."""
    folder, pairs = filled("shards")
    rows, images = zip(*pairs[:MANY], strict=True)
    again = ImageFolder(tmp_path / "again", "shards")
    again.write("0-aa.parquet", NORMALIZED.table(rows), images)
    one, other = (each.path / SHARDS / "0-aa.parquet" for each in (folder, again))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("layout", ["shards", "folder"])
def test_a_wrong_row_writes_nothing(tmp_path: Path, normalized_row: MadeRow, layout: str) -> None:
    """Rows are checked before the first image goes to disk."""
    folder = ImageFolder(tmp_path / "new", layout)
    with pytest.raises(ManifestError, match="'padded' holds"):
        folder.write("all.parquet", NORMALIZED.table([normalized_row(), normalized_row(1, padded=1.5)]), [b"a", b"b"])
    assert not folder.path.exists()


def test_a_shard_that_fails_half_way_is_not_there(tmp_path: Path, normalized_row: MadeRow) -> None:
    """One image too few: no shard, and no part of one."""
    folder = ImageFolder(tmp_path, "shards")
    with pytest.raises((ValueError, pa.ArrowInvalid)):
        folder.write("all.parquet", NORMALIZED.table([normalized_row(0), normalized_row(1)]), [b"only one"])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_finished_shard_gives_back_its_rows(filled: Callable[[str], tuple[ImageFolder, list[Any]]]) -> None:
    """A run that was killed continues from what is on disk, and its table equals the one it had made."""
    folder, pairs = filled("shards")
    table = folder.finished("0-aa.parquet", NORMALIZED)
    assert table is not None
    assert table.schema.equals(NORMALIZED.arrow, check_metadata=True)
    assert NORMALIZED.rows(table) == [row for row, _ in pairs[:MANY]]


def test_a_shard_that_is_not_there_is_not_finished_nor_is_any_in_the_folder_layout(
    filled: Callable[[str], tuple[ImageFolder, list[Any]]],
) -> None:
    """Files of the folder layout carry no key, so that they are always written anew."""
    folder, _ = filled("shards")
    assert folder.finished("0-other-key.parquet", NORMALIZED) is None
    assert replace(folder, layout="folder").finished("0-aa.parquet", NORMALIZED) is None


def test_a_shard_that_a_disk_has_spoilt_is_not_finished(
    filled: Callable[[str], tuple[ImageFolder, list[Any]]],
) -> None:
    """It is written again, and no traceback ends the run."""
    folder, _ = filled("shards")
    path = local(folder) / SHARDS / "0-aa.parquet"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert folder.finished("0-aa.parquet", NORMALIZED) is None


@pytest.mark.parametrize("recipe", [b"no JSON", b"[1]", b"{}", None])
def test_a_whole_shard_that_tells_no_recipe_of_ours_has_none(
    filled: Callable[[str], tuple[ImageFolder, list[Any]]], recipe: bytes | None
) -> None:
    folder, _ = filled("shards")
    path = local(folder) / SHARDS / "0-aa.parquet"
    told = {} if recipe is None else {shards.RECIPE_KEY: recipe}
    pq.write_table(pq.read_table(path).replace_schema_metadata({**told, **UNSEALED}), path)
    seal(path)
    assert folder.recipe_of("0-aa.parquet") is None
    path.write_bytes(path.read_bytes()[:-9])
    assert folder.recipe_of("0-aa.parquet") is None


def test_a_shards_recipe_is_the_one_it_was_written_by(filled: Callable[[str], tuple[ImageFolder, list[Any]]]) -> None:
    folder, pairs = filled("shards")
    rows, images = zip(*pairs[:2], strict=True)
    by_recipe = replace(folder, recipe={"policy": "cover", "height": 256})
    by_recipe.write("2-cc.parquet", NORMALIZED.table(rows), images)
    assert folder.recipe_of("2-cc.parquet") == by_recipe.recipe


def test_a_shard_that_the_disk_refuses_is_deleted_for_memory_would_call_it_whole(
    filled: Callable[[str], tuple[ImageFolder, list[Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = filled("shards")
    shard = next((local(folder) / SHARDS).iterdir())

    def full(_path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder.flush_shard(shard.name)
    assert shard.exists()
    monkeypatch.setattr(shards, "flush", full)
    with pytest.raises(OSError, match=f"No space left on device: '{shard}'"):
        folder.flush_shard(shard.name)
    assert not shard.exists()


def test_what_the_manifest_names_and_the_disk_lacks_is_an_error(
    filled: Callable[[str], tuple[ImageFolder, list[Any]]], normalized_row: MadeRow
) -> None:
    """A missing shard, a row past its end, a missing or broken file: one line that names it."""
    folder, _ = filled("shards")
    last_group = 2 * ROWS_PER_GROUP
    for shard, index in (("2-cc.parquet", 0), ("0-aa.parquet", last_group + 6), ("0-aa.parquet", 10 * last_group)):
        with pytest.raises(ManifestError, match=rf"{shard}: cannot be read .* run the stage"):
            list(folder.read_images([normalized_row(shard=shard, index=index)]))
    (local(folder) / SHARDS / "1-bb.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ManifestError, match=r"1-bb.parquet: cannot be read"):
        list(folder.read_images([normalized_row(shard="1-bb.parquet", index=0)]))
    with pytest.raises(ManifestError, match=r"gone.pgm: cannot be read"):
        list(folder.read_images([normalized_row(path="gone.pgm", shard=None, index=None)]))


@pytest.mark.parametrize("layout", ["shards", "folder"])
def test_what_the_manifest_does_not_claim_is_removed_and_all_else_stays(
    filled: Callable[[str], tuple[ImageFolder, list[Any]]], layout: str
) -> None:
    """Stale shards, images of another layout, parts of killed writes, and the folders they leave empty."""
    folder, pairs = filled(layout)
    keep = {f"{SHARDS}/{row.shard}" if layout == "shards" else row.path for row, _ in pairs}
    (local(folder) / MANIFEST).write_bytes(b"manifest")
    stale = ("shards/0-old.parquet", "shards/.0-aa.parquet.17.partial", "val/virus/deep/er/old.pgm", "stray.txt")
    for name in stale:
        (local(folder) / name).parent.mkdir(parents=True, exist_ok=True)
        (local(folder) / name).write_bytes(b"stale")
    assert folder.remove_others(pa.chunked_array([sorted(keep)])) == len(stale)
    left = {path.relative_to(local(folder)).as_posix() for path in local(folder).rglob("*") if path.is_file()}
    assert left == keep | {"manifest.parquet"}
    assert not (local(folder) / "val").exists()
    assert all(any(path.iterdir()) for path in local(folder).rglob("*") if path.is_dir())
    assert folder.remove_others(pa.chunked_array([sorted(keep)])) == 0
