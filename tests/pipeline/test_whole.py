"""The whole pipeline on a few phantoms, through the command line."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from shutil import copytree

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from manifests import store
from manifests.rows import AUDITED, NORMALIZED, PREDICTIONS, SPLIT
from pipeline.cli import main
from stages import paths
from stages.drawn import AUGMENTED
from stages.statistics.gap import PARTS

REPOSITORY = Path(__file__).resolve().parents[2]
RECIPE_2020 = REPOSITORY / "params" / "recipe-2020.yaml"


def invoke(root: Path, *arguments: str) -> str:
    result = CliRunner().invoke(main, [*arguments, "--root", str(root), "--backend", "sequential"])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root on which every stage has run, at a small size."""
    root = tmp_path_factory.mktemp("whole")
    (root / "params.yaml").write_text("normalize: {height: 64, width: 75}\naugment: {copies: 3}\n")
    invoke(root, "phantom", "--films", "60", "--longest-side-px", "200", "--faults", "all")
    for name in ("audit", "split", "normalize", "augment"):
        invoke(root, name)
    invoke(root, "train", "--network", "residual", "--epochs", "2")
    invoke(root, "evaluate", "--draws", "200")
    return root


def test_every_file_is_one_row_and_every_usable_film_has_a_split(whole: Path) -> None:
    audited = store.read(AUDITED, whole / paths.AUDIT)
    files = sorted(path.relative_to(whole / paths.RAW).as_posix() for path in _files(whole / paths.RAW))
    assert [row.path for row in audited] == files
    assert {row.path for row in audited if row.status == "ok"} == {
        row.path for row in store.read(SPLIT, whole / paths.SPLIT)
    }


def test_a_process_that_trained_ends_without_a_word_on_standard_error(whole: Path, tmp_path: Path) -> None:
    """Libraries that are torn down the wrong way complain, after the last line of the command."""
    copytree(whole / "data", tmp_path / "data")
    command = [sys.executable, "-m", "pipeline", "train", "--root", str(tmp_path), "--network", "residual"]
    ended = subprocess.run([*command, "--epochs", "1", "--device", "cpu"], check=True, capture_output=True, text=True)
    assert ended.stderr == ""
    assert "train: " in ended.stdout


def test_augmented_images_are_training_films_times_copies_plus_one(whole: Path) -> None:
    train = [row for row in store.read(SPLIT, whole / paths.SPLIT) if row.split == "train"]
    augmented = store.read(AUGMENTED, whole / paths.AUGMENTED_MANIFEST)
    assert len(augmented) == len(train) * 4
    assert {(row.film_id, row.copy) for row in augmented} == {(row.film_id, copy) for row in train for copy in range(4)}
    assert {row.split for row in augmented} == {"train"}


def test_no_set_aside_film_reaches_training_or_evaluation(whole: Path) -> None:
    bad = {row.film_id for row in store.read(AUDITED, whole / paths.AUDIT) if row.status not in ("ok", "duplicate")}
    assert bad
    for path in (paths.NORMALIZED_MANIFEST, paths.AUGMENTED_MANIFEST, paths.PREDICTIONS):
        assert bad.isdisjoint(pq.read_table(whole / path).column("film_id").to_pylist())


def test_every_split_film_is_predicted_once(whole: Path) -> None:
    predictions = store.read(PREDICTIONS, whole / paths.PREDICTIONS)
    normalized = store.read(NORMALIZED, whole / paths.NORMALIZED_MANIFEST)
    assert sorted(row.film_id for row in predictions) == sorted(row.film_id for row in normalized)
    assert all(abs(sum(row.probabilities) - 1) < 1e-4 for row in predictions)


def test_footers_chain_each_manifest_to_what_it_was_made_from(whole: Path) -> None:
    for path in (paths.SPLIT, paths.NORMALIZED_MANIFEST, paths.AUGMENTED_MANIFEST, paths.PREDICTIONS):
        sources = store.read_footer(whole / path).sources
        assert sources
        for name, digest in sources.items():
            assert store.file_sha256(whole / name) == digest, f"{path} was made from another {name}"


def test_metrics_are_json_that_says_how_good_the_network_is(whole: Path) -> None:
    evaluation = json.loads((whole / paths.EVALUATION_SUMMARY).read_text())
    assert set(evaluation["splits"]) == {"train", "leak_probe", "val", "test"}
    test = evaluation["splits"]["test"]
    assert test["accuracy_low"] <= test["accuracy"] <= test["accuracy_high"]
    assert "train_minus_test" in evaluation["differences"]
    headline = json.loads((whole / paths.METRICS).read_text())
    assert headline["test"] == test["accuracy"]
    parts = [value for name, value in headline.items() if name.removeprefix("gap_") in PARTS]
    assert len(parts) == len(PARTS)
    assert sum(parts) == pytest.approx(headline["gap_total"], abs=1e-9)


def test_evaluate_split_test_is_logged_as_a_look_at_the_test(whole: Path) -> None:
    before = len((whole / paths.TEST_PEEKS).read_text().splitlines())
    output = invoke(whole, "evaluate", "--split", "test", "--draws", "200")
    assert "total (augmented train - test)" in output
    assert len((whole / paths.TEST_PEEKS).read_text().splitlines()) == before + 1
    invoke(whole, "evaluate", "--split", "val", "--draws", "200")
    assert len((whole / paths.TEST_PEEKS).read_text().splitlines()) == before + 1


def test_running_augment_again_changes_no_byte_and_rewrites_no_shard(whole: Path) -> None:
    folder = whole / paths.AUGMENTED
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in _files(folder / "shards")}
    manifest = (whole / paths.AUGMENTED_MANIFEST).read_bytes()
    invoke(whole, "augment")
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in _files(folder / "shards")} == before
    assert (whole / paths.AUGMENTED_MANIFEST).read_bytes() == manifest


@pytest.mark.parametrize("jobs", ["1", "2", "5"])
def test_any_number_of_workers_writes_the_same_bytes(whole: Path, tmp_path: Path, jobs: str) -> None:
    for name in (paths.SPLIT, paths.NORMALIZED_MANIFEST):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((whole / name).read_bytes())
    (tmp_path / paths.NORMALIZED / "shards").symlink_to(whole / paths.NORMALIZED / "shards")
    arguments = ["augment", "--copies", "40", "--root", str(tmp_path), "--jobs", jobs]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    digests = pq.read_table(tmp_path / paths.AUGMENTED_MANIFEST, columns=["sha256"]).column("sha256").to_pylist()
    invoke(tmp_path, "augment", "--copies", "41")  # other shards, so that nothing is kept
    invoke(tmp_path, "augment", "--copies", "40")
    alone = pq.read_table(tmp_path / paths.AUGMENTED_MANIFEST, columns=["sha256"]).column("sha256").to_pylist()
    assert digests == alone


def test_strict_turns_a_bad_film_into_exit_1_after_the_work_is_done(whole: Path, tmp_path: Path) -> None:
    arguments = ["audit", "--root", str(tmp_path), "--raw", str(whole / paths.RAW), "--backend", "sequential"]
    result = CliRunner().invoke(main, [*arguments, "--strict"])
    assert result.exit_code == 1
    assert "--strict, and set aside" in result.output
    assert (tmp_path / paths.AUDIT).exists()


def test_the_2020_recipe_runs_as_it_is(tmp_path: Path) -> None:
    invoke(tmp_path, "phantom", "--films", "14", "--longest-side-px", "600")
    for name in ("audit", "split", "normalize", "augment"):
        invoke(tmp_path, name, "--params", str(RECIPE_2020))
    invoke(tmp_path, "train", "--params", str(RECIPE_2020), "--epochs", "1")
    rows = store.read(AUGMENTED, tmp_path / paths.AUGMENTED_MANIFEST)
    films = [row for row in store.read(NORMALIZED, tmp_path / paths.NORMALIZED_MANIFEST) if row.split == "train"]
    assert len(rows) == len(films) * 21
    assert max(row.unfilled for row in rows) > 0
    assert all("zoom" not in row.drawn for row in rows)
    facts = json.loads((tmp_path / paths.TRAIN_SUMMARY).read_text())
    assert facts["network"] == "alexnet"
    assert facts["parameters"] == 10_901_859


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_raw_films_are_predicted_as_evaluate_predicts_them_and_standard_output_holds_rows_alone(
    whole: Path,
) -> None:
    arguments = ["predict", str(whole / paths.RAW), "--root", str(whole), "--jobs", "2", "--no-progress"]
    result = CliRunner().invoke(main, arguments)

    rows = {row["path"]: row for row in csv.DictReader(io.StringIO(result.stdout))}
    assert result.exit_code == 0
    assert "predict: " in result.stderr
    assert list(rows) == [str(whole / paths.RAW / row.path) for row in store.read(AUDITED, whole / paths.AUDIT)]
    raw = {row.film_id: row.path for row in store.read(SPLIT, whole / paths.SPLIT)}
    for known in store.read(PREDICTIONS, whole / paths.PREDICTIONS):
        row = rows[str(whole / paths.RAW / raw[known.film_id])]
        found = [float(row[name]) for name in row if name.startswith("probability_")]
        assert found == pytest.approx(list(known.probabilities), abs=1e-6)
        assert row["predicted"] == known.predicted
    assert CliRunner().invoke(main, [*arguments, "--strict"]).exit_code == 1
