"""Compare: evaluated runs in folders, files, revisions and experiments, on the films that all of them scored."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

from manifests import store
from manifests.rows import PREDICTIONS, PredictionRow
from pipeline.cli import main
from stages import compare, paths, runs
from stages.compare import CompareParams
from stages.contract import Machine, ParamsError, StageError
from stages.leaks import LEAKS

CLASSES = ("normal", "bacterial", "viral")
FILMS = 60


def row(number: int, right: bool, **told: Any) -> PredictionRow:  # noqa: FBT001 - a fact, not a switch
    """Return what a model says of a film: each patient has two, its class goes by its number."""
    place = told.pop("label_index", number // 2 % 3)
    said = place if right else (place + 1) % 3
    known: dict[str, Any] = {
        "film_id": hashlib.sha256(str(number).encode()).hexdigest(),
        "path": f"{number}.pgm",
        "label": CLASSES[place],
        "label_index": place,
        "group_id": f"{CLASSES[place]}/p{number // 2}",
        "split": "val",
        "status": "ok",
        "reason": None,
        "predicted": CLASSES[said],
        "predicted_index": said,
        "correct": right,
        "probabilities": [0.8 if index == said else 0.1 for index in range(3)],
        "model": paths.MODEL,
        **told,
    }
    return PredictionRow(**{field.name: known[field.name] for field in fields(PredictionRow)})


def write(path: Path, rows: Sequence[PredictionRow], facts: Mapping[str, Any] | None = None) -> Path:
    footer = store.Footer(facts={"classes": list(CLASSES), **(facts or {})}, sources={paths.MODEL: "ab" * 32})
    store.write(rows, PREDICTIONS, path, footer)
    return path


def a_run(root: Path, every: int, facts: Mapping[str, Any] | None = None, **told: Any) -> str:
    """Write a run that is wrong on every so-many-th film; return its folder."""
    rows = [row(number, number % every != 0, **told) for number in range(FILMS)]
    write(root / paths.PREDICTIONS, rows, facts)
    return str(root)


def look(root: Path, *names: str, **params: Any) -> dict[str, Any]:
    machine = Machine(fan_out=lambda *_, **__: [], track=lambda *_, **__: None)  # type: ignore[arg-type]
    compare.run(CompareParams(runs=names, draws=200, **params), root, machine)
    found: dict[str, Any] = json.loads((root / paths.COMPARISON).read_text())
    return found


# --- what comes out ----------------------------------------------------------------------------------------------


def test_the_command_shows_the_runs_their_difference_and_its_tests_and_writes_both_reports(tmp_path: Path) -> None:
    one, other = a_run(tmp_path / "one", 3), a_run(tmp_path / "other", 12)
    result = CliRunner().invoke(main, ["compare", one, other, "--root", str(tmp_path), "--draws", "200"])
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    assert lines[0] == "60 films of 30 patients of val are in all runs"
    assert lines[2].split()[1:3] == ["66.7", "%"]
    assert lines[3].split()[1:3] == ["91.7", "%"]
    assert lines[4].startswith("second - first points")
    assert lines[5].startswith(f"{other} - {one} +25.0 [")
    assert "15 : 0" in lines[5]
    assert "< 0.0001" in lines[5]
    assert lines[6].endswith("1 difference between 2 runs; see reports/comparison.html")
    found = json.loads((tmp_path / paths.COMPARISON).read_text())
    assert found["contrasts"][0]["difference"] == pytest.approx(0.25)
    assert found["model_sha256"] == {one: "ab" * 32, other: "ab" * 32}
    html = (tmp_path / paths.COMPARISON_PAGE).read_text()
    assert "25.0 points" in html
    assert "<svg" in html


def test_only_films_in_common_count_and_the_others_are_told(tmp_path: Path) -> None:
    one = a_run(tmp_path / "one", 3)
    kept = [row(number, right=True) for number in range(0, 80, 2)]
    strangers = [row(number, right=False, split="train") for number in range(1, 21, 2)]
    other = str(write(tmp_path / "other.parquet", [*kept, *strangers]))
    found = look(tmp_path, one, other)
    assert found["films"] == 30
    assert found["films_not_in_common"] == {one: 30, other: 10}
    assert found["models"][other]["accuracy"] == 1
    shown = compare.lines(found)
    assert shown[0].endswith(f"left out: 30 of {one}, 10 of {other}")


def test_the_split_that_is_asked_for_is_compared(tmp_path: Path) -> None:
    both = [row(number, number > 5) for number in range(20)]
    test = [row(number, number > 45, split="test") for number in range(40, 50)]
    one = str(write(tmp_path / "one.parquet", [*both, *test]))
    other = str(write(tmp_path / "other.parquet", [*both, *test[::-1]]))
    assert look(tmp_path, one, other)["films"] == 20
    assert not (tmp_path / paths.TEST_PEEKS).exists()
    found = look(tmp_path, one, other, split="test")
    assert found["films"] == 10
    assert found["test_peeks"] == 2
    log = [json.loads(line) for line in (tmp_path / paths.TEST_PEEKS).read_text().splitlines()]
    assert [(peek["model_sha256"], peek["params"]["split"]) for peek in log] == [("ab" * 32, "test")] * 2
    assert "Test-set discipline" in (tmp_path / paths.COMPARISON_PAGE).read_text()
    assert compare.lines(found)[-1] == "looks at the test films so far: 2 (reports/test_peeks.jsonl)"


def test_pairs_first_compares_with_the_reference_alone(tmp_path: Path) -> None:
    names = [a_run(tmp_path / name, every) for name, every in (("a", 2), ("b", 3), ("c", 10))]
    assert len(look(tmp_path, *names)["contrasts"]) == 3
    found = look(tmp_path, *names, pairs="first")
    assert [(one["first"], one["second"]) for one in found["contrasts"]] == [(names[0], names[1]), (names[0], names[2])]


def test_runs_after_a_careless_split_are_said_to_leak(tmp_path: Path) -> None:
    one, other = a_run(tmp_path / "one", 3), a_run(tmp_path / "other", 5, {"unit": "film"})
    found = look(tmp_path, one, other)
    assert found["leaking"] == [other]
    assert f"{other}: {LEAKS}" in compare.lines(found)
    assert f"The split of {other} leaks" in (tmp_path / paths.COMPARISON_PAGE).read_text()


def test_what_users_call_their_runs_does_no_harm_to_the_page(tmp_path: Path) -> None:
    one, other = a_run(tmp_path / "<script>a&amp;$5", 3), a_run(tmp_path / ("far/" * 12 + "seed-1"), 5)
    look(tmp_path, one, other)
    html = (tmp_path / paths.COMPARISON_PAGE).read_text()
    assert "<script" not in html
    assert "&lt;script&gt;a&amp;amp;$5" in html


# --- several models in one run -----------------------------------------------------------------------------------


def with_models(*models: str) -> pa.Table:
    """Return predictions of several models as a table: the first errs on every second film, the next on every third."""
    every = enumerate(models, start=2)
    return PREDICTIONS.table(
        [row(number, number % wrong != 0, model=model) for wrong, model in every for number in range(FILMS)]
    )


FOOTER = store.Footer(
    facts={"classes": list(CLASSES)}, sources={"models/seed-1.safetensors": "cd" * 32, "x/net.safetensors": "ef" * 32}
)


def test_each_model_of_a_run_is_a_run_of_its_own() -> None:
    table = with_models("models/seed-1.safetensors", "models/seed-2.safetensors")
    found = runs.runs_of(table, FOOTER, name="a", split="val")
    assert [(run.name, run.model_sha256) for run in found] == [("a:seed-1", "cd" * 32), ("a:seed-2", None)]
    right = [sum(answer.label == answer.predicted for answer in run.answers.values()) for run in found]
    assert right == [30, 40]


def test_models_of_one_name_are_told_apart_by_their_folders() -> None:
    found = runs.runs_of(with_models("x/net.safetensors", "y/net.safetensors"), FOOTER, name="a", split="val")
    assert [run.name for run in found] == ["a:x/net.safetensors", "a:y/net.safetensors"]


# --- what is refused ---------------------------------------------------------------------------------------------


def test_fewer_than_two_runs_are_wrong_usage(tmp_path: Path) -> None:
    one = a_run(tmp_path / "one", 3)
    for names in ([], [one]):
        result = CliRunner().invoke(main, ["compare", *names, "--root", str(tmp_path)])
        assert result.exit_code == 2
        assert "expected two or more: cxr-pipeline compare A B" in result.output
    with pytest.raises(ParamsError, match="one 2 times; expected each run once"):
        look(tmp_path, one, one)


def test_runs_may_stand_in_the_parameters_file(tmp_path: Path) -> None:
    one, other = a_run(tmp_path / "one", 3), a_run(tmp_path / "other", 5)
    (tmp_path / "params.yaml").write_text(f"compare: {{runs: ['{one}', '{other}'], draws: 100}}\n")
    assert CliRunner().invoke(main, ["compare", "--root", str(tmp_path)]).exit_code == 0
    assert json.loads((tmp_path / paths.COMPARISON).read_text())["params"]["runs"] == [one, other]


@pytest.mark.parametrize("told", [{"label_index": 1}, {"group_id": "somebody else"}])
def test_runs_that_disagree_on_a_film_are_refused(tmp_path: Path, told: dict[str, Any]) -> None:
    one, other = a_run(tmp_path / "one", 3), a_run(tmp_path / "other", 5, **told)
    with pytest.raises(StageError, match="expected the same of both: compare runs that were made from one audit"):
        look(tmp_path, one, other)
    assert not (tmp_path / paths.COMPARISON).exists()


def test_runs_without_a_film_in_common_or_of_other_classes_are_refused(tmp_path: Path) -> None:
    one = a_run(tmp_path / "one", 3)
    other = str(write(tmp_path / "far.parquet", [row(number, right=True) for number in range(100, 110)]))
    with pytest.raises(StageError, match=r"no film of val is in all runs \(.*one 60, .*far.parquet 10\)"):
        look(tmp_path, one, other)
    other = a_run(tmp_path / "more", 3, {"classes": [*CLASSES, "fungal"]})
    with pytest.raises(StageError, match="expected runs of the same classes"):
        look(tmp_path, one, other)


def test_a_run_that_did_not_score_the_split_is_refused(tmp_path: Path) -> None:
    one, other = a_run(tmp_path / "one", 3), a_run(tmp_path / "other", 5)
    with pytest.raises(StageError, match=r"holds no predictions of split test \(found: val\); run `cxr-pipeline eval"):
        look(tmp_path, one, other, split="test")
    assert not (tmp_path / paths.TEST_PEEKS).exists()


def test_predictions_that_no_evaluation_writes_are_refused(tmp_path: Path) -> None:
    one = a_run(tmp_path / "one", 3)
    twice = str(write(tmp_path / "twice.parquet", [row(1, right=True), row(1, right=False)]))
    with pytest.raises(StageError, match="comes twice; expected each film once"):
        look(tmp_path, one, twice)
    strange = str(write(tmp_path / "strange.parquet", [row(1, right=True, predicted="fungal")]))
    with pytest.raises(StageError, match="has the classes normal and fungal; expected two of bacterial, normal, viral"):
        look(tmp_path, one, strange)
    empty = str(write(tmp_path / "empty.parquet", []))
    with pytest.raises(StageError, match=r"holds no predictions of split val \(found: none\)"):
        look(tmp_path, one, empty)


def test_a_name_that_is_nothing_is_refused_with_where_it_was_looked_for(tmp_path: Path) -> None:
    one = a_run(tmp_path / "one", 3)
    with pytest.raises(StageError, match=r"nosuch: no evaluated run: there is no nosuch/data/evaluation/predictions"):
        look(tmp_path, one, "nosuch")
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    with pytest.raises(StageError, match=r"bad.parquet: its predictions cannot be used"):
        look(tmp_path, one, str(tmp_path / "bad.parquet"))


# --- DVC -----------------------------------------------------------------------------------------------------------

PIPELINE = f"""
stages:
  evaluate:
    cmd: mkdir -p data/evaluation && cp made/${{which}}.parquet {paths.PREDICTIONS}
    deps: [made]
    params: [which]
    outs: [{paths.PREDICTIONS}]
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Git repository with a set under `sets/chest`, a commit, and an experiment `better` of DVC."""
    top = tmp_path_factory.mktemp("repository")
    root = top / "sets/chest"
    for name, every in (("worse", 3), ("better", 12)):
        write(root / f"made/{name}.parquet", [row(number, number % every != 0) for number in range(FILMS)])
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "params.yaml").write_text("which: worse\n")
    _call(top, "git", "init", "--quiet")
    _call(top, sys.executable, "-m", "dvc", "init", "--quiet")
    _call(root, sys.executable, "-m", "dvc", "repro", "--quiet")
    _call(top, "git", "add", ".")
    _call(top, "git", "commit", "--quiet", "-m", "worse")
    _call(root, sys.executable, "-m", "dvc", "exp", "run", "--quiet", "-n", "better", "-S", "which=better")
    _call(root, sys.executable, "-m", "dvc", "repro", "--quiet")
    (root / paths.PREDICTIONS).unlink()
    return root


def _call(where: Path, *command: str) -> None:
    name = {f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **name, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_revisions_and_experiments_of_dvc_are_compared(repository: Path) -> None:
    found = look(repository, "HEAD", "better")
    assert found["models"]["HEAD"]["accuracy"] == pytest.approx(40 / 60)
    assert found["models"]["better"]["accuracy"] == pytest.approx(55 / 60)


def test_a_revision_and_a_folder_are_compared(repository: Path, tmp_path: Path) -> None:
    folder = a_run(tmp_path / "mine", 2)
    assert look(repository, folder, "better")["contrasts"][0]["difference"] == pytest.approx(25 / 60)


def test_a_name_that_dvc_does_not_know_is_refused_with_its_reason(repository: Path) -> None:
    wanted = r"nosuch: no evaluated run: .* DVC has no sets/chest/data/evaluation/predictions.parquet of a revision"
    with pytest.raises(StageError, match=wanted):
        look(repository, "HEAD", "nosuch")


def test_a_revision_whose_predictions_are_not_in_the_cache_is_refused(repository: Path) -> None:
    cache = repository.parents[1] / ".dvc/cache"
    cache.rename(cache.with_name("elsewhere"))
    try:
        with pytest.raises(StageError, match="`dvc fetch` brings what lies elsewhere"):
            look(repository, "HEAD", "better")
    finally:
        cache.with_name("elsewhere").rename(cache)
