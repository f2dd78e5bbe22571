"""What an export leaves on the disk: whole or nothing, never over other people's files, the same bytes every time."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests import store
from manifests.rows import NORMALIZED
from stages import augment, paths
from stages.augment_params import AugmentParams
from stages.contract import Machine, ParamsError, StageError
from stages.export import ExportParams, run
from stages.exporting import card, hugging_face, image_folder, web_dataset
from tests.stages.exporting.made import export

FORMS = ("folder", "webdataset", "hf")
FilesOf = Callable[[Path], dict[str, bytes]]
StampsOf = Callable[[Path], dict[str, tuple[int, int]]]


@pytest.mark.parametrize("to", FORMS)
def test_jobs_in_any_order_write_the_same_bytes(
    roots: dict[str, Path], machine: Machine, upside_down: Machine, tmp_path: Path, files_of: FilesOf, to: str
) -> None:
    one, _ = export(roots["shards"], machine, to=to, files=2, out=str(tmp_path / "one"))
    other, _ = export(roots["shards"], upside_down, to=to, files=2, out=str(tmp_path / "other"))
    assert files_of(one) == files_of(other)


@pytest.mark.parametrize("to", FORMS)
def test_the_same_export_again_writes_nothing_and_a_spoilt_one_is_made_anew(
    roots: dict[str, Path], machine: Machine, tmp_path: Path, files_of: FilesOf, stamps_of: StampsOf, to: str
) -> None:
    root, asked = roots["shards"], {"to": to, "out": str(tmp_path / "out")}
    out, _ = export(root, machine, **asked)
    before, files = stamps_of(out), files_of(out)

    _, again = export(root, machine, **asked)
    assert stamps_of(out) == before
    assert "nothing to write: the export that lies there is of this set, byte for byte" in again.lines

    largest = max((path for path in out.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    _, mended = export(root, machine, **asked)
    assert files_of(out) == files
    assert "an earlier export was replaced" in mended.lines


def test_another_set_or_another_question_replaces_an_earlier_export(
    built: Path, machine: Machine, files_of: FilesOf
) -> None:
    out, _ = export(built, machine, to="webdataset")
    first = files_of(out)
    augment.run(AugmentParams(copies=1), built, machine)
    _, report = export(built, machine, to="webdataset")
    assert "an earlier export was replaced" in report.lines
    assert files_of(out) != first
    export(built, machine, to="webdataset", seed=7)
    assert json.loads((out / "export.json").read_text())["made_from"]["asked"]["seed"] == 7
    assert [path.name for path in out.parent.iterdir()] == ["both-webdataset"]


@pytest.mark.parametrize("to", FORMS)
def test_a_folder_that_no_export_wrote_is_left_alone(
    roots: dict[str, Path], machine: Machine, tmp_path: Path, files_of: FilesOf, to: str
) -> None:
    strange = tmp_path / "mine"
    strange.mkdir()
    (strange / "thesis.txt").write_text("years of work")
    with pytest.raises(StageError, match="mine: holds files that no export wrote"):
        export(roots["shards"], machine, to=to, out=str(strange))
    (strange / "export.json").write_text('{"made_by": "me", "files": {}}')
    with pytest.raises(StageError, match="mine: holds files that no export wrote"):
        export(roots["shards"], machine, to=to, out=str(strange))
    assert set(files_of(strange)) == {"thesis.txt", "export.json"}


@pytest.mark.parametrize("to", FORMS)
def test_an_export_to_which_somebody_added_a_file_is_not_replaced(
    roots: dict[str, Path], machine: Machine, tmp_path: Path, to: str
) -> None:
    out, _ = export(roots["shards"], machine, to=to, out=str(tmp_path / "out"))
    added = out / "notes.txt"
    added.write_text("mine")
    with pytest.raises(StageError, match=r"notes\.txt: is no file of the export|holds 1 files more than"):
        export(roots["shards"], machine, to=to, split="val", out=str(out))
    assert added.read_text() == "mine"


def test_a_card_that_somebody_wrote_on_is_kept_and_never_replaced(
    roots: dict[str, Path], machine: Machine, tmp_path: Path
) -> None:
    out, _ = export(roots["shards"], machine, to="hf", out=str(tmp_path / "out"))
    card = out / "README.md"
    card.write_text(card.read_text() + "Thanks to all patients.\n")
    _, report = export(roots["shards"], machine, to="hf", out=str(out))
    assert any(line.startswith("nothing to write") for line in report.lines)
    with pytest.raises(StageError, match=r"README\.md: was written on since the export"):
        export(roots["shards"], machine, to="hf", split="val", out=str(out))
    assert card.read_text().endswith("Thanks to all patients.\n")


@pytest.mark.parametrize("place", ["data/augmented", "data/normalized/export", ".", ".."])
def test_a_folder_that_stages_clear_or_that_holds_the_root_is_refused(
    built: Path, machine: Machine, place: str
) -> None:
    with pytest.raises(StageError, match=r"which a stage clears|holds the root itself"):
        export(built, machine, to="folder", out=place)


@pytest.mark.parametrize("to", FORMS)
def test_a_changed_byte_of_a_shard_is_refused_with_its_name_wherever_it_lies(
    built: Path, machine: Machine, to: str
) -> None:
    shard = max((built / "data/augmented/shards").iterdir())
    data = bytearray(shard.read_bytes())
    for at in (100, len(data) // 2, len(data) - 200):
        changed = data.copy()
        changed[at] ^= 1
        shard.write_bytes(changed)
        with pytest.raises(StageError, match=f"{shard.name}: its bytes are not those that the manifest knows"):
            export(built, machine, to=to)
    shard.unlink()
    with pytest.raises(StageError, match=f"{shard.name}: cannot be read"):
        export(built, machine, to=to)
    assert not list((built / "data/exports").glob("*"))


@pytest.mark.parametrize("to", FORMS)
def test_a_changed_image_is_refused_with_its_file_in_the_folder_layout_too(
    roots: dict[str, Path], machine: Machine, tmp_path: Path, to: str
) -> None:
    root = shutil.copytree(roots["folder"], tmp_path / "root")
    image = next((root / "data/normalized/test").rglob("*.pgm"))
    image.write_bytes(image.read_bytes()[:-1] + b"!")
    with pytest.raises(StageError, match=rf"{image.name}: image .* has the sha256 .* as its row says"):
        export(root, machine, to=to)
    assert not list((root / "data/exports").glob("*"))


@pytest.mark.parametrize(
    ("to", "module", "name"),
    [("folder", image_folder, "write_file"), ("webdataset", web_dataset, "put"), ("hf", hugging_face, "flush")],
)
def test_a_full_disk_leaves_the_earlier_export_as_it_was(
    built: Path,
    machine: Machine,
    files_of: FilesOf,
    monkeypatch: pytest.MonkeyPatch,
    to: str,
    module: object,
    name: str,
) -> None:
    out, _ = export(built, machine, to=to)
    before = files_of(out.parent)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")

    monkeypatch.setattr(module, name, full)
    with pytest.raises(
        OSError, match=r"No space left on device: '.*(somewhere|train-00000-of-00001\.parquet|manifest\.parquet)'"
    ):
        export(built, machine, to=to, split="train")
    assert files_of(out.parent) == before


def test_what_killed_runs_left_is_removed_and_nothing_else(built: Path, machine: Machine) -> None:
    place = built / "elsewhere"
    for name in (".set.17.partial", ".set.old.17.partial", ".other.17.partial", ".set.kept"):
        (place / name).mkdir(parents=True)
        (place / name / "half").touch()
    export(built, machine, to="webdataset", out="elsewhere/set")
    assert sorted(path.name for path in place.iterdir()) == [".other.17.partial", ".set.kept", "set"]


def test_a_disk_with_too_little_room_is_refused_before_a_byte_is_written(
    built: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = shutil.disk_usage(built)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: free)
    with pytest.raises(StageError, match=r"needs .* MB, 0 MB are free; make room"):
        export(built, machine, to="hf")
    assert not (built / "data/exports").exists()


@pytest.mark.parametrize("to", FORMS)
def test_films_that_failed_stay_out_and_are_counted(built: Path, machine: Machine, to: str) -> None:
    path = built / paths.NORMALIZED_MANIFEST
    footer, rows = store.read_footer(path), store.read(NORMALIZED, path)
    nothing: dict[str, Any] = dict.fromkeys(field.name for field in NORMALIZED.fields if field.column.if_ok)
    failed = next(row for row in rows if row.split == "test")
    bad = replace(failed, status="crashed", reason="ended its process", shard=None, index=None, **nothing)
    store.write([bad if row is failed else row for row in rows], NORMALIZED, path, footer)

    out, report = export(built, machine, to=to, of="normalized")

    assert report.set_aside == {"crashed": 1}
    assert report.done == len(rows) - 1
    index = json.loads((out / "export.json").read_text())
    assert index["left_out"] == {"crashed": 1}
    assert index["splits"]["test"]["images"] == sum(row.split == "test" for row in rows) - 1


def test_an_index_says_of_which_set_the_export_is_and_what_is_in_it(
    roots: dict[str, Path], machine: Machine, tmp_path: Path
) -> None:
    root = roots["shards"]
    out, _ = export(root, machine, to="webdataset", files=2, out=str(tmp_path / "out"))
    index = json.loads((out / "export.json").read_text())
    assert index["made_from"]["manifests"] == {
        name: store.file_sha256(root / name) for name in (paths.AUGMENTED_MANIFEST, paths.NORMALIZED_MANIFEST)
    }
    assert index["made_from"]["parameters"]["augment"]["copies"] == 2
    assert index["made_from"]["versions"]["cxr-pipeline bytes"]
    for name, told in index["files"].items():
        assert told["sha256"] == store.file_sha256(out / name)
        assert told["bytes"] == (out / name).stat().st_size
    films = store.read(NORMALIZED, root / paths.NORMALIZED_MANIFEST)
    for split, told in index["splits"].items():
        of_split = [film for film in films if film.split == split]
        assert told["films"] == len(of_split)
        assert told["patients"] == len({film.group_id for film in of_split})
        copies = 3 if split == "train" else 1
        assert told["classes"]["viral"] == copies * sum(film.label == "viral" for film in of_split)


def test_augmented_images_of_films_that_were_normalized_anew_do_not_go_out_beside_them(
    built: Path, machine: Machine
) -> None:
    path = built / paths.NORMALIZED_MANIFEST
    footer = store.read_footer(path)
    store.write(store.read(NORMALIZED, path), NORMALIZED, path, replace(footer, tool_version="another"))
    with pytest.raises(StageError, match=r"augmented/manifest.parquet: was made from another .*; run augment again"):
        export(built, machine, to="hf")


def test_a_split_without_images_and_a_wrong_question_say_what_to_do(built: Path, machine: Machine) -> None:
    with pytest.raises(StageError, match=r"augmented/manifest\.parquet: no image of split val that can go out"):
        export(built, machine, to="folder", of="augmented", split="val")
    with pytest.raises(ParamsError, match=r"--out s3://bucket/set is an address; expected a folder on this machine"):
        export(built, machine, to="hf", out="s3://bucket/set")
    with pytest.raises(ParamsError, match=r"expected one of them"):
        run(ExportParams(to="hf", onnx="x.onnx"), built, machine)
    with pytest.raises(ParamsError, match=r"expected --onnx FILE, or --to folder, webdataset or hf"):
        run(ExportParams(), built, machine)


@pytest.mark.parametrize(
    ("images", "band"),
    [(999, "n<1K"), (1000, "1K<n<10K"), (999_999, "100K<n<1M"), (10**6, "1M<n<10M"), (8 * 10**6, "1M<n<10M")],
)
def test_the_card_names_the_size_as_the_hub_does(images: int, band: str) -> None:
    told = card.Told(
        classes=["ill"], counts={"train": {"images": images}}, bytes={"train": 1}, schema=pa.schema([]), facts={},
        made_by={}, versions={}, sources={}, licence="",
    )  # fmt: skip
    assert card.front_matter(told)["size_categories"] == [band]


def test_the_card_counts_names_its_source_and_leaves_the_licence_to_the_user(
    roots: dict[str, Path], machine: Machine, tmp_path: Path
) -> None:
    import yaml  # noqa: PLC0415 - here alone

    out, _ = export(roots["shards"], machine, to="hf", out=str(tmp_path / "out"))
    _, head, body = (out / "README.md").read_text().split("---\n", 2)
    told = yaml.safe_load(head)
    assert "license" not in told
    assert "The licence of the films is not stated" in body
    assert [split["name"] for split in told["dataset_info"]["splits"]] == ["train", "leak_probe", "validation", "test"]
    assert store.file_sha256(roots["shards"] / paths.AUGMENTED_MANIFEST) in body
    index = json.loads((out / "export.json").read_text())
    for name, found in index["splits"].items():
        cells = [found["images"], found["films"], found["patients"], *found["classes"].values()]
        assert f"| {name.replace('val', 'validation')} | {' | '.join(f'{cell:,}' for cell in cells)} |" in body
    for name in index["files"]:
        if name.endswith(".parquet"):
            assert pq.read_metadata(out / name).num_rows == index["files"][name]["samples"]
