"""Verify: whatever is changed under the root is found, named, and made anew to the byte."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from manifests import seal, store
from manifests.rows import AUDITED, NORMALIZED, PREDICTIONS, SPLIT, PredictionRow
from pipeline.cli import main
from pipeline.lock import locked
from stages import audit, augment, folder, normalize, paths, split, verify
from stages.augment_params import AugmentParams
from stages.contract import Failure, Machine, Report, StageError
from stages.drawn import AUGMENTED
from stages.films import decode
from stages.films.header import DecodeError
from stages.proof.chain import CHAIN
from stages.verify import VerifyParams
from tests.attacks import flips
from tests.conftest import in_order, silent

FilesOf = Callable[[Path], dict[str, bytes]]
Stamps = Callable[[Path], dict[str, tuple[int, int]]]
FilmFile = Callable[..., Path]
COPIES = AugmentParams(copies=99)  # ten films a shard: several shards
MANIFESTS = (paths.AUDIT, paths.SPLIT, paths.NORMALIZED_MANIFEST, paths.AUGMENTED_MANIFEST)


@pytest.fixture(scope="module")
def _made(_kaggle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copytree(_kaggle, tmp_path_factory.mktemp("verify") / "set")
    augment.run(COPIES, root, Machine(fan_out=in_order, track=silent))
    return root


@pytest.fixture
def made(_made: Path, tmp_path: Path) -> Path:
    """Return the root of 36 films with all that the stages make of them, in several shards; a copy of its own."""
    return copytree(_made, tmp_path / "set")


@pytest.fixture
def in_folders(project: Path, machine: Machine) -> Path:
    """Return the root of 36 films in the folder layout."""
    normalize.run(normalize.NormalizeParams(height=32, width=40, layout="folder"), project, machine)
    augment.run(AugmentParams(copies=2, layout="folder"), project, machine)
    return project


def look(root: Path, machine: Machine) -> Report:
    return verify.run(VerifyParams(), root, machine)


def mend(root: Path, machine: Machine) -> Report:
    return verify.run(VerifyParams(repair=True), root, machine)


def shards_of(root: Path, stage: str = paths.AUGMENTED) -> list[Path]:
    return sorted((root / stage / "shards").glob("*.parquet"))


def spoil(path: Path, at: int = -100) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def found_and_mended(root: Path, machine: Machine, files_of: FilesOf, was: dict[str, bytes], *named: str) -> None:
    """See that verify names each of what was changed, and that repair leads back to what was there."""
    report = look(root, machine)
    assert report.failed
    for name in named:
        assert any(name in line for line in report.lines), (name, report.lines)
    mended = mend(root, machine)
    assert not mended.failed, "\n".join(mended.lines)
    assert files_of(root / "data") == was


# --- nothing is wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pixels", [False, True])
def test_what_the_stages_wrote_is_as_its_manifests_say(made: Path, machine: Machine, pixels: bool) -> None:  # noqa: FBT001
    report = verify.run(VerifyParams(pixels=pixels), made, machine)
    assert not report.failed
    assert report.verdict == "every byte and every row as the manifests say"
    table = "\n".join(report.lines)
    for stage in ("data/raw", "data/audit", "data/split", paths.NORMALIZED, paths.AUGMENTED):
        assert stage in table
    raw = sum(1 for path in (made / "data/raw").rglob("*") if path.is_file())
    assert report.done == raw + len(shards_of(made)) + len(shards_of(made, paths.NORMALIZED)) + len(MANIFESTS)


def test_looking_and_repairing_what_is_right_change_no_file(made: Path, machine: Machine, stamps_of: Stamps) -> None:
    before = stamps_of(made)
    assert not look(made, machine).failed
    assert not mend(made, machine).failed
    assert stamps_of(made) == before


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_a_set_that_is_not_finished_is_checked_as_far_as_it_goes(made: Path, machine: Machine, stages: int) -> None:
    for name in MANIFESTS[stages:]:
        rmtree((made / name).parent)
    assert not look(made, machine).failed


def test_a_root_that_holds_nothing_is_refused(tmp_path: Path, machine: Machine) -> None:
    with pytest.raises(StageError, match="holds no manifest; expected some; run the stages first"):
        look(tmp_path, machine)


def test_raw_films_that_are_elsewhere_are_looked_for_where_raw_points(made: Path, machine: Machine) -> None:
    (made / "data/raw").rename(made / "elsewhere")
    without = look(made, machine)
    assert not without.failed, "the raw films are not needed"
    assert any("raw films are not checked; --raw tells where they lie" in line for line in without.lines)
    report = look(made, replace(machine, raw=made / "elsewhere"))
    assert not report.failed
    assert any("elsewhere" in line for line in report.lines)


# --- single bytes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_file", [False, True], ids=["over all bytes", "over files first"])
def test_every_single_byte_that_is_changed_is_found_and_mended(made: Path, machine: Machine, by_file: bool) -> None:  # noqa: FBT001
    for flip in flips.flips(made, 12, seed=1, by_file=by_file):
        outcome = flips.attack(made, flip, machine)
        assert (outcome.found, outcome.named, outcome.mended, outcome.untouched) == (True,) * 4, outcome


@pytest.mark.parametrize("name", MANIFESTS)
@pytest.mark.parametrize("at", [0, -1, -5, "seal", "mark", "params", "base64"])
def test_the_bytes_that_no_row_holds_are_covered_as_well(
    made: Path, machine: Machine, files_of: FilesOf, name: str, at: int | str
) -> None:
    data = (made / name).read_bytes()
    places = {
        "seal": data.rfind(seal.MARK) + len(seal.MARK) + 9,
        "mark": data.rfind(seal.MARK) + 2,
        "params": data.rfind(b'"params"') + 14,
        "base64": data.rfind(b"ARROW:schema") + 40,
    }
    was = files_of(made / "data")
    spoil(made / name, places[at] if isinstance(at, str) else at)
    found_and_mended(made, machine, files_of, was, name)


# --- whole files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [paths.NORMALIZED, paths.AUGMENTED])
@pytest.mark.parametrize("left", [0, 1, 7, 0.5, 0.999])
def test_a_shard_that_was_cut_off_is_made_anew(
    made: Path, machine: Machine, files_of: FilesOf, stage: str, left: float
) -> None:
    was = files_of(made / "data")
    path = shards_of(made, stage)[-1]
    data = path.read_bytes()
    path.write_bytes(data[: left if isinstance(left, int) else int(left * len(data))])
    found_and_mended(made, machine, files_of, was, path.name)


@pytest.mark.parametrize("name", MANIFESTS)
@pytest.mark.parametrize("left", [None, 0, 0.6])
def test_a_manifest_that_is_lost_or_cut_off_is_made_anew(
    made: Path, machine: Machine, files_of: FilesOf, name: str, left: float | None
) -> None:
    was = files_of(made / "data")
    data = (made / name).read_bytes()
    if left is None:
        (made / name).unlink()
    else:
        (made / name).write_bytes(data[: int(left * len(data))])
    found_and_mended(made, machine, files_of, was, name)


def test_shards_that_are_lost_are_made_anew_and_no_other(
    made: Path, machine: Machine, files_of: FilesOf, stamps_of: Stamps
) -> None:
    was, stamps = files_of(made / "data"), stamps_of(made / "data")
    lost = shards_of(made)[1]
    lost.unlink()
    found_and_mended(made, machine, files_of, was, lost.name)
    assert {name for name, stamp in stamps_of(made / "data").items() if stamps[name] != stamp} == {lost.name}


def test_two_shards_that_changed_places_are_found_though_both_are_whole(
    made: Path, machine: Machine, files_of: FilesOf
) -> None:
    was = files_of(made / "data")
    one, other = shards_of(made)[:2]
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)
    found_and_mended(made, machine, files_of, was, one.name, other.name, "a whole shard, but another one")


@pytest.mark.parametrize(
    "extra",
    [
        "data/augmented/notes.txt",
        "data/augmented/shards/000-0123456789abcdef.parquet",
        "data/normalized/shards/.0-ab.parquet.77.partial",
        "data/audit/old.parquet",
        "data/split/.manifest.parquet.9.partial",
    ],
)
def test_files_that_no_row_claims_are_removed(made: Path, machine: Machine, files_of: FilesOf, extra: str) -> None:
    was = files_of(made / "data")
    (made / extra).write_bytes(b"what is this?")
    found_and_mended(made, machine, files_of, was, extra)


def test_everything_but_the_raw_films_and_the_last_manifest_can_be_lost(
    made: Path, machine: Machine, files_of: FilesOf
) -> None:
    was = files_of(made / "data")
    rmtree(made / paths.NORMALIZED)
    for name in (paths.AUDIT, paths.SPLIT):
        (made / name).unlink()
    for path in shards_of(made):
        path.unlink()
    found_and_mended(made, machine, files_of, was, *MANIFESTS[:3])


def test_much_that_is_wrong_at_once_is_mended_at_once(made: Path, machine: Machine, files_of: FilesOf) -> None:
    was = files_of(made / "data")
    for path in (*(made / name for name in MANIFESTS), shards_of(made)[0], shards_of(made, paths.NORMALIZED)[0]):
        spoil(path, path.stat().st_size // 2)
    shards_of(made)[1].unlink()
    (made / "data/augmented/extra").write_bytes(b"")
    found_and_mended(made, machine, files_of, was, *MANIFESTS)


# --- whole manifests that say something else -------------------------------------------------------------------


@pytest.mark.parametrize("name", [paths.SPLIT, paths.NORMALIZED_MANIFEST, paths.AUGMENTED_MANIFEST])
@pytest.mark.parametrize("sealed", [False, True], ids=["by pyarrow", "sealed again"])
def test_a_label_that_was_edited_is_found_even_under_a_new_seal(
    made: Path,
    machine: Machine,
    files_of: FilesOf,
    name: str,
    sealed: bool,  # noqa: FBT001
) -> None:
    was = files_of(made / "data")
    schema = CHAIN[name]
    table, footer = store.read_table(schema, made / name), store.read_footer(made / name)
    labels = table.column("label").to_pylist()
    labels[3] = "viral" if labels[3] != "viral" else "normal"
    edited = table.set_column(table.schema.get_field_index("label"), schema.arrow.field("label"), pa.array(labels))
    if sealed:
        store.write(edited.replace_schema_metadata(None), schema, made / name, footer)
        assert seal.is_whole(made / name)
    else:
        pq.write_table(edited, made / name, compression="zstd")
    found_and_mended(made, machine, files_of, was, name)


@pytest.mark.parametrize("change", ["a copy twice", "a film left out", "a copy too many"])
def test_rows_of_copies_must_be_each_films_each_once(
    made: Path, machine: Machine, files_of: FilesOf, change: str
) -> None:
    was = files_of(made / "data")
    path = made / paths.AUGMENTED_MANIFEST
    rows, footer = store.read(AUGMENTED, path), store.read_footer(path)
    if change == "a copy twice":
        rows.insert(5, rows[4])
    elif change == "a film left out":
        rows = [row for row in rows if row.film_id != rows[0].film_id]
    else:
        rows[4] = replace(rows[4], copy=100)
    store.write(rows, AUGMENTED, path, footer)
    found_and_mended(made, machine, files_of, was, paths.AUGMENTED_MANIFEST)


def test_a_patient_in_two_splits_is_found(made: Path, machine: Machine) -> None:
    for images in (paths.NORMALIZED, paths.AUGMENTED):
        rmtree(made / images)
    path = made / paths.SPLIT
    rows, footer = store.read(SPLIT, path), store.read_footer(path)
    siblings = [row for row in rows if row.group_id == "bacterial/person/10"]
    assert len(siblings) == 2
    moved = [replace(row, split="train" if row is siblings[0] else "val") if row in siblings else row for row in rows]
    store.write(moved, SPLIT, path, footer)
    assert any("patients lie in several of train, val and test" in line for line in look(made, machine).lines)


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_of_an_older_run_is_found_and_the_one_that_the_others_know_comes_back(
    made: Path, machine: Machine, files_of: FilesOf, tmp_path: Path, name: str
) -> None:
    was = files_of(made / "data")
    older = copytree(made, tmp_path / "older")
    audit.run(audit.AuditParams(height=128), older, machine)
    split.run(split.SplitParams(seed=3), older, machine)
    normalize.run(normalize.NormalizeParams(height=16, width=20), older, machine)
    augment.run(AugmentParams(copies=99, seed=7), older, machine)
    assert (older / name).read_bytes() != (made / name).read_bytes()
    (made / name).write_bytes((older / name).read_bytes())
    found_and_mended(made, machine, files_of, was, name)


def test_a_manifest_of_copies_by_another_seed_gives_way_to_the_shards_that_are_there(
    made: Path, machine: Machine, files_of: FilesOf, tmp_path: Path
) -> None:
    was = files_of(made / "data")
    older = copytree(made, tmp_path / "older")
    augment.run(AugmentParams(copies=99, seed=7), older, machine)
    (made / paths.AUGMENTED_MANIFEST).write_bytes((older / paths.AUGMENTED_MANIFEST).read_bytes())
    found_and_mended(made, machine, files_of, was, paths.AUGMENTED_MANIFEST, "none of which is there")


def test_a_stage_that_was_run_anew_alone_is_told_from_damage(made: Path, machine: Machine) -> None:
    split.run(split.SplitParams(seed=3), made, machine)
    (line,) = [line for line in look(made, machine).lines if "split/manifest" in line]
    assert "if it is the one that is meant, run the stages after it" in line


# --- what cannot be mended -------------------------------------------------------------------------------------


def test_a_raw_film_that_changed_is_named_and_not_mended(made: Path, machine: Machine, files_of: FilesOf) -> None:
    film = made / "data/raw/test/NORMAL/IM-0101-0001.jpeg"
    spoil(film)
    was = files_of(made / "data")
    report = look(made, machine)
    assert report.failed
    (line,) = [line for line in report.lines if "IM-0101" in line]
    assert "nothing can make a raw film anew" in line
    mended = mend(made, machine)
    assert mended.failed
    assert any("NOT mended" in line and "a raw film cannot be made anew" in line for line in mended.lines)
    assert files_of(made / "data") == was


def test_a_raw_film_that_is_new_or_gone_is_found(made: Path, machine: Machine, film_file: FilmFile) -> None:
    film_file(made / "data/raw/train/NORMAL/IM-0777-0001.jpeg", 777)
    (made / "data/raw/train/NORMAL/IM-0001-0001.jpeg").unlink()
    lines = look(made, machine).lines
    assert any("IM-0777-0001.jpeg: a raw file that the audit has not seen" in line for line in lines)
    assert any("IM-0001-0001.jpeg: missing" in line for line in lines)


def test_a_shard_whose_raw_film_is_spoilt_too_is_left_as_it_was_and_said_so(
    made: Path, machine: Machine, files_of: FilesOf
) -> None:
    spoil(made / "data/raw/test/NORMAL/IM-0101-0001.jpeg")
    spoil(shards_of(made, paths.NORMALIZED)[0], 200)
    spoil(shards_of(made)[0], 200)
    was = files_of(made / "data")
    report = mend(made, machine)
    assert report.failed
    assert any("cannot be made anew" in line and "IM-0101-0001.jpeg: has changed" in line for line in report.lines)
    now = files_of(made / "data")
    assert {name for name in was if was[name] != now[name]} <= {
        shards_of(made)[0].relative_to(made / "data").as_posix()
    }


def test_a_set_made_by_other_versions_is_not_repaired_with_these(
    made: Path, machine: Machine, files_of: FilesOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "codec_versions", lambda: {**dict.fromkeys(folder.CODECS, "1.0"), "pillow": "9.9"})
    assert not look(made, machine).failed, "bytes and rows do not depend on what is installed now"
    spoil(shards_of(made)[0], 200)
    was = files_of(made / "data")
    report = mend(made, machine)
    assert report.failed
    assert any("NOT mended" in line and "pillow" in line and "install these" in line for line in report.lines)
    assert files_of(made / "data") == was


def test_predictions_are_checked_and_left_to_evaluate(made: Path, machine: Machine) -> None:
    rows = [
        PredictionRow(
            film_id=row.film_id, path=row.path, label=row.label, label_index=row.label_index, group_id=row.group_id,
            split=row.split, status="ok", reason=None, model=paths.MODEL, predicted="normal", predicted_index=0,
            correct=row.label == "normal", probabilities=[1.0, 0.0, 0.0],
        )
        for row in store.read(NORMALIZED, made / paths.NORMALIZED_MANIFEST)
    ]  # fmt: skip
    sources = {paths.NORMALIZED_MANIFEST: store.file_sha256(made / paths.NORMALIZED_MANIFEST)}
    store.write(rows, PREDICTIONS, made / paths.PREDICTIONS, store.Footer(sources=sources))
    assert not look(made, machine).failed
    by_another = [replace(row, model="models/seed-1.safetensors") for row in rows]
    store.write([*rows, *by_another], PREDICTIONS, made / paths.PREDICTIONS, store.Footer(sources=sources))
    assert not look(made, machine).failed
    store.write([*rows, *rows[:1]], PREDICTIONS, made / paths.PREDICTIONS, store.Footer(sources=sources))
    assert any("comes twice" in line for line in look(made, machine).lines)
    store.write(
        [replace(rows[0], label="viral"), *rows[1:]],
        PREDICTIONS,
        made / paths.PREDICTIONS,
        store.Footer(sources=sources),
    )
    assert any("label of film" in line for line in look(made, machine).lines)
    spoil(made / paths.PREDICTIONS)
    report = mend(made, machine)
    assert report.failed
    assert any("NOT mended" in line and "run `cxr-pipeline evaluate` again" in line for line in report.lines)
    (made / paths.PREDICTIONS).rename(made / "data/evaluation/notes")
    (line,) = [line for line in look(made, machine).lines if paths.PREDICTIONS in line]
    assert "missing; expected the manifest; run `cxr-pipeline evaluate` again" in line
    rmtree(made / "data/evaluation")
    assert not look(made, machine).failed


# --- the folder layout -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [paths.NORMALIZED, paths.AUGMENTED])
@pytest.mark.parametrize("change", ["changed", "missing", "extra", "swapped", "cut off"])
def test_image_files_are_checked_and_mended_one_by_one(
    in_folders: Path, machine: Machine, files_of: FilesOf, stamps_of: Stamps, stage: str, change: str
) -> None:
    was, stamps = files_of(in_folders / "data"), stamps_of(in_folders / "data")
    one, other = sorted((in_folders / stage / "train").rglob("*-*.*"))[:2]
    touched = {one.name}
    if change == "changed":
        spoil(one)
    elif change == "missing":
        one.unlink()
    elif change == "cut off":
        one.write_bytes(one.read_bytes()[:-9])
    elif change == "extra":
        (one.parent / "extra.jpeg").write_bytes(one.read_bytes())
    else:
        data = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(data)
        touched.add(other.name)
    found_and_mended(in_folders, machine, files_of, was, "extra.jpeg" if change == "extra" else one.name)
    after = stamps_of(in_folders / "data")
    assert {name for name, stamp in after.items() if stamps[name] != stamp} <= touched


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_of_the_folder_layout_come_back_as_well(
    in_folders: Path, machine: Machine, files_of: FilesOf, name: str
) -> None:
    was = files_of(in_folders / "data")
    data = (in_folders / name).read_bytes()
    spoil(in_folders / name, data.rfind(b'"params"') + 14)
    found_and_mended(in_folders, machine, files_of, was, name)


def test_an_image_of_another_frame_is_found_though_its_row_knows_its_bytes(in_folders: Path, machine: Machine) -> None:
    path = in_folders / paths.AUGMENTED_MANIFEST
    rows, footer = store.read(AUGMENTED, path), store.read_footer(path)
    data = b"P5\n4 4\n255\n" + bytes(16)
    (in_folders / paths.AUGMENTED / rows[0].path).write_bytes(data)
    rows[0] = replace(rows[0], sha256=hashlib.sha256(data).hexdigest(), encoded_bytes=len(data))
    store.write(rows, AUGMENTED, path, footer)
    assert any("an image of 4 x 4, not 32 x 40" in line for line in look(in_folders, machine).lines)


def test_a_copy_whose_normalized_film_cannot_be_mended_is_named_and_left_as_it_was(
    in_folders: Path, machine: Machine, files_of: FilesOf
) -> None:
    copy = next(row for row in store.read(AUGMENTED, in_folders / paths.AUGMENTED_MANIFEST) if row.copy == 1)
    films = store.read(NORMALIZED, in_folders / paths.NORMALIZED_MANIFEST)
    film = next(film for film in films if film.film_id == copy.film_id)
    divided = store.read(SPLIT, in_folders / paths.SPLIT)
    spoil(in_folders / "data/raw" / next(row.path for row in divided if row.film_id == film.film_id))
    (in_folders / paths.NORMALIZED / film.path).write_bytes(b"P5")
    spoil(in_folders / paths.AUGMENTED / copy.path)
    was = files_of(in_folders / "data")
    report = mend(in_folders, machine)
    assert report.failed
    for path in (f"{paths.NORMALIZED}/{film.path}", f"{paths.AUGMENTED}/{copy.path}"):
        assert any("NOT mended" in line and f"{path} cannot be made anew" in line for line in report.lines), path
    assert files_of(in_folders / "data") == was


def test_a_film_that_the_codecs_no_longer_read_is_named_when_its_image_is_to_be_mended(
    in_folders: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = store.read(NORMALIZED, in_folders / paths.NORMALIZED_MANIFEST)[0]
    spoil(in_folders / paths.NORMALIZED / film.path)

    def unreadable(_data: bytes) -> None:
        raise DecodeError("undecodable", "a codec is missing")

    monkeypatch.setattr(decode, "decode", unreadable)
    report = mend(in_folders, machine)
    assert report.failed
    assert any(f"{film.path} cannot be made anew" in line and "a codec is missing" in line for line in report.lines)


def test_the_audit_of_a_set_with_bad_files_is_verified(made: Path, machine: Machine, tmp_path: Path) -> None:
    root = tmp_path / "bad"
    copytree(made / "data/raw", root / "data/raw")
    (root / "data/raw/train/NORMAL/empty.jpeg").write_bytes(b"")
    (root / "data/raw/notes.txt").write_text("no film")
    audit.run(audit.AuditParams(), root, machine)
    assert any(row.status != "ok" for row in store.read(AUDITED, root / paths.AUDIT))
    assert not look(root, machine).failed


# --- films without an image ------------------------------------------------------------------------------------


def crashing(machine: Machine, kind: type, *film_ids: str) -> Machine:
    """Return a machine on which films end their process, in jobs of one kind."""

    def fan_out(work: Any, jobs: Any, *, retry: Any = None, **_shown: Any) -> list[Any]:
        failures = dict.fromkeys(film_ids, Failure("crashed", "ended its process"))
        return [work(retry.without(job, failures) if isinstance(job, kind) and retry else job) for job in jobs]

    return replace(machine, fan_out=fan_out)


@pytest.mark.parametrize("stage", ["normalize", "augment"])
@pytest.mark.parametrize("lost", ["nothing", "shards", "normalized", "augmented"])
def test_films_that_crashed_claim_no_image_and_what_is_lost_beside_them_comes_back(
    project: Path, machine: Machine, files_of: FilesOf, stage: str, lost: str
) -> None:
    film = next(row.film_id for row in store.read(SPLIT, project / paths.SPLIT) if row.split == "train")
    crash = crashing(machine, {"normalize": normalize.NormalizeJob, "augment": augment.AugmentJob}[stage], film)
    rmtree(project / paths.NORMALIZED)
    normalize.run(normalize.NormalizeParams(height=32, width=40), project, crash)
    augment.run(AugmentParams(copies=2), project, crash)
    assert not look(project, machine).failed
    was = files_of(project / "data")
    if lost == "nothing":
        return
    for path in shards_of(project) + shards_of(project, paths.NORMALIZED) if lost == "shards" else []:
        path.unlink()
    (project / f"data/{lost}/manifest.parquet").unlink(missing_ok=True)
    found_and_mended(project, crash, files_of, was, lost)


def test_a_set_whose_training_films_all_crashed_claims_no_copy(project: Path, machine: Machine) -> None:
    films = [row.film_id for row in store.read(SPLIT, project / paths.SPLIT) if row.split == "train"]
    augment.run(AugmentParams(copies=2), project, crashing(machine, augment.AugmentJob, *films))
    assert not look(project, machine).failed
    assert not shards_of(project)


def test_a_set_without_training_films_has_no_copies_and_is_whole(project: Path, machine: Machine) -> None:
    path = project / paths.SPLIT
    rows, footer = store.read(SPLIT, path), store.read_footer(path)
    store.write([replace(row, split="test") for row in rows], SPLIT, path, footer)
    normalize.run(normalize.NormalizeParams(height=32, width=40), project, machine)
    with pytest.raises(StageError, match="no training film"):
        augment.run(AugmentParams(), project, machine)
    assert not look(project, machine).failed


def test_looking_needs_no_lock_and_repairing_takes_it(made: Path) -> None:
    with locked(made, "cxr-pipeline augment"):
        looked = CliRunner().invoke(main, ["verify", "--root", str(made), "--backend", "sequential"])
        repaired = CliRunner().invoke(main, ["verify", "--repair", "--root", str(made)])
    assert (looked.exit_code, repaired.exit_code) == (0, 1)
    assert "in use by `cxr-pipeline augment`" in repaired.output


def test_what_is_wrong_ends_in_exit_code_1_until_it_is_mended(made: Path) -> None:
    spoil(shards_of(made)[0], 200)
    verify_it = ["verify", "--root", str(made), "--backend", "sequential"]
    codes = [CliRunner().invoke(main, [*verify_it, *more]).exit_code for more in ([], ["--repair"], [])]
    assert codes == [1, 0, 0]


def test_defaults_never_replace_images_that_they_do_not_give(
    in_folders: Path, machine: Machine, files_of: FilesOf
) -> None:
    (in_folders / paths.AUGMENTED_MANIFEST).unlink()
    was = files_of(in_folders / "data")
    report = mend(in_folders, machine)
    assert report.failed
    assert any("NOT mended" in line and "run `cxr-pipeline augment`" in line for line in report.lines)
    assert files_of(in_folders / "data") == was
