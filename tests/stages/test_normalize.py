"""Normalize: every film in one frame, lossless, and a killed or repeated run does no harm."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from manifests import store
from manifests.rows import NORMALIZED, SPLIT, NormalizedRow
from manifests.shards import ImageFolder
from stages import audit, normalize, paths, split
from stages.contract import Machine, StageError
from stages.films.frame import Gray
from stages.normalize import NormalizeParams

Draw = Callable[..., Gray]
Encoded = Callable[..., bytes]
FilmFile = Callable[..., Path]
Stamps = Callable[[Path], dict[str, tuple[int, int]]]
FilesOf = Callable[[Path], dict[str, bytes]]
SMALL: dict[str, Any] = {"height": 32, "width": 40}
TINY = NormalizeParams(height=8, width=10)


def rows_of(root: Path) -> list[NormalizedRow]:
    return store.read(NORMALIZED, root / paths.NORMALIZED_MANIFEST)


def images_of(root: Path, layout: str = "shards") -> dict[str, bytes]:
    """Return the encoded images by film."""
    folder = ImageFolder(root / paths.NORMALIZED, layout)
    return {row.film_id: encoded for row, encoded in folder.read_images(rows_of(root))}


# --- one film --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "size", "box", "lost", "padded"),
    [
        ("crop", (60, 80), (0, 0, 40, 32), 2 / 42, 0.0),
        ("crop", (80, 40), (4, 0, 36, 32), 0.5, 0.2),
        ("cover", (80, 40), (0, 0, 40, 32), 0.6, 0.0),
        ("cover", (40, 80), (0, 0, 40, 32), 0.375, 0.0),
        ("letterbox", (80, 40), (12, 0, 28, 32), 0.0, 0.6),
        ("letterbox", (20, 80), (0, 11, 40, 21), 0.0, 0.6875),
        ("squeeze", (80, 40), (0, 0, 40, 32), 0.0, 0.0),
    ],
)
def test_a_policy_shows_loses_and_pads_what_it_promises(
    encoded: Encoded,
    policy: str,
    size: tuple[int, int],
    box: tuple[int, int, int, int],
    lost: float,
    padded: float,
) -> None:
    params = NormalizeParams(policy=policy, **SMALL)
    image, placement = normalize.normalize_one(encoded(np.full(size, 200, np.uint8)), params=params)
    shown = placement.shown
    assert image.shape == (32, 40)
    assert (shown.left, shown.top, shown.right, shown.bottom) == box
    expected = np.zeros((32, 40), np.uint8)
    expected[box[1] : box[3], box[0] : box[2]] = 200
    assert np.array_equal(image, expected)
    assert (placement.lost, placement.padded) == pytest.approx((lost, padded))


def test_a_film_that_has_the_frames_size_stays_as_it_is(draw: Draw, encoded: Encoded) -> None:
    film = draw(1, height=32, width=40)
    for policy in ("crop", "cover", "letterbox", "squeeze"):
        params = NormalizeParams(policy=policy, **SMALL)
        assert np.array_equal(normalize.normalize_one(encoded(film), params=params)[0], film)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16"])
def test_a_grey_film_looks_the_same_in_every_mode(draw: Draw, encoded: Encoded, mode: str) -> None:
    film = draw(1, height=32, width=40)
    image, _ = normalize.normalize_one(encoded(film, mode=mode), params=NormalizeParams(**SMALL))
    worst = np.abs(image.astype(int) - film).max()
    assert worst <= (4 if mode == "P" else 0)  # Pillow's palette for the test is a coarse one


@pytest.mark.real
def test_the_crop_equals_torchvisions_on_real_films(real_films: Path) -> None:
    from torchvision import transforms  # noqa: PLC0415 - torch: not for every test

    recipe = transforms.Compose([transforms.Grayscale(), transforms.Resize(256), transforms.CenterCrop((256, 300))])
    films = sorted((real_films / "kermany-raw/test").rglob("*.jpeg"))[::8]
    sizes = set()
    for film in films:
        with Image.open(film) as image:
            expected = np.asarray(recipe(image))
            sizes.add(image.width * 256 < 300 * image.height)
        found, _ = normalize.normalize_one(film.read_bytes(), params=NormalizeParams(policy="crop"))
        assert np.array_equal(found, expected), film.name
    assert sizes == {True, False}  # films that are padded, and films that are cut


# --- the stage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["shards", "folder"])
@pytest.mark.parametrize("encoding", ["pgm", "png"])
def test_every_library_reads_the_images_alike_and_the_rows_tell_the_truth(
    project: Path, machine: Machine, layout: str, encoding: str
) -> None:
    params = NormalizeParams(**SMALL, layout=layout, encoding=encoding)
    report = normalize.run(params, project, machine)
    films = {row.film_id: row for row in store.read(SPLIT, project / paths.SPLIT) if row.status == "ok"}
    rows = rows_of(project)
    assert report.done == len(rows) == len(films)
    images = images_of(project, layout)
    for row in rows:
        film, data = films[row.film_id], images[row.film_id]
        assert (row.label, row.label_index, row.group_id, row.split) == (
            film.label,
            film.label_index,
            film.group_id,
            film.split,
        )
        assert (row.sha256, row.encoded_bytes) == (hashlib.sha256(data).hexdigest(), len(data))
        raw, _ = normalize.normalize_one((project / "data/raw" / film.path).read_bytes(), params=params)
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), raw)
        assert np.array_equal(np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)), raw)
        assert row.path.startswith(f"{row.split}/{row.label}/")
        if layout == "folder":
            assert (project / paths.NORMALIZED / row.path).read_bytes() == data


@pytest.mark.parametrize("layout", ["shards", "folder"])
def test_the_manifest_claims_every_file_and_every_file_is_claimed(
    project: Path, machine: Machine, files_of: FilesOf, layout: str
) -> None:
    normalize.run(NormalizeParams(**SMALL, layout=layout), project, machine)
    rows = rows_of(project)
    claimed = {f"shards/{row.shard}" if layout == "shards" else row.path for row in rows}
    assert set(files_of(project / paths.NORMALIZED)) == claimed | {"manifest.parquet"}
    if layout == "shards":
        for name in claimed:
            table = pq.read_table(project / paths.NORMALIZED / name)
            inside = sorted((row.index, row.film_id) for row in rows if f"shards/{row.shard}" == name)
            assert inside == list(enumerate(table.column("film_id").to_pylist()))


def test_films_that_cross_into_the_test_are_not_normalized(
    project: Path, machine: Machine, film_file: FilmFile
) -> None:
    film_file(project / "data/raw/train/NORMAL/IM-0101-0002.jpeg", 99)
    audit.run(audit.AuditParams(), project, machine)
    report = split.run(split.SplitParams(), project, machine)
    assert report.set_aside == {"crosses_test": 1}
    normalize.run(NormalizeParams(**SMALL), project, machine)
    assert not any("IM-0101-0002" in row.path for row in rows_of(project))


def test_the_footer_names_what_the_films_were_made_from(project: Path) -> None:
    footer = store.read_footer(project / paths.NORMALIZED_MANIFEST)
    made_from = {path: store.file_sha256(project / path) for path in (paths.AUDIT, paths.SPLIT)}
    assert footer.sources == made_from
    assert store.read_footer(project / paths.SPLIT).sources[paths.AUDIT] == made_from[paths.AUDIT]
    assert footer.facts["classes"] == ["normal", "bacterial", "viral"]
    assert footer.facts["frame"] == {"height": 32, "width": 40}


def test_the_same_bytes_come_whatever_order_the_workers_keep(
    many: Path, machine: Machine, upside_down: Machine, files_of: FilesOf
) -> None:
    normalize.run(TINY, many, machine)
    first = files_of(many / paths.NORMALIZED)
    assert len(first) >= 3  # two shards and the manifest
    for path in (many / paths.NORMALIZED).rglob("*.parquet"):
        path.unlink()
    normalize.run(TINY, many, upside_down)
    assert files_of(many / paths.NORMALIZED) == first


# --- films that are not what the audit saw ---------------------------------------------------------------------


def test_a_film_that_changed_since_the_audit_stops_the_run_by_name(
    project: Path, machine: Machine, film_file: FilmFile
) -> None:
    film = film_file(project / "data/raw/train/NORMAL/IM-0001-0001.jpeg", 99)
    with pytest.raises(StageError, match=r"IM-0001-0001\.jpeg: has changed since the audit .*run the audit again"):
        normalize.run(NormalizeParams(height=16, width=16), project, machine)
    film.unlink()
    with pytest.raises(StageError, match=r"IM-0001-0001\.jpeg: is gone; expected .*point --raw at"):
        normalize.run(NormalizeParams(height=16, width=16), project, machine)


def test_the_films_may_have_moved_if_the_machine_says_where(project: Path, machine: Machine, tmp_path: Path) -> None:
    before = rows_of(project)
    (project / "data/raw").rename(tmp_path / "moved")
    with pytest.raises(StageError, match="is gone; expected the film that the audit saw"):
        normalize.run(NormalizeParams(height=16, width=16), project, machine)
    (project / paths.NORMALIZED_MANIFEST).unlink()
    normalize.run(NormalizeParams(**SMALL), project, replace(machine, raw=tmp_path / "moved"))
    assert rows_of(project) == before


def test_an_audit_made_after_the_split_is_not_mistaken_for_its_own(project: Path, machine: Machine) -> None:
    audit.run(audit.AuditParams(labels="folder"), project, machine)
    with pytest.raises(StageError, match=r"made from another data/audit/manifest\.parquet; run split again"):
        normalize.run(NormalizeParams(**SMALL), project, machine)


# --- runs that are repeated, killed, or follow another ---------------------------------------------------------


class Killed(Exception):  # noqa: N818 - it stands for no error but for the end
    """The run was killed."""


def one_job_then_killed(work: Callable[[Any], Any], jobs: Iterable[Any], **_shown: Any) -> list[Any]:
    work(next(iter(jobs)))
    raise Killed


def test_a_killed_run_leaves_the_old_manifest_and_its_finished_shards_to_the_next(
    many: Path, machine: Machine, stamps_of: Stamps, files_of: FilesOf
) -> None:
    normalize.run(TINY, many, machine)
    old = (many / paths.NORMALIZED_MANIFEST).read_bytes()
    wider = NormalizeParams(height=8, width=12)
    with pytest.raises(Killed):
        normalize.run(wider, many, replace(machine, fan_out=one_job_then_killed))
    assert (many / paths.NORMALIZED_MANIFEST).read_bytes() == old
    assert len(images_of(many)) == 200
    shards = stamps_of(many / paths.NORMALIZED / "shards")
    normalize.run(wider, many, machine)
    after = stamps_of(many / paths.NORMALIZED / "shards")
    kept = {name for name, stamp in after.items() if shards.get(name) == stamp}
    assert len(kept) == 1
    assert len(after) == len(shards) - 1  # the old ones are gone
    resumed = files_of(many / paths.NORMALIZED)
    for path in (many / paths.NORMALIZED).rglob("*.parquet"):
        path.unlink()
    normalize.run(wider, many, machine)
    assert files_of(many / paths.NORMALIZED) == resumed


def test_a_repeated_run_writes_no_shard_anew(many: Path, machine: Machine, stamps_of: Stamps) -> None:
    normalize.run(TINY, many, machine)
    before = stamps_of(many / paths.NORMALIZED / "shards")
    manifest = (many / paths.NORMALIZED_MANIFEST).read_bytes()
    normalize.run(TINY, many, machine)
    assert stamps_of(many / paths.NORMALIZED / "shards") == before
    assert (many / paths.NORMALIZED_MANIFEST).read_bytes() == manifest


def test_a_film_that_joins_changes_its_own_shard_alone(
    tmp_path: Path, machine: Machine, film_file: FilmFile, stamps_of: Stamps
) -> None:
    # films delivered as test go nowhere else: nobody moves when one more comes
    for seed in range(300):
        film_file(tmp_path / f"data/raw/test/ill/{seed:03d}.png", seed, height=16, width=18)

    def run_all() -> None:
        audit.run(audit.AuditParams(), tmp_path, machine)
        split.run(split.SplitParams(), tmp_path, machine)
        normalize.run(TINY, tmp_path, machine)

    run_all()
    before = stamps_of(tmp_path / paths.NORMALIZED / "shards")
    film_file(tmp_path / "data/raw/test/ill/new.png", 999, height=16, width=18)
    run_all()
    after = stamps_of(tmp_path / paths.NORMALIZED / "shards")
    assert len(before) >= 4
    assert len(set(before.items()) - set(after.items())) == 1
    assert len(rows_of(tmp_path)) == 301


def test_shards_of_another_recipe_and_strange_files_are_removed(
    project: Path, machine: Machine, files_of: FilesOf
) -> None:
    folder = project / paths.NORMALIZED
    old = {name for name in files_of(folder) if name != "manifest.parquet"}
    (folder / "shards/.all-0000.parquet.123.partial").write_bytes(b"half a shard")
    (folder / "train/normal").mkdir(parents=True)
    (folder / "train/normal/x.pgm").write_bytes(b"of the other layout")
    normalize.run(NormalizeParams(height=16, width=16), project, machine)
    found = set(files_of(folder))
    assert not found & old
    assert found == {"manifest.parquet", *(f"shards/{row.shard}" for row in rows_of(project))}
    normalize.run(NormalizeParams(height=16, width=16, layout="folder"), project, machine)
    assert not (folder / "shards").exists()


def test_a_shard_that_cannot_be_read_is_written_again(project: Path, machine: Machine, files_of: FilesOf) -> None:
    whole = files_of(project / paths.NORMALIZED)
    for shard in (project / paths.NORMALIZED / "shards").iterdir():
        shard.write_bytes(shard.read_bytes()[:500])
    normalize.run(NormalizeParams(**SMALL), project, machine)
    assert files_of(project / paths.NORMALIZED) == whole


@pytest.mark.parametrize("layout", ["shards", "folder"])
def test_names_that_are_long_strange_or_the_same_do_not_collide(
    tmp_path: Path, machine: Machine, film_file: FilmFile, layout: str
) -> None:
    longest = "x" * 250 + ".png"
    names = ["a b/x.png", "a_b/x.png", "肺炎/x.png", "正常/x.png", "a b/deep/x.png", f"a b/{longest}"]
    for seed, name in enumerate(names):
        film_file(tmp_path / "data/raw/train" / name, seed)
    audit.run(audit.AuditParams(), tmp_path, machine)
    split.run(split.SplitParams(), tmp_path, machine)
    normalize.run(NormalizeParams(**SMALL, layout=layout), tmp_path, machine)
    rows = rows_of(tmp_path)
    assert len({row.path for row in rows}) == len(names)
    assert len({Path(row.path).parts[1] for row in rows}) == len({row.label for row in rows}) == 4
    assert len(images_of(tmp_path, layout)) == len(names)
    assert all(len(os.fsencode(part)) <= 255 for row in rows for part in Path(row.path).parts)
