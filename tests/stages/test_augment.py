"""Augment: every image is explained by its row, whatever the workers, the layout or the order."""

from __future__ import annotations

import errno
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from manifests import store
from manifests.rows import NORMALIZED, AugmentedRow, NormalizedRow
from manifests.shards import ImageFolder
from stages import augment, normalize, paths, split
from stages.augment_params import AugmentParams
from stages.contract import Machine, ParamsError, StageError
from stages.drawn import AUGMENTED
from stages.films import codec
from stages.films.frame import Frame
from stages.films.geometry import Box
from stages.films.operations import Brightness, Contrast, Flip, Gamma, Rotate, Shift

Stamps = Callable[[Path], dict[str, tuple[int, int]]]
FilesOf = Callable[[Path], dict[str, bytes]]
FRAME = Frame(height=32, width=40)
EVERYTHING = (Gamma(), Brightness(), Shift(), Contrast(), Rotate(), Flip())
FEW = AugmentParams(copies=2)


def films_of(root: Path) -> dict[str, NormalizedRow]:
    return {row.film_id: row for row in store.read(NORMALIZED, root / paths.NORMALIZED_MANIFEST)}


def rows_of(root: Path) -> list[AugmentedRow]:
    return store.read(AUGMENTED, root / paths.AUGMENTED_MANIFEST)


def images_of(root: Path, layout: str = "shards") -> dict[tuple[str, int], bytes]:
    """Return the encoded images by film and copy."""
    folder = ImageFolder(root / paths.AUGMENTED, layout)
    return {(row.film_id, row.copy): encoded for row, encoded in folder.read_images(rows_of(root))}


def made(root: Path, machine: Machine, params: AugmentParams = FEW) -> list[AugmentedRow]:
    augment.run(params, root, machine)
    return rows_of(root)


# --- what is written -------------------------------------------------------------------------------------------


def test_every_training_film_and_no_other_has_its_original_and_n_copies(project: Path, machine: Machine) -> None:
    rows = made(project, machine, AugmentParams(copies=3))
    train = {film.film_id: film for film in films_of(project).values() if film.split == "train"}
    assert len(train) > 20
    assert Counter((row.film_id, row.copy) for row in rows) == {
        (film_id, copy): 1 for film_id in train for copy in range(4)
    }
    for row in rows:
        film = train[row.film_id]
        assert (row.label, row.label_index, row.group_id, row.split) == (
            film.label,
            film.label_index,
            film.group_id,
            "train",
        )


def test_the_original_is_the_normalized_film_and_nothing_was_drawn_for_it(project: Path, machine: Machine) -> None:
    rows = made(project, machine, AugmentParams(copies=1, encoding="png"))
    normalized = ImageFolder(project / paths.NORMALIZED, "shards")
    films = {row.film_id: codec.decode(data) for row, data in normalized.read_images(list(films_of(project).values()))}
    images = images_of(project)
    for row in rows:
        if row.copy == 0:
            assert row.drawn == {}
            assert np.array_equal(codec.decode(images[row.film_id, 0]), films[row.film_id])
        else:
            assert set(row.drawn) == {"brightness", "angle_deg", "flipped", "zoom"}


@pytest.mark.parametrize("layout", ["shards", "folder"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("margins", ["black", "reflect", "replicate", "cover"])
def test_a_row_replayed_gives_the_bytes_it_claims(
    project: Path, machine: Machine, margins: str, interpolation: str, layout: str
) -> None:
    params = AugmentParams(
        copies=2,
        operations=EVERYTHING,
        margins=margins,
        interpolation=interpolation,
        layout=layout,
        seed=5,
    )
    rows = made(project, machine, params)
    films = films_of(project)
    source = ImageFolder(project / paths.NORMALIZED, "shards")
    normalized = {row.film_id: codec.decode(data) for row, data in source.read_images(list(films.values()))}
    images = images_of(project, layout)
    chain = params.chain(FRAME)
    assert {row.copy for row in rows} == {0, 1, 2}
    for row in rows:
        film = films[row.film_id]
        shown = Box(film.film_left, film.film_top, film.film_right, film.film_bottom)
        image, unfilled = chain.apply(normalized[row.film_id], row.drawn, film=shown)
        replayed = codec.encode(image, encoding="jpeg", quality=95)
        stored = images[row.film_id, row.copy]
        assert replayed == stored
        assert (row.sha256, row.encoded_bytes) == (hashlib.sha256(stored).hexdigest(), len(stored))
        assert row.unfilled == unfilled
        if margins == "cover":
            assert row.unfilled == 0
    if margins != "cover":
        assert max(row.unfilled for row in rows) > 0.01


def test_black_side_margins_of_the_crop_count_as_unfilled_from_the_original_on(project: Path, machine: Machine) -> None:
    square = normalize.NormalizeParams(height=32, width=64, policy="crop")  # films of 60 x 80 become 43 px wide
    normalize.run(square, project, machine)
    rows = made(project, machine, AugmentParams(copies=1, margins="black"))
    padded = next(iter(films_of(project).values())).padded
    assert padded == pytest.approx(22 / 64)
    assert [row.unfilled for row in rows if row.copy == 0] == pytest.approx([padded] * (len(rows) // 2))
    assert all(row.unfilled > 0 for row in rows)


@pytest.mark.parametrize("layout", ["shards", "folder"])
@pytest.mark.parametrize("encoding", ["jpeg", "png", "pgm"])
def test_pillow_and_opencv_read_the_same_film_out_of_every_encoding(
    project: Path, machine: Machine, layout: str, encoding: str
) -> None:
    params = AugmentParams(copies=1, layout=layout, encoding=encoding)
    rows = made(project, machine, params)
    images = images_of(project, layout)
    for row in rows:
        data = images[row.film_id, row.copy]
        by_pillow = np.asarray(Image.open(io.BytesIO(data)))
        by_opencv = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))
        assert by_pillow.shape == (32, 40)
        assert np.array_equal(by_pillow, by_opencv)
        assert row.path.endswith(f"-{row.copy:04d}.{encoding}")
        if layout == "folder":
            assert (project / paths.AUGMENTED / row.path).read_bytes() == data


def test_both_layouts_and_all_lossless_encodings_hold_the_same_pixels(project: Path, machine: Machine) -> None:
    pixels = []
    for layout, encoding in (("shards", "pgm"), ("folder", "png"), ("folder", "pgm"), ("shards", "png")):
        made(project, machine, AugmentParams(copies=1, layout=layout, encoding=encoding))
        pixels.append({key: codec.decode(data).tobytes() for key, data in images_of(project, layout).items()})
    assert all(found == pixels[0] for found in pixels)


def test_torchvision_loads_the_folder_layout_with_the_right_labels(project: Path, machine: Machine) -> None:
    from torchvision.datasets import ImageFolder as TorchFolder  # noqa: PLC0415 - torch: not for every test

    normalize.run(normalize.NormalizeParams(height=32, width=40, layout="folder"), project, machine)
    rows = made(project, machine, AugmentParams(copies=1, layout="folder"))
    loaded = TorchFolder(str(project / paths.AUGMENTED / "train"))
    labels = {row.path: row.label for row in rows}
    found = {Path(path).relative_to(project / paths.AUGMENTED).as_posix(): index for path, index in loaded.samples}
    assert {path: loaded.classes[index] for path, index in found.items()} == labels
    for name in ("train", "leak_probe", "val", "test"):
        inside = [row for row in films_of(project).values() if row.split == name]
        loaded = TorchFolder(str(project / paths.NORMALIZED / name))
        counted = Counter(loaded.classes[index] for index in loaded.targets)
        assert counted == Counter(row.label for row in inside)
        assert loaded[0][0].size == (40, 32)


def test_shards_read_as_hugging_face_datasets_reads_them(project: Path, machine: Machine) -> None:
    rows = {(row.film_id, row.copy): row for row in made(project, machine)}
    for shard in (project / paths.AUGMENTED / "shards").iterdir():
        table = pq.read_table(shard)
        assert b'"image": {"_type": "Image"}' in table.schema.metadata[b"huggingface"]
        for line in table.to_pylist():
            row = rows[line["film_id"], line["copy"]]
            assert hashlib.sha256(line["image"]["bytes"]).hexdigest() == row.sha256
            assert line["image"]["path"] == row.path


def test_the_chain_of_footers_reaches_back_to_the_audit(project: Path, machine: Machine) -> None:
    made(project, machine)
    footer = store.read_footer(project / paths.AUGMENTED_MANIFEST)
    assert footer.sources == {
        name: store.file_sha256(project / name) for name in (paths.NORMALIZED_MANIFEST, paths.SPLIT)
    }
    normalized = store.read_footer(project / paths.NORMALIZED_MANIFEST)
    assert normalized.sources[paths.SPLIT] == footer.sources[paths.SPLIT]
    assert normalized.sources[paths.AUDIT] == store.read_footer(project / paths.SPLIT).sources[paths.AUDIT]
    assert footer.params == FEW.model_dump(mode="json")
    assert footer.facts == normalized.facts


# --- the same bytes, whatever happens --------------------------------------------------------------------------


@pytest.fixture
def in_shards(many: Path, machine: Machine) -> Path:
    """Return the root of 200 tiny films, normalized; 60 copies of each fill shards of 16 films."""
    normalize.run(normalize.NormalizeParams(height=8, width=10), many, machine)
    return many


MANY_COPIES = AugmentParams(copies=60, encoding="pgm")


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.randoms(use_true_random=False))
def test_the_order_of_the_jobs_does_not_matter(project: Path, machine: Machine, files_of: FilesOf, words: Any) -> None:
    def shuffled(work: Callable[[Any], Any], jobs: Iterable[Any], **_shown: Any) -> list[Any]:
        listed = list(enumerate(jobs))
        words.shuffle(listed)
        return [result for _, result in sorted((index, work(job)) for index, job in listed)]

    params = AugmentParams(copies=120, encoding="pgm")  # 8 films a shard
    augment.run(params, project, machine)
    first = files_of(project / paths.AUGMENTED)
    assert len(first) > 4
    for path in (project / paths.AUGMENTED).rglob("*.parquet"):
        path.unlink()
    augment.run(params, project, replace(machine, fan_out=shuffled))
    assert files_of(project / paths.AUGMENTED) == first


def test_more_copies_leave_the_first_ones_as_they_were(project: Path, machine: Machine) -> None:
    few = {(row.film_id, row.copy): row.sha256 for row in made(project, machine)}
    more = {(row.film_id, row.copy): row.sha256 for row in made(project, machine, AugmentParams(copies=5))}
    assert few.items() <= more.items()
    assert len(more) == 2 * len(few)


def test_copies_of_a_film_and_of_films_differ_and_a_seed_changes_them_all(project: Path, machine: Machine) -> None:
    one = {(row.film_id, row.copy): row.sha256 for row in made(project, machine)}
    other = {(row.film_id, row.copy): row.sha256 for row in made(project, machine, AugmentParams(copies=2, seed=1))}
    assert len(set(one.values())) == len(one)
    for key, digest in one.items():
        assert (digest == other[key]) is (key[1] == 0)


def test_a_film_that_joins_changes_its_own_shard_alone(in_shards: Path, machine: Machine, stamps_of: Stamps) -> None:
    augment.run(MANY_COPIES, in_shards, machine)
    films = films_of(in_shards)
    shards = in_shards / paths.AUGMENTED / "shards"
    before = stamps_of(shards)
    assert len(before) > 8
    manifest = in_shards / paths.NORMALIZED_MANIFEST
    footer = store.read_footer(manifest)
    gone = sorted(film.film_id for film in films.values() if film.split == "train")[7]
    store.write([row for row in films.values() if row.film_id != gone], NORMALIZED, manifest, footer)
    augment.run(MANY_COPIES, in_shards, machine)
    without = stamps_of(shards)
    assert len(set(before.items()) - set(without.items())) == 1
    store.write(list(films.values()), NORMALIZED, manifest, footer)
    augment.run(MANY_COPIES, in_shards, machine)
    assert set(without.items()) - set(stamps_of(shards).items()) == set(without.items()) - set(before.items())
    assert set(stamps_of(shards)) == set(before)


def test_a_repeated_run_writes_nothing_anew(in_shards: Path, machine: Machine, stamps_of: Stamps) -> None:
    augment.run(MANY_COPIES, in_shards, machine)
    before = stamps_of(in_shards / paths.AUGMENTED / "shards")
    manifest = (in_shards / paths.AUGMENTED_MANIFEST).read_bytes()
    augment.run(MANY_COPIES, in_shards, machine)
    assert stamps_of(in_shards / paths.AUGMENTED / "shards") == before
    assert (in_shards / paths.AUGMENTED_MANIFEST).read_bytes() == manifest


class Killed(Exception):  # noqa: N818 - it stands for no error but for the end
    """The run was killed."""


def test_a_killed_run_goes_on_where_it_was_and_ends_as_if_nothing_had_been(
    in_shards: Path, machine: Machine, stamps_of: Stamps, files_of: FilesOf
) -> None:
    def half_way(work: Callable[[Any], Any], jobs: Iterable[Any], **_shown: Any) -> list[Any]:
        listed = list(jobs)
        for job in listed[: len(listed) // 2]:
            work(job)
        raise Killed

    with pytest.raises(Killed):
        augment.run(MANY_COPIES, in_shards, replace(machine, fan_out=half_way))
    finished = stamps_of(in_shards / paths.AUGMENTED)
    assert finished
    assert not (in_shards / paths.AUGMENTED_MANIFEST).exists()
    augment.run(MANY_COPIES, in_shards, machine)
    assert finished.items() <= stamps_of(in_shards / paths.AUGMENTED).items()
    resumed = files_of(in_shards / paths.AUGMENTED)
    for path in (in_shards / paths.AUGMENTED).rglob("*.parquet"):
        path.unlink()
    augment.run(MANY_COPIES, in_shards, machine)
    assert files_of(in_shards / paths.AUGMENTED) == resumed


@pytest.mark.parametrize("layout", ["shards", "folder"])
def test_what_the_manifest_does_not_claim_is_removed(
    project: Path, machine: Machine, files_of: FilesOf, layout: str
) -> None:
    folder = project / paths.AUGMENTED
    for other in ("shards", "folder"):
        made(project, machine, AugmentParams(copies=4, seed=3, layout=other))
    (folder / "shards").mkdir(exist_ok=True)
    (folder / "shards/.0-ab.parquet.77.partial").write_bytes(b"half a shard")
    rows = made(project, machine, AugmentParams(copies=1, layout=layout))
    claimed = {f"shards/{row.shard}" if layout == "shards" else row.path for row in rows}
    assert set(files_of(folder)) == claimed | {"manifest.parquet"}


@pytest.mark.parametrize(
    "change",
    [
        {"copies": 3},
        {"margins": "black"},
        {"interpolation": "nearest"},
        {"seed": 1},
        {"encoding": "png"},
        {"quality": 75},
        {"operations": (Flip(),)},
        {"operations": (Brightness(jitter=0.1), Rotate(), Flip())},
    ],
)
def test_every_parameter_of_the_recipe_names_other_shards(project: Path, change: dict[str, Any]) -> None:
    rows = list(films_of(project).values())
    films = NORMALIZED.table(rows)
    names = {job.shard for job in augment.jobs_of(films, FEW, FRAME)}
    assert not names & {job.shard for job in augment.jobs_of(films, FEW.model_copy(update=change), FRAME)}
    other_pixels = NORMALIZED.table([replace(film, sha256="0" * 64) for film in rows])
    assert not names & {job.shard for job in augment.jobs_of(other_pixels, FEW, FRAME)}


# --- what cannot be done ---------------------------------------------------------------------------------------


def test_without_a_training_film_there_is_nothing_to_augment(
    tmp_path: Path, machine: Machine, film_file: Callable[..., Path]
) -> None:
    from stages import audit  # noqa: PLC0415 - for this test alone

    film_file(tmp_path / "data/raw/test/NORMAL/IM-0001-0001.jpeg", 1)
    audit.run(audit.AuditParams(), tmp_path, machine)
    split.run(split.SplitParams(), tmp_path, machine)
    normalize.run(normalize.NormalizeParams(height=16, width=16), tmp_path, machine)
    with pytest.raises(StageError, match=r"holds no training film; .*reports/split\.json"):
        augment.run(FEW, tmp_path, machine)


def test_margins_that_no_zoom_covers_are_refused_before_anything_is_written(project: Path, machine: Machine) -> None:
    shift_twice_over = AugmentParams(operations=(Rotate(degrees=90), Shift(share=0.45)))
    with pytest.raises(ParamsError, match="margins 'cover' cannot hold"):
        augment.run(shift_twice_over, project, machine)
    assert not (project / paths.AUGMENTED).exists()
    augment.run(shift_twice_over.model_copy(update={"copies": 1, "margins": "reflect"}), project, machine)


def test_an_operation_stands_in_the_chain_once() -> None:
    with pytest.raises(ValidationError, match="flip, rotate more than once"):
        AugmentParams(operations=(Rotate(), Flip(), Rotate(degrees=3), Brightness(), Flip()))


def test_a_split_made_after_the_films_were_normalized_is_not_mistaken_for_theirs(
    project: Path, machine: Machine
) -> None:
    split.run(split.SplitParams(seed=1), project, machine)
    with pytest.raises(StageError, match=r"made from another data/split/manifest\.parquet; run normalize again"):
        augment.run(FEW, project, machine)


@pytest.mark.parametrize(
    "encoded",
    [b"", b"P5\n", b"P5\n9\n255\n", b"P5\nx y\n255\n", b"P5\n9 9\n255\n" + bytes(81), b"\xff\xd8\xff", b"junk"],
)
def test_a_normalized_film_that_is_no_image_of_the_frame_ends_the_run_in_one_line(
    project: Path, encoded: bytes
) -> None:
    film, *_ = store.read(NORMALIZED, project / paths.NORMALIZED_MANIFEST)
    with pytest.raises(StageError, match="run normalize again"):
        augment.pixels_of(film, encoded, Frame(height=32, width=40))


def test_every_shard_is_on_the_disk_before_a_manifest_claims_it(
    project: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers leave them unflushed."""
    flushed: list[str] = []
    manifest = project / paths.AUGMENTED_MANIFEST

    def note(path: Path) -> None:
        assert not manifest.exists()
        flushed.append(path.name)

    monkeypatch.setattr("manifests.shards.flush", note)
    augment.run(FEW, project, machine)
    assert sorted(flushed) == sorted(store.read_footer(manifest).files)
    assert flushed


def test_a_disk_that_refuses_a_shard_ends_the_run_without_a_manifest(
    project: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("manifests.shards.flush", full)
    with pytest.raises(OSError, match="No space left on device"):
        augment.run(FEW, project, machine)
    assert not (project / paths.AUGMENTED_MANIFEST).exists()
